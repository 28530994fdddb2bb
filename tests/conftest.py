"""Shared by all tests: a place of their own, no network and, where asked for, checked shapes."""

import os
from pathlib import Path

from isolation import isolate

isolate()

if os.environ.get("AEVB_TEST_SHAPES"):  # of every tensor at every call: trainings take longer
    from jaxtyping import install_import_hook

    install_import_hook(["reproduce", "baselines"], "typechecker.check")

import pytest  # noqa: E402
import torch  # noqa: E402

from reproduce.common.machine import prepare  # noqa: E402
from reproduce.data.images import ImageData  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    prepare(threads=1)


@pytest.fixture(autouse=True, scope="session")
def own_session_folder(tmp_path_factory):
    """What fixtures of modules write by default is not in the user's folder either."""
    os.chdir(tmp_path_factory.mktemp("session"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test begins in a folder of its own; a command with default settings writes there."""
    monkeypatch.chdir(tmp_path)


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
