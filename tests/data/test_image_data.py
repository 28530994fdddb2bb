import math

import numpy as np
import pytest
import torch

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.data import freyface, mnist
from reproduce.data.images import random_split, sha256
from reproduce.data.registry import N_PIXELS


def test_the_size_of_every_data_sets_images_is_known_without_it():
    shapes = {"mnist": mnist.TRAIN_SHAPE[1:], "freyface": freyface.IMAGE_SHAPE}
    shapes |= {name: data.load(name).image_shape for name in ("digits", "digits_continuous")}
    assert {name: math.prod(shape) for name, shape in shapes.items()} == N_PIXELS
    assert N_PIXELS.keys() == data.DATASETS.keys()


@pytest.mark.parametrize("name", ["digits", "digits_continuous"])
def test_digits_need_no_files(name):
    digits = data.load(name)
    assert digits.name == name
    assert digits.train.shape == (1500, 64)
    assert digits.test.shape == (297, 64)
    assert digits.train.dtype == digits.test.dtype == torch.uint8
    assert digits.image_shape == (8, 8)
    assert 0.9 < digits.train.max() * digits.scale <= 1
    assert digits.source == "bundled with scikit-learn"


def test_continuous_digits_are_the_digits_dequantised():
    levels, continuous = data.load("digits").train, data.load("digits_continuous").train
    # A pixel of level v lies in [v, v + 1) / 17, up to the steps of 1/256 it is stored in.
    least = continuous.double() * 17 / 256
    assert ((least + 17 / 256 > levels) & (least < levels + 1)).all()
    assert continuous.float().std(0).min() > 3  # no pixel is constant, in steps of 1/256
    assert not torch.equal(continuous[0], continuous[1])


def test_first_keeps_everything_but_the_number_of_training_images():
    digits = data.load("digits")
    few = digits.first(100)
    assert torch.equal(few.train, digits.train[:100])
    assert few.test is digits.test
    assert (few.name, few.scale, few.checksum) == (digits.name, digits.scale, digits.checksum)
    assert torch.equal(digits.first(1500).train, digits.train)


@pytest.mark.parametrize("n_train", [0, -1, 1501])
def test_first_refuses_what_there_is_not(n_train):
    with pytest.raises(UserError, match=rf"{n_train} images of digits: choose from 1 to 1500"):
        data.load("digits").first(n_train)


def test_random_split_is_disjoint_and_covers_all():
    images = np.arange(200, dtype=np.uint8)[:, None]
    train, test = random_split(images, 150, seed=3)
    assert train.shape == (150, 1)
    assert test.shape == (50, 1)
    assert sorted(torch.cat([train, test]).flatten().tolist()) == list(range(200))
    assert torch.equal(random_split(images, 150, seed=3)[0], train)
    assert not torch.equal(random_split(images, 150, seed=4)[0], train)


def test_splits_are_the_same_everywhere():
    # Pinned: a generator that changed with numpy would silently change every published number.
    from reproduce.data import digits, freyface

    frey = np.random.default_rng(freyface.SPLIT_SEED).permutation(freyface.N_IMAGES)
    assert sha256(frey.astype("<i8")) == (
        "69635c5c3639bd07de818c55a91f4443da0a68a452edc6edd7888d7f24e56fa4"
    )
    eight = np.random.default_rng(digits.SPLIT_SEED).permutation(digits.N_IMAGES)
    assert sha256(eight.astype("<i8")) == (
        "efafaee20c478093f64a448841305dc2e7de6e99ddec55ea1ba4fd76bcaba6d9"
    )
