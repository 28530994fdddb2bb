"""The commands and the Python blocks of docs/teaching.md do what the page says."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from reproduce import __main__ as command_line
from reproduce import data, load_model
from reproduce.common.errors import UserError
from reproduce.config import CONF, compose_config
from reproduce.config.overrides import groups
from reproduce.data.images import ImageData
from reproduce.experiments.ablation.run import make

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "teaching.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
LINES = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S)).replace("\\\n", " ").splitlines()
COMMANDS = [shlex.split(line, comments=True) for line in LINES]


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """What the page names, where its commands expect it."""
    for name in ("results", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr(sys, "path", [*sys.path])  # METHODS=FOLDER adds its folder
    groups.cache_clear()
    yield
    groups.cache_clear()


def overrides(command, monkeypatch):
    """Set the variables in front of a command; return its verb and arguments."""
    while "=" in command[0]:
        name, _, value = command[0].partition("=")
        monkeypatch.setenv(name, value)
        command = command[1:]
    assert command[0] == "reproduce"
    return command[1], command[2:]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_its_commands_compose(command, monkeypatch, capsys):
    verb, arguments = overrides(command, monkeypatch)
    if (CONF / f"{verb}.yaml").is_file():
        assert command_line.run(verb, ["--cfg", "job", *arguments]) == 0
    else:  # its arguments are read before the results, which are not there yet
        with pytest.raises(UserError, match="holds no trained cell"):
            command_line.run(verb, arguments)


def test_its_ablation_trains_three_step_sizes(monkeypatch):
    (command,) = (command for command in COMMANDS if "ablation" in command)
    _, arguments = overrides(command, monkeypatch)
    jobs = make(arguments, Console()).jobs
    assert [job.cell.settings["algorithm"]["step_size"] for job in jobs] == [0.1, 0.02, 0.004]
    assert len({job.cell.id for job in jobs}) == 3


def test_its_figure_is_of_one_data_set_of_the_paper_and_one_of_the_suite(monkeypatch):
    (command,) = (command for command in COMMANDS if "figure" in command)
    verb, arguments = overrides(command, monkeypatch)
    settings = compose_config(arguments, verb)
    panels = settings.figure.budgets.smoke.panels
    assert [(one.data, one.n_latent) for one in panels] == [
        ("freyface", 10),
        ("digits_continuous", 10),
    ]


@pytest.mark.slow
def test_its_blocks_measure_and_draw_the_encoder_as_a_proposal(monkeypatch):
    model = load_model("mnist-aevb-z3-n1000", results="results/reference/cells")
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():  # what a model draws stands in for MNIST, which tests do not fetch
        grey = model.decoder.mean(torch.randn(3, 4, 3, generator=source))[0]
    pixels = (255 * grey).byte()
    made_up = ImageData("mnist", pixels[:2], pixels[2:], 1 / 256, (28, 28), "none", "made up")
    monkeypatch.setattr(data, "load", lambda name, folder: made_up)
    names: dict = {}
    before = torch.is_grad_enabled()
    try:
        for block in BLOCKS:
            exec(block, names)
    finally:
        torch.set_grad_enabled(before)
    for _, error in names["found"].values():
        assert error.shape == (3, 2)
        assert (error < 0.5).all()  # in expectation too low, and above by no more than noise
    with Image.open("encoder.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 4), axis=0)) > 10
