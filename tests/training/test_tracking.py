"""Offline runs, read back with W&B's own tool."""

import json
import shutil

import pytest
from rich.console import Console

from reproduce import config
from reproduce.experiments.plan import make_plan
from reproduce.store.store import Store
from reproduce.training import loop as training
from reproduce.training import tracking
from reproduce.training.loop import train
from reproduce.training.tracking import seed_runs
from wandb_files import history, inspect, offline_runs, records


def job(folder, *overrides, samples=25_000):
    return config.job_from(
        config.compose_config(
            ["data=digits", "model.n_latent=3", f"samples={samples}", f"results={folder}",
             "seeds=2", *overrides]
        )
    )  # fmt: skip


def silent(kind, payload):
    pass


def as_rows(curve):
    wide = curve.pivot(index="samples", columns="split", values="value")
    return [
        {"samples": int(samples), **{f"bound/{split}": value for split, value in row.items()}}
        for samples, row in wide.iterrows()
    ]


@pytest.mark.integration
def test_an_offline_run_holds_the_curve_and_the_config(tmp_path):
    this = job(tmp_path, "tracking=offline")
    train(this, silent)
    runs = offline_runs(tmp_path)
    assert len(runs) == 2  # one a seed
    for seed, run in enumerate(runs):
        assert run.name.endswith(f"{this.cell.id}-seed-{seed}")
        curve = Store(this.store).curve(this.cell, seed)
        assert history(run) == as_rows(curve)
        summary = json.loads(inspect(run, "--summary"))
        assert summary["state"] == "finished"
        assert summary["config"] == {**this.cell.as_dict(), "seed": seed}
        assert summary["tags"] == ["digits", "aevb"]  # of no figure
        assert records(run, "run")[0]["run_group"] == this.cell.id


def test_a_continued_run_is_logged_in_full_and_nothing_twice(tmp_path):
    train(job(tmp_path, "tracking=off", samples=20_000), silent)
    assert not (tmp_path / "wandb").exists()
    this = job(tmp_path, "tracking=offline")
    train(this, silent)
    curve = Store(this.store).curve(this.cell, 0)
    assert history(offline_runs(tmp_path)[0]) == as_rows(curve)


@pytest.mark.parametrize(
    ("group", "split"),
    [("bound", "train_running"), ("bound", "full_bound"), ("chains", "acceptance_rate")],
)
def test_a_metric_says_whether_it_is_a_bound(group, split):
    assert tracking.metric_name(split) == f"{group}/{split}"


@pytest.mark.integration
def test_a_run_of_a_figure_carries_its_tag(tmp_path):
    given = ["budget=smoke", "figure=samples", f"results={tmp_path}"]
    for this in make_plan(given, Console(quiet=True)).jobs:
        (run,) = seed_runs(this.tracking, this.cell, {0: []})
        run.finalize("success")
        (folder,) = tracking.offline_folders(tmp_path, run.version)
        assert records(folder, "run")[0]["tags"] == [
            "samples", this.cell.dataset, this.cell.algorithm,
        ]  # fmt: skip


@pytest.mark.integration
def test_a_continued_run_replaces_its_earlier_folder_and_no_other(tmp_path):
    first = job(tmp_path, "tracking=offline", samples=5_000)
    train(first, silent)
    before = offline_runs(tmp_path)
    beside = tmp_path / "wandb" / f"{before[0].name}-likelihood"
    beside.mkdir()
    train(job(tmp_path, "tracking=offline"), silent)
    after = [run for run in offline_runs(tmp_path) if run != beside]
    assert len(after) == 2
    assert not set(before) & set(after)
    assert beside.exists()
    for seed, run in enumerate(after):
        assert history(run) == as_rows(Store(first.store).curve(first.cell, seed))


@pytest.mark.integration
def test_runs_are_closed_on_an_error(tmp_path, monkeypatch):
    this = job(tmp_path, "tracking=offline")
    monkeypatch.setattr(training.Recorder, "_record", _fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        train(this, silent)
    for run in offline_runs(tmp_path):
        summary = json.loads(inspect(run, "--summary"))
        assert (summary["state"], summary["exit_code"]) == ("failed", 1)


def _fail(*arguments):
    raise RuntimeError("on purpose")


def test_a_full_folder_is_not_silent(tmp_path, monkeypatch, capfd):
    usage = shutil.disk_usage(tmp_path)
    this = job(tmp_path, "tracking=offline")
    (run,) = seed_runs(this.tracking, this.cell, {0: []})
    run.finalize("success")
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(tracking.shutil, "disk_usage", lambda path: usage._replace(free=0))
    (run,) = seed_runs(this.tracking, this.cell, {0: []})
    run.finalize("success")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("W&B's run ")
    assert "`reproduce dashboard`" in line
