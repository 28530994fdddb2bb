"""What trains nothing starts without what only training, sweeps or pictures need."""

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
        ("reproduce.commands.train", TRAINING),  # until its arguments are checked
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


@pytest.mark.integration
@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("figure --help", "make figure1"),
        ("figure --cfg job", "budgets:"),
        ("train --cfg job", "init:"),
    ],
)
def test_help_and_settings_are_printed_without_torch(verb, said):
    name, *arguments = verb.split()
    program = (
        f"import sys; from reproduce.__main__ import run; run({name!r}, {arguments!r}); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert done.stdout.endswith("False\n")
