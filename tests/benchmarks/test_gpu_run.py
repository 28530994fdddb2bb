"""What the GPU run does around the device: agreement of means, and cells only while time lasts."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.gpu import cells, speed
from benchmarks.gpu.agreement import compare, ends
from reproduce.common.cli import console
from reproduce.common.errors import UserError


def test_agreement_is_a_welch_interval_that_holds_zero():
    rng = np.random.default_rng(0)
    cpu, gpu = rng.normal(-120, 1, 5).tolist(), rng.normal(-120, 2, 5).tolist()
    close = compare(gpu, cpu)
    assert close["agrees"]
    assert close["difference_low"] < close["gpu"] - close["cpu"] < close["difference_high"]
    # Five members each, standard deviations 1 and 2: ten nats apart is no accident.
    assert not compare([value + 10 for value in gpu], cpu)["agrees"]


def test_only_the_last_mark_of_the_named_curve_is_compared():
    curves = pd.DataFrame(
        [
            ("mnist", "train", 0, 100, -300.0),
            ("mnist", "train", 0, 200, -200.0),
            ("mnist", "train", 1, 200, -210.0),
            ("mnist", "test", 0, 200, -1.0),
        ],
        columns=["dataset", "split", "seed", "samples", "value"],
    )
    assert ends(curves, {"dataset": "mnist", "split": "train"}) == [-200.0, -210.0]


@pytest.mark.integration
def test_without_time_left_no_cell_is_begun(tmp_path, monkeypatch):
    planned = cells.make_plan
    on_cpu = [f"results={tmp_path}", "device=cpu", "data.fallback=digits"]
    monkeypatch.setattr(
        cells, "make_plan", lambda overrides, terminal: planned([*overrides, *on_cpu], terminal)
    )
    monkeypatch.setattr(cells.pool, "run", lambda *_: (_ for _ in ()).throw(AssertionError))
    found = cells.paper_cells(time.monotonic() - 1, 1e6, [], tmp_path, console())
    assert found["done"] == []
    assert {cell.reading("-")[1] for cell in found["missing"]} == {"aevb", "wake_sleep", "mcem"}


@pytest.mark.integration
def test_what_is_estimated_afterwards_is_the_cell_just_trained(tmp_path):
    smoke = cells.make_plan(["figure=figure2", "budget=smoke", f"results={tmp_path}"], console())
    for job in smoke.jobs:
        asked = ["budget=paper", "data.fallback=error", *cells._estimates_of(job)]
        plan = cells.make_plan(asked, console())
        (again,) = plan.jobs
        assert (again.cell, again.seeds, again.store) == (job.cell, job.seeds, job.store)
        assert again.samples == job.samples
        assert plan.settings.train is False


@pytest.mark.integration
def test_while_time_lasts_cells_are_trained_and_exported(tmp_path, monkeypatch):
    planned = cells.make_plan
    on_cpu = [f"results={tmp_path}", "device=cpu", "data.fallback=digits"]

    def short(overrides, terminal):
        if "figure=figure2" in overrides:
            return SimpleNamespace(jobs=[])
        jobs = planned([*overrides, *on_cpu], terminal).jobs
        aevb = [job for job in jobs if job.cell.algorithm == "aevb"][:2]
        return SimpleNamespace(jobs=[replace(job, samples=2_000, seeds=(0, 1)) for job in aevb])

    monkeypatch.setattr(cells, "make_plan", short)
    into = tmp_path / "exported"
    found = cells.paper_cells(time.monotonic() + 600, 1e6, [], into, console())
    assert len(found["done"]) == 2
    assert found["missing"] == []
    for cell in found["done"]:
        for seed in (0, 1):
            curve = pd.read_csv(into / cell / f"seed-{seed}" / "curve.csv")
            assert curve["samples"].max() == 2_000
    # What is finished stays so when there is no time for more.
    assert cells.paper_cells(time.monotonic() - 1, 1e6, [], into, console()) == found


def test_cells_are_compiled_where_that_is_clearly_faster_and_not_where_it_fails(monkeypatch):
    def refuses(*_, **__):
        raise UserError("cannot be compiled")

    monkeypatch.setattr(speed, "measure_ours", refuses)
    assert speed.measure_compiled(1.0) == 0.0
    for compiled, pays in ((0.0, False), (1.1e6, False), (1.5e6, True)):
        found = {"in_graphs": 1e6, "compiled_in_graphs": compiled}
        assert speed.compiling_pays(found) is pays
