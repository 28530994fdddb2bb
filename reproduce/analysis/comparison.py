"""Ours against the paper, number by number: where both have a value, and only there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reproduce.analysis.curves import in_paper_order, mean_over, over_seeds, value_at
from reproduce.common.markdown import aligned, nats, or_blank, with_interval
from reproduce.common.names import (
    CURVE,
    CURVES,
    DATASET_NAMES,
    PANEL,
    algorithm_name,
    dataset_name,
    short_number,
)

FIGURE2_SPLITS: Mapping[str, str] = {"train": "train_running", "test": "test"}
"""Published split to ours. The published *train* curves of Figure 2 are running means of minibatch
bounds since the previous mark, which is our `train_running`; our `train`, evaluated at the mark
itself, runs ahead of them at the left."""

_KINDS: dict[str, type] = {
    **{column: CURVES[column] for column in CURVE},
    "our_split": str, "samples": int, "published": float, "ours": float, "n_seeds": int,
    "std": float, "ci95_low": float, "ci95_high": float, "difference": float,
}  # fmt: skip
COLUMNS = tuple(_KINDS)
SIZES = {"n_latent": "N_z", "n_train": "N_train"}


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
    paper's panels with `published` and `difference` NaN, and so does a data set of the user's own.

    Parameters
    ----------
    curves
        Columns `reproduce.common.names.CURVES`.
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
    for identity, ours in curves_of(curves):
        our_split = str(identity["split"])
        for split in [theirs for theirs, candidate in splits.items() if candidate == our_split]:
            identity["split"] = split
            theirs = panel = matching(published, identity)
            new = identity["algorithm"] not in set(published["algorithm"])
            if new:
                panel = matching(published, {**identity, "algorithm": None})
            if identity["dataset"] not in DATASET_NAMES:
                new, panel = True, ours
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
    return gathered(parts, "ours", _KINDS)


def curves_of(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each curve of a table, with the values of the columns `CURVE`."""
    for name, curve in table.groupby(CURVE):
        yield dict(zip(CURVE, name, strict=True)), curve


def matching(published: pd.DataFrame, identity: Mapping[str, object]) -> pd.DataFrame:
    """Rows of the published curves that have `identity`, as far as its columns go; None is any."""
    keys = [c for c, value in identity.items() if c in published.columns and value is not None]
    return published[(published[keys] == pd.Series(identity)[keys]).all(axis=1)]


def gathered(parts: Sequence[pd.DataFrame], ours: str, kinds: Mapping[str, type]) -> pd.DataFrame:
    """One table of the columns `kinds`, in the paper's order, with `ours` − published."""
    if not parts:
        return pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in kinds.items()})
    table = pd.concat(parts, ignore_index=True)
    table["difference"] = table[ours] - table["published"]
    return in_paper_order(table[list(kinds)].astype(dict(kinds)))


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
    here = comparison["samples"] == round(at) if at is not None else is_last(comparison)
    rows = comparison[here]
    if rows.empty:
        where = "" if at is None else f" at {short_number(at)} samples"
        return f"None of our curves can be compared with the paper{where}."
    ends = sorted(set(rows["samples"]))
    differ = len(ends) > 1
    reach = "the last mark of each curve" if differ else f"{short_number(ends[0])} training samples"
    about = f"Variational bound in nats per datapoint at {reach}"
    return comparison_table(rows, about, "n_latent", {"ours": ""}, samples=differ)


def is_last(comparison: pd.DataFrame) -> pd.Series:
    """Whether each row is at its curve's last mark."""
    return comparison["samples"] == comparison.groupby(CURVE)["samples"].transform("max")


def comparison_table(
    rows: pd.DataFrame, about: str, size: str, ours: Mapping[str, str], *, samples: bool
) -> str:
    """Lay out rows of a comparison as a Markdown table below its caption.

    Parameters
    ----------
    rows
        Of either experiment.
    about
        What the values are, as the caption begins.
    size
        The column that tells panels apart: `n_latent` or `n_train`.
    ours
        Columns of our means, each with the prefix of the columns of its interval. The first is the
        one whose difference from the published value is given.
    samples
        Whether the rows are at several numbers of samples, so that each names its own.
    """
    head = ["dataset", SIZES[size], "algorithm", "split", *["samples"] * samples, "published"]
    table = [[*head, *ours, "difference"]]
    for row in rows.to_dict("records"):
        halves = ((row[f"{at}ci95_high"] - row[f"{at}ci95_low"]) / 2 for at in ours.values())
        table.append(
            [
                dataset_name(str(row["dataset"])),
                f"{row[size]:,}",
                algorithm_name(str(row["algorithm"])),
                str(row["split"]),
                *[short_number(float(row["samples"]))] * samples,
                or_blank(row["published"]),
                *(with_interval(row[name], half) for name, half in zip(ours, halves, strict=True)),
                or_blank(row["difference"], sign="+"),
            ]
        )
    fewest, most = rows["n_seeds"].min(), rows["n_seeds"].max()
    seeds = f"{most} seed" if fewest == most else f"{fewest} to {most} seed"
    caption = (
        f"{about}; ours: mean over {seeds}{'' if most == 1 else 's'}"
        f"{' ± half the width of its 95 % Student-t interval' if most > 1 else ''}; "
        f"difference: {next(iter(ours), 'ours')} − published."
    )
    return f"{caption}\n\n{aligned(table, right=(1, *range(4, len(table[0]))))}"


def _round_marks(last: float | np.integer) -> NDArray[np.int64]:
    """1e5, 2e5, 5e5, 1e6, ... up to `last`."""
    marks = [m * 10**e for e in range(5, 19) for m in (1, 2, 5)]
    return np.array([mark for mark in marks if mark <= last], dtype=np.int64)
