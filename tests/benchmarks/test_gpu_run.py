"""The GPU run without a GPU: its checks, what it chooses, failing phases, and the rehearsal."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.gpu import cells, checks, phases, speed
from benchmarks.gpu.agreement import compare, ends
from benchmarks.gpu.sizes import Run, rehearsal
from benchmarks.variants import ROOT
from building import algorithm
from reproduce import config
from reproduce.algorithms import base as algorithm_module
from reproduce.algorithms.base import Algorithm
from reproduce.commands.train import main as train_command
from reproduce.common.errors import UserError
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.store import Store


class Graph:
    """A stand-in that runs the steps when it is replayed, as a graph would."""

    def __init__(self, steps, noise):
        self.steps, self.noise = steps, noise

    def replay(self):
        self.steps(self.noise)


class StaleGraph(Graph):
    """Replays the random numbers that it was captured with."""

    def __init__(self, steps, noise):
        super().__init__(steps, {name: value.clone() for name, value in noise.items()})
        self.kept = self.noise
        self.noise = noise

    def replay(self):
        self.steps(self.kept)


@pytest.mark.parametrize(("graph", "agrees"), [(Graph, True), (StaleGraph, False)])
def test_graphs_that_replay_old_random_numbers_are_found_out(images, monkeypatch, graph, agrees):
    monkeypatch.setattr(algorithm_module, "BlockGraph", graph)
    made = [algorithm("aevb", images, warmup_steps=15) for _ in range(2)]
    for one, captures in zip(made, (False, True), strict=True):
        one._captures = lambda captures=captures: captures
    monkeypatch.setattr(checks, "make", lambda *_: made.pop())
    made.reverse()
    found = checks.graphs_agree(Run(output=None, data_dir=None, blocks=4))
    assert (found["captured"], found["agrees"], found["identical"]) == (True, agrees, agrees)


@pytest.mark.parametrize("change", [1e-7, 1e-3, float("nan")])
def test_rounding_agrees_and_a_thousandth_does_not(images, change):
    """Of every gradient, as products in TF32 would change them."""
    first, second = (algorithm("aevb", images, warmup_steps=15) for _ in range(2))
    exact = second.adagrad_step
    second.adagrad_step = lambda loss: exact(loss * (1 + change))
    found = checks.compare(first, second, 4, lambda one, block: one.train_block(block))
    assert not found["identical"]
    assert found["agrees"] == (change < 1e-6)


@pytest.mark.parametrize(
    ("more", "chosen"),
    [
        ({}, (3, False)),
        ({"seeds_5": 3e6}, (5, False)),
        ({"seeds_5": "Failed: no memory."}, (3, False)),
        ({"compiled_seeds_3": 4e6}, (3, False)),  # not known to agree
        ({"compiled_seeds_3": 4e6, "compiled_and_plain_steps": "Failed."}, (3, False)),
        ({"compiled_seeds_3": 4e6, "compiled_and_plain_steps": (False, 30)}, (3, False)),
        ({"compiled_seeds_3": 4e6, "compiled_and_plain_steps": (True, 30)}, (3, True)),
        ({"compiled_seeds_3": 2.2e6, "compiled_and_plain_steps": (True, 30)}, (3, False)),
    ],
)
def test_what_is_faster_is_chosen_where_it_agrees(more, chosen):
    found = {"device": {"name": "made up"}, "seeds_3": 2e6, "seeds_5": 1e6, **more}
    if isinstance(check := more.get("compiled_and_plain_steps"), tuple):
        agrees, seconds = check
        found["compiled_and_plain_steps"] = {"agrees": agrees, "compiling_seconds": seconds}
    assert speed.choose(found) == chosen


def test_the_summary_is_of_what_was_measured():
    found = {"seeds_3": 2.5e6, "compiled_seeds_3": "Failed.", "lightning": 1e4}
    assert speed.summary(found) == {
        "samples_per_second": 2.5e6,
        "times_lightning": 250.0,
        "met": {"samples_per_second": True, "times_lightning": True},
    }
    assert not any(speed.summary({"seeds_3": "Failed."})["met"].values())


def test_a_step_that_fails_is_a_sentence_and_the_others_go_on(tmp_path):
    def refuses():
        raise UserError("No graph can be captured here.")

    def breaks():
        raise RuntimeError("CUDA error: an illegal access\nof memory")

    def steps():
        yield "refuses", refuses
        yield "breaks", breaks
        yield "works", lambda: 1.5
        raise ValueError("lost")

    run = rehearsal(Run(tmp_path, None))
    assert dict(phases.outcomes(steps(), run)) == {
        "device": {"name": "cpu"},
        "refuses": "Failed: No graph can be captured here.",
        "breaks": "Failed: RuntimeError: CUDA error: an illegal access",
        "works": 1.5,
        "failed": "Failed: ValueError: lost",
    }


def hangs(run):
    yield "hangs", lambda: time.sleep(600)


def dies(run):
    yield "dies", lambda: os._exit(3)


@pytest.mark.integration
def test_a_phase_that_hangs_or_dies_is_ended_and_named(tmp_path):
    run = rehearsal(Run(tmp_path, None))
    started = time.monotonic()
    found = dict(phases.in_process(hangs, run, (), started + 2))
    assert "did not end in time" in found["ended"]
    assert time.monotonic() - started < 10
    assert "exit status 3" in dict(phases.in_process(dies, run, (), started + 120))["ended"]


def test_missing_packages_are_named_before_anything_is_imported(tmp_path):
    """With Python's own modules alone: of a package that is not there nothing can be imported."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "benchmarks.gpu", "--rehearse", "--output", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: this Python lacks torch, pytorch-lightning, hydra-core, ")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("check", "graphs"),
    [({"agrees": True}, True), ({"agrees": False}, False), ("Failed: no.", False), (None, False)],
)
def test_where_graphs_fail_cells_are_trained_without(tmp_path, monkeypatch, check, graphs):
    run = Run(tmp_path, None)
    report = {"checks": {"graphs_and_plain_steps": check}, "speed": {}}
    assert phases.training_as(run, report) == {"seeds": 3, "compiled": False, "graphs": graphs}
    monkeypatch.setattr(Algorithm, "_captures", before := Algorithm._captures)
    assert list(cells.cells(run, [], 3, False, graphs, time.monotonic())) == []
    assert (Algorithm._captures is before) == graphs


def test_without_a_gpu_the_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device"):
        phases.run_all(Run(tmp_path, None), time.monotonic(), 600)
    assert not any(tmp_path.iterdir())


@pytest.mark.integration
def test_cells_are_trained_the_quickest_first_or_as_asked(tmp_path, monkeypatch):
    run = rehearsal(Run(tmp_path, None))
    planned = cells.jobs(run)
    assert [job.samples for job in planned] == list(run.samples)
    assert [job.cell.algorithm for job in planned] == ["aevb", "aevb"]
    names = [job.cell.id for job in planned]
    asked = ["digits_continuous", "dig"]
    assert [job.cell.id for job in cells.chosen(planned, asked)] == names[::-1]
    assert [job.cell.id for job in cells.chosen(planned, ["digits"])] == names[:1]  # whole words
    with pytest.raises(UserError, match="begins with 'mnist'"):
        cells.chosen(planned, ["mnist"])
    over, going = (
        list(cells.cells(run, planned, 2, False, True, time.monotonic() + left))
        for left in (-1, 60)
    )
    assert (over, [name for name, _ in going]) == ([], names)
    monkeypatch.setattr(Store, "is_done", lambda self, cell, *_: cell.id == names[0])
    going = cells.cells(run, planned, 2, False, True, time.monotonic() + 60)
    assert [name for name, _ in going] == names[1:]  # the other is committed


UNNEEDED = ("pooch", "requests", "wandb", "plotly", "jinja2", "markdown_it")
"""Packages that a machine with torch and Lightning may lack."""


@pytest.mark.slow
def test_the_rehearsal_and_its_stopped_cell_goes_on_to_the_same_numbers(tmp_path):
    for name in UNNEEDED:
        (tmp_path / "lacking").mkdir(exist_ok=True)
        (tmp_path / "lacking" / f"{name}.py").write_text("raise ImportError('not here')\n")
    output = tmp_path / "output"
    arguments = ["--rehearse", "--minutes", "30", "--output", str(output)]  # on a busy machine
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path / "lacking")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((output / "report.json").read_text())
    assert report["checks"]["device_and_cpu"]["identical"] is True  # a CPU and the same one
    assert report["checks"]["curves_and_committed_ones"]["agrees"]
    for name in ("seeds_1", "seeds_3", "seeds_5", "lightning"):
        assert report["speed"][name] > 0
    trained = [(name, cell) for name, cell in report["cells"].items() if name != "device"]
    (whole, first), (part, second) = trained
    assert (first["finished"], second["finished"]) == (True, False)
    for seed in range(first["seeds"]):
        curve = pd.read_csv(output / "cells" / whole / f"seed-{seed}" / "curve.csv")
        assert curve["samples"].max() == first["samples"] == 5_000
    assert not (output / "cells" / part).exists()

    asked = [
        "data=digits_continuous", "algorithm=aevb", "model.n_latent=10", "tracking=off",
        f"seeds={second['seeds']}", f"samples={second['samples'] + 3_000}", "device=cpu",
        "compile=false", "workers=1",
    ]  # fmt: skip
    ends = []
    for results in (output, tmp_path / "whole"):
        given = [*asked, f"results={results}"]
        assert not train_command(given)
        job = config.job_from(config.compose_config(given))
        assert job.cell.id == part
        store = Store(job.store)
        curves = store.curves(job.cell, job.seeds, job.samples)
        states = [read_checkpoint(store, job.cell, seed)["state_dict"] for seed in job.seeds]
        ends.append((curves, states))
    (curves, states), (expected, others) = ends
    pd.testing.assert_frame_equal(curves, expected, check_exact=True)
    assert curves["samples"].max() > second["samples"]
    for state, other in zip(states, others, strict=True):
        assert all(torch.equal(state[name], other[name]) for name in other)


def test_agreement_is_a_welch_interval_that_holds_zero():
    rng = np.random.default_rng(0)
    cpu, gpu = rng.normal(-120, 1, 5).tolist(), rng.normal(-120, 2, 5).tolist()
    close = compare(gpu, cpu)
    assert close["agrees"]
    assert close["difference_low"] < close["gpu"] - close["cpu"] < close["difference_high"]
    # Five seeds each, standard deviations 1 and 2: ten nats apart is no accident.
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
