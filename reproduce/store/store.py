"""The store of cells: what has been trained, where its curves are, what it was made with.

A *cell* is one curve pair of a figure: data set, algorithm, latent size and every setting that
changes the mathematics. It has a folder named by a readable id, and in it a folder for each seed
(each *seed*):

    results/runs/mnist-aevb-z20-n50000-1a2b3c4d/
        cell.json                 the settings
        seed-0/checkpoint.ckpt    weights, Adagrad accumulators, samples seen, curve
        seed-0/curve.csv          split,samples,value
        seed-0/snapshots/         weights at the marks where likelihoods are wanted
        seed-0/likelihood.csv     what estimators of log p(x) found for them
        seed-0/manifest.json      where, when and with what it was made

How far to train and how many seeds are no part of a cell: a larger budget continues it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reproduce.common.errors import UserError
from reproduce.common.files import locked, read_json, read_table, write_json, write_with
from reproduce.common.names import CURVES
from reproduce.store.cell import Cell

CURVE_KINDS: dict[str, type] = {"split": str, "samples": int, "value": float}
LIKELIHOOD_KINDS: dict[str, type] = {
    "split": str, "samples": int, "estimator": str, "settings": str, "n_points": int,
    "value": float, "stderr": float, "n_untrusted": int, "seconds": float,
}  # fmt: skip
RESTORED = Path("results/restored")
"""Where exported cells are restored to, and what is made of them goes."""
SEED_FOLDER = re.compile(r"seed-(0|[1-9][0-9]*)")
"""The name of a seed's folder; `seed-00` is none."""


class Store:
    """A folder of cells."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, cell: Cell) -> Path:
        """The folder of `cell`."""
        return self.root / cell.id

    def seed_folder(self, cell: Cell, seed: int) -> Path:
        """The folder of one seed."""
        return self.folder(cell) / f"seed-{seed}"

    def checkpoint(self, cell: Cell, seed: int) -> Path:
        """Where one seed's checkpoint lies."""
        return self.seed_folder(cell, seed) / "checkpoint.ckpt"

    def snapshot(self, cell: Cell, seed: int, samples: int) -> Path:
        """Where one seed's weights after `samples` lie."""
        return self.seed_folder(cell, seed) / "snapshots" / f"{samples}.ckpt"

    def seeds(self, cell: Cell) -> list[int]:
        """The seeds that there are, by the names of their folders; others do not count."""
        names = (SEED_FOLDER.fullmatch(path.name) for path in self.folder(cell).glob("*"))
        return sorted(int(name[1]) for name in names if name)

    def trained_seeds(self, cell: Cell) -> list[int]:
        """The seeds that have a checkpoint."""
        return [seed for seed in self.seeds(cell) if self.checkpoint(cell, seed).exists()]

    def cell(self, name: str) -> Cell:
        """Return the cell in the folder `name`."""
        path = self.root / name / "cell.json"
        advice = f"delete it; training the cell writes it anew, or delete the folder {path.parent}"
        values = read_json(path, advice)
        values.pop("id", None)
        try:
            cell = Cell(**values)
        except (TypeError, KeyError) as error:
            raise UserError(f"{path} describes no cell ({error}); {advice}.") from error
        if cell.id != name:
            raise UserError(
                f"{path} describes the cell {cell.id}: a copied cell is no other; delete the "
                "folder or give it that name."
            )
        return cell

    def write_cell(self, cell: Cell) -> None:
        """Write down the settings of `cell`."""
        write_json(self.folder(cell) / "cell.json", {"id": cell.id, **cell.as_dict()})

    def write_curve(self, cell: Cell, seed: int, rows: Sequence[tuple[str, int, float]]) -> None:
        """Replace a seed's curve."""
        frame = pd.DataFrame(rows, columns=list(CURVE_KINDS))
        path = self.seed_folder(cell, seed) / "curve.csv"
        write_with(path, lambda temporary: frame.to_csv(temporary, index=False))

    def curve(self, cell: Cell, seed: int) -> pd.DataFrame:
        """Return a seed's curve; empty where it has none."""
        path = self.seed_folder(cell, seed) / "curve.csv"
        self.manifest(cell, seed)  # which tells whose it is
        return _read(path, CURVE_KINDS, once=("split", "samples"))

    def add_likelihood(self, cell: Cell, seed: int, row: Mapping[str, Any]) -> None:
        """Add an estimate of a seed's log p(x); several processes may do so at once."""
        path = self.seed_folder(cell, seed) / "likelihood.csv"
        with locked(path.with_name(".likelihood.lock")):
            known = self.likelihoods(cell, seed)
            added = pd.DataFrame([row])[list(LIKELIHOOD_KINDS)]
            frame = added if known.empty else pd.concat([known, added], ignore_index=True)
            write_with(path, lambda temporary: frame.to_csv(temporary, index=False))

    def likelihoods(self, cell: Cell, seed: int) -> pd.DataFrame:
        """Return the estimates of a seed's log p(x); empty where it has none."""
        path = self.seed_folder(cell, seed) / "likelihood.csv"
        self.manifest(cell, seed)  # which tells whose they are
        return _read(path, LIKELIHOOD_KINDS, once=())

    def write_manifest(self, cell: Cell, seed: int, manifest: Mapping[str, Any]) -> None:
        """Replace a seed's manifest."""
        write_json(self.seed_folder(cell, seed) / "manifest.json", dict(manifest))

    def manifest(self, cell: Cell, seed: int) -> dict[str, Any]:
        """Return a seed's manifest; empty where it has none.

        Raises
        ------
        UserError
            Where it is of another seed: a copy would count as one more seed.
        """
        path = self.seed_folder(cell, seed) / "manifest.json"
        if not path.exists():
            return {}
        advice = f"delete the folder {path.parent} to train this seed again"
        found = read_json(path, advice)
        for key in ("samples", "diverged_at"):
            wrong = key == "samples" and found.get(key, 0) is None
            if wrong or not isinstance(found.get(key), int | None):
                raise UserError(f"{path}: {key} is no whole number; {advice}.")
        try:
            made = (Cell(**found["cell"]).id, found["seed"])
        except (TypeError, KeyError, UserError) as error:
            raise UserError(f"{path} is no manifest of a seed ({error}); {advice}.") from error
        if made != (cell.id, seed):
            raise UserError(
                f"{path} is of {made[0]} seed {made[1]}, so what lies beside it is no result of "
                f"{cell.id} seed {seed}; {advice}."
            )
        return found

    def check_data(self, cell: Cell, seeds: Iterable[int], checksum: str) -> None:
        """Refuse seeds that were trained on other images than those with this checksum."""
        for seed in seeds:
            before = self.manifest(cell, seed).get("data", {}).get("sha256", checksum)
            if before != checksum:
                raise UserError(
                    f"{cell.title} seed {seed} was trained on other images: those of "
                    f"{cell.dataset} had sha256 {before[:8]} and now have {checksum[:8]}; put the "
                    f"former files back, give the new ones another name, or delete the folder "
                    f"{self.folder(cell)} to train on them."
                )

    def is_done(self, cell: Cell, seed: int, samples: int) -> bool:
        """Tell whether a seed has been trained for `samples` or has diverged."""
        if self.manifest(cell, seed).get("diverged_at") is not None:
            return True
        curve = self.curve(cell, seed)
        return bool((curve["samples"] >= samples).any())

    def curves(self, cell: Cell, seeds: Sequence[int], limit: int) -> pd.DataFrame:
        """Join the curves of a cell's seeds up to `limit` samples, labelled in full."""
        frames = [self.curve(cell, seed).assign(seed=seed) for seed in seeds]
        joined = pd.concat(
            [f for f in frames if not f.empty] or [pd.DataFrame(columns=list(CURVES))]
        )
        joined = joined[joined["samples"] <= limit].assign(
            dataset=cell.dataset,
            n_latent=cell.n_latent,
            n_train=cell.n_train,
            algorithm=cell.algorithm,
        )
        return joined[list(CURVES)].reset_index(drop=True)


def is_export(results: Path) -> bool:
    """Tell whether cells lie in the folder itself, as `reproduce export` leaves them."""
    return not (results / "runs").is_dir() and any(results.glob("*/cell.json"))


def stored(results: Path) -> Store:
    """Return the store that a reader finds in a results folder, or in an export."""
    return Store(results if is_export(results) else results / "runs")


def find_cell(store: Store, run: str) -> Cell:
    """Return the one cell whose id is `run` or begins with it, at the end of a word if any does.

    So `mnist-aevb-z20` is not in doubt where there is z200, too.
    """
    known = sorted(path.parent.name for path in store.root.glob("*/cell.json"))
    matches = (
        [name for name in known if name == run]
        or [name for name in known if name.startswith(f"{run}-")]
        or [name for name in known if name.startswith(run)]
    )
    if len(matches) != 1:
        problem = f"Several runs begin with {run!r}" if matches else f"There is no run {run!r}"
        listed = ", ".join(matches or known) or "none yet"
        raise UserError(f"{problem} in {store.root}; there: {listed}.")
    return store.cell(matches[0])


def _read(path: Path, kinds: Mapping[str, type], once: Sequence[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(kinds))
    frame = read_table(path, kinds, "delete it to write it anew", once)
    if list(frame.columns) != list(kinds):
        raise UserError(
            f"{path} should have the columns {','.join(kinds)}, not "
            f"{','.join(map(str, frame.columns))}; delete it to write it anew."
        )
    return frame
