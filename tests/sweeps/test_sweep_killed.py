"""Sweeps whose workers die or that are interrupted, as a shell runs them."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from processes import assert_no_process_is_left, heed_ctrl_c, processes
from reproduce.common import cli
from sweeps import LAUNCHERS, SMALL, curves

LONG = [*SMALL, "samples=150000", "seeds=1", "model.n_latent=2,3"]


def start(results, *overrides):
    command = [
        sys.executable,
        "-m",
        "reproduce",
        "train",
        "--multirun",
        *overrides,
        f"results={results}",
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=heed_ctrl_c,
    )  # fmt: skip


def wait_for_a_curve(results, process):
    """A seed's curve is written after its checkpoint."""
    deadline = time.monotonic() + 120
    while not curves(results) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


WORKERS = {"joblib": "loky", "submitit_local": "submitit.core._submit"}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("launcher", WORKERS)
def test_a_killed_workers_cell_continues_from_its_checkpoint(tmp_path, launcher):
    whole = start(tmp_path / "whole", "hydra/launcher=basic", "workers=1", *LONG)
    assert (whole.communicate()[1], whole.returncode) == ("", 0)
    killed = start(tmp_path / "killed", f"hydra/launcher={launcher}", *LONG)
    wait_for_a_curve(tmp_path / "killed", killed)
    workers = [
        pid for pid, line in processes(killed.pid)
        if WORKERS[launcher] in line and "resource_tracker" not in line
    ]  # fmt: skip
    os.kill(min(workers), signal.SIGKILL)
    _, err = killed.communicate(timeout=120)
    assert killed.returncode == 2
    assert "The sweep was cut short" in err
    assert "did not finish: its process ended" in err
    assert "Run the same command again to continue" in err
    assert "Traceback" not in err
    assert_no_process_is_left(killed.pid)
    seen = pd.concat(map(pd.read_csv, (tmp_path / "killed").glob("runs/*/*/curve.csv")))
    assert seen["samples"].max() > 0
    again = start(tmp_path / "killed", f"hydra/launcher={launcher}", *LONG)
    assert (again.communicate()[1], again.returncode) == ("", 0)
    assert curves(tmp_path / "killed") == curves(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ctrl_c_ends_the_whole_sweep(tmp_path, launcher):
    process = start(tmp_path, f"hydra/launcher={launcher}", "workers=1", *LONG)
    wait_for_a_curve(tmp_path, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert "Interrupted. Run the same command again to continue." in err
    if launcher != "submitit_local":  # whose own processes do not hide theirs
        assert "Traceback" not in err
    assert_no_process_is_left(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_end_with_the_command_that_started_them(tmp_path, launcher, number):
    """It alone gets the signal, as from a time limit; the jobs are other processes."""
    endless = [*LONG[:-3], "samples=100000000", "compile=false", "seeds=1", "model.n_latent=2,3"]
    process = start(tmp_path, *endless, f"hydra/launcher={launcher}")
    wait_for_a_curve(tmp_path, process)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode in (cli.INTERRUPTED, -signal.SIGKILL)
    assert_no_process_is_left(process.pid)
