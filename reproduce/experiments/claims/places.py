"""Where claims are checked: panels, seeds in pairs, and how far a curve has to go."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reproduce.analysis.published import END
from reproduce.common.names import dataset_name, in_order, short_number
from reproduce.experiments.claims.finding import Effect, Finding, Verdict

SAME = 0.01
"""Values that differ by this share of themselves count as about the same."""
NEARLY = 0.95
"""Training counts as complete from this share of the published curve's length."""


def places(
    curves: pd.DataFrame, splits: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each panel and split that there is."""
    for (dataset, n_latent, n_train), panel in groups(curves, ["dataset", "n_latent", "n_train"]):
        for split in splits:
            rows = panel[panel["split"] == split]
            if not rows.empty:
                place: dict[str, Any] = {
                    "where": f"{panel_name(dataset, n_latent, n_train)}, {split}",
                    "dataset": dataset, "n_latent": int(n_latent), "n_train": int(n_train),
                    "split": split,
                }  # fmt: skip
                yield place, rows


def groups(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups in the paper's order: MNIST first."""
    if frame.empty:
        return
    groups: dict[tuple[Any, ...], pd.DataFrame] = {
        key if isinstance(key, tuple) else (key,): rows for key, rows in frame.groupby(keys)
    }
    order = in_order([str(key[0]) for key in groups], ["mnist", "freyface"])
    yield from sorted(groups.items(), key=lambda item: (order.index(str(item[0][0])), item[0][1:]))


def panel_name(dataset: str, n_latent: int, n_train: int) -> str:
    """Name a panel for a reader."""
    return f"{dataset_name(dataset)}, N_z = {n_latent}, N = {n_train:,}"


Pair = tuple[pd.DataFrame, pd.DataFrame]
"""One seed's curves of two algorithms."""


def paired(curves: pd.DataFrame, first: str, second: str) -> tuple[list[Pair], int]:
    """The curves of two algorithms, seed by seed, and the furthest that they can be compared at.

    Values that are not finite are left out, and so are seeds that are not nearly as far as
    `furthest`: a seed that has just begun must not take the others back to its own beginning.

    Returns
    -------
    tuple
        The pairs, none where no seed has both curves, and the samples that both curves of each
        pair reach.
    """
    finite = curves[np.isfinite(curves["value"].astype(float))]
    both: list[Pair] = []
    for _, mine in finite.groupby("seed"):
        pair = tuple(mine[mine["algorithm"] == name] for name in (first, second))
        if all(len(curve) for curve in pair):
            both.append((pair[0], pair[1]))
    ends = [int(min(curve["samples"].max() for curve in pair)) for pair in both]
    kept = [at for at, end in enumerate(ends) if end >= NEARLY * furthest(ends)]
    return [both[at] for at in kept], min((ends[at] for at in kept), default=0)


def furthest(ends: Iterable[int]) -> int:
    """How far one of two seeds got, or two of three and more: one alone shows no spread."""
    ordered = sorted(ends)
    return ordered[-2] if len(ordered) > 2 else max(ordered, default=0)


def furthest_of(curves: pd.DataFrame) -> int:
    """The same for the seeds of one curve, each as far as its values are finite."""
    finite = curves[np.isfinite(curves["value"].astype(float))]
    return furthest(int(end) for end in finite.groupby("seed")["samples"].max())


def complete(published: pd.DataFrame, place: dict[str, Any], samples: int) -> tuple[bool, str]:
    """Tell whether `samples` is as far as the published panel shows, and how far that is."""
    theirs = published[published["dataset"] == place["dataset"]]
    for key in ("n_latent", "n_train"):
        if key in theirs.columns:
            theirs = theirs[theirs[key] == place[key]]
    if theirs.empty:
        return True, ""
    end = min(float(theirs["samples"].max()), END)
    so_far = short_number(samples) if samples else "none"
    return samples >= NEARLY * end, f"{short_number(end)} samples (so far {so_far})"


def finding_at(
    claim: str,
    effect: Effect,
    verdict: Verdict,
    tell: str,
    samples: int,
    algorithms: tuple[str, ...],
    place: dict[str, Any],
    stderr: float | None = None,
) -> Finding:
    """Make a finding in nats from an effect and its verdict."""
    return Finding(
        claim=claim,
        effect=effect.value,
        low=effect.low,
        high=effect.high,
        unit="nats",
        n_seeds=effect.n_seeds,
        verdict=verdict,
        tell=tell,
        samples=samples,
        stderr_images=stderr,
        algorithms=algorithms,
        **place,
    )
