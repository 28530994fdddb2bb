"""Claims 1 and 2, on the variational bound; and those about a method of the user's own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from reproduce.analysis.comparison import FIGURE2_SPLITS
from reproduce.analysis.curves import by_place, value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import PAPER_ALGORITHMS, algorithm_name, dataset_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, Place, judge
from reproduce.experiments.claims.places import BEGUN, SAME, compared, furthest_of, lacking

TRAIN, TEST = FIGURE2_SPLITS["train"], FIGURE2_SPLITS["test"]
"""Not our `train`: MNIST's first 10,000 training images are easier than all 50,000, by 0.5
(N_z = 20) to 1.6 nats (N_z = 3), which would be taken for a gap that shrinks as N_z grows."""


def converges_faster(evidence: Evidence) -> Iterator[Finding]:
    """Claim 1a, by the ratio of samples needed (see `speed_up`)."""
    published, algorithms = load_published("figure2"), ("aevb", "wake_sleep")
    return _faster("1a", evidence.bounds, algorithms, published)


def better_bound(evidence: Evidence) -> Iterator[Finding]:
    """Claim 1b, by the difference at the last common mark."""
    published, algorithms = load_published("figure2"), ("aevb", "wake_sleep")
    return compared("1b", evidence.bounds, algorithms, _difference, published=published)


def own_methods(evidence: Evidence) -> Iterator[Finding]:
    """Any other algorithm in the figure, against AEVB."""
    for own in sorted(set(evidence.bounds["algorithm"]) - set(PAPER_ALGORITHMS)):
        algorithms = (own, "aevb")
        for found in (
            *_faster("own-a", evidence.bounds, algorithms),
            *compared("own-b", evidence.bounds, algorithms, _difference),
        ):
            where = f"{algorithm_name(own)}, {found.place.where}"
            yield replace(found, place=replace(found.place, where=where))


def _difference(first: pd.DataFrame, second: pd.DataFrame, samples: int) -> float:
    return value_at(first, samples) - value_at(second, samples)


def _faster(
    claim: str,
    curves: pd.DataFrame,
    algorithms: tuple[str, str],
    published: pd.DataFrame | None = None,
) -> Iterator[Finding]:
    for found in compared(
        claim, curves, algorithms, _log_speed_up, published=published, share=BEGUN
    ):
        low, mean, high = (10**x for x in (found.effect.low, found.effect.value, found.effect.high))
        effect = replace(found.effect, low=low, value=mean, high=high)
        yield replace(found, effect=effect, unit="× fewer samples")


def _log_speed_up(first: pd.DataFrame, second: pd.DataFrame, samples: int) -> float:
    to_there = (curve[curve["samples"] <= samples] for curve in (first, second))
    return math.log10(speed_up(*to_there))


def speed_up(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """How many times fewer samples `first` needs than `second` for what both reach.

    The level lies 1 % below the lower of the two best values up to the last mark that both have:
    the best, because a curve may fall, and below it, because on a plateau noise would decide when
    the very best value is reached. Samples are read where each curve first
    reaches the level, linearly in log10(samples). A curve that is above it from
    its first mark counts as reaching it there, so that the ratio is then on the cautious side for
    that curve.

    Parameters
    ----------
    first, second
        One seed's curve each: `samples`, `value`.
    """
    end = float(min(first["samples"].max(), second["samples"].max()))
    best = min(curve.loc[curve["samples"] <= end, "value"].max() for curve in (first, second))
    level = best - SAME * abs(best)
    return _reaches(second, level) / _reaches(first, level)


def _reaches(curve: pd.DataFrame, level: float) -> float:
    """Samples at which a curve first reaches `level`; NaN where it never does."""
    ordered = curve.sort_values("samples")
    marks, values = np.log10(ordered["samples"].to_numpy(float)), ordered["value"].to_numpy(float)
    above = np.flatnonzero(values >= level)
    if not len(above):
        return math.nan
    at = int(above[0])
    if at == 0:
        return float(10 ** marks[0])
    share = (level - values[at - 1]) / (values[at] - values[at - 1])
    return float(10 ** (marks[at - 1] + share * (marks[at] - marks[at - 1])))


def final_bound_does_not_fall(evidence: Evidence) -> Iterator[Finding]:
    """Claim 2a, from each latent size to the next larger one."""
    yield from _over_latents(evidence, "2a", {TEST: 1}, falls=True)


def gap_does_not_grow(evidence: Evidence) -> Iterator[Finding]:
    """Claim 2b, from each latent size to the next larger one."""
    yield from _over_latents(evidence, "2b", {TRAIN: 1, TEST: -1}, falls=False)


def _over_latents(
    evidence: Evidence, claim: str, terms: Mapping[str, int], *, falls: bool
) -> Iterator[Finding]:
    published = load_published("figure2")
    keys = ["dataset", "n_train", "algorithm"]
    for (dataset, n_train, algorithm), curves in by_place(evidence.bounds, keys):
        sizes = sorted(int(size) for size in set(curves["n_latent"]))
        for smaller, larger in pairwise(sizes):
            two = [curves[curves["n_latent"] == size] for size in (smaller, larger)]
            samples = min(furthest_of(one) for one in two)
            values = [_by_seed(one, samples, terms) for one in two]
            seeds = sorted(set(values[0]) & set(values[1]))
            effect = Effect.over_seeds([values[1][seed] - values[0][seed] for seed in seeds])
            test = _by_seed(two[1], samples, {TEST: 1})
            margin = SAME * abs(float(np.mean(list(test.values())))) if test else math.nan
            of = f"{dataset_name(dataset)}, {algorithm_name(algorithm)}"
            where = f"{of}, N_z = {smaller} to {larger}"
            place = Place(where, (algorithm,), dataset, larger, int(n_train))
            needs = lacking(published, place, samples)
            judgement = judge(effect, -margin if falls else margin, exceeds=falls, needs=needs)
            yield Finding(claim, place, effect, judgement, samples)


def _by_seed(curves: pd.DataFrame, samples: int, terms: Mapping[str, int]) -> dict[int, float]:
    """The sum of the splits in `terms`, each with its sign, at `samples`, for each seed."""
    totals = {
        int(str(seed)): sum(
            sign * value_at(mine[mine["split"] == split], samples) for split, sign in terms.items()
        )
        for seed, mine in curves.groupby("seed")
    }
    return {seed: total for seed, total in totals.items() if math.isfinite(total)}
