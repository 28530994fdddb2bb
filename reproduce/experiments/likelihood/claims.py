"""Claim 3, on the marginal likelihood at two training-set sizes."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from reproduce.analysis.published import load_published
from reproduce.common.names import algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, judge
from reproduce.experiments.claims.places import SAME, complete, finding_at, paired, places

FAR_BEHIND = 5.0
"""Nats."""


def beats_wake_sleep(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3a."""
    yield from _likelier(evidence, "3a", "aevb", "wake_sleep", None, lambda value: 0.0)


def mcem_is_competitive(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3b."""
    yield from _likelier(
        evidence, "3b", "mcem", "wake_sleep", "small", lambda value: -SAME * abs(value)
    )


def mcem_is_far_behind(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3c, against AEVB by a margin and against wake-sleep."""
    yield from _likelier(evidence, "3c", "aevb", "mcem", "large", lambda value: FAR_BEHIND)
    yield from _likelier(evidence, "3c", "wake_sleep", "mcem", "large", lambda value: 0.0)


def _likelier(
    evidence: Evidence,
    claim: str,
    first: str,
    second: str,
    which: str | None,
    threshold: Callable[[float], float],
) -> Iterator[Finding]:
    """Is log p(x) of `first` above that of `second` by more than a threshold, at the end?"""
    published = load_published("figure3")
    sizes = sorted({int(n) for n in evidence.likelihoods["n_train"]})
    wanted = {"small": sizes[:1], "large": sizes[1:][-1:], None: sizes}[which]
    curves = evidence.likelihoods[evidence.likelihoods["n_train"].isin(wanted)]
    for place, panel in places(curves, ("train", "test")):
        pairs, samples = paired(panel, first, second)
        if not pairs:
            continue
        reached, goal = complete(published, place, samples)
        # Linear between marks, which lie close: MCEM stops at its own iterations only.
        at = [[_linear(curve, samples) for curve in pair] for pair in pairs]
        effect = Effect.over_seeds([mine - other for mine, other in at])
        limit = threshold(float(np.mean([other for _, other in at])))
        verdict, tell = judge(effect, limit, reached=reached, goal=goal)
        two = f"{algorithm_name(first)} − {algorithm_name(second)}"
        named = {**place, "where": f"{place['where']}, {two}"}
        errors = [float(c["stderr"].iloc[-1]) for pair in pairs for c in pair if "stderr" in c]
        # That of the less certain curve: both are of the same images, and how much of their
        # errors the difference shares is not stored.
        stderr = max(errors) if errors else None
        yield finding_at(claim, effect, verdict, tell, samples, (first, second), named, stderr)


def _linear(curve: pd.DataFrame, samples: int) -> float:
    ordered = curve.sort_values("samples")
    return float(np.interp(samples, ordered["samples"], ordered["value"], left=math.nan))
