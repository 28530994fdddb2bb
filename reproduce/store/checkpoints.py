"""Lightning checkpoints of a stack, kept as one file for each seed, and snapshots of models.

Seeds are independent of what is stacked beside them, so they are stored apart: a stack can be
put together anew from seeds that were trained in different company, and a kill between two
files leaves seeds at different, each consistent, points.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.common.files import write_with
from reproduce.common.lightning import CheckpointIO
from reproduce.store.cell import Cell
from reproduce.store.seed_state import seed_state, stack_states
from reproduce.store.store import Store

FORMAT = 1
LEFTOVERS = (".*.tmp.ckpt", "snapshots/.*.tmp.ckpt")
"""Temporary names of `files.atomic_path` that only training writes, in a seed's folder."""
RECORD = {"curve", "diverged_at", "wall_seconds"}
"""What a checkpoint remembers of its seed beside tensors."""
SHARED = {"step"}
"""What all seeds of a stack have in common of an optimizer's state."""


class SeedCheckpoints(CheckpointIO):
    """Splits a stack's checkpoint over its seeds' files, and joins them again."""

    def __init__(self, store: Store, cell: Cell, seeds: Sequence[int]) -> None:
        self.store, self.cell, self.seeds = store, cell, tuple(seeds)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write each seed's slice of `checkpoint`; `path` is the cell's folder."""
        for index, seed in enumerate(self.seeds):
            mine = {
                **checkpoint,
                "format": FORMAT,
                "cell": self.cell.as_dict(),
                "seed": seed,
                "state_dict": seed_state(checkpoint["state_dict"], index),
                "optimizer_states": [
                    _slice_optimizer(state, index) for state in checkpoint["optimizer_states"]
                ],
                "members": [checkpoint["members"][index]],
            }
            _write(self.store.checkpoint(self.cell, seed), mine)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the seeds' files and join them into one checkpoint of the stack."""
        parts = [read_checkpoint(self.store, self.cell, seed) for seed in self.seeds]
        return {
            **parts[0],
            "state_dict": stack_states(part["state_dict"] for part in parts),
            "optimizer_states": [
                _stack_optimizers(states)
                for states in zip(*(part["optimizer_states"] for part in parts), strict=True)
            ],
            "members": [part["members"][0] for part in parts],
        }

    def remove_checkpoint(self, path: Any) -> None:
        """Never called: a seed's checkpoint is replaced, not removed."""
        raise NotImplementedError


def read_checkpoint(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """Read one seed's checkpoint on the CPU."""
    keys = {"state_dict", "optimizer_states", "members"}
    fix = "Delete it to train this seed from the start, or put the right file back."
    path = store.checkpoint(cell, seed)
    found = _read(path, cell, seed, keys, fix)
    try:
        int(found["state_dict"]["samples_seen"][0])
        (record,) = found["members"]
        whole = record.keys() >= RECORD and all(
            {"state", "param_groups"} <= state.keys() for state in found["optimizer_states"]
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        whole = False
    if not whole:
        raise UserError(f"The checkpoint {path} lacks parts. {fix}")
    return found


def write_snapshot(
    store: Store, cell: Cell, seed: int, samples: int, model: Mapping[str, Tensor]
) -> None:
    """Keep one seed's weights as they are after `samples`, a state of the model's."""
    about = {"format": FORMAT, "cell": cell.as_dict(), "seed": seed, "samples": samples}
    _write(store.snapshot(cell, seed, samples), {**about, "model": dict(model)})


def _write(path: Path, value: Any) -> None:
    """Write in two steps: of a full disk torch tells in words that change, Python by `OSError`."""
    serialised = io.BytesIO()
    torch.save(value, serialised)
    write_with(path, lambda temporary: temporary.write_bytes(serialised.getbuffer()))


def remove_leftovers(store: Store, cell: Cell, seed: int) -> None:
    """Delete what killed processes were writing; only for who holds the seed's lock."""
    folder = store.seed_folder(cell, seed)
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def read_snapshot(store: Store, cell: Cell, seed: int, samples: int) -> dict[str, Any]:
    """Read one seed's weights after `samples`, on the CPU: a state of the model's."""
    path = store.snapshot(cell, seed, samples)
    fix = (
        f"Put the right file back, or delete the folder {store.seed_folder(cell, seed)} to "
        "train this seed again."
    )
    snapshot = _read(path, cell, seed, {"samples", "model"}, fix)
    if snapshot["samples"] != samples:
        raise UserError(
            f"The snapshot {path} was taken at {snapshot['samples']:,} samples, not at "
            f"{samples:,}. {fix}"
        )
    return snapshot["model"]


def _read(path: Path, cell: Cell, seed: int, keys: set[str], fix: str) -> dict[str, Any]:
    kind = "snapshot" if "model" in keys else "checkpoint"
    if path.is_file() and (reason := _damage(path)):
        raise UserError(f"The {kind} {path} is damaged ({reason}). {fix}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no {kind} {path}; train the seed first. {fix}") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"The {kind} {path} cannot be read ({reason}). {fix}") from error
    ours = isinstance(found, dict) and found.get("format") == FORMAT
    if not ours or not keys | {"cell", "seed"} <= found.keys():
        raise UserError(f"{path} is not a {kind} of this suite. {fix}")
    if found["cell"] != cell.as_dict() or found["seed"] != seed:
        try:
            other = Cell(**found["cell"]).id
        except (TypeError, KeyError, AttributeError):
            other = "no cell of this suite"
        raise UserError(
            f"The {kind} {path} belongs to {other} seed {found['seed']}, not to {cell.id} seed "
            f"{seed}. {fix}"
        )
    return found


def _damage(path: Path) -> str | None:
    """Say what is wrong with a zip archive, such as torch writes; None where nothing is.

    torch ignores the checksums in its files, so that damaged weights would go unnoticed, and
    raises a dozen types of error on files that are no checkpoints.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception as error:  # zipfile, too, raises many types
        return str(error) or type(error).__name__
    return f"wrong checksum of {part}" if part else None


def _slice_optimizer(state: dict[str, Any], place: int) -> dict[str, Any]:
    sliced = {
        parameter: {
            name: value if name in SHARED else value[place : place + 1].clone()
            for name, value in entry.items()
        }
        for parameter, entry in state["state"].items()
    }
    return {"state": sliced, "param_groups": state["param_groups"]}


def _stack_optimizers(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    joined = {
        parameter: {
            name: value
            if name in SHARED
            else torch.cat([s["state"][parameter][name] for s in states])
            for name, value in entry.items()
        }
        for parameter, entry in states[0]["state"].items()
    }
    return {"state": joined, "param_groups": states[0]["param_groups"]}
