"""What importing the suite does to a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("given", "found"), [(None, "1000"), ("7", "7")])
def test_waiting_threads_are_told_to_sleep_before_torch_is_loaded(given, found):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if given is not None:
        environment["GOMP_SPINCOUNT"] = given
    code = "import reproduce, os, sys; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [found, "False"]


@pytest.mark.integration
@pytest.mark.parametrize("place", ["/proc/nowhere", "a_file/folder", "", "new"])
def test_a_folder_for_compiled_steps_that_cannot_be_used_is_not(tmp_path, place):
    (tmp_path / "a_file").touch()
    code = "import reproduce, torch._dynamo, os; print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": place},
    )  # fmt: skip
    found = Path(run.stdout.strip())
    assert found.is_dir()
    assert (found == tmp_path / "new") == (place == "new")
