"""Members trained on a GPU beside those of the committed run on a CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from scipy import stats

from benchmarks.variants import ROOT
from reproduce import config
from reproduce.common.checks import quoted
from reproduce.store.store import Store
from reproduce.training import pool

CPU_CURVES = ROOT / "results" / "reference" / "text" / "figure1" / "desktop" / "curves.csv"
MEMBERS = 5
SAMPLES = 1_000_000
ALGORITHMS = ("aevb", "wake_sleep")
SPLITS = ("train", "test")
PANELS = (("mnist", 10), ("mnist", 20), ("freyface", 10))


def agreement(store: Path, settings: Sequence[str], terminal: Console) -> list[dict[str, Any]]:
    """Train a few cells to 1e6 samples and compare them with the committed run on a CPU.

    Agreement means that the Welch interval of the difference of the means holds zero, in all
    comparisons at once with 95 % (Bonferroni's correction).
    """
    level = 1 - 0.05 / (len(PANELS) * len(ALGORITHMS) * len(SPLITS))
    on_cpu = pd.read_csv(CPU_CURVES).query("samples <= @SAMPLES")
    found = []
    for dataset, n_latent in PANELS:
        for algorithm in ALGORITHMS:
            overrides = [
                "settings=text", f"data={dataset}", f"algorithm={algorithm}",
                f"model.n_latent={n_latent}",
                f"seeds={MEMBERS}", f"samples={SAMPLES}", f"results={quoted(store)}", *settings,
            ]  # fmt: skip
            job = config.job_from(config.compose_config(overrides))
            pool.run([job], 1, terminal)
            curves = Store(job.store).curves(job.cell, job.seeds, SAMPLES)
            keys = {"dataset": dataset, "n_latent": n_latent, "algorithm": algorithm}
            for split in SPLITS:
                ours = ends(curves, {**keys, "split": split})
                theirs = ends(on_cpu, {**keys, "split": split})
                found.append({**keys, "split": split, **compare(ours, theirs, level)})
    return found


def compare(gpu: Sequence[float], cpu: Sequence[float], level: float = 0.95) -> dict[str, Any]:
    """Means on both devices, and the Welch interval of their difference at `level`."""
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
