"""Part 1: the bound at iteration 1 of an untrained network, in double precision.

It depends on the data, the architecture, the initial weights, the first minibatch and its noise,
and on nothing that is trained. Every wrong setting of `MISSES` is off in the first decimals.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reproduce.experiments.replay.draws import FIGURE2, Run, Stream, build
from reproduce.published import load_vertices

CONTINUATIONS = 5
"""How many continuations of the stream stand for what the author's hook drew, which is unknown."""

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


@torch.no_grad()
def training_bound(run: Run, data_dir: Path | None) -> tuple[float, Stream]:
    """Return the first minibatch's mean bound in nats, and the stream behind that iteration."""
    stream = Stream(run, data_dir)
    algorithm = build(run, stream, dtype=torch.float64)
    drawn = stream.iteration()
    x = algorithm.train_images[drawn["index"]].double() * run.scale
    bound = algorithm.bound(x[None], drawn["posterior"][None])
    return float(bound.mean()), stream


@torch.no_grad()
def test_bounds(run: Run, stream: Stream) -> list[float]:
    """Return the test set's mean bound before training, with as many continuations' noise."""
    fresh = Stream(run, stream.data_dir)
    algorithm = build(run, fresh, dtype=torch.float64)
    x = algorithm.test_images.double()[None] * run.scale
    values = []
    for continuation in range(CONTINUATIONS):
        noise = stream.moved_on(continuation * run.n_latent * x.shape[1]).test_noise()
        values.append(float(algorithm.bound(x, noise[None]).mean()))
    return values


def replay(data_dir: Path | None) -> pd.DataFrame:
    """Replay all 18 runs; one row per run and split, as `replay.csv` has them."""
    rows = []
    for run in FIGURE2:
        train, stream = training_bound(run, data_dir)
        for split, values in {"train": [train], "test": test_bounds(run, stream)}.items():
            rows.append(row(run, "iteration_1", split, 1, published_at(run, 1, split), values))
    return pd.DataFrame(rows)


def row(
    run: Run, part: str, split: str, iterations: int, published: float, values: list[float]
) -> dict[str, Any]:
    """Return a row of `replay.csv`: mean and standard deviation over continuations."""
    return {
        "dataset": run.dataset,
        "n_latent": run.n_latent,
        "algorithm": run.algorithm,
        "part": part,
        "split": split,
        "iterations": iterations,
        "published": published,
        "replayed": float(np.mean(values)),
        "spread": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
    }


def misses(data_dir: Path | None) -> pd.DataFrame:
    """Replay iteration 1 with each wrong setting; one row per run and setting that it changes."""
    rows = []
    for name, wrong in MISSES.items():
        for run in FIGURE2:
            changed = replace(run, **wrong)
            if changed == run or (run.dataset == "mnist" and "Frey Face" in name):
                continue
            value, _ = training_bound(changed, data_dir)
            published = published_at(run, 1, "train")
            found = row(run, "iteration_1", "train", 1, published, [value])
            rows.append({"wrong": name, **found})
    return pd.DataFrame(rows).drop(columns=["part", "split", "iterations", "spread"])
