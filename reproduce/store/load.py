"""Trained models, in three lines.

import torch
from reproduce import load_model
model = load_model("mnist-aevb-z20")
images = model.decoder.mean(torch.randn(model.n_seeds, 16, model.n_latent))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproduce.common import plugins
from reproduce.common.errors import UserError
from reproduce.data.registry import n_pixels
from reproduce.models.autoencoder import Autoencoder
from reproduce.store.cell import Cell
from reproduce.store.checkpoints import read_checkpoint, read_snapshot
from reproduce.store.seed_state import check_seed_axis, stack_states
from reproduce.store.store import Store, find_cell, stored

PREFIX = "model."


def load_model(run: str, results: str | Path = "results") -> Autoencoder:
    """Load the trained seeds of a cell as one stack, in ascending order.

    Where no checkpoint is kept, as in an export, those that went furthest of the snapshots.

    Parameters
    ----------
    run
        The cell's id, or a beginning of it that only one cell has.
    results
        The results folder, or one that cells were exported to, such as results/reference/cells.

    Returns
    -------
    Autoencoder
        `encoder(x)` takes x (seed, batch, pixel) to q(z|x); `decoder.mean(z)` takes
        z (seed, batch, latent) to images (seed, batch, pixel).
    """
    store = stored(Path(results))
    cell = find_cell(store, run)
    if seeds := store.trained_seeds(cell):
        return load_seeds(store, cell, seeds)
    kept = snapshots_of(store, cell)
    if not kept:
        raise UserError(f"{store.folder(cell)} holds no trained weights; train it first.")
    return load_snapshots(store, cell, kept[max(kept)], max(kept))


def trains_encoder(cell: Cell) -> bool:
    """Tell whether the cell's algorithm leaves a q(z|x) worth using."""
    algorithm = plugins.algorithm_class(cell.settings["algorithm"]["_target_"])
    return bool(getattr(algorithm, "trains_encoder", True))


def weights_of(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """Return one seed's weights as they are in its checkpoint, a state of the model's."""
    return _model_of(read_checkpoint(store, cell, seed)["state_dict"])


def load_seeds(store: Store, cell: Cell, seeds: Sequence[int]) -> Autoencoder:
    """Load seeds as they are in their checkpoints, as one stack in the order of `seeds`."""
    return _filled(cell, [weights_of(store, cell, seed) for seed in seeds])


def load_snapshots(store: Store, cell: Cell, seeds: Sequence[int], samples: int) -> Autoencoder:
    """Load seeds as they were after `samples`, as one stack in the order of `seeds`."""
    return _filled(cell, [_at(store, cell, seed, samples) for seed in seeds])


def snapshots_of(store: Store, cell: Cell) -> dict[int, list[int]]:
    """Return at how many samples there are weights, with the seeds that have them.

    Where training stopped, the checkpoint has them, unless the seed diverged.
    """
    found: dict[int, set[int]] = {}
    for seed in store.seeds(cell):
        files = store.seed_folder(cell, seed).glob("snapshots/*.ckpt")
        marks = {int(path.stem) for path in files if path.stem.isdecimal()}
        about = store.manifest(cell, seed)
        if store.checkpoint(cell, seed).exists() and about.get("diverged_at") is None:
            marks.add(int(about.get("samples", 0)))
        for samples in marks - {0}:
            found.setdefault(samples, set()).add(seed)
    return {samples: sorted(seeds) for samples, seeds in sorted(found.items())}


def _at(store: Store, cell: Cell, seed: int, samples: int) -> dict[str, Any]:
    there = store.snapshot(cell, seed, samples).exists()
    about = store.manifest(cell, seed)
    if not there and about.get("samples") == samples and about.get("diverged_at") is None:
        state = read_checkpoint(store, cell, seed)["state_dict"]
        if int(state["samples_seen"][0]) == samples:  # no later one, saved just before a kill
            return _model_of(state)
    return read_snapshot(store, cell, seed, samples)


def _model_of(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}


def _filled(cell: Cell, states: Sequence[Mapping[str, Any]]) -> Autoencoder:
    model = build_model(cell, n_pixels(cell.dataset, cell.reading), len(states))
    try:
        model.load_state_dict(stack_states(states))
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t", 2)[:2]).strip()
        raise UserError(
            f"The weights of {cell.id} do not fit its networks, whose code may have changed since "
            f"they were trained ({reason})."
        ) from error
    return model.eval()


def build_model(cell: Cell, n_pixels: int, n_seeds: int) -> Autoencoder:
    """Build the networks of `cell`, all weights zero but those that a class of the user's sets.

    Raises
    ------
    UserError
        Where a class cannot be had, does not take the sizes, or has state without a seed axis.
    """
    settings = cell.settings["model"]
    sizes = {
        "n_seeds": n_seeds,
        "n_pixels": n_pixels,
        "n_hidden": settings["n_hidden"],
        "n_latent": cell.n_latent,
    }
    if "activation" in settings:  # left out where it is tanh, which a class of the user's may have
        sizes["activation"] = settings["activation"]
    encoder, decoder = (
        plugins.make(settings[part], f"model.{part}", **sizes) for part in ("encoder", "decoder")
    )
    model = Autoencoder(encoder, decoder, cell.n_latent)
    check_seed_axis(model, n_seeds, "model.")
    return model
