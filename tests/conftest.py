"""Shared by all tests: shapes are checked at run time, nothing reaches the network."""

import os
from pathlib import Path

os.environ["AEVB_OFFLINE"] = "1"
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `reproduce` does, before torch is loaded
# Real data only for the tests that ask for them by this name.
os.environ.setdefault("AEVB_TEST_DATA_DIR", os.environ.pop("DATA_DIR", ""))
os.environ.pop("HYDRA_FULL_ERROR", None)
os.environ["WANDB_SILENT"] = "true"

from jaxtyping import install_import_hook

install_import_hook(["reproduce", "baselines"], "typechecker.check")

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


ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
skipped: set[str] = set()


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        skipped.add(report.nodeid)


def pytest_sessionfinish(session):
    """A skipped test proves nothing: only those on the committed list may be skipped."""
    lines = ALLOWED_SKIPS.read_text().splitlines()
    allowed = {line for line in lines if line and not line.startswith("#")}
    if surprising := sorted(skipped - allowed):
        print(f"\nSkipped, but not listed in {ALLOWED_SKIPS.name}:", *surprising, sep="\n  ")
        session.exitstatus = 1
