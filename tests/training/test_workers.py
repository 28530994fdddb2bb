"""Worker processes that are killed or stopped, as a shell sees it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from processes import assert_no_process_is_left, heed_ctrl_c, processes
from wandb_files import inspect


@pytest.fixture
def training(tmp_path):
    """A command that trains two seeds in two workers, both past their first mark."""
    command = [
        sys.executable, "-m", "reproduce", "train", "data=digits", "samples=100000000", "seeds=2",
        "workers=2", "model.n_hidden=5", "tracking=offline", f"results={tmp_path}",
    ]  # fmt: skip
    # Not the W&B service of another test, where a killed worker's run would stay open.
    environment = {name: value for name, value in os.environ.items() if "SERVICE" not in name}
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment, preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/seed-*/curve.csv"))) < 2 and time.monotonic() < deadline:
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    yield started
    for pid, _ in processes(started.pid):
        os.kill(pid, signal.SIGKILL)
    started.communicate()


@pytest.mark.integration
def test_a_killed_worker_ends_the_command_with_a_sentence(training):
    workers = [pid for pid, line in processes(training.pid) if "spawn_main" in line]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 2
    assert "error: A worker process was killed" in said
    assert_no_process_is_left(training.pid)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_of_workers_are_closed_when_the_command_is_interrupted(training, tmp_path, number):
    os.kill(training.pid, number)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 130
    assert said.strip().endswith("Interrupted. Run the same command again to continue.")
    assert_no_process_is_left(training.pid)
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    for run in runs:
        summary = json.loads(inspect(run, "--summary"))
        assert (summary["state"], summary["exit_code"]) == ("failed", 1)
