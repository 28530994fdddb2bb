"""Frey Face: 1,965 frames of a video of one face, 28x20 grey levels (Roweis, Saul & Hinton).

The paper gives no split. There are two, each of 1,600 frames to train and 365 to test: that of the
published runs, recovered from their first values (docs/replay.md), and a random one of our own.
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from reproduce.data.images import ImageData, random_split, sha256
from reproduce.data.sources import ContentError, DataFile, locate

MIRRORS = (
    "https://cs.nyu.edu/~roweis/data/",
    "https://www.cs.nyu.edu/~roweis/data/",
)
# Of the variable `ff` transposed to an image a row, C order; the file around it comes in several
# versions.
SHA256 = "2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78"
N_IMAGES = 1965
IMAGE_SHAPE = (28, 20)
N_TRAIN = 1600
SPLIT_SEED = 2013


def load(data_dir: Path | None, split: str = "random") -> ImageData:
    """Load Frey Face, split by one of `SPLITS`; pixels are bytes over 256.

    Raises
    ------
    UserError
        Where the file is there but is not the official one.
    DataUnavailable
        Where the file could be neither found nor fetched.
    """
    name = "frey_rawface.mat"
    urls = tuple(mirror + name for mirror in MIRRORS)
    file = DataFile((name,), urls, partial(decode, n_images=N_IMAGES, checksum=SHA256))
    (found,) = locate("Frey Face", [file], data_dir)
    train, test = SPLITS[split](found.contents)
    return ImageData(
        name="freyface",
        train=train,
        test=test,
        scale=1 / 256,
        image_shape=IMAGE_SHAPE,
        checksum=sha256(found.contents),
        source=found.source,
    )


def published_split(images: UInt8[np.ndarray, "n 560"]) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffle as the published runs did, with NumPy's legacy seed 0; the first 1,600 train."""
    rows = images.copy()
    np.random.RandomState(0).shuffle(rows)
    return torch.from_numpy(rows[:N_TRAIN]), torch.from_numpy(rows[N_TRAIN:])


SPLITS: dict[str, Callable[[np.ndarray], tuple[torch.Tensor, torch.Tensor]]] = {
    "random": lambda images: random_split(images, N_TRAIN, SPLIT_SEED),
    "published": published_split,
}


def decode(raw: bytes, n_images: int, checksum: str) -> UInt8[np.ndarray, "n_images 560"]:
    """Decode a MATLAB file whose variable `ff` holds an image a column.

    Raises
    ------
    ContentError
        Where the bytes are anything else, or the transpose of `ff` has another SHA-256.
    """
    from scipy.io import loadmat  # slow to import

    if raw.startswith(b"MATLAB 7.3"):
        raise ContentError(
            "it is a MATLAB 7.3 file, which is HDF5; save it as an older one, with "
            f"save('frey_rawface.mat', 'ff', '-v7') (expected sha256 {checksum} of ff)"
        )
    try:
        columns = loadmat(BytesIO(raw), variable_names=["ff"])["ff"]
    except KeyError as error:
        raise ContentError(
            f"this MATLAB file has no variable 'ff' (expected sha256 {checksum} of ff)"
        ) from error
    except Exception as error:  # scipy raises a dozen types on damaged files
        raise ContentError(
            f"it cannot be decoded as a MATLAB file ("
            f"{' '.join(str(error).split()) or type(error).__name__}; expected sha256 "
            f"{checksum} of ff)"
        ) from error
    images = np.ascontiguousarray(columns.T)
    sums = f"its variable 'ff', transposed, has sha256 {sha256(images)}, expected {checksum}"
    expected = (IMAGE_SHAPE[0] * IMAGE_SHAPE[1], n_images)
    if columns.shape != expected or columns.dtype != np.uint8:
        raise ContentError(
            f"'ff' is {columns.dtype} of shape {columns.shape}, expected uint8 {expected}; {sums}"
        )
    if sha256(images) != checksum:
        raise ContentError(sums)
    return images
