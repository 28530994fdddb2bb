"""Experiment 2 number by number: ours by each estimator beside the paper's Figure 3."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reproduce.analysis.comparison import (
    comparison_table,
    curves_of,
    gathered,
    is_last,
    matching,
)
from reproduce.analysis.curves import over_seeds, value_at
from reproduce.common.names import CURVE, CURVES

ROUND_MARKS = (1e6, 2e6, 3e6, 5e6, 1e7, 2e7, 5e7, 6e7)
NEAR = 0.05
"""A value counts for a round mark where it lies within this share of it: Monte Carlo EM stops at
its own iterations only."""
A_LITTLE_LATER = 1.03
"""The end of a published curve serves for marks of ours up to this factor later."""
NEAR_EXACT, PAPERS_OWN = "quadrature", "hmc_kde"
GAP = "hmc_kde_minus_quadrature"
PARTS = {"": "mean", "_std": "std", "_ci95_low": "ci95_low", "_ci95_high": "ci95_high"}
"""Columns of each estimator, after its name, and what `over_seeds` calls them."""


def compare_likelihoods(
    estimates: pd.DataFrame, published: pd.DataFrame, drawn: str = NEAR_EXACT
) -> pd.DataFrame:
    """Set our log-likelihoods beside the published ones at round numbers and at our last marks.

    Parameters
    ----------
    estimates
        Columns `reproduce.common.names.CURVES`, `estimator` and `n_points`.
    published
        As `load_published("figure3")` gives it.
    drawn
        The estimator that the figure was drawn with.

    Returns
    -------
    pd.DataFrame
        A row for each curve and mark at which `drawn` has a value: our mark nearest to the round
        number, within 5 %, and the last. `published` is read linearly at our mark, NaN beyond the
        published curve (but its end serves for marks up to 3 % later). For each estimator `E`
        with values: `E` (mean over seeds), `E_std`, `E_ci95_low` and `E_ci95_high` (Student-t),
        NaN where it has none. `difference` is the drawn estimator's − published;
        `hmc_kde_minus_quadrature` the mean over seeds that have both at that mark: the error of
        the published estimator on the same models and images.
    """
    estimators = sorted(estimates["estimator"].unique(), key=lambda name: (name != drawn, name))
    parts = []
    for identity, curve in curves_of(estimates):
        marks = _marks(curve.loc[curve["estimator"] == estimators[0], "samples"].unique())
        finite = curve[np.isfinite(curve["value"])]
        theirs = matching(published, identity)
        end = theirs["samples"].max()
        at = np.where((end < marks) & (marks <= A_LITTLE_LATER * end), end, marks)
        part = pd.DataFrame({"samples": marks, "published": value_at(theirs, at, "linear")})
        for name in estimators:
            mine = over_seeds(finite[finite["estimator"] == name], marks, "exact")
            part[[name + suffix for suffix in PARTS]] = mine[list(PARTS.values())]
            if name == estimators[0]:
                part["n_seeds"] = mine["n_seeds"]
        drawn_at = finite[finite["estimator"] == estimators[0]].groupby("samples")
        part["n_points"] = drawn_at["n_points"].max().reindex(marks, fill_value=0).to_numpy()
        if {NEAR_EXACT, PAPERS_OWN} <= set(estimators):
            part[GAP] = _gap(finite, marks)
        parts.append(part.assign(**identity))
    return gathered(parts, next(iter(estimators), drawn), _columns(estimators))


def markdown_likelihood_table(comparison: pd.DataFrame, last_only: bool = False) -> str:
    """Markdown table of the comparison, aligned as plain text too.

    Parameters
    ----------
    comparison
        As `compare_likelihoods` gives it.
    last_only
        Only each curve's last mark.
    """
    rows = comparison[is_last(comparison)] if last_only else comparison
    estimators = [c.removesuffix("_std") for c in comparison.columns if c.endswith("_std")]
    n_points = " or ".join(f"{n:,}" for n in sorted(set(rows["n_points"])))
    about = f"log p(x) in nats per datapoint on the first {n_points} images of each split"
    intervals = {name: f"{name}_" for name in estimators}
    return comparison_table(rows, about, "n_train", intervals, samples=True)


def _columns(estimators: Sequence[str]) -> dict[str, type]:
    found: dict[str, type] = {column: CURVES[column] for column in [*CURVE, "samples"]}
    found["published"] = float
    found |= {name + suffix: float for name in estimators for suffix in PARTS}
    found |= {"difference": float, "n_seeds": int, "n_points": int}
    return found | ({GAP: float} if {NEAR_EXACT, PAPERS_OWN} <= set(estimators) else {})


def _marks(marks: np.ndarray) -> np.ndarray:
    """Our marks nearest to round numbers, and the last."""
    if not len(marks):
        return marks
    chosen = {int(marks.max())}
    for nominal in ROUND_MARKS:
        nearest = marks[np.abs(marks - nominal).argmin()]
        if abs(nearest - nominal) <= NEAR * nominal:
            chosen.add(int(nearest))
    return np.array(sorted(chosen), dtype=np.int64)


def _gap(finite: pd.DataFrame, marks: np.ndarray) -> np.ndarray:
    """Mean difference of the two estimators at each mark, over the seeds that have both there."""
    by_seed = finite.pivot_table(
        index=["samples", "seed"], columns="estimator", values="value"
    ).reindex(columns=[PAPERS_OWN, NEAR_EXACT])
    gaps = (by_seed[PAPERS_OWN] - by_seed[NEAR_EXACT]).groupby("samples")
    return gaps.mean().reindex(marks).to_numpy()
