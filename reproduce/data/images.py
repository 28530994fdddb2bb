"""A data set held in memory, and the random split of those that come without one."""

import dataclasses
import hashlib

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8

from reproduce.common.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images as bytes; whoever trains turns them into numbers on the device.

    Images of a user's own that are no bytes are 32-bit floats. Loaded data are shared within a
    process: treat the tensors as read-only.

    Attributes
    ----------
    name
        The name the data set is registered under, e.g. "mnist".
    train, test
        Images, one a row, pixels in row-major order, shapes (n, pixels).
    scale
        The value of a pixel is what is stored times this.
    image_shape
        Rows and columns of an image; their product is `pixels`.
    checksum
        SHA-256 of all the data set's pixels as they are stored, before any split: those of the
        training file in its order, then those of the test file where there is one.
    source
        Where the contents came from, in words: "DATA_DIR", "cache", "bundled with scikit-learn".
    """

    name: str
    train: UInt8[torch.Tensor, "n_train pixels"] | Float32[torch.Tensor, "n_train pixels"]
    test: UInt8[torch.Tensor, "n_test pixels"] | Float32[torch.Tensor, "n_test pixels"]
    scale: float
    image_shape: tuple[int, int]
    checksum: str
    source: str

    def first(self, n_train: int) -> "ImageData":
        """Return the same data with only the first `n_train` training images.

        The test set and the checksum, which identifies the whole data set, stay as they are.
        """
        available = len(self.train)
        if not 0 < n_train <= available:
            raise UserError(
                f"Cannot train on {n_train} images of {self.name}: choose from 1 to {available}, "
                "the number of its training images."
            )
        return dataclasses.replace(self, train=self.train[:n_train])


def random_split(
    images: Shaped[np.ndarray, "n pixels"], n_train: int, seed: int
) -> tuple[Shaped[torch.Tensor, "n_train pixels"], Shaped[torch.Tensor, "n_test pixels"]]:
    """Shuffle with a seed of the split's own; the first `n_train` train, the others test.

    The seed belongs to the data set, not to a run: every seed and every machine sees the
    same test images.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    return torch.from_numpy(images[order[:n_train]]), torch.from_numpy(images[order[n_train:]])


def sha256(*contents: bytes | np.ndarray) -> str:
    """Return the SHA-256, in hexadecimal, of the contents in turn (arrays in C order)."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content.tobytes() if isinstance(content, np.ndarray) else content)
    return digest.hexdigest()
