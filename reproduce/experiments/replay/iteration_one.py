"""Part 1: the bound at iteration 1 of an untrained network, in double precision.

It depends on the data, the architecture, the initial weights, the first minibatch and its noise,
and on nothing that is trained. Every wrong setting of `MISSES` is off in the first decimals.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from reproduce.analysis.published import load_vertices
from reproduce.experiments.replay.draws import FIGURE2, Run, Stream, build, test_bound

MISSES: Mapping[str, Mapping[str, Any]] = {
    "tanh on Frey Face": {"activation": "tanh"},
    "M = 100 on Frey Face": {"batch_size": 100},
    "bytes / 255": {"scale": 1 / 255},
    "seed 1": {"seed": 1},
    "standard deviation 0.1": {"std": 0.1},
}
"""Wrong settings, by what is wrong."""


def published_at(run: Run, iterations: int, split: str) -> float:
    """Return the published value of `run` at an iteration, of its first run; NaN where none is."""
    frame = load_vertices("figure2")
    here = frame[
        (frame["dataset"] == run.dataset)
        & (frame["n_latent"] == run.n_latent)
        & (frame["algorithm"] == run.algorithm)
        & (frame["split"] == split)
        & (frame["run"] == 0)
        & (frame["iterations"] == iterations)
    ]
    return float(here["value"].iloc[0]) if len(here) else float("nan")


def first_of(run: Run) -> Run:
    """Return the run that a curve's value at iteration 1 belongs to.

    On MNIST wake-sleep was begun twice at N_z = 3 to 20: a run that was aborted after one to four
    hooks, which tested on 1,000 images, and the final one, of which iteration 1 is not drawn.
    """
    aborted = run.dataset == "mnist" and run.algorithm == "wake_sleep" and run.n_latent < 200
    return replace(run, n_test=1_000) if aborted else run


@torch.no_grad()
def bounds(run: Run, data_dir: Path | None) -> dict[str, float]:
    """Return the mean bounds of the first minibatch and of the hook after it, in nats."""
    stream = Stream(run, data_dir)
    algorithm = build(run, stream, torch.float64)
    drawn = stream.iteration()
    x = algorithm.train_images[drawn["index"]].double() * run.scale
    train = float(algorithm.bound(x[None], drawn["posterior"][None]).mean())
    return {"train": train, "test": test_bound(algorithm, run, stream.hook())}


def replay(data_dir: Path | None) -> pd.DataFrame:
    """Replay all 18 runs; one row per run and split, as `replay.csv` has them."""
    rows = [
        row(run, "iteration_1", split, 1, published_at(run, 1, split), value)
        for run in FIGURE2
        for split, value in bounds(first_of(run), data_dir).items()
    ]
    return pd.DataFrame(rows)


def row(
    run: Run, part: str, split: str, iterations: int, published: float, value: float,
    spread: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of `replay.csv`; `spread` is 0 where one stream of numbers is replayed."""
    return {
        "dataset": run.dataset,
        "n_latent": run.n_latent,
        "algorithm": run.algorithm,
        "part": part,
        "split": split,
        "iterations": iterations,
        "published": published,
        "replayed": value,
        "spread": spread,
    }


def misses(data_dir: Path | None) -> pd.DataFrame:
    """Replay iteration 1 with each wrong setting; one row per run and setting that it changes."""
    rows = []
    for name, wrong in MISSES.items():
        for run in FIGURE2:
            changed = replace(run, **wrong)
            if changed == run or (run.dataset == "mnist" and "Frey Face" in name):
                continue
            value = bounds(changed, data_dir)["train"]
            published = published_at(run, 1, "train")
            found = row(run, "iteration_1", "train", 1, published, value)
            rows.append({"wrong": name, **found})
    return pd.DataFrame(rows).drop(columns=["part", "split", "iterations", "spread"])
