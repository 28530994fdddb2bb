"""Readers of results start without what only training, sweeps or pictures need."""

import subprocess
import sys

import pytest

TRAINING = {"torch", "pytorch_lightning"}
HEAVY = TRAINING | {"hydra", "wandb", "matplotlib"}
LOADED = "import sys, importlib; importlib.import_module('{}'); print(*sys.modules, sep='\\n')"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("reproduce.commands.tables", HEAVY),
        ("reproduce.commands.repeat", HEAVY),
        ("reproduce.experiments.claims.run", HEAVY),
        ("reproduce.config", TRAINING),
        ("reproduce.commands.runs.run", TRAINING),
        ("reproduce.commands.completion", TRAINING),
        ("reproduce.report.page", TRAINING),
        ("reproduce.experiments.bound.picture", TRAINING),
        ("reproduce.experiments.likelihood.picture", TRAINING),
    ],
)
def test_a_reader_imports_nothing_of_training(module, unwanted):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(module)], capture_output=True, text=True, check=True
    )
    assert not unwanted & set(done.stdout.splitlines())
