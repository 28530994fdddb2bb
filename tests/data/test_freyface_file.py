import numpy as np
import pytest
import torch

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.data import freyface
from reproduce.data.images import sha256
from synthetic_files import FREY_NAME, mat


def refused(data_dir, content):
    path = data_dir / FREY_NAME
    path.write_bytes(content)
    with pytest.raises(UserError) as info:
        data.load("freyface", data_dir)
    assert not isinstance(info.value, data.DataUnavailable)
    message = str(info.value)
    assert "\n" not in message
    assert str(path) in message
    assert freyface.SHA256 in message
    return message


def test_split_is_fixed_disjoint_and_covers_all(small_frey, data_dir):
    (data_dir / FREY_NAME).write_bytes(mat(ff=small_frey))
    found = data.load("freyface", data_dir)
    assert found.train.shape == (20, 560)
    assert found.test.shape == (10, 560)
    assert found.train.dtype == torch.uint8
    assert found.image_shape == (28, 20)
    assert found.scale == 1 / 256
    assert found.checksum == freyface.SHA256
    order = np.random.default_rng(freyface.SPLIT_SEED).permutation(30)
    both = torch.cat([found.train, found.test]).numpy()
    assert np.array_equal(both, small_frey.T[order])


def test_the_published_split_is_the_legacy_generators(small_frey, data_dir):
    (data_dir / FREY_NAME).write_bytes(mat(ff=small_frey))
    found = data.load("freyface", data_dir, "published")
    np.random.seed(0)
    rows = small_frey.T.copy()
    np.random.shuffle(rows)
    assert np.array_equal(torch.cat([found.train, found.test]).numpy(), rows)
    assert found.checksum == data.load("freyface", data_dir).checksum


def test_the_packing_does_not_matter(small_frey, data_dir):
    from scipy.io import savemat

    savemat(data_dir / FREY_NAME, {"other": 1, "ff": small_frey}, do_compression=True)
    assert data.load("freyface", data_dir).checksum == freyface.SHA256


def test_one_flipped_byte_is_refused(small_frey, data_dir):
    damaged = small_frey.copy()
    damaged[100, 3] ^= 1
    assert f"sha256 {sha256(damaged.T)}, expected" in refused(data_dir, mat(ff=damaged))


def test_other_dimensions_and_types_are_refused(small_frey, data_dir):
    transposed = refused(data_dir, mat(ff=small_frey.T))
    assert "shape (30, 560), expected uint8 (560, 30)" in transposed
    assert "'ff' is float64" in refused(data_dir, mat(ff=small_frey / 256))


def test_another_variable_is_refused(small_frey, data_dir):
    assert "has no variable 'ff'" in refused(data_dir, mat(faces=small_frey))


@pytest.mark.parametrize(
    "content", [b"", b"hello world\n" * 50, b"<!DOCTYPE html><html></html>" * 20]
)
def test_other_kinds_of_file_are_refused(small_frey, data_dir, content):
    assert "cannot be decoded as a MATLAB file" in refused(data_dir, content)


def test_a_matlab_file_of_version_7_3_is_named(small_frey, data_dir):
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n"
    assert "is a MATLAB 7.3 file" in refused(data_dir, header)


@pytest.mark.parametrize("kept", [100, 130, 200, 10_000])
def test_truncated_files_are_refused(small_frey, data_dir, kept):
    refused(data_dir, mat(ff=small_frey)[:kept])


def test_the_official_sizes():
    assert freyface.N_IMAGES == 1965
    assert freyface.N_TRAIN == 1600
    assert freyface.IMAGE_SHAPE == (28, 20)
