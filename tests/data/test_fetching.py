import gzip
import os
import pickle

import pytest

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.data import freyface, mnist, sources
from synthetic_files import FREY_NAME, TEST_NAME, TRAIN_NAME, mat


@pytest.fixture
def mirrors(mirror, monkeypatch):
    """Both data sets have two mirrors: /a/ and /b/."""
    for module in (mnist, freyface):
        monkeypatch.setattr(module, "MIRRORS", (f"{mirror.url}/a/", f"{mirror.url}/b/"))
    return mirror


def serve(mirror, folder, files):
    mirror.answers |= {f"/{folder}/{name}": content for name, content in files.items()}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_download_goes_to_the_cache_and_is_found_again(mirrors, cache, small_frey):
    serve(mirrors, "a", {FREY_NAME: mat(ff=small_frey)})
    assert data.load("freyface").source == "downloaded from 127.0.0.1"
    assert names_in(cache) == [FREY_NAME]
    data.registry._load.cache_clear()
    assert data.load("freyface").source == "cache"
    assert len(mirrors.requested) == 1


def test_a_download_goes_to_the_data_folder_where_there_is_one(
    mirrors, cache, data_dir, small_mnist
):
    serve(mirrors, "a", {name: gzip.compress(raw) for name, raw in small_mnist.items()})
    data.load("mnist", data_dir)
    assert names_in(data_dir) == [TEST_NAME, TRAIN_NAME]
    assert names_in(cache) == []


def test_a_data_folder_that_is_read_only_leaves_the_cache(
    mirrors, cache, data_dir, small_frey, monkeypatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    serve(mirrors, "a", {FREY_NAME: mat(ff=small_frey)})
    data.load("freyface", data_dir)
    assert names_in(data_dir) == []
    assert names_in(cache) == [FREY_NAME]


def test_only_the_missing_file_is_downloaded(mirrors, data_dir, small_mnist):
    (data_dir / TRAIN_NAME).write_bytes(small_mnist[TRAIN_NAME])
    serve(mirrors, "a", {TEST_NAME: small_mnist[TEST_NAME]})
    assert data.load("mnist", data_dir).source == "DATA_DIR and downloaded from 127.0.0.1"
    assert mirrors.requested == [f"/a/{TEST_NAME}"]


@pytest.mark.parametrize(
    "bad", [404, 500, b"", b"<html>log in</html>", ("cut", b"\x1f\x8b"), "flipped"]
)
def test_a_bad_mirror_gives_way_to_the_next(mirrors, cache, small_mnist, bad):
    packed = {name: gzip.compress(raw) for name, raw in small_mnist.items()}
    if bad == "flipped":
        raw = bytearray(small_mnist[TRAIN_NAME])
        raw[-1] ^= 1
        bad = gzip.compress(bytes(raw))
    serve(mirrors, "a", {TRAIN_NAME: bad, TEST_NAME: packed[TEST_NAME]})
    serve(mirrors, "b", packed)
    data.load("mnist")
    assert (cache / TRAIN_NAME).read_bytes() == packed[TRAIN_NAME]
    assert mirrors.requested == [f"/a/{TRAIN_NAME}", f"/b/{TRAIN_NAME}", f"/a/{TEST_NAME}"]


def test_no_good_mirror_leaves_no_file_and_says_why(mirrors, cache, small_frey):
    whole = mat(ff=small_frey)
    serve(mirrors, "a", {FREY_NAME: ("cut", whole[:500])})
    with pytest.raises(data.DataUnavailable) as info:
        data.load("freyface")
    assert names_in(cache) == []
    message = str(info.value)
    assert f"{mirrors.url}/a/{FREY_NAME}: the connection broke off" in message
    assert f"{mirrors.url}/b/{FREY_NAME}: the server answered 404" in message


def test_a_mirror_that_does_not_answer(mirrors, small_frey, monkeypatch):
    monkeypatch.setattr(freyface, "MIRRORS", ("http://127.0.0.1:9/",))  # discard: nobody listens
    with pytest.raises(data.DataUnavailable, match="no connection"):
        data.load("freyface")


def test_an_interrupted_download_leaves_nothing(cache, small_frey, monkeypatch):
    def interrupt(url, path, label):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setenv("AEVB_OFFLINE", "")
    monkeypatch.setattr(sources, "_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("freyface")
    assert names_in(cache) == []


def test_a_full_disk_is_named(mirrors, small_frey, monkeypatch):
    def full(url, path, label):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "_download", full)
    with pytest.raises(data.DataUnavailable, match="No space left on device"):
        data.load("freyface")


def test_a_corrupt_file_is_never_passed_over_for_a_download(mirrors, data_dir, small_frey):
    serve(mirrors, "a", {FREY_NAME: mat(ff=small_frey)})
    (data_dir / FREY_NAME).write_bytes(b"not a MATLAB file")
    with pytest.raises(UserError, match="is not the expected file"):
        data.load("freyface", data_dir)
    assert mirrors.requested == []
    assert (data_dir / FREY_NAME).read_bytes() == b"not a MATLAB file"


def test_offline_asks_nobody_and_lists_three_ways(mirrors, cache, data_dir, monkeypatch):
    monkeypatch.setenv("AEVB_OFFLINE", "1")
    with pytest.raises(data.DataUnavailable) as info:
        data.load("mnist", data_dir)
    assert mirrors.requested == []
    message = str(info.value)
    for part in (
        f"MNIST is not available. Looked for {TRAIN_NAME} and {TEST_NAME}",
        f"DATA_DIR ({data_dir}): not there",
        f"cache ({cache}): not there",
        "AEVB_OFFLINE is set",
        "1. Run the same command again with a network and without AEVB_OFFLINE",
        f"{mirrors.url}/a/{TEST_NAME}",
        "set DATA_DIR",
        "3. Copy the same files",
    ):
        assert part in message


def test_only_the_missing_files_are_named(data_dir, small_mnist):
    (data_dir / TRAIN_NAME).write_bytes(small_mnist[TRAIN_NAME])
    with pytest.raises(data.DataUnavailable) as info:
        data.load("mnist", data_dir)
    assert f"Looked for {TEST_NAME} in:" in str(info.value)


def test_unavailability_travels_between_processes():
    with pytest.raises(data.DataUnavailable) as info:
        data.load("mnist")
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)


def test_a_file_that_cannot_be_read(data_dir, small_frey, monkeypatch):
    (data_dir / FREY_NAME).write_bytes(mat(ff=small_frey))

    def deny(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", deny)
    with pytest.raises(UserError, match=r"could not be read \(Permission denied\)"):
        data.load("freyface", data_dir)
