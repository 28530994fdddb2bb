"""scikit-learn's bundled 8x8 digits: stand-ins for MNIST and Frey Face that need no network.

1,797 images with grey levels 0 to 16 (the test set of the UCI data set "Optical Recognition of
Handwritten Digits"). `digits` are the levels over 16, modelled as Bernoulli probabilities like
MNIST. `digits_continuous` are modelled by a Gaussian like Frey Face; they are dequantised, since
many pixels are the same in all images and a density with a free variance on those has no upper
bound: training would diverge.
"""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reproduce.common.errors import UserError
from reproduce.data.images import ImageData, random_split, sha256

IMAGE_SHAPE = (8, 8)
N_IMAGES = 1797
N_TRAIN = 1500
LEVELS = 17
SPLIT_SEED = 1797
DEQUANTISATION_SEED = 1798


def load(data_dir: Path | None = None) -> ImageData:
    """Load the digits to be modelled as Bernoulli probabilities; pixels are levels over 16.

    `data_dir` is not used: the images are part of scikit-learn.
    """
    return _image_data("digits", _levels(), scale=1 / (LEVELS - 1))


def load_continuous(data_dir: Path | None = None) -> ImageData:
    """Load the same digits as continuous values: (level + u) / 17 with u uniform on [0, 1).

    The noise u is drawn once, with a seed of its own, and the values are stored in steps of 1/256
    (uniform dequantisation: Theis et al. 2016, "A note on the evaluation of generative models").
    """
    levels = _levels()
    noise = np.random.default_rng(DEQUANTISATION_SEED).random(levels.shape)
    continuous = ((levels + noise) * (256 / LEVELS)).astype(np.uint8)
    return _image_data("digits_continuous", continuous, scale=1 / 256)


def _levels() -> NDArray[np.uint8]:
    # What `sklearn.datasets.load_digits` reads; to import scikit-learn for it takes a second.
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    pixels = np.loadtxt(str(file), delimiter=",")[:, :-1]  # the last column is the digit
    expected = (N_IMAGES, IMAGE_SHAPE[0] * IMAGE_SHAPE[1])
    if pixels.shape != expected:
        raise UserError(
            f"scikit-learn's bundled digits have shape {pixels.shape}, expected {expected}; "
            "install another version of scikit-learn."
        )
    return pixels.astype(np.uint8)


def _image_data(name: str, images: NDArray[np.uint8], scale: float) -> ImageData:
    train, test = random_split(images, N_TRAIN, SPLIT_SEED)
    return ImageData(
        name=name,
        train=train,
        test=test,
        scale=scale,
        image_shape=IMAGE_SHAPE,
        checksum=sha256(images),
        source="bundled with scikit-learn",
    )
