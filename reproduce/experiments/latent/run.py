"""What trained models make of their latent space: `reproduce diagnostics [results=FOLDER]`.

For every trained cell with an encoder: KL a latent dimension, active units, whether the posterior
has collapsed, and the noise of the plotted bound (claim 4). `make diagnostics` calls this; it
writes RESULTS/diagnostics/, of exported cells results/restored/diagnostics/.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from torch import Tensor

from reproduce import data
from reproduce.algorithms.base import EVALUATED_TRAINING_IMAGES
from reproduce.common import cli, identity
from reproduce.common.errors import UserError
from reproduce.common.files import write_json
from reproduce.common.markdown import aligned
from reproduce.common.names import algorithm_name, dataset_name, short_number
from reproduce.common.provenance import drawn
from reproduce.data.images import ImageData
from reproduce.experiments.latent import picture as latent
from reproduce.experiments.study import write_table
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.bounds import BOUNDS, Bound, sgvb_b
from reproduce.models.random_streams import generator
from reproduce.store.cell import Cell
from reproduce.store.load import load_seeds, trains_encoder
from reproduce.store.store import RESTORED, is_export, stored

N_POINTS = 1_000
N_REPEATS = 20
ACTIVE = 0.01
"""A unit is active where the variance of E[z|x] over images is above this (Burda et al. 2015)."""
COLLAPSED = 0.1
"""A posterior with a total KL below this many nats says nothing of x."""

ORDER = ["dataset", "algorithm", "n_train", "n_latent", "samples", "id", "seed"]


@dataclass(frozen=True)
class Diagnosis:
    """Of a stack of seeds, on the first test images.

    Attributes
    ----------
    kl
        KL(q(z|x) || p(z)) of each latent dimension, mean over images, (seed, latent), in nats.
    active
        Whether a dimension is active, (seed, latent).
    variance_single
        Variance over noise of one image's bound with L = 1, mean over images, (seed,), nats².
    """

    kl: Float[Tensor, "seed latent"]
    active: Tensor
    variance_single: Float[Tensor, " seed"]


@torch.no_grad()
def diagnose(
    model: Autoencoder,
    x: Float[Tensor, "batch pixel"],
    seed: int = 0,
    n_repeats: int = N_REPEATS,
    bound: Bound = sgvb_b,
) -> Diagnosis:
    """Look at q(z|x) and at the noise of `bound` on images `x`; `seed` names the noise."""
    stacked = x.expand(model.n_seeds, -1, -1)
    posterior = model.encoder(stacked)
    variance = posterior.log_variance.exp()
    kl = -0.5 * (1 + posterior.log_variance - posterior.mean.square() - variance)
    source = generator("cpu", seed, "diagnostics")
    shape = (model.n_seeds, 1, len(x), model.n_latent)
    bounds = torch.stack(
        [bound(model, stacked, torch.randn(shape, generator=source)) for _ in range(n_repeats)]
    )
    return Diagnosis(
        kl.mean(1), posterior.mean.var(1) > ACTIVE, bounds.double().var(0).mean(1).float()
    )


def rows_of(
    cell: Cell, seeds: Sequence[int], samples: Sequence[int], images: ImageData, found: Diagnosis
) -> list[dict[str, Any]]:
    """One row per seed."""
    plotted = min(len(images.test), EVALUATED_TRAINING_IMAGES)
    return [
        {
            "id": cell.id,
            "dataset": cell.dataset,
            "n_latent": cell.n_latent,
            "n_train": cell.n_train,
            "algorithm": cell.algorithm,
            "seed": seed,
            "samples": samples[index],
            "kl": float(found.kl[index].sum()),
            "active_units": int(found.active[index].sum()),
            "collapsed": bool(found.kl[index].sum() < COLLAPSED),
            "variance_single": float(found.variance_single[index]),
            # The images' noises are independent, so the variance of their mean is this.
            "variance_plotted": float(found.variance_single[index]) / plotted,
            "n_plotted": plotted,
        }
        for index, seed in enumerate(seeds)
    ]


def diagnose_store(
    results: Path, data_dir: str | None, terminal: Console
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look at every trained cell of a results folder that has an encoder.

    Returns
    -------
    tuple
        One row per seed, and one per seed and latent dimension (the largest KL first).
    """
    store = stored(results)
    per_seed, dimensions = [], []
    names = sorted(path.parent.name for path in store.root.glob("*/cell.json"))
    for name in track(names, "diagnosing", console=terminal, transient=True):
        try:
            cell = store.cell(name)
            seeds = store.trained_seeds(cell)
            if not seeds or not trains_encoder(cell):
                continue
            images = data.load(cell.dataset, data_dir, cell.reading)
            store.check_data(cell, seeds, images.checksum)
            model = load_seeds(store, cell, seeds)
            x = images.test[:N_POINTS].float() * images.scale
            settings = identity.placed(cell.settings["algorithm"], "algorithm")
            found = diagnose(model, x, bound=BOUNDS[settings.get("sgvb", "B")])
        except Exception as error:
            # A network of the user's own that fails leaves the others readable.
            said = str(error) if isinstance(error, UserError) else cli.own_fault(error)
            if said is None:
                raise
            terminal.print(f"{name} is left out: {said}", style="yellow")
            continue
        samples = [int(store.manifest(cell, seed).get("samples", 0)) for seed in seeds]
        rows = rows_of(cell, seeds, samples, images, found)
        per_seed += rows
        for row, kl in zip(rows, found.kl.sort(1, descending=True).values.tolist(), strict=True):
            place = {key: row[key] for key in list(row)[:7]}
            dimensions += [{**place, "rank": r + 1, "kl": value} for r, value in enumerate(kl)]
    if not per_seed:
        raise UserError(
            f"{store.root} holds no trained cell with an encoder; run `reproduce "
            "figure figure=figure1`."
        )
    return pd.DataFrame(per_seed).sort_values(ORDER, ignore_index=True), pd.DataFrame(dimensions)


def markdown(per_seed: pd.DataFrame) -> str:
    """One row per cell: means over its seeds."""
    rows = [["dataset", "N_z", "N_train", "algorithm", "cell", "samples", "KL", "active units",
             "variance, one image", "variance, plotted", "note"]]  # fmt: skip
    for _, mine in per_seed.groupby("id", sort=False):
        first = mine.iloc[0]
        n_collapsed = int(mine["collapsed"].sum())
        note = f"collapsed: {n_collapsed} of {len(mine)}" if n_collapsed else ""
        rows.append(
            [
                dataset_name(str(first["dataset"])),
                str(first["n_latent"]),
                f"{first['n_train']:,}",
                algorithm_name(str(first["algorithm"])),
                str(first["id"]).rpartition("-")[2],
                short_number(float(mine["samples"].min())),
                f"{mine['kl'].mean():.2f}",
                f"{mine['active_units'].mean():.1f}",
                f"{mine['variance_single'].mean():.2g}",
                f"{mine['variance_plotted'].mean():.2g}",
                note,
            ]
        )
    caption = (
        f"On the first {N_POINTS:,} test images, means over seeds: KL(q || p) in nats; units whose "
        f"E[z|x] varies by more than {ACTIVE} over images; variances of the bound with L = 1 over "
        "noise in nats², of one image and of the mean that is plotted."
    )
    return f"{caption}\n\n{aligned(rows, right=(1, 2, 5, 6, 7, 8, 9))}"


def main(arguments: Sequence[str]) -> int:
    """Diagnose a results folder; print and write what was found."""
    usage = "diagnostics [results=FOLDER] [data.dir=FOLDER]"
    environment = os.environ.get("DATA_DIR", "")
    given = cli.parsed(arguments, usage, results="results", data_dir=environment)
    results = Path(given["results"])
    terminal = cli.console()
    per_seed, dimensions = diagnose_store(results, given["data_dir"] or None, terminal)
    folder = (RESTORED if is_export(results) else results) / "diagnostics"  # none is committed
    table = markdown(per_seed)
    tables = {"diagnostics.csv": per_seed, "kl.csv": dimensions, "table.md": table}
    for name, content in tables.items():
        write_table(folder / name, content)
    latent.draw(dimensions, folder / "kl")
    about = {"drawn": drawn(), "cells": json.loads(per_seed.to_json(orient="records"))}
    write_json(folder / "manifest.json", about)
    terminal.print(table, highlight=False)
    terminal.print(f"Written: {folder}", highlight=False)
    return 0
