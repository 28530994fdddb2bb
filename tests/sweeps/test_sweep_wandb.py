"""The W&B sweeps of conf/sweep/: the commands that W&B's agent makes of them, composed and run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb.sdk.launch.sweeps import utils as agent

from reproduce import config
from reproduce.commands import train as cell_command
from reproduce.training.tracking import metric_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))
CURVES = {metric_name(split) for split in ("train", "test", "train_running")}


def trials(sweep):
    """Two sets of parameters of a grid, the first and the last, as W&B's server sends them."""
    return [
        {name: {"value": given["values"][at]} for name, given in sweep["parameters"].items()}
        for at in (0, -1)
    ]


def command_of(sweep, parameters):
    """What `wandb agent` runs: its own functions, and the loop of its `Agent._command_run`."""
    macros = {
        **agent.create_sweep_command_args({"args": parameters}),
        "interpreter": ["python"],
        "program": [sweep["program"]],
        "env": ["/usr/bin/env"],
    }
    command = []
    for part in agent.create_sweep_command(list(sweep["command"])):
        is_macro = part.startswith("${") and part.endswith("}")
        command += macros[part[2:-1]] if is_macro else [part]
    return command


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_command_composes_to_the_cell_that_the_trial_asks_for(file):
    sweep = agent.load_sweep_config(str(file))
    assert (ROOT / sweep["program"]).is_file()
    assert sweep["metric"]["name"] in CURVES
    assert sweep["metric"]["goal"] == "maximize"
    assert sweep["method"] == "grid"
    for parameters in trials(sweep):
        command = command_of(sweep, parameters)
        assert command[:5] == ["/usr/bin/env", "python", "-m", "reproduce", "train"]
        cell_command.check_arguments(command[5:])
        job = config.job_from(config.compose_config(command[5:]))
        assert job.tracking["mode"] == "online"
        assert job.tracking["project"] == sweep["project"]
        assert job.seeds == (0,)
        found = {
            "model.n_latent": job.cell.n_latent,
            "model.n_hidden": job.cell.settings["model"]["n_hidden"],
            "algorithm.step_size": job.cell.settings["algorithm"]["step_size"],
        }
        for name, given in parameters.items():
            assert found[name] == given["value"]


def test_there_is_a_sweep_of_the_step_size_and_one_of_the_hidden_units():
    swept = {name for file in FILES for name in agent.load_sweep_config(str(file))["parameters"]}
    assert {"algorithm.step_size", "model.n_hidden"} <= swept


@pytest.mark.slow
def test_a_trial_trains_and_logs_into_the_agents_run(tmp_path):
    """Offline and shortened; everything else as the agent runs it."""
    sweep = agent.load_sweep_config(str(FILES[0]))
    (tmp_path / "parameters.yaml").write_text("wandb_version: 1\nmodel.n_latent:\n  value: 3\n")
    small = ["data=digits", "samples=1000", "tracking=offline", f"results={tmp_path}"]
    names = {one.partition("=")[0] for one in small}
    command = command_of(sweep, trials(sweep)[0])
    command = [part for part in command if part.partition("=")[0] not in names]
    command[command.index("python")] = sys.executable
    environment = {
        **os.environ, "WANDB_SWEEP_ID": "sweep123", "WANDB_RUN_ID": "trial456",
        "WANDB_SWEEP_PARAM_PATH": str(tmp_path / "parameters.yaml"),
    }  # fmt: skip
    run = subprocess.run([*command, *small], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (logged,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert logged.name == "run-trial456.wandb"


def test_a_trial_is_one_seed(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    with pytest.raises(SystemExit) as stop:
        cell_command.main(["seeds=2", f"results={tmp_path}"])
    assert stop.value.code == 2
    assert not list(tmp_path.iterdir())
