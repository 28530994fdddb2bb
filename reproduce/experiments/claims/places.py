"""Where claims are checked: panels, seeds in pairs, and how far a curve has to go."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from reproduce.analysis.comparison import matching
from reproduce.analysis.curves import by_place
from reproduce.analysis.published import END
from reproduce.common.names import PAPER_DATASETS, dataset_name, short_number
from reproduce.experiments.claims.finding import STAND_IN, Effect, Finding, Place, judge

SAME = 0.01
"""Values that differ by this share of themselves count as about the same."""
NEARLY = 0.95
"""Training counts as complete from this share of the published curve's length."""
BEGUN = 0.01
"""Curves can be compared by their speed from this share of it."""


def places(curves: pd.DataFrame) -> Iterator[tuple[Place, pd.DataFrame]]:
    """Each panel and split that there is."""
    for (dataset, n_latent, n_train), panel in by_place(curves):
        for split in ("train", "test"):
            rows = panel[panel["split"] == split]
            if not rows.empty:
                where = f"{panel_name(dataset, n_latent, n_train)}, {split}"
                yield Place(where, (), dataset, int(n_latent), int(n_train), split), rows


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


def lacking(
    published: pd.DataFrame, place: Place, samples: int, share: float = NEARLY
) -> str | None:
    """Say what a claim about the published panel needs first; None where nothing.

    That is the paper's data, or training for `share` of the published curves' length. A panel of
    the paper's data that the paper does not have may be of any length.
    """
    if place.dataset not in PAPER_DATASETS:
        return STAND_IN
    here = {"dataset": place.dataset, "n_latent": place.n_latent, "n_train": place.n_train}
    theirs = matching(published, here)
    end = min(float(theirs["samples"].max()), END)
    if theirs.empty or samples >= share * end:
        return None
    goal = end if share == NEARLY else share * end
    far = short_number(samples) if samples else "none"
    return f"training to {short_number(goal)} samples (so far {far})"


def compared(
    claim: str,
    curves: pd.DataFrame,
    algorithms: tuple[str, str],
    measure: Callable[[pd.DataFrame, pd.DataFrame, int], float],
    *,
    published: pd.DataFrame | None = None,
    share: float = NEARLY,
    threshold: Callable[[list[Pair], int], float] = lambda pairs, samples: 0.0,
) -> Iterator[Finding]:
    """Judge, in each panel and split, whether a measure of two algorithms is above a threshold.

    Parameters
    ----------
    claim
        Its key.
    curves
        Of all panels.
    algorithms
        The two.
    measure
        Of two curves of one seed, the first algorithm's before the second's, and the samples to
        compare them at.
    published
        Curves of the panels that the claim is about; None: it is about any, of any length.
    share
        Of the published curves' length, which training must have reached.
    threshold
        From all pairs and those samples.
    """
    for place, here in places(curves):
        pairs, samples = paired(here, *algorithms)
        if not pairs:
            continue
        effect = Effect.over_seeds([measure(mine, other, samples) for mine, other in pairs])
        needs = None if published is None else lacking(published, place, samples, share)
        judgement = judge(effect, threshold(pairs, samples), needs=needs)
        # That of the less certain curve: both are of the same images, and how much of their
        # errors the difference shares is not stored.
        errors = [float(c["stderr"].iloc[-1]) for pair in pairs for c in pair if "stderr" in c]
        at = replace(place, algorithms=algorithms)
        yield Finding(
            claim, at, effect, judgement, samples, stderr_images=max(errors, default=None)
        )
