"""Claim 3, on the marginal likelihood at two training-set sizes."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from reproduce.analysis.curves import value_at
from reproduce.analysis.published import load_published
from reproduce.common.names import PAPER_DATASETS, algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Finding
from reproduce.experiments.claims.places import SAME, Pair, compared

FAR_BEHIND = 5.0
"""Nats."""
SMALL, LARGE = 1_000, 50_000
"""Figure 3's numbers of training images."""


def beats_wake_sleep(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3a."""
    both = pd.concat([_at_size(evidence, SMALL), _at_size(evidence, LARGE)])
    return _likelier("3a", both, ("aevb", "wake_sleep"))


def mcem_is_competitive(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3b."""

    def about_the_same(pairs: list[Pair], samples: int) -> float:
        return -SAME * abs(float(np.mean([_read(other, samples) for _, other in pairs])))

    small = _at_size(evidence, SMALL)
    return _likelier("3b", small, ("mcem", "wake_sleep"), about_the_same)


def mcem_is_far_behind(evidence: Evidence) -> Iterator[Finding]:
    """Claim 3c, against AEVB by a margin and against wake-sleep."""
    large = _at_size(evidence, LARGE)
    yield from _likelier("3c", large, ("aevb", "mcem"), lambda *_: FAR_BEHIND)
    yield from _likelier("3c", large, ("wake_sleep", "mcem"))


def _at_size(evidence: Evidence, n_train: int) -> pd.DataFrame:
    """The curves at one of Figure 3's sizes; of stand-ins the smallest for the small one."""
    curves = evidence.likelihoods
    papers = curves["dataset"].isin(PAPER_DATASETS)
    others = sorted({int(n) for n in curves.loc[~papers, "n_train"]})
    stands_for = others[:1] if n_train == SMALL else others[1:]
    sizes = curves["n_train"]
    return curves[(papers & (sizes == n_train)) | (~papers & sizes.isin(stands_for))]


def _likelier(
    claim: str,
    curves: pd.DataFrame,
    algorithms: tuple[str, str],
    threshold: Callable[[list[Pair], int], float] = lambda *_: 0.0,
) -> Iterator[Finding]:
    """Whether log p(x) of the first algorithm ends above the second's by more than a threshold."""
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
