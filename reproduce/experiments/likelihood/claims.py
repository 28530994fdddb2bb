"""Claim 3, on the marginal likelihood at two training-set sizes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reproduce.analysis.curves import value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Finding
from reproduce.experiments.claims.places import SAME, Pair, compared

FAR_BEHIND = 5.0
"""Nats."""


def beats_wake_sleep(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3a."""
    return _likelier("3a", evidence, ("aevb", "wake_sleep"), _sizes(evidence))


def mcem_is_competitive(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3b."""

    def about_the_same(pairs: list[Pair], samples: int) -> float:
        return -SAME * abs(float(np.mean([_read(other, samples) for _, other in pairs])))

    small = _sizes(evidence)[:1]
    return _likelier("3b", evidence, ("mcem", "wake_sleep"), small, about_the_same)


def mcem_is_far_behind(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3c, against AEVB by a margin and against wake-sleep."""
    large = _sizes(evidence)[1:][-1:]
    yield from _likelier("3c", evidence, ("aevb", "mcem"), large, lambda *_: FAR_BEHIND)
    yield from _likelier("3c", evidence, ("wake_sleep", "mcem"), large)


def _sizes(evidence: Evidence) -> list[int]:
    return sorted({int(n) for n in evidence.likelihoods["n_train"]})


def _likelier(
    claim: str,
    evidence: Evidence,
    algorithms: tuple[str, str],
    sizes: Sequence[int],
    threshold: Callable[[list[Pair], int], float] = lambda *_: 0.0,
) -> Iterator[Finding]:
    """Whether log p(x) of the first algorithm ends above the second's by more than a threshold."""
    curves = evidence.likelihoods[evidence.likelihoods["n_train"].isin(sizes)]
    two = " − ".join(algorithm_name(name) for name in algorithms)
    for found in compared(
        claim, curves, algorithms, _difference,
        published=load_published("figure3"), threshold=threshold,
    ):  # fmt: skip
        place = replace(found.place, where=f"{found.place.where}, {two}")
        yield replace(found, place=place)


def _difference(first: pd.DataFrame, second: pd.DataFrame, samples: int) -> float:
    return _read(first, samples) - _read(second, samples)


def _read(curve: pd.DataFrame, samples: int) -> float:
    """Linearly between marks, which lie close: MCEM stops at its own iterations only."""
    return value_at(curve, samples, "linear")
