"""scikit-learn's bundled 8x8 digits: stand-ins for MNIST and Frey Face that need no network.

1,797 images with grey levels 0 to 16 (the test set of the UCI data set "Optical Recognition of
Handwritten Digits"). The same pixels go by two names: `digits`, modelled as Bernoulli
probabilities like MNIST, and `digits_continuous`, modelled by a Gaussian like Frey Face.
"""

from pathlib import Path

import numpy as np

from reproduce.data.images import ImageData, random_split, sha256
from reproduce.errors import UserError

IMAGE_SHAPE = (8, 8)
N_IMAGES = 1797
N_TRAIN = 1500
SPLIT_SEED = 1797


def load(data_dir: Path | None = None) -> ImageData:
    """Load the digits to be modelled as Bernoulli probabilities; pixels are levels over 16.

    `data_dir` is not used: the images are part of scikit-learn.
    """
    return _load("digits")


def load_continuous(data_dir: Path | None = None) -> ImageData:
    """Load the same digits to be modelled as continuous values (see `load`)."""
    return _load("digits_continuous")


def _load(name: str) -> ImageData:
    from sklearn.datasets import load_digits  # slow to import, and only the stand-ins need it

    pixels = np.asarray(load_digits(return_X_y=True)[0])
    expected = (N_IMAGES, IMAGE_SHAPE[0] * IMAGE_SHAPE[1])
    if pixels.shape != expected:
        raise UserError(
            f"scikit-learn's bundled digits have shape {pixels.shape}, expected {expected}; "
            "install another version of scikit-learn."
        )
    images = pixels.astype(np.uint8)
    train, test = random_split(images, N_TRAIN, SPLIT_SEED)
    return ImageData(
        name=name,
        train=train,
        test=test,
        scale=1 / 16,
        image_shape=IMAGE_SHAPE,
        checksum=sha256(images),
        source="bundled with scikit-learn",
    )
