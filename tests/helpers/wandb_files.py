"""Reading what W&B wrote offline."""

import json
import subprocess
import sys
from pathlib import Path

WANDB = Path(sys.executable).with_name("wandb")


def offline_runs(folder):
    return sorted((folder / "wandb").glob("offline-run-*"))


def inspect(run, *options):
    command = [WANDB, "leet", "inspect", "--json", *options, run]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def records(run, kind):
    """The records of one kind in a run's log."""
    everything = [json.loads(line) for line in inspect(run).splitlines()]
    return [record[kind] for record in everything if record["type"] == kind]


def history(run):
    """What was logged, without W&B's own bookkeeping."""
    return [
        {key: value for key, value in record["item"].items() if not key.startswith("_")}
        for record in records(run, "history")
    ]
