"""The paper's own curves, exact to three decimals, and values on a curve between its marks."""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from reproduce.analysis.curves import value_at
from reproduce.common.errors import UserError
from reproduce.common.names import CURVE, CURVES, PLACE
from reproduce.common.provenance import shipped

PUBLISHED_FOLDER = shipped("results/published")

_KINDS = {
    **{column: CURVES[column] for column in CURVE},
    "run": int, "samples": int, "iterations": int, "value": float, "inside_axes": int, "kind": str,
}  # fmt: skip
_COLUMNS = {
    "figure2": tuple(name for name in _KINDS if name != "n_train"),
    "figure3": tuple(name for name in _KINDS if name not in ("run", "iterations", "kind")),
}
_NOT_OF_CURVES = ["run", "iterations", "inside_axes", "kind"]
END = 1e8
"""Samples at the last tick of Figure 2's axes, which is how far its curves are followed here; its
lines go on to 2.5e8 (MNIST) within the axes and further beyond them."""
UNTRAINED = -500.0
"""Nats below which log p(x) in Figure 3 is that of an untrained model, about -544."""


def load_vertices(
    figure: Literal["figure2", "figure3"], folder: Path = PUBLISHED_FOLDER
) -> pd.DataFrame:
    """Load every vertex of the curves in one figure of the paper, named as the paper names it.

    Parameters
    ----------
    figure
        `figure2` (made again by experiment 1) or `figure3` (by experiment 2).
    folder
        Where `<figure>.csv` lies.

    Returns
    -------
    pd.DataFrame
        One row per vertex: `dataset`, `n_latent`, `algorithm`, `split` (`train` or `test`),
        `samples` (training datapoints evaluated), `value` (nats per datapoint), `inside_axes`.
        `figure2` also has `run` (of several runs of one curve the last is the final one),
        `iterations` and `kind` (`exact`, or how the value at iteration 1 was found); `figure3`
        has `n_train`. Values have three decimals, samples are exact.

    Notes
    -----
    Source: Kingma & Welling 2013, arXiv 1312.6114v10, Figures 2 and 3;
    `python -m studies.published_curves PDF` makes both files again.
    """
    path = folder / f"{figure}.csv"
    restore = "restore it from the repository (git checkout results/published)."
    if not path.is_file():
        raise UserError(f"The paper's published curves are missing: expected {path}; {restore}")
    columns = _COLUMNS[figure]
    try:
        frame = pd.read_csv(path, dtype=_KINDS)
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


def load_published(
    figure: Literal["figure2", "figure3"], folder: Path = PUBLISHED_FOLDER
) -> pd.DataFrame:
    """Load the curves of one figure of the paper: the final run of each, of trained models.

    Figure 2 shows the variational bound, Figure 3 the estimated marginal log-likelihood, both in
    nats per datapoint. Points that Figure 2 shows for one split of a run, they have for both. Left
    out, though `load_vertices` has them, are aborted runs, the values of
    untrained models, between which and the next point a curve shows nothing, and what lies right
    of Figure 3's axes.

    Parameters
    ----------
    figure, folder
        As for `load_vertices`.

    Returns
    -------
    pd.DataFrame
        One row per published point: `dataset`, `n_latent`, (`figure3` only) `n_train`,
        `algorithm`, `split`, `samples`, `value`.
    """
    return _final_curves(figure, folder).copy()


@cache  # what is drawn, compared and judged each asks for them, a fifth of a second at a time
def _final_curves(figure: Literal["figure2", "figure3"], folder: Path) -> pd.DataFrame:
    frame = load_vertices(figure, folder)
    if figure == "figure2":
        curve = [*PLACE, "split"]
        final = frame["run"] == frame.groupby(curve)["run"].transform("max")
        frame = _at_all_hooks(frame[final & (frame["kind"] == "exact")])
    else:
        inside = frame["samples"].where(frame["inside_axes"] == 1)
        right_edge = inside.groupby(frame["n_train"]).transform("max")
        frame = frame[(frame["value"] > UNTRAINED) & (frame["samples"] <= right_edge)]
    kept = [name for name in _COLUMNS[figure] if name not in _NOT_OF_CURVES]
    return frame[kept].reset_index(drop=True)


def _at_all_hooks(frame: pd.DataFrame) -> pd.DataFrame:
    """Give both splits of a run a point wherever one of them has one.

    The author's code evaluated both at once. What one curve lacks is a vertex on the straight line
    between its neighbours, which matplotlib leaves out, so it is read off that line.
    """
    parts = []
    for _, run in frame.groupby(PLACE, sort=False):
        hooks = np.unique(run["samples"])
        for _, curve in run.groupby("split", sort=False):
            values = value_at(curve, hooks)
            known = np.isfinite(values)
            labels = curve.iloc[[0]].drop(columns=["samples", "value"])
            points = pd.DataFrame({"samples": hooks[known], "value": values[known]})
            parts.append(labels.merge(points, how="cross"))
    return pd.concat(parts, ignore_index=True)


def _validate(frame: pd.DataFrame, path: Path, restore: str) -> None:
    """Refuse values that no published curve can have."""
    keys = [name for name in frame.columns if name not in ("value", "inside_axes", "kind")]
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
