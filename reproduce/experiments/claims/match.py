"""Could the published curve be one of our runs?"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from reproduce.analysis.comparison import FIGURE2_SPLITS, published_value
from reproduce.analysis.curves import value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, Verdict, prediction_interval
from reproduce.experiments.claims.places import finding_at, furthest_of, groups, panel_name

INFORMATIVE = 0.05
"""An interval wider than this share of the value, either way, tells nothing."""


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
    keys = ["dataset", "n_latent", "n_train", "algorithm"]
    for identity, mine in groups(curves, keys):
        named = dict(zip(keys, identity, strict=True))
        have = [key for key in keys if key in published.columns]
        for split, own in splits.items():
            theirs = published[published["split"] == split]
            for key in have:
                theirs = theirs[theirs[key] == named[key]]
            ours = mine[mine["split"] == own]
            if theirs.empty or ours.empty:
                continue
            samples = int(min(furthest_of(ours), theirs["samples"].max()))
            value = published_value(theirs, own, sorted(set(ours["samples"])), samples)
            seeds = [value_at(one, samples) for _, one in ours.groupby("seed")]
            seeds = [one for one in seeds if math.isfinite(one)]
            if not seeds or not math.isfinite(value):
                continue
            low, high = prediction_interval([one - value for one in seeds])
            effect = Effect(float(np.mean(seeds) - value), low, high, len(seeds), math.nan)
            verdict, tell = _could_be_ours(low, high, value)
            place: dict[str, Any] = {
                "where": f"{panel_name(*identity[:3])}, {algorithm_name(named['algorithm'])}, "
                f"{split}",
                "dataset": named["dataset"], "n_latent": int(named["n_latent"]),
                "n_train": int(named["n_train"]), "split": split,
            }  # fmt: skip
            algorithms = (str(named["algorithm"]),)
            yield finding_at("match", effect, verdict, tell, samples, algorithms, place)


def _could_be_ours(low: float, high: float, published: float) -> tuple[Verdict, str]:
    """Judge a prediction interval of ours − published."""
    if not math.isfinite(low):
        return "cannot be told", "a second seed"
    if not low <= 0 <= high:
        return "does not hold", ""
    if high - low > 2 * INFORMATIVE * abs(published):
        return "cannot be told", "more seeds: the interval is wider than ±5 %"
    return "holds", ""
