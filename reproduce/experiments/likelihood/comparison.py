"""Experiment 2 number by number: ours by each estimator beside the paper's Figure 3."""

from typing import Any

import numpy as np
import pandas as pd

from reproduce.analysis.curves import in_paper_order, over_seeds
from reproduce.common.markdown import aligned, or_blank
from reproduce.common.names import algorithm_name, dataset_name, short_number

CURVE = ["dataset", "n_latent", "n_train", "algorithm", "split"]
ROUND_MARKS = (1e6, 2e6, 3e6, 5e6, 1e7, 2e7, 5e7, 6e7)
NEAR = 0.05
"""A value counts for a round mark where it lies within this share of it: Monte Carlo EM stops at
its own iterations only."""
NEAR_EXACT, PAPERS_OWN = "quadrature", "hmc_kde"
GAP = "hmc_kde_minus_quadrature"
FIXED = {
    "dataset": "str", "n_latent": "int64", "n_train": "int64", "algorithm": "str", "split": "str",
    "samples": "int64", "published": "float64", "difference": "float64", "n_seeds": "int64",
    "n_points": "int64", GAP: "float64",
}  # fmt: skip
PARTS = ("", "_std", "_ci95_low", "_ci95_high")


def compare_likelihoods(
    estimates: pd.DataFrame, published: pd.DataFrame, drawn: str = NEAR_EXACT
) -> pd.DataFrame:
    """Set our log-likelihoods beside the published ones at round numbers and at our last marks.

    Parameters
    ----------
    estimates
        Columns `dataset`, `n_latent`, `n_train`, `algorithm`, `seed`, `split`, `samples`,
        `estimator`, `value` (nats per datapoint), `n_points`.
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
    columns = _columns(estimators)
    rows = [
        _row(dict(zip(CURVE, name, strict=True)), curve, published, int(mark), estimators)
        for name, curve in estimates.groupby(CURVE)
        for mark in _marks(curve[curve["estimator"] == estimators[0]]["samples"].unique())
    ]
    if not rows:
        return pd.DataFrame({c: pd.Series(dtype=dtype) for c, dtype in columns.items()})
    return in_paper_order(pd.DataFrame(rows)[list(columns)].astype(columns))


def markdown_likelihood_table(comparison: pd.DataFrame, last_only: bool = False) -> str:
    """Markdown table of the comparison, aligned as plain text too.

    Parameters
    ----------
    comparison
        As `compare_likelihoods` gives it.
    last_only
        Only each curve's last mark.
    """
    estimators = [c.removesuffix("_std") for c in comparison.columns if c.endswith("_std")]
    rows = comparison
    if last_only:
        rows = rows.loc[rows.groupby(CURVE, sort=False)["samples"].idxmax()]
    table = [
        ["dataset", "N_train", "algorithm", "split", "samples", "published", *estimators,
         "difference"]
    ]  # fmt: skip
    for _, row in rows.iterrows():
        table.append(
            [
                dataset_name(str(row["dataset"])),
                f"{row['n_train']:,}",
                algorithm_name(str(row["algorithm"])),
                str(row["split"]),
                short_number(float(row["samples"])),
                or_blank(row["published"]),
                *(_with_interval(row, name) for name in estimators),
                or_blank(row["difference"], sign="+"),
            ]
        )
    fewest, most = rows["n_seeds"].min(), rows["n_seeds"].max()
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    n_points = " or ".join(f"{n:,}" for n in sorted(set(rows["n_points"])))
    caption = (
        f"log p(x) in nats per datapoint on the first {n_points} images of each split; ours: mean "
        f"over {seeds} seed{'' if most == 1 else 's'}"
        f"{' ± half the width of its 95 % Student-t interval' if most > 1 else ''}; difference: "
        f"{estimators[0] if estimators else 'ours'} − published."
    )
    return f"{caption}\n\n{aligned(table, right=(1, *range(4, len(table[0]))))}"


def _columns(estimators: list[str]) -> dict[str, str]:
    names = list(FIXED)
    parts = {f"{name}{part}": "float64" for name in estimators for part in PARTS}
    head = {name: FIXED[name] for name in names[:7]}
    tail = {name: FIXED[name] for name in names[7:] if name != GAP}
    both = {GAP: FIXED[GAP]} if {NEAR_EXACT, PAPERS_OWN} <= set(estimators) else {}
    return {**head, **parts, **tail, **both}


def _marks(marks: np.ndarray) -> list[int]:
    """Our marks nearest to round numbers, and the last."""
    if not len(marks):
        return []
    chosen = {int(marks.max())}
    for nominal in ROUND_MARKS:
        nearest = marks[np.abs(marks - nominal).argmin()]
        if abs(nearest - nominal) <= NEAR * nominal:
            chosen.add(int(nearest))
    return sorted(chosen)


def _row(
    identity: dict[str, Any],
    curve: pd.DataFrame,
    published: pd.DataFrame,
    mark: int,
    estimators: list[str],
) -> dict[str, Any]:
    here = curve[(curve["samples"] == mark) & np.isfinite(curve["value"])]
    row: dict[str, Any] = {**identity, "samples": mark}
    row["published"] = _published_at(published, identity, mark)
    for name in estimators:
        mine = over_seeds(here[here["estimator"] == name])
        for part, source in zip(PARTS, ("mean", "std", "ci95_low", "ci95_high"), strict=True):
            row[f"{name}{part}"] = mine[source].iloc[0] if len(mine) else np.nan
    main = here[here["estimator"] == estimators[0]]
    row["difference"] = row[estimators[0]] - row["published"]
    row["n_seeds"] = main["seed"].nunique()
    row["n_points"] = main["n_points"].max() if len(main) else 0
    by_seed = here.pivot_table(index="seed", columns="estimator", values="value")
    both = {NEAR_EXACT, PAPERS_OWN} <= set(by_seed.columns)
    row[GAP] = (by_seed[PAPERS_OWN] - by_seed[NEAR_EXACT]).mean() if both else np.nan
    return row


def _published_at(published: pd.DataFrame, identity: dict[str, Any], mark: int) -> float:
    theirs = published[(published[CURVE] == pd.Series(identity)[CURVE]).all(axis=1)]
    if theirs.empty:
        return float("nan")
    theirs = theirs.sort_values("samples")
    x, y = theirs["samples"].to_numpy(float), theirs["value"].to_numpy(float)
    if x[-1] < mark <= 1.03 * x[-1]:
        return float(y[-1])
    return float(np.interp(mark, x, y, left=np.nan, right=np.nan))


def _with_interval(row: pd.Series, name: str) -> str:
    half = (row[f"{name}_ci95_high"] - row[f"{name}_ci95_low"]) / 2
    return or_blank(row[name]) + (f" ± {half:.1f}" if np.isfinite(half) else "")
