"""Cells of experiment 1, one after another until the time is over; the last can be continued."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.checks import Step
from benchmarks.gpu.sizes import COMMITTED, Run
from reproduce.algorithms.base import Algorithm
from reproduce.common import cli
from reproduce.common.checks import quoted
from reproduce.common.errors import UserError
from reproduce.experiments.plan import make_plan
from reproduce.store import exchange
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import as_interrupts, train


def cells(
    run: Run, planned: Sequence[Job], seeds: int, compiled: bool, graphs: bool, until: float
) -> Iterator[Step]:
    """What is trained, by the id of its cell, until `until` on the clock of `time.monotonic`.

    The store lies in the output folder, so that a kill loses a minute of training at most. Without
    `graphs` no algorithm of this process captures its steps.
    """
    if not graphs:
        Algorithm._captures = _never
    committed = Store(COMMITTED / "cells")
    until = min(until, time.monotonic() + run.train_seconds)
    for plan in planned:
        job = replace(plan, seeds=tuple(range(seeds)), compiled=compiled)
        known = all(committed.is_done(job.cell, seed, job.samples) for seed in job.seeds)
        if not known and time.monotonic() < until:
            yield job.cell.id, partial(one_cell, job, until, run.output / "cells")


def _never(self: Algorithm) -> bool:
    return False


def jobs(run: Run) -> list[Job]:
    """The cells of the figure that are to be trained, in their order."""
    plan = make_plan([
        "figure=figure1", f"budget={run.budget}", "data.fallback=error", "compile=false",
        f"results={quoted(str(run.output))}", *run.overrides,
    ], cli.console())  # fmt: skip
    found = chosen(plan.jobs, run.cells)
    if run.samples:
        found = [replace(job, samples=n) for job, n in zip(found, run.samples, strict=False)]
    return found


def chosen(planned: Sequence[Job], beginnings: Sequence[str]) -> list[Job]:
    """The jobs whose cells' ids begin so, in this order, and each the quickest first.

    A GPU's time is that of launching steps, whatever the layers' widths.
    """
    order = sorted(
        planned,
        key=lambda job: (
            job.samples / job.cell.settings["algorithm"]["batch_size"],
            job.cell.algorithm != "aevb",
            job.cell.n_latent,
        ),
    )
    found: dict[str, Job] = {}
    for beginning in beginnings:
        fitting = _beginning(f"{beginning}-", order) or _beginning(beginning, order)
        if not fitting:
            raise UserError(f"--cells: no cell of the figure begins with {beginning!r}.")
        found |= {name: job for name, job in fitting.items() if name not in found}
    return list(found.values()) if beginnings else order


def _beginning(text: str, planned: Sequence[Job]) -> dict[str, Job]:
    return {job.cell.id: job for job in planned if job.cell.id.startswith(text)}


def one_cell(job: Job, until: float, exported: Path) -> dict[str, Any]:
    """Train one cell; export it where it is finished. Return how far it came."""
    started = time.monotonic()

    def report(kind: str, payload: Any) -> None:
        if kind == "message":
            print(payload, flush=True)

    with as_interrupts():
        try:
            train(job, report, until)
        except UserError as error:
            if not job.compiled:
                raise
            report("message", f"{error} It is trained without.")
            train(replace(job, compiled=False), report, until)
    store = Store(job.store)
    finished = all(store.is_done(job.cell, seed, job.samples) for seed in job.seeds)
    if finished:
        exchange.export(job.store, exported)
    curves = store.curves(job.cell, job.seeds, job.samples).groupby(["split", "seed"])["value"]
    means = curves.last().groupby("split").mean()
    return {
        "finished": finished,
        "seeds": len(job.seeds),
        "samples": min(store.manifest(job.cell, seed).get("samples", 0) for seed in job.seeds),
        "training_seconds": round(time.monotonic() - started, 1),
        "mean_at_last_mark": {str(split): float(mean) for split, mean in means.items()},
    }
