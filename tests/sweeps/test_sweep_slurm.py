"""What is handed to Slurm; and, where there is one, a sweep on it."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from submitit.core.utils import DelayedSubmission

from reproduce.common.checks import quoted

SMALL = ["data=digits", "model.n_hidden=20", "samples=2000", "seeds=2", "tracking=off"]
SWEEP = ["algorithm=aevb,wake_sleep", "model.n_latent=2,3"]


def sweep(results, *overrides, path=None):
    command = [sys.executable, "-m", "reproduce", "train", "--multirun",
               "hydra/launcher=submitit_slurm", *SMALL, *overrides,
               f"results={results}"]  # fmt: skip
    environment = {**os.environ, **({"PATH": path} if path else {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def refusing_cluster(folder):
    """Commands of a cluster that keeps what is submitted and refuses it; a PATH with them."""
    folder.mkdir()
    for name, script in {
        "srun": "exit 1",
        "sbatch": f'cp "$1" "{folder}/submitted.sh"; exit 1',
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.integration
def test_the_submission(tmp_path):
    asked = [
        "hydra.launcher.partition=cpu",
        "hydra.launcher.timeout_min=90",
        "hydra.launcher.array_parallelism=3",
        "hydra.launcher.setup=[module load python]",
    ]
    run = sweep(tmp_path / "results", *SWEEP, *asked, path=refusing_cluster(tmp_path / "cluster"))
    # Refused, as a cluster may, is a sentence.
    assert run.returncode == 2
    assert "The sweep was cut short" in run.stderr
    assert "4 of the sweep's jobs failed:" in run.stderr
    assert "Traceback" not in run.stderr
    script = (tmp_path / "cluster" / "submitted.sh").read_text()
    settings = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.M))
    assert settings["array"] == "0-3%3"
    assert settings["cpus-per-task"] == "2"
    assert settings["time"] == "90"
    assert settings["partition"] == "cpu"
    assert settings["mem"] == "8GB"
    assert settings["signal"] == "USR2@120"
    assert settings["job-name"] == "aevb"
    (records,) = (tmp_path / "results" / "sweeps").iterdir()
    assert settings["output"].startswith(f"{records}/.submitit/")
    lines = script.splitlines()
    assert "module load python" in lines
    assert re.search(
        rf"^srun .* {sys.executable} -u -m submitit\.core\._submit {records}/", lines[-1]
    )
    # What each job of the array will do, as Slurm's machines will read it.
    jobs = [DelayedSubmission.load(path) for path in (records / ".submitit").rglob("*.pkl")]
    results = f"results={quoted(tmp_path / 'results')}"
    expected = {
        (*SMALL, f"algorithm={algorithm}", f"model.n_latent={n}", results)
        for algorithm in ("aevb", "wake_sleep")
        for n in (2, 3)
    }
    assert {tuple(job.args[0]) for job in jobs} == expected
    assert {job._timeout_countdown for job in jobs} == {20}  # times they may be continued


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("sbatch"), reason="needs Slurm")
def test_a_sweep_on_a_cluster(tmp_path):
    results = tmp_path / "results"
    run = sweep(results, "model.n_latent=-1,2", "hydra.launcher.mem_gb=2")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("  model.n_latent=-1: model.n_latent must be")
    found = sorted(results.glob("runs/digits-aevb-z2-*/*/curve.csv"))
    assert len(found) == 2
    assert all(pd.read_csv(path)["samples"].max() == 2000 for path in found)
