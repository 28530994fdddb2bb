"""What make passes on: variables it does not know are refused, folders are taken as typed."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(*arguments):
    """Print what make would run, without running it."""
    return subprocess.run(
        ["make", "--dry-run", "-C", str(ROOT), *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize("given", ["budget=smoke", "SEED=1", "ARG=compile=true", "Results=x"])
def test_a_misspelt_variable_does_not_start_the_long_run(given):
    done = make("figure1", given)
    assert done.returncode == 2
    assert f"there is no variable {given.partition('=')[0]}; choose from: BUDGET" in done.stderr


@pytest.mark.parametrize(
    "folder", ["a#1", "a, b", "1.10", "Zürich", "a=b", "it's", "a$b", 'say "a"', "a b\\"]
)
@pytest.mark.parametrize("target", ["figure1", "sweep", "claims", "estimators"])
def test_a_folder_is_passed_on_as_it_is_typed(target, folder):
    lines = make(target, f"RESULTS={folder}").stdout.splitlines()
    (command,) = [line for line in lines if " -m reproduce " in line]
    assert f"results={folder}" in shlex.split(command)


def test_every_target_takes_the_results_folder_or_refuses_it():
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    refusing = {"bench", "gpu", "clean-results"}
    assert refusing < set(targets)
    done = make(*(target for target in targets if target not in refusing), "RESULTS=x")
    commands = [line for line in done.stdout.splitlines() if " -m reproduce " in line]
    assert len(commands) >= 13
    assert [line for line in commands if "results=x" not in shlex.split(line)] == []
    for target in refusing:
        done = make(target, "RESULTS=x")
        assert f"{target} is about the folder results alone" in done.stderr
        assert "rm -rf results" not in done.stdout


def test_a_python_that_is_too_old_is_said_first(tmp_path):
    done = subprocess.run(
        ["make", "-C", str(ROOT), "-B", "install", "PYTHON=/bin/false"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: /bin/false is not Python 3.11, 3.12 or 3.13" in done.stderr
