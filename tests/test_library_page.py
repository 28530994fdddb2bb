"""The blocks of docs/library.md run in their order, and do what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from reproduce.models.bounds import sgvb_b

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text("utf-8"), re.S)


@pytest.fixture
def page(tmp_path):
    """What the page's blocks define, run where results/ is the repository's."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    drawing = Image.new("RGB", (280, 280))
    ImageDraw.Draw(drawing).line([(150, 40), (130, 240)], fill="white", width=30)
    drawing.save("mine.png")
    names: dict = {}
    before = torch.is_grad_enabled()
    for block in BLOCKS:
        exec(block, names)
    yield names
    torch.set_grad_enabled(before)


def test_its_blocks_encode_decode_sample_and_estimate(page):
    model, x, estimate = (page[name] for name in ("model", "x", "estimate"))
    assert page["posterior"].mean.shape == (3, 1, 3)
    assert page["log_likelihood"].shape == (3, 10, 1)
    # A stroke like a one is found again, far better than by an average image.
    error = (page["reconstruction"] - x).square().mean((1, 2))
    assert (error < 0.5 * (x - x.mean()).square().mean()).all()
    with Image.open("samples.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (112, 280)
    np.testing.assert_array_equal(pixels[:28, :28], (255 * page["images"][0, 0]).byte())
    # log p(x) is above the bound, whose noise over 2,000 samples is small.
    source = torch.Generator().manual_seed(0)
    bound = sgvb_b(model, x, torch.randn(3, 2_000, 1, 3, generator=source))
    assert (estimate.value > bound - 1).all()


def test_no_block_is_longer_than_the_page_promises():
    assert len(BLOCKS) == 6
    assert all(len([line for line in block.splitlines() if line]) <= 5 for block in BLOCKS)
