"""Ours against the paper, number by number: where both have a value, and only there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reproduce.figures.style import (
    ALGORITHMS,
    DATASET_NAMES,
    algorithm_name,
    dataset_name,
    in_order,
    short_number,
)
from reproduce.published import value_at

FIGURE2_SPLITS: Mapping[str, str] = {"train": "train_running", "test": "test"}
"""Published split to ours. The published *train* curves of Figure 2 are running means of minibatch
bounds since the previous mark, which is our `train_running`; our `train`, evaluated at the mark
itself, runs ahead of them at the left."""

_DTYPES = {
    "dataset": "str",
    "n_latent": "int64",
    "n_train": "int64",
    "algorithm": "str",
    "split": "str",
    "our_split": "str",
    "samples": "int64",
    "published": "float64",
    "ours": "float64",
    "n_seeds": "int64",
    "std": "float64",
    "ci95_low": "float64",
    "ci95_high": "float64",
    "difference": "float64",
}
COLUMNS = tuple(_DTYPES)
PANEL = ("dataset", "n_latent", "n_train")
_CURVE = [*PANEL, "algorithm", "split"]


def over_seeds(curves: pd.DataFrame, at: NDArray[Any] | None = None) -> pd.DataFrame:
    """Mean and 95 % Student-t interval over the seeds of one curve.

    Parameters
    ----------
    curves
        The seeds of one (dataset, n_latent, n_train, algorithm, split): columns `seed`,
        `samples`, `value` (nats).
    at
        Numbers of samples, shape (points,); all marks of all seeds where None.

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
    for column in _CURVE:
        if column in curves.columns and curves[column].nunique() > 1:
            raise ValueError(f"over_seeds takes one curve, but {column} differs within it")
    points = np.unique(curves["samples"]) if at is None else at
    seeds = [value_at(seed, points) for _, seed in curves.groupby("seed")]
    values = np.stack(seeds) if seeds else np.empty((0, points.size))
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=0) / n
        deviation = np.where(finite, values - mean, 0.0)
        std = np.where(n > 1, np.sqrt((deviation**2).sum(axis=0) / (n - 1)), np.nan)
        half = stats.t.ppf(0.975, n - 1) * std / np.sqrt(n)
    return pd.DataFrame(
        {
            "samples": points,
            "mean": mean,
            "n_seeds": n,
            "std": std,
            "ci95_low": mean - half,
            "ci95_high": mean + half,
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


def published_value(
    theirs: pd.DataFrame, our_split: str, marks: Sequence[float], samples: float
) -> float:
    """Return what the published curve shows where ours has a mark at `samples`, in nats.

    A running mean of ours averages since our mark before, a published one since its point before,
    which is elsewhere. So a published curve that is compared with `train_running` is averaged over
    the samples that ours averages there; others, and between marks, are read off as they are. NaN
    where the curve does not reach, and where its first point, a mean from the untrained model on,
    would be averaged.
    """
    before = [mark for mark in marks if mark < samples]
    if our_split != FIGURE2_SPLITS["train"] or not before or samples not in marks:
        return value_at(theirs, samples)
    if theirs.empty or max(before) < theirs["samples"].min():
        return float("nan")
    return mean_over(theirs, max(before), samples)


def compare(
    curves: pd.DataFrame,
    published: pd.DataFrame,
    splits: Mapping[str, str] = FIGURE2_SPLITS,
) -> pd.DataFrame:
    """Set our curves beside the published ones at 1e5 · {1, 2, 5, 10, 20, 50, ...} samples.

    A row appears only where the published curve and at least one of our seeds have a value, each
    read linearly in log10(samples) and never beyond its ends. Published `train` is compared with
    our `train_running`, because that is what the paper's Figure 2 plots (see `FIGURE2_SPLITS`),
    over the same samples (`published_value`).
    An algorithm that the paper does not have, such as one of the user's own, appears in the
    paper's panels with `published` and `difference` NaN.

    Parameters
    ----------
    curves
        Columns `dataset`, `n_latent`, `n_train`, `algorithm`, `seed`, `split`, `samples`, `value`
        (nats per datapoint).
    published
        As `load_published` gives it. Figure 2 has no `n_train`: each of ours is then compared.
    splits
        Published split to ours; Figure 3 would take `{"train": "train", "test": "test"}`.

    Returns
    -------
    pd.DataFrame
        Columns `COLUMNS`, in the paper's order. `ours` is the mean over `n_seeds` seeds, `std`
        and the 95 % Student-t interval `ci95_low`, `ci95_high` are NaN with one seed, and
        `difference` is ours − published: above 0 our bound is the better one. Nats.
    """
    parts: list[pd.DataFrame] = []
    for name, ours in curves.groupby(_CURVE):
        identity: dict[str, Any] = dict(zip(_CURVE, name, strict=True))
        our_split = str(identity["split"])
        for split in [theirs for theirs, candidate in splits.items() if candidate == our_split]:
            identity["split"] = split
            theirs = _matching(published, identity)
            new = identity["algorithm"] not in set(published["algorithm"])
            panel = theirs if not new else _matching(published, {**identity, "algorithm": None})
            if panel.empty:
                continue
            at = _round_marks(panel["samples"].max())
            part = over_seeds(ours, at).rename(columns={"mean": "ours"})
            marks = sorted(set(ours["samples"]))
            part["published"] = [
                published_value(theirs, our_split, marks, float(mark)) for mark in at
            ]
            part = part.dropna(subset=["ours"] if new else ["ours", "published"])
            if not part.empty:
                parts.append(part.assign(**identity, our_split=our_split))
    if not parts:
        return pd.DataFrame({c: pd.Series(dtype=dtype) for c, dtype in _DTYPES.items()})
    table = pd.concat(parts, ignore_index=True)
    table["difference"] = table["ours"] - table["published"]
    return in_paper_order(table.loc[:, list(COLUMNS)].astype(_DTYPES))


def summarise(comparison: pd.DataFrame, by: Sequence[str] = PANEL) -> pd.DataFrame:
    """How far ours and the published values are apart: one row a panel, over all its marks.

    Parameters
    ----------
    comparison
        As `compare` or `compare_likelihoods` gives it.
    by
        What makes a row.

    Returns
    -------
    pd.DataFrame
        The columns `by`, `n_points`, `mean_absolute_difference`, `worst_absolute_difference`
        (nats), over the points that have a published value.
    """
    known = comparison.dropna(subset=["difference"])
    distance = known.assign(distance=known["difference"].abs())
    grouped = distance.groupby(list(by), as_index=False, sort=False)["distance"]
    return grouped.agg(["count", "mean", "max"]).rename(
        columns={
            "count": "n_points",
            "mean": "mean_absolute_difference",
            "max": "worst_absolute_difference",
        }
    )


def markdown_summary(comparison: pd.DataFrame) -> str:
    """Markdown table of `summarise`; one sentence where nothing can be compared."""
    summary = summarise(comparison)
    if summary.empty:
        return "No panel can be compared with the paper."
    table = [["dataset", "N_z", "N_train", "points", "mean difference", "worst difference"]]
    for row in summary.to_dict("records"):
        table.append(
            [
                dataset_name(str(row["dataset"])),
                str(row["n_latent"]),
                f"{row['n_train']:,}",
                str(row["n_points"]),
                nats(row["mean_absolute_difference"]),
                nats(row["worst_absolute_difference"]),
            ]
        )
    caption = (
        "Absolute differences from the published curves in nats, over all algorithms, splits and "
        "compared numbers of samples of a panel."
    )
    return f"{caption}\n\n{aligned(table, right=range(1, 6))}"


def markdown_table(comparison: pd.DataFrame, at: float | None = 1e6) -> str:
    """Markdown table of the comparison at one number of samples, aligned as plain text too.

    Parameters
    ----------
    comparison
        As `compare` gives it.
    at
        One of its `samples`; None: the last one of each curve.

    Returns
    -------
    str
        A caption that says the units and the number of seeds, a blank line and the table, without
        a newline at the end; one sentence where nothing was compared there.
    """
    if at is None:
        last = comparison.groupby(_CURVE)["samples"].transform("max")
        rows = comparison[comparison["samples"] == last]
    else:
        rows = comparison[comparison["samples"] == round(at)]
    if rows.empty:
        where = "" if at is None else f" at {short_number(at)} samples"
        return f"None of our curves can be compared with the paper{where}."
    ends = sorted(set(rows["samples"]))
    differ = len(ends) > 1
    table = [["dataset", "N_z", "algorithm", "split", "published", "ours", "difference"]]
    if differ:
        table[0].insert(4, "samples")
    for row in rows.itertuples():
        half = (float(row.ci95_high) - float(row.ci95_low)) / 2  # pyright: ignore[reportArgumentType]
        table.append(
            [
                dataset_name(str(row.dataset)),
                str(row.n_latent),
                algorithm_name(str(row.algorithm)),
                str(row.split),
                *([short_number(float(row.samples))] if differ else []),  # pyright: ignore[reportArgumentType]
                or_blank(float(row.published)),  # pyright: ignore[reportArgumentType]
                nats(row.ours) + (f" ± {half:.1f}" if np.isfinite(half) else ""),
                or_blank(float(row.difference), sign="+"),  # pyright: ignore[reportArgumentType]
            ]
        )
    fewest, most = rows["n_seeds"].min(), rows["n_seeds"].max()
    count = str(most) if fewest == most else f"{fewest} to {most}"
    seeds = f"{count} seed" + ("" if most == 1 else "s")
    interval = " ± half the width of its 95 % Student-t interval" if most > 1 else ""
    reach = "the last mark of each curve" if differ else f"{short_number(ends[0])} training samples"
    caption = (
        f"Variational bound in nats per datapoint at {reach}; "
        f"ours: mean over {seeds}{interval}; difference: ours − published."
    )
    return f"{caption}\n\n{aligned(table, right=(1, *range(4, len(table[0]))))}"


def _matching(published: pd.DataFrame, identity: Mapping[str, object]) -> pd.DataFrame:
    """Rows of the published curves that have `identity`, as far as its columns go; None is any."""
    keys = [c for c, value in identity.items() if c in published.columns and value is not None]
    return published[(published[keys] == pd.Series(identity)[keys]).all(axis=1)]


def _round_marks(last: float | np.integer) -> NDArray[np.int64]:
    """1e5, 2e5, 5e5, 1e6, ... up to `last`."""
    marks = [m * 10**e for e in range(5, 19) for m in (1, 2, 5)]
    return np.array([mark for mark in marks if mark <= last], dtype=np.int64)


def in_paper_order(table: pd.DataFrame) -> pd.DataFrame:
    """In the paper's order, which is neither the alphabet's nor the file's."""
    known = {"dataset": list(DATASET_NAMES), "algorithm": list(ALGORITHMS)}
    known["split"] = ["train", "test"]

    def rank(column: pd.Series) -> pd.Series:
        if column.name not in known:
            return column
        order = in_order(column, known[str(column.name)])
        return column.map({value: position for position, value in enumerate(order)})

    return table.sort_values([*_CURVE, "samples"], key=rank, ignore_index=True)


def nats(value: object, sign: str = "") -> str:
    """Write a number of nats, with a minus sign rather than a hyphen."""
    return f"{value:{sign}.1f}".replace("-", "−")


def or_blank(value: float, sign: str = "") -> str:
    """Write a number of nats, or nothing where there is none."""
    return nats(value, sign) if np.isfinite(value) else ""


def aligned(table: list[list[str]], right: Iterable[int]) -> str:
    """Lay out a Markdown table; `right` names the columns of numbers, header row first."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    numbers = set(right)
    lines = [
        [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
    rule = [
        "-" * (width - 1) + ":" if column in numbers else "-" * width
        for column, width in enumerate(widths)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
