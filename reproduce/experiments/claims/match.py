"""Could the published curve be one of our runs?"""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from reproduce.analysis.comparison import FIGURE2_SPLITS, matching, published_value
from reproduce.analysis.curves import by_place, value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import PANEL, algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, Judgement, Place
from reproduce.experiments.claims.places import furthest_of, panel_name

INFORMATIVE = 0.05
"""An interval wider than this share of the value, either way, decides nothing."""


def published_could_be_ours(evidence: Evidence) -> Iterator[Finding]:
    """For each curve, where the published value lies among our runs, as a prediction interval.

    The effect is ours − published, so the published curve could be one of our runs where the
    interval holds 0.
    """
    yield from _matches(evidence.bounds, load_published("figure2"), FIGURE2_SPLITS)
    same = {"train": "train", "test": "test"}
    yield from _matches(evidence.likelihoods, load_published("figure3"), same)


def _matches(
    curves: pd.DataFrame, published: pd.DataFrame, splits: Mapping[str, str]
) -> Iterator[Finding]:
    keys = [*PANEL, "algorithm"]
    for identity, mine in by_place(curves, keys):
        for split, own in splits.items():
            theirs = matching(published, {**dict(zip(keys, identity, strict=True)), "split": split})
            ours = mine[mine["split"] == own]
            if theirs.empty or ours.empty:
                continue
            samples = int(min(furthest_of(ours), theirs["samples"].max()))
            value = published_value(theirs, own, sorted(set(ours["samples"])), samples)
            apart = [value_at(one, samples) - value for _, one in ours.groupby("seed")]
            effect = Effect.over_seeds(apart, one_more=True)
            if not effect.n_seeds:
                continue
            dataset, n_latent, n_train, algorithm = identity
            where = f"{panel_name(dataset, n_latent, n_train)}, {algorithm_name(algorithm)}"
            place = Place(
                f"{where}, {split}", (algorithm,), dataset, int(n_latent), int(n_train), split
            )
            yield Finding("match", place, effect, _could_be_ours(effect, value), samples)


def _could_be_ours(effect: Effect, published: float) -> Judgement:
    """Judge a prediction interval of ours − published."""
    if not math.isfinite(effect.low):
        return Judgement("undecided", "a second seed")
    if not effect.low <= 0 <= effect.high:
        return Judgement("does not hold")
    if effect.high - effect.low > 2 * INFORMATIVE * abs(published):
        return Judgement("undecided", "more seeds: the interval is wider than ±5 %")
    return Judgement("holds")
