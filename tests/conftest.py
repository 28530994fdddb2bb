"""Shared by all tests: shapes are checked at run time, nothing reaches the network."""

import os

os.environ["AEVB_OFFLINE"] = "1"
os.environ.pop("DATA_DIR", None)
os.environ.pop("HYDRA_FULL_ERROR", None)
os.environ["WANDB_SILENT"] = "true"

from jaxtyping import install_import_hook

install_import_hook(["reproduce", "baselines"], "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

from reproduce.data.images import ImageData  # noqa: E402
from reproduce.runtime import prepare  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    prepare(threads=1)


@pytest.fixture
def images():
    """300 training and 40 test images of 12 random pixels."""
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (340, 12), generator=source, dtype=torch.uint8)
    return ImageData("made_up", pixels[:300], pixels[300:], 1 / 256, (3, 4), "none", "made up")
