"""Curves of several seeds: values between evaluation points, means and intervals over seeds."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reproduce.common.names import ALGORITHM_NAMES, CURVE, DATASET_NAMES, PANEL, in_order

Rule = Literal["log", "linear", "exact"]
"""How a curve is read between its marks: linearly in log10(samples), in samples, or not at all."""


class Spread(NamedTuple):
    """A mean over seeds and how certain it is, each an array with an entry per point.

    Attributes
    ----------
    mean
        NaN where no seed has a value.
    n_seeds
        How many seeds have one.
    std
        Their standard deviation (n - 1); NaN with fewer than two.
    half_width
        Half the width of the 95 % Student-t interval of the mean; NaN with fewer than two. With 2
        to 5 seeds a bootstrap covers far less than it says (49 % at two seeds).
    """

    mean: NDArray[np.float64]
    n_seeds: NDArray[np.int64]
    std: NDArray[np.float64]
    half_width: NDArray[np.float64]


def spread(values: NDArray[np.float64]) -> Spread:
    """Mean and interval over seeds of `values`, shape (seeds, points), finite ones only."""
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=0) / n
        deviation = np.where(finite, values - mean, 0.0)
        std = np.where(n > 1, np.sqrt((deviation**2).sum(axis=0) / (n - 1)), np.nan)
    return Spread(mean, n, std, half_width(std, n))


def half_width(std: NDArray[np.float64] | float, n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half the width of the 95 % Student-t interval of a mean over `n` seeds with this `std`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return stats.t.ppf(0.975, n - 1) * std / np.sqrt(n)


def over_seeds(
    curves: pd.DataFrame, at: NDArray[Any] | None = None, rule: Rule = "log"
) -> pd.DataFrame:
    """Mean and 95 % Student-t interval over the seeds of one curve.

    Parameters
    ----------
    curves
        The seeds of one (dataset, n_latent, n_train, algorithm, split): columns `seed`,
        `samples`, `value` (nats).
    at
        Numbers of samples, shape (points,); all marks of all seeds where None.
    rule
        How each seed is read between its marks.

    Returns
    -------
    pd.DataFrame
        One row a point: `samples`, `mean`, `n_seeds`, `std` (of the seeds, n − 1), `ci95_low`,
        `ci95_high` (of the mean), `lowest` and `highest` seed. A seed without a finite value at a
        point (diverged, or not that far yet) is left out there and `n_seeds` says so. NaN: `std`
        and interval with fewer than two seeds, `mean` with none.

    Raises
    ------
    ValueError
        Where `curves` mixes several curves.
    """
    for column in CURVE:
        if column in curves.columns and curves[column].nunique() > 1:
            raise ValueError(f"over_seeds takes one curve, but {column} differs within it")
    points = np.unique(curves["samples"]) if at is None else at
    seeds = [value_at(seed, points, rule) for _, seed in curves.groupby("seed")]
    values = np.stack(seeds) if seeds else np.empty((0, points.size))
    finite, found = np.isfinite(values), spread(values)
    return pd.DataFrame(
        {
            "samples": points,
            "mean": found.mean,
            "n_seeds": found.n_seeds,
            "std": found.std,
            "ci95_low": found.mean - found.half_width,
            "ci95_high": found.mean + found.half_width,
            "lowest": np.min(values, axis=0, where=finite, initial=np.inf),
            "highest": np.max(values, axis=0, where=finite, initial=-np.inf),
        }
    )


def mean_over(running: pd.DataFrame, start: float, end: float) -> float:
    """Mean over an interval of samples of what running means since the previous point average.

    Parameters
    ----------
    running
        One curve of running means, ours of split `train_running` or a published one of `train`:
        `samples`, `value` (nats). Its first point is taken to average from 0 on.
    start, end
        The interval in samples. Within a point that it cuts the mean is taken to be level.

    Returns
    -------
    float
        Nats; NaN where the curve ends before `end`.
    """
    curve = running.sort_values("samples")
    ends = curve["samples"].to_numpy(dtype=np.float64)
    if not ends.size or ends[-1] < end:
        return float("nan")
    covered = np.diff(np.clip(ends, start, end), prepend=start)
    return float(np.average(curve["value"], weights=covered))


def by_place(
    table: pd.DataFrame, keys: Sequence[str] = PANEL
) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Split a table by its columns `keys`, the first of which is `dataset`: MNIST first."""
    order = in_order(table["dataset"], DATASET_NAMES)
    groups: Any = table.groupby(list(keys))
    return sorted(groups, key=lambda group: (order.index(group[0][0]), *group[0][1:]))


def in_paper_order(table: pd.DataFrame) -> pd.DataFrame:
    """In the paper's order, which is neither the alphabet's nor the file's."""
    known = {
        "dataset": list(DATASET_NAMES),
        "algorithm": list(ALGORITHM_NAMES),
        "split": ["train", "test"],
    }

    def rank(column: pd.Series) -> pd.Series:
        if column.name not in known:
            return column
        order = in_order(column, known[str(column.name)])
        return column.map({value: position for position, value in enumerate(order)})

    return table.sort_values([*CURVE, "samples"], key=rank, ignore_index=True)


@overload
def value_at(curve: pd.DataFrame, samples: float, rule: Rule = "log") -> float: ...


@overload
def value_at(
    curve: pd.DataFrame, samples: NDArray[Any] | Sequence[float], rule: Rule = "log"
) -> NDArray[np.float64]: ...


def value_at(
    curve: pd.DataFrame, samples: float | NDArray[Any] | Sequence[float], rule: Rule = "log"
) -> float | NDArray[np.float64]:
    """Value of one curve at its marks and, by a rule, between them; never extrapolated.

    Parameters
    ----------
    curve
        One curve, in any order: columns `samples` (positive) and `value` (nats).
    samples
        Where to read it, any shape.
    rule
        How to read between two marks.

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
        scale = np.log10 if rule == "log" else np.asarray
        # A diverged neighbour (inf) yields NaN or inf here; both mean "no value" to the readers.
        with np.errstate(invalid="ignore", divide="ignore"):
            result = np.interp(
                scale(at), scale(marks[order]), values[order], left=np.nan, right=np.nan
            )
        known = np.isfinite(result) & (np.isin(at, marks) if rule == "exact" else True)
        result = np.where(known, result, np.nan)
    return float(result) if at.ndim == 0 else np.asarray(result)
