"""Sweeps with each of Hydra's launchers, run for real on the embedded digits."""

import json
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from joblib.externals.loky import get_reusable_executor

from reproduce import config
from reproduce.commands import train as cell_command
from reproduce.common import cli
from reproduce.config import overrides
from reproduce.config.overrides import CONF
from reproduce.sweeps import launchers, multirun
from reproduce.sweeps.launchers import Division, Extra
from reproduce.training.loop import train
from sweeps import LAUNCHERS, SMALL, checkpoints, curves


@pytest.fixture
def sweep(tmp_path, monkeypatch, capfd):
    """Run a sweep of `reproduce train` in an empty folder; its status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it; this restores it

    def run(*overrides):
        with pytest.raises(SystemExit) as stop:
            cli.command(lambda: cell_command.main(["--multirun", *SMALL, *overrides]))
        said = capfd.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    yield run
    get_reusable_executor().shutdown()  # its processes would stay in this test's folder


ONE_CORE_EACH = {
    "basic": ["workers=1"],
    "joblib": [f"hydra.launcher.n_jobs={launchers.available_cores()}"],
    "submitit_local": ["hydra.launcher.cpus_per_task=1"],
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The curves of the cell that the sweeps train."""
    results = tmp_path_factory.mktemp("expected")
    job = config.job_from(
        config.compose_config([*SMALL, "model.n_latent=2", "seeds=2", f"results={results}"])
    )
    train(job, lambda *_: None)
    return curves(results)


@pytest.mark.integration
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_failing_job_is_named_and_the_others_finish(sweep, launcher, expected):
    arguments = [f"hydra/launcher={launcher}", *ONE_CORE_EACH[launcher], "seeds=2"]
    status, out, err = sweep(*arguments, "model.n_latent=-1,2")
    assert status == 2
    assert err.splitlines()[-2:] == [
        "1 of the sweep's jobs failed:",
        "  model.n_latent=-1: model.n_latent must be a whole number greater than zero, not -1.",
    ]
    assert "Traceback" not in err
    assert "UserWarning" not in err
    assert curves("results") == expected
    # One core each: one process trains both seeds, on one thread.
    manifests = [json.loads(p.read_text()) for p in Path("results").glob("runs/*/*/manifest.json")]
    assert [(m["stacked_with"], m["threads"]) for m in manifests] == [(2, 1), (2, 1)]
    if launcher != "submitit_local":  # which would start its processes once more
        before = checkpoints("results")
        status, out, err = sweep(*arguments, "model.n_latent=2")
        assert (status, err) == (0, "")
        assert out.count("1 of 1 cells are done already.") == 1
        assert checkpoints("results") == before


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_jobs_of_several_cores_train_in_several_processes(sweep, launcher, expected):
    arguments = [f"hydra/launcher={launcher}", "workers=2", "seeds=2", "model.n_latent=2"]
    status, _, err = sweep(*arguments)
    assert (status, err) == (0, "")
    assert curves("results") == expected
    manifests = [json.loads(p.read_text()) for p in Path("results").glob("runs/*/*/manifest.json")]
    assert [m["stacked_with"] for m in manifests] == [1, 1]


def test_a_fault_in_the_code_keeps_its_traceback(sweep):
    base = "reproduce.algorithms.base.Algorithm"  # has no step
    faulty = f"algorithm._target_={base},reproduce.algorithms.aevb.AEVB"
    status, _, err = sweep(faulty, "seeds=1", "workers=1")
    assert status == 2
    assert "Traceback (most recent call last)" in err
    assert (
        "_target_=reproduce.algorithms.base.Algorithm: NotImplementedError" in err.splitlines()[-1]
    )
    assert len(curves("results")) == 1
    (record,) = Path("results").glob("sweeps/*/0/outcome.json")
    assert "Traceback" in json.loads(record.read_text())["fault"]


def test_a_launcher_that_is_not_installed_is_one_sentence(sweep, monkeypatch):
    missing = Extra("ray", "hydra_plugins.not_there", "constraints-ray.txt")
    monkeypatch.setitem(launchers.EXTRAS, "ray", missing)
    status, out, err = sweep("hydra/launcher=ray", "model.n_latent=2,3")
    assert (status, out) == (2, "")
    assert err == (
        "error: hydra/launcher=ray needs the extra 'ray'; install it with "
        "`pip install -c constraints-ray.txt -e '.[ray]'`.\n"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "hydra/launcher=joblob",
            "choose one of: basic, joblib, ray, submitit_local, submitit_slurm.\n",
        ),
        ("hydra.launcher.jobs=2", "Could not override 'hydra.launcher.jobs'"),
        ("hydra.sweep.dir=here", "hydra.sweep.dir is not for setting"),
        ("hydra.launcher=null", "hydra.launcher cannot be replaced as a whole"),
        ("hydra.sweeper=null", "hydra.sweeper cannot be replaced as a whole"),
        ("hydra/launcher=null", "hydra/launcher must be one launcher's name"),
        ("hydra/launcher=basic,joblib", "hydra/launcher must be one launcher's name"),
        ("model.n_latent=interval(1,2)", "does not support sweep type"),
    ],
)
def test_a_sweep_that_cannot_begin_says_so(sweep, override, said):
    status, _, err = sweep(override)
    assert status == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert curves("results") == {}


@pytest.mark.parametrize(
    "override", ["hydra.launcher.pre_dispatch=x", "hydra.job.env_copy=[NOT_THERE]"]
)
def test_a_launcher_that_fails_is_no_traceback(sweep, override):
    status, _, err = sweep("hydra/launcher=joblib", override, "model.n_latent=2,3")
    assert status == 2
    assert "Traceback" not in err
    cut, *rest = err.splitlines()
    assert cut.startswith("The sweep was cut short (")
    assert rest[0] == "2 of the sweep's jobs failed:"
    assert curves("results") == {}


def test_jobs_are_hydras(sweep):
    jobs = multirun.expand(
        ["hydra/launcher=joblib", "algorithm=aevb,wake_sleep", "model.n_latent=range(2,4)"]
    )
    assert jobs == [
        ("algorithm=aevb", "model.n_latent=2"), ("algorithm=aevb", "model.n_latent=3"),
        ("algorithm=wake_sleep", "model.n_latent=2"), ("algorithm=wake_sleep", "model.n_latent=3"),
    ]  # fmt: skip


def test_a_launcher_that_the_configuration_names_is_used(tmp_path, monkeypatch):
    assert multirun.launcher_of({}) == "basic"
    conf = shutil.copytree(CONF, tmp_path / "conf")
    text = (conf / "train.yaml").read_text()
    named = text.replace("  - _self_\n", "  - override hydra/launcher: joblib\n  - _self_\n", 1)
    (conf / "train.yaml").write_text(named)
    monkeypatch.setattr(overrides, "CONF", conf)
    assert multirun.launcher_of({}) == "joblib"
    assert multirun.launcher_of({"hydra/launcher": "basic"}) == "basic"


@pytest.mark.parametrize(
    ("launcher", "n_jobs", "given", "expected"),
    [
        ("basic", 5, {}, Division(1, 8)),
        ("joblib", 20, {}, Division(8, 1)),
        ("joblib", 3, {}, Division(3, 2)),
        ("joblib", 20, {"hydra.launcher.n_jobs": 2}, Division(2, 4)),
        ("joblib", 20, {"hydra.launcher.n_jobs": -1}, Division(8, 1)),
        ("joblib", 20, {"hydra.launcher.n_jobs": 100}, Division(100, 1)),  # as was asked for
        ("submitit_local", 20, {}, Division(8, 1)),
        ("submitit_local", 20, {"hydra.launcher.cpus_per_task": 3}, Division(2, 3)),
        ("ray", 2, {}, Division(2, 4)),
        ("ray", 2, {"hydra.launcher.ray.init.address": "10.0.0.1:6379"}, None),
        ("submitit_slurm", 20, {}, None),
    ],
)
def test_how_jobs_divide_eight_cores(monkeypatch, launcher, n_jobs, given, expected):
    monkeypatch.setattr(launchers, "available_cores", lambda: 8)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert launchers.division(launcher, n_jobs, given) == expected


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ("basic", {}),
        ("joblib", {"hydra.launcher.n_jobs": 2}),
        (
            "submitit_local",
            {"hydra.launcher.cpus_per_task": 4, "hydra.sweeper.max_batch_size": 2},
        ),
        (
            "ray",
            {"hydra.launcher.ray.init.num_cpus": 8, "hydra.launcher.ray.remote.num_cpus": 4},
        ),
    ],
)
def test_hydra_is_told_and_every_job_finds_its_share(monkeypatch, launcher, expected):
    monkeypatch.setattr(launchers, "available_cores", lambda: 8)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    settings = launchers.fitting(launcher, launchers.division(launcher, 2, {}), {})
    assert settings == expected
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(
            "train",
            overrides=[f"hydra/launcher={launcher}", *(f"{k}={v}" for k, v in settings.items())],
            return_hydra_config=True,
        )
    assert launchers.share(composed.hydra) == (None if launcher == "basic" else 4)


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "ray"])
def test_jobs_use_every_core_at_most_once(monkeypatch, launcher, cores):
    monkeypatch.setattr(launchers, "available_cores", lambda: cores)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for n_jobs in (1, 2, 3, 20):
        divided = launchers.division(launcher, n_jobs, {})
        assert 1 <= divided.at_once * divided.cores <= cores
        assert divided.cores >= (cores if launcher == "basic" else cores // n_jobs)
