"""MNIST: 28x28 handwritten digits (LeCun, Cortes & Burges).

The first 50,000 training images train. The published runs' *test* curves are of the remaining
10,000 training images (docs/replay.md): that is the split `published`. With the split `official`
the 10,000 test images test. Labels are not used.
"""

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from reproduce.data.images import ImageData, sha256
from reproduce.data.sources import ContentError, DataFile, locate

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Of the decompressed files, header included.
TRAIN_SHA256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
TEST_SHA256 = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
TRAIN_SHAPE = (60_000, 28, 28)
TEST_SHAPE = (10_000, 28, 28)
N_TRAIN = 50_000
SPLITS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "official": lambda train, test: test,
    "published": lambda train, test: train[N_TRAIN:],
}
"""From what is in the training and the test file to the images that test."""

_MAGIC = b"\x00\x00\x08\x03"  # IDX: unsigned bytes in three dimensions
_HEADER = 16  # bytes: the magic number and three dimensions


def load(data_dir: Path | None, split: str = "official") -> ImageData:
    """Load MNIST, split by one of `SPLITS`; pixels are bytes over 256.

    Raises
    ------
    UserError
        Where a file is there but is not the official one.
    DataUnavailable
        Where a file could be neither found nor fetched.
    """
    train, test = locate(
        "MNIST",
        [
            _data_file("train-images", TRAIN_SHAPE, TRAIN_SHA256),
            _data_file("t10k-images", TEST_SHAPE, TEST_SHA256),
        ],
        data_dir,
    )
    return ImageData(
        name="mnist",
        train=torch.from_numpy(train.contents[:N_TRAIN].copy()),
        test=torch.from_numpy(SPLITS[split](train.contents, test.contents).copy()),
        scale=1 / 256,
        image_shape=(TRAIN_SHAPE[1], TRAIN_SHAPE[2]),
        checksum=sha256(train.contents, test.contents),
        source=" and ".join(dict.fromkeys([train.source, test.source])),
    )


def decode(raw: bytes, shape: tuple[int, int, int], checksum: str) -> UInt8[np.ndarray, "n pixels"]:
    """Decode an IDX file of images, gzipped or plain, of which shape and SHA-256 are known.

    Raises
    ------
    ContentError
        Where the bytes are anything else.
    """
    # Gzip is told by its first bytes, not by the name: browsers unpack files and keep their name.
    content = gunzip(raw) if raw[:2] == b"\x1f\x8b" else raw
    found = sha256(content)
    sums = f"its decompressed contents have sha256 {found}, expected {checksum}"
    if content[:4] != _MAGIC or len(content) < _HEADER:
        raise ContentError(f"it starts with {content[:4]!r}, not as an IDX file of images; {sums}")
    found_shape = tuple(int(size) for size in np.frombuffer(content[4:_HEADER], dtype=">u4"))
    if found_shape != shape:
        raise ContentError(f"it holds an array of shape {found_shape}, expected {shape}; {sums}")
    if found != checksum:
        raise ContentError(sums)
    return np.frombuffer(content, dtype=np.uint8, offset=_HEADER).reshape(shape[0], -1)


def gunzip(raw: bytes) -> bytes:
    """Unpack gzip data, or raise `ContentError`."""
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ContentError(f"its gzip data are damaged or cut short ({error})") from error


def _data_file(stem: str, shape: tuple[int, int, int], checksum: str) -> DataFile:
    names = [f"{stem}{dot}idx3-ubyte{suffix}" for dot in "-." for suffix in (".gz", "")]
    return DataFile(
        names=tuple(names),
        urls=tuple(mirror + names[0] for mirror in MIRRORS),
        decode=partial(decode, shape=shape, checksum=checksum),
        folders=(".", "MNIST/raw", "raw"),  # as torchvision has it, from its root or below
    )
