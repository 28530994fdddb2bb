"""The paper's Figures 4 and 5 from trained models: manifolds, samples, and reconstructions."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.common.names import algorithm_name, dataset_name, short_number
from reproduce.data.images import ImageData
from reproduce.experiments.images.picture import Grid, draw_grids, draw_rows
from reproduce.experiments.plan import Plan
from reproduce.experiments.study import Outcome
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.random_streams import generator
from reproduce.store.load import load_seeds, trains_encoder
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.pool import Divergence

MANIFOLD_SIDE = {"freyface": 10}
DEFAULT_SIDE = 20
SAMPLES_SIDE = 10
N_RECONSTRUCTED = 12


def finish_manifolds(plan: Plan, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Draw Figure 4: each model's decoded grid over its two latent dimensions."""
    grids, far = [], []
    for job, model, images, samples in _models(plan, terminal):
        if job.cell.n_latent != 2:
            raise UserError(f"A manifold needs N_z = 2, not {job.cell.n_latent}.")
        side = MANIFOLD_SIDE.get(job.cell.dataset, DEFAULT_SIDE)
        made = decode(model, unit_square(side))
        name = dataset_name(job.cell.dataset) + _algorithm(plan, job)
        grids.append(Grid(f"Learned {name} manifold", _pictures(made, images), side))
        far.append(f"{name}: {short_number(samples)} samples, seed {job.seeds[0]}")
    footnote = (
        "Means of p(x|z) for z at the inverse Gaussian CDF of a regular grid on the unit square, "
        f"as in Figure 4 of Kingma & Welling (2013). {'; '.join(far)}."
    )
    return Outcome(
        tables={},
        about={"paper": "Figure 4 of Kingma & Welling 2013 (arXiv 1312.6114v10)"},
        draw=lambda: draw_grids(grids, plan.path("manifolds"), footnote=footnote, title=plan.title),
    )


def finish_samples(plan: Plan, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Draw Figure 5, random samples; and reconstructions of test images."""
    grids, rows, far, of = [], [], [], []
    for job, model, images, samples in _models(plan, terminal):
        source = generator("cpu", job.seeds[0], "samples")
        z = torch.randn(SAMPLES_SIDE**2, job.cell.n_latent, generator=source)
        which = _dataset(plan, job) + _algorithm(plan, job)
        title = f"{job.cell.n_latent}-D latent space{which}"
        grids.append(Grid(title, _pictures(decode(model, z), images), SAMPLES_SIDE))
        x = images.test[:N_RECONSTRUCTED].float() * images.scale
        if images.name not in of:
            of.append(images.name)
            rows.append(Grid(f"test image{_dataset(plan, job)}", _pictures(x, images), len(x)))
        if trains_encoder(job.cell):
            with torch.no_grad():
                code = model.encoder(x.unsqueeze(0)).mean[0]
            made = _pictures(decode(model, code), images)
            rows.append(Grid(f"$N_z$ = {job.cell.n_latent}{which}", made, len(x)))
        far.append(f"N_z = {job.cell.n_latent}{which}: {short_number(samples)}")
    trained = (
        f"Of {' and '.join(map(dataset_name, of))}. Training samples evaluated: {'; '.join(far)}."
    )

    def draw() -> None:
        draw_grids(
            grids,
            plan.path("samples"),
            footnote="Means of p(x|z) for z drawn from the prior, as in Figure 5 of Kingma & "
            f"Welling (2013). {trained}",
            title=plan.title,
        )
        draw_rows(
            rows,
            plan.path("reconstructions"),
            footnote=f"The first test images, and means of p(x|z) at the mean of q(z|x). {trained}",
            title=plan.title,
        )

    about = {"paper": "Figure 5 of Kingma & Welling 2013 (arXiv 1312.6114v10)"}
    return Outcome(tables={}, about=about, draw=draw)


def _dataset(plan: Plan, job: Job) -> str:
    """Name the data set where the figure has several."""
    several = len({one.cell.dataset for one in plan.jobs}) > 1
    return f", {dataset_name(job.cell.dataset)}" if several else ""


def _algorithm(plan: Plan, job: Job) -> str:
    """Name the algorithm where the figure has several."""
    several = len({one.cell.algorithm for one in plan.jobs}) > 1
    return f", {algorithm_name(job.cell.algorithm)}" if several else ""


def unit_square(side: int) -> Float[Tensor, "point 2"]:
    """Return z at the inverse Gaussian CDF of a regular grid on the unit square, row by row.

    The grid's points are the centres of side × side equal squares, so that each stands for the
    same probability.
    """
    centres = (torch.arange(side) + 0.5) / side
    quantiles = torch.special.ndtri(centres)
    down, across = torch.meshgrid(quantiles, quantiles, indexing="ij")
    return torch.stack([across.flatten(), down.flatten()], 1)


@torch.no_grad()
def decode(model: Autoencoder, z: Float[Tensor, "point latent"]) -> Float[Tensor, "point pixel"]:
    """Return the mean of p(x|z) by the stack's first seed."""
    return model.decoder.mean(z.unsqueeze(0))[0]


def _models(plan: Plan, terminal: Console) -> Iterator[tuple[Job, Autoencoder, ImageData, int]]:
    """Each panel's model (its first seed alone), with its data and how far it was trained."""
    found = 0
    for job in plan.jobs:
        store, seed = Store(job.store), job.seeds[0]
        if not store.checkpoint(job.cell, seed).exists():
            terminal.print(f"{job.cell.title} is not trained; it is left out.", style="yellow")
            continue
        found += 1
        images = data.load(job.cell.dataset, job.data_dir, job.cell.reading)
        samples = int(store.manifest(job.cell, seed).get("samples", 0))
        yield job, load_seeds(store, job.cell, [seed]), images, samples
    if not found:
        raise UserError("None of the figure's models is trained; run it without train=false.")


def _pictures(flat: Tensor, images: ImageData) -> NDArray[np.floating]:
    return flat.reshape(len(flat), *images.image_shape).clamp(0, 1).cpu().numpy()
