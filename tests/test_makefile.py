"""What make passes on: variables it does not know are refused, folders are taken as typed."""

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


@pytest.mark.parametrize("folder", ["a#1", "a, b", "1.10", "Zürich", "a=b"])
def test_a_folder_is_passed_on_as_it_is_typed(folder):
    (command,) = [
        line for line in make("figure1", f"RESULTS={folder}").stdout.splitlines()
        if " figure=figure1 " in line
    ]  # fmt: skip
    assert f"""'results="{folder}"'""" in command


def test_a_python_that_is_too_old_is_said_first(tmp_path):
    done = subprocess.run(
        ["make", "-C", str(ROOT), "-B", "install", "PYTHON=/bin/false"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: /bin/false is not Python 3.11, 3.12 or 3.13" in done.stderr
