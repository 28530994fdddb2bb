"""Cells of both experiments at the `paper` budget, whole cells at a time while time lasts."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.peers.workload import N_HIDDEN, N_PIXELS
from reproduce.common.checks import quoted
from reproduce.experiments import figure
from reproduce.experiments.plan import make_plan
from reproduce.store import exchange
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job


def paper_cells(
    deadline: float, speed: float, settings: Sequence[str], into: Path, terminal: Console
) -> dict[str, list[str]]:
    """Train cells of both figures at the `paper` budget while the time suffices; export each.

    Parameters
    ----------
    deadline
        When to begin no further cell, on the clock of `time.monotonic`.
    speed
        Samples/s of 784-500-20; other cells are taken to cost what their widths say, and after
        the first one of an algorithm what was measured on its last.
    settings
        Overrides that say where the data are and how to train.
    into, terminal
        Where finished cells are exported to, and where progress goes.

    Returns
    -------
    dict[str, list[str]]
        Names of the cells `done` and `missing`.
    """
    common = ["budget=paper", "data.fallback=error", *settings]
    jobs = [
        job
        for name in ("figure1", "figure2")
        for job in make_plan([f"figure={name}", *common], terminal).jobs
    ]
    done, left = [], []
    measured: dict[str, float] = {}
    for job in sorted(jobs, key=_work):
        store = Store(job.store)
        known = all(store.is_done(job.cell, seed, job.samples) for seed in job.seeds)
        rate = measured.get(job.cell.algorithm, speed)
        if not known and time.monotonic() + _work(job) / rate > deadline:
            left.append(job.cell.id)
            continue
        started = time.monotonic()
        pool.run([job], 1, terminal)
        if not known:
            measured[job.cell.algorithm] = _work(job) / (time.monotonic() - started)
        if job.snapshots:  # experiment 2: snapshots stay on this machine, estimates do not
            figure.main([*common, *_estimates_of(job)])
        exchange.export(job.store, into)
        done.append(job.cell.id)
    return {"done": done, "missing": left}


def _estimates_of(job: Job) -> list[str]:
    """Overrides with which the figure command estimates log p(x) of one cell, and trains none."""
    cell = job.cell
    n_hidden = cell.settings["model"]["n_hidden"]
    panel = (
        f"{{data:{cell.dataset},n_latent:{cell.n_latent},n_train:{cell.n_train},"
        f"n_hidden:{n_hidden},samples:{job.samples}}}"
    )
    return [
        "figure=figure2", "train=false", f"figure.algorithms=[{cell.algorithm}]",
        f"figure.budgets.paper.panels=[{panel}]", f"figure.budgets.paper.seeds={len(job.seeds)}",
        f"results={quoted(str(Path(job.store).parent))}",
    ]  # fmt: skip


def _work(job: Job) -> float:
    """Samples of 784-500-20 that would cost about what the job costs."""
    n_pixels = 560 if job.cell.dataset == "freyface" else N_PIXELS
    width = max(job.cell.widths) * n_pixels / (N_HIDDEN * N_PIXELS)
    # A step is bound by launching its kernels where layers are small.
    cost = max(width, 0.3) * (1.0 if job.cell.algorithm == "aevb" else 1.6)
    return job.samples * len(job.seeds) * cost
