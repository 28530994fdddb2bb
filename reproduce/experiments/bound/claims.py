"""Claims 1 and 2, on the variational bound; and those about a method of the user's own."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from reproduce.analysis.comparison import FIGURE2_SPLITS
from reproduce.analysis.curves import value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import algorithm_name, dataset_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, judge
from reproduce.experiments.claims.places import (
    SAME,
    complete,
    finding_at,
    furthest_of,
    groups,
    paired,
    places,
)

TRAIN, TEST = FIGURE2_SPLITS["train"], FIGURE2_SPLITS["test"]
"""Not our `train`: MNIST's first 10,000 training images are easier than all 50,000, by 0.5
(N_z = 20) to 1.6 nats (N_z = 3), which would be taken for a gap that shrinks as N_z grows."""


def converges_faster(evidence: Evidence) -> Iterator[Finding]:
    """Claim 1a, by the ratio of samples needed (see `speed_up`)."""
    yield from _faster(evidence, "1a", "aevb", "wake_sleep")


def better_bound(evidence: Evidence) -> Iterator[Finding]:
    """Claim 1b, by the difference at the last common mark."""
    yield from _better(evidence, "1b", "aevb", "wake_sleep")


def own_methods(evidence: Evidence) -> Iterator[Finding]:
    """Any other algorithm in the figure, against AEVB."""
    known = {"aevb", "wake_sleep", "mcem"}
    for own in sorted(set(evidence.bounds["algorithm"]) - known):
        yield from _faster(evidence, "own-a", own, "aevb")
        yield from _better(evidence, "own-b", own, "aevb", to_the_end=False)


def _faster(evidence: Evidence, claim: str, first: str, second: str) -> Iterator[Finding]:
    for place, curves in places(evidence.bounds, ("train", "test")):
        pairs, samples = paired(curves, first, second)
        if not pairs:
            continue
        to_there = [[curve[curve["samples"] <= samples] for curve in pair] for pair in pairs]
        logs = [math.log10(speed_up(mine, other)) for mine, other in to_there]
        effect = Effect.over_seeds(logs)
        verdict, tell = judge(effect, 0.0)
        yield Finding(
            claim=claim,
            effect=10**effect.value,
            low=10**effect.low,
            high=10**effect.high,
            unit="× fewer samples",
            n_seeds=effect.n_seeds,
            verdict=verdict,
            tell=tell,
            samples=samples,
            algorithms=(first, second),
            **place,
        )


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


def _better(
    evidence: Evidence, claim: str, first: str, second: str, *, to_the_end: bool = True
) -> Iterator[Finding]:
    published = load_published("figure2")
    for place, curves in places(evidence.bounds, ("train", "test")):
        pairs, samples = paired(curves, first, second)
        if not pairs:
            continue
        reached, goal = complete(published, place, samples)
        effect = Effect.over_seeds(
            [value_at(mine, samples) - value_at(other, samples) for mine, other in pairs]
        )
        verdict, tell = judge(effect, 0.0, reached=reached or not to_the_end, goal=goal)
        yield finding_at(claim, effect, verdict, tell, samples, (first, second), place)


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
    bounds = evidence.bounds
    for (dataset, n_train, algorithm), curves in groups(
        bounds, ["dataset", "n_train", "algorithm"]
    ):
        sizes = sorted(int(size) for size in set(curves["n_latent"]))
        for smaller, larger in pairwise(sizes):
            two = [curves[curves["n_latent"] == size] for size in (smaller, larger)]
            samples = min(furthest_of(one) for one in two)
            values = [_by_seed(one, samples, terms) for one in two]
            seeds = sorted(set(values[0]) & set(values[1]))
            effect = Effect.over_seeds([values[1][seed] - values[0][seed] for seed in seeds])
            test = _by_seed(two[1], samples, {TEST: 1})
            margin = SAME * abs(float(np.mean(list(test.values())))) if test else math.nan
            place: dict[str, Any] = {
                "where": f"{dataset_name(dataset)}, {algorithm_name(algorithm)}, N_z = {smaller} "
                f"to {larger}",
                "dataset": dataset, "n_latent": larger, "n_train": int(n_train),
            }  # fmt: skip
            reached, goal = complete(published, place, samples)
            threshold = -margin if falls else margin
            verdict, tell = judge(effect, threshold, exceeds=falls, reached=reached, goal=goal)
            yield finding_at(claim, effect, verdict, tell, samples, (algorithm,), place)


def _by_seed(curves: pd.DataFrame, samples: int, terms: Mapping[str, int]) -> dict[int, float]:
    """The sum of the splits in `terms`, each with its sign, at `samples`, for each seed."""
    found = {}
    for seed, mine in groups(curves, ["seed"]):
        total = sum(
            sign * value_at(mine[mine["split"] == split], samples) for split, sign in terms.items()
        )
        if math.isfinite(total):
            found[int(seed[0])] = total
    return found
