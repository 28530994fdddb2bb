"""The paper's own curves, read off its vector figures, and values on a curve between its marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproduce.errors import UserError

PUBLISHED_FOLDER = Path(__file__).resolve().parents[1] / "results" / "published"

_DTYPES = {
    "dataset": "str",
    "n_latent": "int64",
    "n_train": "int64",
    "algorithm": "str",
    "split": "str",
    "samples": "int64",
    "value": "float64",
}
_COLUMNS = {
    "figure2": tuple(column for column in _DTYPES if column != "n_train"),
    "figure3": tuple(_DTYPES),
}

READING_ERROR = {"mnist": 0.1, "freyface": 2.0}
"""Nats by which a value read off the vector figures may be wrong, by data set."""


def load_published(
    figure: Literal["figure2", "figure3"], folder: Path = PUBLISHED_FOLDER
) -> pd.DataFrame:
    """Load the curves of one figure of the paper, named as the paper names it.

    Figure 2 shows the variational bound, Figure 3 the estimated marginal log-likelihood, both in
    nats per datapoint. Reading error: `READING_ERROR`, and 0.5 % in samples.

    Parameters
    ----------
    figure
        `figure2` (made again by experiment 1) or `figure3` (by experiment 2).
    folder
        Where `<figure>.csv` lies.

    Returns
    -------
    pd.DataFrame
        One row a published point: `dataset`, `n_latent`, (`figure3` only) `n_train`, `algorithm`,
        `split` (`train` or `test`), `samples` (training datapoints evaluated), `value` (nats).

    Raises
    ------
    UserError
        Where the file is missing or unreadable, lacks a column, or holds an impossible value.

    Notes
    -----
    Source: Kingma & Welling 2013, arXiv 1312.6114v10, Figures 2 and 3.
    """
    path = folder / f"{figure}.csv"
    restore = "restore it from the repository (git checkout results/published)."
    if not path.is_file():
        raise UserError(f"The paper's published curves are missing: expected {path}; {restore}")
    columns = _COLUMNS[figure]
    try:
        frame = pd.read_csv(path, dtype=dict(_DTYPES))
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise UserError(
                f"{path} lacks the column(s) {', '.join(missing)}; expected "
                f"{','.join(columns)}; {restore}"
            )
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); {restore}") from error
    frame = frame.loc[:, list(columns)]
    _validate(frame, path, restore)
    return frame


def _validate(frame: pd.DataFrame, path: Path, restore: str) -> None:
    """Refuse values that no published curve can have."""
    keys = [column for column in frame.columns if column != "value"]
    problems = {
        "a split other than train and test": ~frame["split"].isin(["train", "test"]),
        "samples that are not positive": frame["samples"] <= 0,
        "a value that is not a finite number": ~np.isfinite(frame["value"]),
        "the same point twice": frame.duplicated(keys),
    }
    for problem, rows in problems.items():
        if rows.any():
            line = int(np.flatnonzero(rows)[0]) + 2  # one-based, after the header
            raise UserError(f"{path} holds {problem} (line {line}); {restore}")


@overload
def value_at(curve: pd.DataFrame, samples: float) -> float: ...
@overload
def value_at(
    curve: pd.DataFrame, samples: NDArray[Any] | Sequence[float]
) -> NDArray[np.float64]: ...
def value_at(
    curve: pd.DataFrame, samples: float | NDArray[Any] | Sequence[float]
) -> float | NDArray[np.float64]:
    """Value of one curve between its marks: linear in log10(samples), never extrapolated.

    Parameters
    ----------
    curve
        One curve, in any order: columns `samples` (positive) and `value` (nats).
    samples
        Where to read it, any shape.

    Returns
    -------
    float or array of the shape of `samples`
        Nats; NaN outside the curve's first and last mark, and beside a mark that is not finite.

    Raises
    ------
    ValueError
        Where a mark occurs twice, which means that several curves were passed as one.
    """
    if curve["samples"].duplicated().any():
        raise ValueError("value_at takes one curve, but a number of samples occurs twice in it")
    at = np.asarray(samples, dtype=np.float64)
    marks = curve["samples"].to_numpy(dtype=np.float64)
    values = curve["value"].to_numpy(dtype=np.float64)
    if marks.size == 0:
        result = np.full(at.shape, np.nan)
    else:
        order = np.argsort(marks)
        # A diverged neighbour (inf) yields NaN or inf here; both mean "no value" to the readers.
        with np.errstate(invalid="ignore", divide="ignore"):
            result = np.interp(
                np.log10(at), np.log10(marks[order]), values[order], left=np.nan, right=np.nan
            )
        result = np.where(np.isfinite(result), result, np.nan)
    return float(result) if at.ndim == 0 else np.asarray(result)
