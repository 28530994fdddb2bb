"""`check-method` finds what is wrong with a method, and nothing wrong with the right ones."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reproduce import config, data
from reproduce.commands.check_method import run as check_method
from reproduce.commands.check_method.checks import CHECKS, Subject
from reproduce.common.errors import UserError
from reproduce.common.machine import has_cpp_compiler
from reproduce.config.overrides import groups

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "iwae"
HEAD = """
import random
import numpy as np
import torch
from torch.nn import functional
from reproduce.algorithms.aevb import AEVB
from reproduce.models.bounds import log_weights

class Mine(AEVB):
"""
STEP = """
    def step(self, x, noise):
        bound = self.bound(x, noise["posterior"])
        {line}
        self.adagrad_step(-loss)
        return returned
"""
RIGHT = "loss, returned = bound.sum(), bound.mean(1)"


def step(line):
    return HEAD + STEP.format(line=line)


WRONG = {
    "shapes": {
        "a scalar": (step("loss, returned = bound.sum(), bound.mean()"), "Mine.step must return"),
        "an error": (step("loss = bound.summ()"), "line 13, in step: `loss = bound.summ()` fails"),
    },
    "noise": {
        "torch": (
            step("loss, returned = (bound + 0 * torch.randn(2, 100)).sum(), bound.mean(1)"),
            "torch's randn in {file}, line 13, in step, draws, outside the given noise",
        ),
        "dropout": (
            step("loss, returned = functional.dropout(bound).sum(), bound.mean(1)"),
            "torch's dropout in {file}, line 13",
        ),
        "numpy": (
            step("loss, returned = bound.sum() * np.random.uniform(), bound.mean(1)"),
            "draws from numpy.random",
        ),
        "python": (
            step("loss, returned = bound.sum() * random.random(), bound.mean(1)"),
            "draws from Python's module random",
        ),
        "its own generator": (
            step("loss, returned = bound.sum() * np.random.default_rng().uniform(), bound.mean(1)"),
            "The same steps taken twice differ in model.encoder",
        ),
    },
    "seeds": {
        "mixed": (
            step("loss, returned = bound.sum() - bound.sum().square() / 1e6, bound.mean(1)"),
            "Seeds are mixed: model.encoder",
        ),
        "a mean": (
            step("loss, returned = bound.mean(0).sum(), bound.mean(1)"),
            "depends on how many are stacked",
        ),
    },
    "resume": {
        "an attribute": (
            step(
                "self.taken = getattr(self, 'taken', 0) + 1; "
                "loss, returned = bound.sum() * (1 + self.taken / 100), bound.mean(1)"
            ),
            "interrupted and continued differs in model.encoder",
        ),
    },
    "bound": {
        "no KL in the curve": (
            HEAD
            + "    def bound(self, x, noise):\n"
            + "        z = self.model.encoder(x).sample(noise)\n"
            + "        return self.model.decoder.log_likelihood(x, z).mean(1)\n",
            "The curve test is no bound",
        ),
        "no KL in what step returns": (
            step(
                "z = self.model.encoder(x).sample(noise['posterior']); loss = bound.sum(); "
                "returned = self.model.decoder.log_likelihood(x, z).mean((1, 2))"
            ),
            "What step returns is no bound",
        ),
    },
    "samples": {
        "the worst sample": (
            step(
                "worst = log_weights(self.model, x, noise['posterior']).min(1).values; "
                "loss, returned = worst.sum(), bound.mean(1)"
            ),
            "lowers what it ascends",
        ),
    },
}


def tier(title):
    """Marks of a check that trains for some seconds."""
    return [pytest.mark.integration] if title in ("bound", "samples") else []


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Put a method's source where METHODS finds it; return it as a subject."""
    folder = tmp_path / "mine"
    (folder / "algorithm").mkdir(parents=True)
    text = (EXAMPLE / "algorithm" / "iwae.yaml").read_text()
    text = text.replace("iwae.IWAE", "mine.Mine").replace("name: iwae", "name: mine")
    (folder / "algorithm" / "mine.yaml").write_text(text.replace("n_samples: 5", "n_samples: 1"))
    monkeypatch.setenv("METHODS", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    groups.cache_clear()

    def made(source):
        (folder / "mine.py").write_text(source)
        sys.modules.pop("mine", None)
        return folder / "mine.py", subject("mine")

    yield made
    sys.modules.pop("mine", None)
    groups.cache_clear()


def subject(name):
    cell = config.cell_from(config.compose_config([*check_method.SMALL, f"algorithm={name}"]))
    return Subject(cell, data.load("digits").first(cell.n_train))


@pytest.mark.parametrize(
    ("title", "what"),
    [
        pytest.param(title, what, marks=[pytest.mark.slow] if number else tier(title))
        for title, cases in WRONG.items()
        for number, what in enumerate(cases)
    ],
)
def test_a_method_that_is_wrong_is_found_by_the_check_that_is_for_it(title, what, mine):
    source, said = WRONG[title][what]
    file, its = mine(source)
    verdict, sentence = check_method._result(CHECKS[title], its)
    assert verdict == "wrong", sentence
    assert said.format(file=file) in sentence
    if title != "shapes":
        assert CHECKS["shapes"](its).verdict == "right"


@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=tier(title)) for title in CHECKS if title != "compiled"]
)
@pytest.mark.parametrize(
    "name",
    [
        "mine",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("wake_sleep", "mcem", "full_vb")),
    ],
)
def test_nothing_is_wrong_with_a_method_that_is_right(title, name, mine):
    its = mine(step(RIGHT))[1] if name == "mine" else subject(name)
    verdict, sentence = CHECKS[title](its)
    assert verdict == (
        "not checked" if name == "mcem" and title in ("bound", "samples") else "right"
    )
    assert sentence


def test_the_checks_leave_the_global_generators_alone(mine):
    torch.manual_seed(7)
    expected = torch.randn(3)
    torch.manual_seed(7)
    CHECKS["noise"](mine(WRONG["noise"]["torch"][0])[1])
    assert torch.equal(torch.randn(3), expected)


def test_the_images_that_it_is_checked_on_are_named(monkeypatch, capsys):
    monkeypatch.setattr(check_method, "CHECKS", {})
    for more, name in ([], "scikit-learn digits"), (["data=digits_continuous"], "continuous"):
        assert check_method.main(["algorithm=aevb", *more]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert name in first.partition("on small models of")[2]
        assert ("continuous" in first) == bool(more)


def test_what_to_check_has_to_be_said(monkeypatch):
    monkeypatch.delenv("METHODS", raising=False)
    with pytest.raises(UserError, match="Say which method"):
        check_method.main([])
    with pytest.raises(UserError, match="Unknown algorithm 'nothing'"):
        check_method.main(["algorithm=nothing"])


@pytest.mark.slow
@pytest.mark.skipif(not has_cpp_compiler(), reason="needs a C++ compiler")
def test_the_command_checks_the_example_and_finds_a_step_that_must_not_be_compiled(mine):
    def checked(*arguments):
        command = [sys.executable, "-m", "reproduce", "check-method", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    done = checked(f"METHODS={EXAMPLE}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:-1]] == [
        ["✔", title] for title in CHECKS
    ]
    mine(WRONG["resume"]["an attribute"][0])
    done = checked("algorithm=mine")
    assert done.returncode == 1
    wrong = [line.split()[1] for line in done.stdout.splitlines() if "✘" in line]
    assert wrong == ["resume", "compiled"]
    assert "set static_step = False" in done.stdout
    assert "Traceback" not in done.stderr
