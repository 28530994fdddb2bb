"""Curves made on a device beside the committed ones, which were made on a CPU.

Devices draw other random numbers, so that only means over seeds can agree.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmarks.gpu.sizes import Run
from reproduce import config
from reproduce.common.checks import quoted
from reproduce.store.store import Store
from reproduce.training.loop import train

ALGORITHMS = ("aevb", "wake_sleep")
SPLITS = ("train", "test")


def agreement(run: Run) -> dict[str, Any]:
    """Train two cells to the mark and compare them with the committed curves.

    Agreement means that the Welch interval of the difference of the means holds zero, in all
    comparisons at once with 95 % (Bonferroni's correction).
    """
    level = 1 - 0.05 / (len(ALGORITHMS) * len(SPLITS))
    on_cpu = pd.read_csv(run.curves).query("samples <= @run.mark")
    rows = []
    for algorithm in ALGORITHMS:
        curves = _curves(run, algorithm)
        keys = {"dataset": run.dataset, "n_latent": run.n_latent, "algorithm": algorithm}
        for split in SPLITS:
            ours = ends(curves, {**keys, "split": split})
            theirs = ends(on_cpu, {**keys, "split": split})
            rows.append({**keys, "split": split, **compare(ours, theirs, level)})
    return {"rows": rows, "agrees": all(row["agrees"] for row in rows)}


def _curves(run: Run, algorithm: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        job = config.job_from(config.compose_config([
            f"settings={run.settings}", f"data={run.dataset}", f"algorithm={algorithm}",
            f"model.n_latent={run.n_latent}", f"seeds={run.seeds}", f"samples={run.mark}",
            f"results={quoted(folder)}", "compile=false", *run.overrides,
        ]))  # fmt: skip
        train(job, lambda *_: None)
        return Store(job.store).curves(job.cell, job.seeds, run.mark)


def compare(gpu: Sequence[float], cpu: Sequence[float], level: float = 0.95) -> dict[str, Any]:
    """Means on both devices, and the Welch interval of their difference at `level`."""
    from scipy import stats  # nothing else here needs it

    interval = stats.ttest_ind(gpu, cpu, equal_var=False).confidence_interval(level)
    low, high = float(interval.low), float(interval.high)
    return {
        "gpu": sum(gpu) / len(gpu),
        "cpu": sum(cpu) / len(cpu),
        "difference_low": low,
        "difference_high": high,
        "agrees": low <= 0 <= high,
    }


def ends(curves: pd.DataFrame, keys: dict[str, Any]) -> list[float]:
    """Values at the last mark of the rows that have these values in these columns."""
    chosen = curves[(curves[list(keys)] == pd.Series(keys)).all(axis=1)]
    at_end = chosen[chosen["samples"] == chosen["samples"].max()]
    return at_end["value"].tolist()
