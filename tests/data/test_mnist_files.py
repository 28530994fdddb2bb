import gzip

import numpy as np
import pytest
import torch

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.data import mnist
from reproduce.data.images import sha256
from synthetic_files import TEST_NAME, TRAIN_NAME, idx


def put(folder, files, pack=gzip.compress):
    for name, content in files.items():
        (folder / name).write_bytes(pack(content))


def refused(data_dir):
    with pytest.raises(UserError) as info:
        data.load("mnist", data_dir)
    assert not isinstance(info.value, data.DataUnavailable)
    message = str(info.value)
    assert "\n" not in message
    assert "delete it to have it downloaded again, or replace it with a good copy" in message
    return message


def test_first_images_train_and_the_test_file_tests(small_mnist, data_dir):
    put(data_dir, small_mnist)
    found = data.load("mnist", data_dir)
    pixels = np.frombuffer(small_mnist[TRAIN_NAME][16:], dtype=np.uint8).reshape(60, 784)
    assert torch.equal(found.train, torch.from_numpy(pixels[:50].copy()))
    assert found.test.shape == (10, 784)
    assert found.test.dtype == torch.uint8
    assert found.scale == 1 / 256
    assert found.image_shape == (28, 28)
    assert found.source == "DATA_DIR"
    assert found.checksum == sha256(small_mnist[TRAIN_NAME][16:], small_mnist[TEST_NAME][16:])


def test_recompressed_and_plain_files_are_the_same_data(small_mnist, data_dir, tmp_path):
    put(data_dir, small_mnist, lambda content: gzip.compress(content, 1))
    plain = tmp_path / "plain"
    plain.mkdir()
    put(plain, {name.removesuffix(".gz"): content for name, content in small_mnist.items()}, bytes)
    assert data.load("mnist", data_dir).checksum == data.load("mnist", plain).checksum


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_names_with_a_dot(small_mnist, data_dir, suffix):
    dotted = {name.replace("-idx3-ubyte.gz", ".idx3-ubyte") + suffix for name in small_mnist}
    put(data_dir, dict(zip(sorted(dotted), sorted(small_mnist.values(), key=len), strict=True)))
    assert data.load("mnist", data_dir).source == "DATA_DIR"


@pytest.mark.parametrize("below", ["MNIST/raw", "raw"])
def test_the_folders_of_torchvision(small_mnist, data_dir, below):
    folder = data_dir / below
    folder.mkdir(parents=True)
    put(folder, {name.removesuffix(".gz"): content for name, content in small_mnist.items()}, bytes)
    assert data.load("mnist", data_dir).source == "DATA_DIR"


def test_a_damaged_file_of_torchvision_is_refused(small_mnist, data_dir):
    folder = data_dir / "MNIST" / "raw"
    folder.mkdir(parents=True)
    put(folder, small_mnist, lambda content: content[:-1])
    assert str(folder / TRAIN_NAME) in refused(data_dir)


def test_a_pointer_of_git_lfs_is_named(small_mnist, data_dir):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9912422\n"
    put(data_dir, {TRAIN_NAME: pointer}, bytes)
    assert "is a pointer of Git LFS" in refused(data_dir)


def test_a_plain_file_under_a_gz_name_passes(small_mnist, data_dir):
    put(data_dir, small_mnist, bytes)
    assert len(data.load("mnist", data_dir).train) == 50


def test_files_from_two_places_are_both_named(small_mnist, data_dir, cache):
    cache.mkdir()
    (data_dir / TRAIN_NAME).write_bytes(small_mnist[TRAIN_NAME])
    (cache / TEST_NAME).write_bytes(small_mnist[TEST_NAME])
    assert data.load("mnist", data_dir).source == "DATA_DIR and cache"


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_one_flipped_byte_is_refused(small_mnist, data_dir, pack):
    damaged = bytearray(small_mnist[TRAIN_NAME])
    damaged[1000] ^= 1
    put(data_dir, small_mnist | {TRAIN_NAME: bytes(damaged)}, pack)
    message = refused(data_dir)
    assert str(data_dir / TRAIN_NAME) in message
    assert f"sha256 {sha256(bytes(damaged))}, expected {mnist.TRAIN_SHA256}" in message


def test_a_damaged_file_in_the_cache_is_refused(small_mnist, cache):
    cache.mkdir()
    put(cache, small_mnist, lambda content: content[:-1])
    assert str(cache / TRAIN_NAME) in refused(None)


def test_truncated_gzip_is_refused(small_mnist, data_dir):
    put(data_dir, small_mnist, lambda content: gzip.compress(content)[:-500])
    assert "its gzip data are damaged or cut short" in refused(data_dir)


def test_damaged_gzip_is_refused(small_mnist, data_dir):
    # Level 0 stores the bytes as they are, so what notices is gzip's own checksum.
    stored = [gzip.compress(content, 0) for content in small_mnist.values()]
    (data_dir / TRAIN_NAME).write_bytes(stored[0][:5000] + b"?" + stored[0][5001:])
    assert "its gzip data are damaged or cut short" in refused(data_dir)


@pytest.mark.parametrize("length", [0, 2, 4, 7, 15, 16, 500])
def test_truncated_plain_files_are_refused(small_mnist, data_dir, length):
    put(data_dir, small_mnist, lambda content: content[:length])
    assert "sha256" in refused(data_dir)


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_an_html_page_is_refused(small_mnist, data_dir, pack):
    page = b"<!DOCTYPE html><html><title>Log in to the network</title></html>"
    put(data_dir, {TRAIN_NAME: page}, pack)
    assert "it starts with b'<!DO', not as an IDX file of images" in refused(data_dir)


def test_labels_in_the_place_of_images_are_refused(small_mnist, data_dir):
    put(data_dir, {TRAIN_NAME: b"\0\0\x08\x01" + bytes(100)})
    assert "not as an IDX file of images" in refused(data_dir)


def test_other_dimensions_are_refused(small_mnist, data_dir):
    put(data_dir, {TRAIN_NAME: idx(np.zeros((60, 14, 14), np.uint8))})
    assert "of shape (60, 14, 14), expected (60, 28, 28)" in refused(data_dir)


def test_the_official_sizes():
    assert mnist.TRAIN_SHAPE == (60_000, 28, 28)
    assert mnist.TEST_SHAPE == (10_000, 28, 28)
    assert mnist.N_TRAIN == 50_000
