"""What claims are checked on: the curves of drawn figures, the furthest of each."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from reproduce.common.errors import UserError
from reproduce.common.files import read_table
from reproduce.common.names import CURVE, CURVES, dataset_name
from reproduce.common.provenance import REPOSITORY

COMMITTED = REPOSITORY / "results" / "reference"
KINDS: dict[str, dict[str, type]] = {
    "errors.csv": {
        "part": str, "model": str, "estimator": str, "n_points": int, "rmse": float,
    },
    "diagnostics.csv": {
        "id": str, "dataset": str, "n_latent": int, "n_train": int, "algorithm": str, "seed": int,
        "samples": int, "variance_single": float, "variance_plotted": float,
    },
}  # fmt: skip
"""Columns that claims read; every other table is of curves."""


@dataclass(frozen=True)
class Evidence:
    """Tables of a results folder; an empty one where something has not been made.

    Attributes
    ----------
    bounds
        `curves.csv` of figure 1: the variational bound.
    likelihoods
        `curves.csv` of figure 2, of the estimator it was drawn with.
    estimators
        `errors.csv` of `make estimators`: the committed one where the folder has none.
    diagnostics
        `diagnostics.csv` of `make diagnostics`.
    sources
        From each of these names to the file.
    """

    bounds: pd.DataFrame
    likelihoods: pd.DataFrame
    estimators: pd.DataFrame
    diagnostics: pd.DataFrame
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def remark(self) -> str:
        """What has to be said where something is not of the paper's data; else empty."""
        tables = (self.bounds, self.likelihoods, self.diagnostics)
        known = {name for table in tables if len(table) for name in table["dataset"]}
        others = sorted(known - {"mnist", "freyface"})
        if not others:
            return ""
        names = " and ".join(dataset_name(name) for name in others)
        return f"These verdicts are partly about {names}, which are not the paper's data."


def gather(results: Path) -> Evidence:
    """Read what there is in a results folder (`results` or `results/reference`).

    Of a figure drawn at several budgets the one that went furthest counts.
    """
    found: dict[str, Path | None] = {
        "bounds": _furthest(results / "figure1"),
        "likelihoods": _furthest(results / "figure2"),
        "estimators": _there(results / "estimators" / "errors.csv"),
        "diagnostics": _there(results / "diagnostics" / "diagnostics.csv"),
    }
    if not any(found.values()):
        raise UserError(
            f"{results} holds neither figure1/<budget>/curves.csv nor figure2/<budget>/curves.csv; "
            "run `make figure1` or `make figure2` first, or give another results folder."
        )
    found["estimators"] = _there(or_committed(results / "estimators" / "errors.csv"))
    tables = {name: _read(path) if path else pd.DataFrame() for name, path in found.items()}
    if not tables["likelihoods"].empty:
        tables["likelihoods"] = _main_estimator(tables["likelihoods"])
    for name in ("bounds", "likelihoods"):
        if tables[name].empty:
            tables[name] = pd.DataFrame(columns=[*CURVES, "stderr"])
    return Evidence(**tables, sources={k: v.as_posix() for k, v in found.items() if v})


def or_committed(path: Path) -> Path:
    """Return `path`, or the committed file of that name where it is not there.

    For what is a property of the code, not of a user's runs.
    """
    return path if path.is_file() else COMMITTED / path.parent.name / path.name


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _furthest(folder: Path) -> Path | None:
    """The curves of the drawing that went furthest; a stand-in's only where there is no other."""
    drawn = list(folder.glob("*/curves.csv")) or list(folder.glob("*/curves-digits.csv"))
    far = [(_total(path), path.as_posix(), path) for path in drawn]
    return max(far)[2] if far else None


def _total(path: Path) -> float:
    """How far all curves of a drawing go together."""
    curves = _read(path)
    keys = [c for c in [*CURVE, "seed"] if c in curves.columns]
    return float(curves.groupby(keys)["samples"].max().sum()) if len(curves) else 0.0


def _read(path: Path) -> pd.DataFrame:
    kinds = KINDS.get(path.name, CURVES)
    curves = path.name.startswith("curves")
    frame = read_table(path, kinds, "draw the figure again" if curves else "make it again")
    if curves and (frame["samples"] <= 0).any():
        raise UserError(f"{path} has samples that are not positive; draw the figure again.")
    keys = [name for name in (*CURVES, "estimator") if name in frame.columns and name != "value"]
    if curves and frame.duplicated(keys).any():
        raise UserError(f"{path} holds a point twice; draw the figure again.")
    return frame


def _main_estimator(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of the estimator with the most points: the one the figure was drawn with."""
    if "estimator" not in curves.columns:
        return curves
    return curves[curves["estimator"] == curves["estimator"].value_counts().idxmax()]
