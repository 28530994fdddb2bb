"""What claims are checked on: the curves of drawn figures, the furthest of each."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from reproduce.common.errors import UserError
from reproduce.common.files import read_table
from reproduce.common.names import CURVES, PANEL, PAPER_ALGORITHMS, PAPER_DATASETS, dataset_name
from reproduce.common.provenance import REPOSITORY

FIGURES = ("figure1", "figure2")
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
        others = sorted(known - set(PAPER_DATASETS))
        if not others:
            return ""
        names = " and ".join(dataset_name(name) for name in others)
        return f"Partly about {names}, which are not the paper's data and decide no claim of it."


def gather(results: Path, budget: str | None = None) -> Evidence:
    """Read what there is in a results folder (`results` or `results/reference`).

    Of a figure drawn at several budgets `budget` counts; where that is None, the one that went
    furthest with the paper's methods, on the paper's data if any is of those.
    """
    if budget and not any((results / figure / budget).is_dir() for figure in FIGURES):
        raise UserError(
            f"{results} has no figure drawn with budget={budget}; choose one of: "
            f"{', '.join(budgets(results)) or 'none yet'}."
        )
    found: dict[str, Path | None] = {
        "bounds": _furthest(results / "figure1", budget),
        "likelihoods": _furthest(results / "figure2", budget),
        "estimators": _there(results / "estimators" / "errors.csv"),
        "diagnostics": _there(results / "diagnostics" / "diagnostics.csv"),
    }
    if not any(found.values()):
        raise UserError(
            f"{results} holds neither figure1/<budget>/curves.csv nor figure2/<budget>/curves.csv; "
            "run `reproduce figure figure=figure1` or `figure=figure2` first, or give another "
            "results folder."
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


def budgets(results: Path) -> list[str]:
    """Folders of drawn figures, by what `budget` chooses them by."""
    return sorted({p.parent.name for f in FIGURES for p in results.glob(f"{f}/*/curves*.csv")})


def _furthest(folder: Path, budget: str | None) -> Path | None:
    """The curves of the drawing that went furthest; a stand-in's only where there is no other."""
    at = budget or "*"
    drawn = list(folder.glob(f"{at}/curves.csv")) or list(folder.glob(f"{at}/curves-digits.csv"))
    far = [(*_rank(_read(path)), path.as_posix(), path) for path in drawn]
    return max(far)[-1] if far else None


def _rank(curves: pd.DataFrame) -> tuple[bool, float, float]:
    """Whether a drawing is of the paper's data, how far the paper's curves go there, and all.

    Otherwise digits with many methods of the user's own would count for more than MNIST.
    """
    cells = curves.groupby([*PANEL, "algorithm"], as_index=False)["samples"].max()
    papers_data = cells["dataset"].isin(PAPER_DATASETS)
    of_paper = cells["algorithm"].isin(PAPER_ALGORITHMS) & (papers_data | ~papers_data.any())
    far = cells["samples"]
    return bool(papers_data.any()), float(far[of_paper].sum()), float(far.sum())


def on_papers_data(table: pd.DataFrame) -> bool:
    """Tell whether any row is of the paper's data, or of none, as exact models are."""
    return "dataset" not in table or bool(table["dataset"].isin(PAPER_DATASETS).any())


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
