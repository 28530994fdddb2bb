"""What a check of one claim in one place finds: an effect, its interval, and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reproduce.analysis.curves import half_width, spread

Verdict = Literal["holds", "does not hold", "undecided"]
MOST_SEEDS_WORTH_NAMING = 100
STAND_IN = "the paper's data, MNIST and Frey Face (BUDGET=laptop or larger)"
"""What decides a claim about the paper that was checked on other data."""


@dataclass(frozen=True)
class Effect:
    """A mean over seeds with its 95 % Student-t interval.

    Attributes
    ----------
    value
        The mean; NaN where no seed has the quantity.
    low, high
        The interval; NaN with fewer than two seeds.
    n_seeds
        How many seeds the mean is over; 0 where it is over something else.
    std
        Their standard deviation (n − 1); NaN with fewer than two.
    """

    value: float
    low: float
    high: float
    n_seeds: int = 0
    std: float = math.nan

    @classmethod
    def over_seeds(
        cls, values: NDArray[np.float64] | Sequence[float], *, one_more: bool = False
    ) -> "Effect":
        """Mean and interval of a quantity that each seed has once; those not finite are left out.

        With `one_more` it is the prediction interval, in which one more run would lie with 95 %.
        The published curves are one run each, so this, not the interval of a mean, is what they
        are held against.
        """
        found = spread(np.asarray(values, dtype=float)[:, None])
        n = int(found.n_seeds[0])
        mean, std, half = (float(one[0]) for one in (found.mean, found.std, found.half_width))
        if one_more:
            half *= math.sqrt(n + 1)
        return cls(mean, mean - half, mean + half, n, std)

    def seeds_to_decide(self, threshold: float) -> int | None:
        """How many seeds of this spread would put the interval on one side of `threshold`.

        If mean and spread stayed as they are: they will not, so about half of such runs would
        decide. None where a hundred would not do, or nothing is known of the spread.
        """
        n = np.arange(2, MOST_SEEDS_WORTH_NAMING + 1)
        enough = n[half_width(self.std, n) < abs(self.value - threshold)]
        return int(enough[0]) if enough.size else None


class Judgement(NamedTuple):
    """A verdict and, where it is undecided, what would decide it.

    Attributes
    ----------
    verdict
        Of one claim in one place.
    needs
        What would decide it, in words, where it is not seeds.
    seeds
        How many would.
    """

    verdict: Verdict
    needs: str = ""
    seeds: int | None = None

    @property
    def would_decide(self) -> str:
        """What would decide it, in words; empty where it is decided."""
        return about_seeds(self.seeds, self.seeds) if self.seeds else self.needs


def about_seeds(fewest: int, most: int) -> str:
    """Say that so many seeds would decide."""
    return f"about {fewest if fewest == most else f'{fewest} to {most}'} seeds at this spread"


@dataclass(frozen=True)
class Place:
    """Where a claim is checked: a panel and a split, mostly; None is what does not apply.

    `where` is for a reader, the rest for programs.
    """

    where: str
    algorithms: tuple[str, ...]
    dataset: str | None = None
    n_latent: int | None = None
    n_train: int | None = None
    split: str | None = None


@dataclass(frozen=True)
class Finding:
    """A claim in one place.

    Attributes
    ----------
    claim
        Its key in `reproduce.experiments.claims.paper.CLAIMS`, such as `1a`.
    place, effect, judgement
        Where, what was found, and what it means for the claim.
    samples
        Training datapoints at which it was read; None where that means nothing.
    unit
        Of the effect.
    stderr_images
        Standard error over images of the less certain of the two curves, where known, in nats: a
        mean over other images would differ by about so much.
    """

    claim: str
    place: Place
    effect: Effect
    judgement: Judgement
    samples: int | None = None
    unit: str = "nats"
    stderr_images: float | None = None

    @property
    def method(self) -> str | None:
        """The method of the user's own that the claim is about; None for the paper's claims."""
        return self.place.algorithms[0] if self.claim.startswith("own-") else None

    def as_dict(self) -> dict[str, Any]:
        """Plain containers for JSON, which has no NaN."""
        place = asdict(self.place)
        plain = {
            "claim": self.claim,
            "where": place.pop("where"),
            "effect": self.effect.value,
            "low": self.effect.low,
            "high": self.effect.high,
            "unit": self.unit,
            "n_seeds": self.effect.n_seeds,
            "verdict": self.judgement.verdict,
            "would_decide": self.judgement.would_decide,
            "samples": self.samples,
            "stderr_images": self.stderr_images,
            **place,
        }
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in plain.items()
        }


def judge(
    effect: Effect, threshold: float, *, exceeds: bool = True, needs: str | None = None
) -> Judgement:
    """Say whether the effect lies beyond `threshold`.

    Parameters
    ----------
    effect
        With its interval.
    threshold
        In the effect's unit.
    exceeds
        The claim is that the effect is above the threshold; false: that it is below.
    needs
        What is needed first to decide at all, in words; None where nothing is.
    """
    if needs is not None:
        return Judgement("undecided", needs)
    if not math.isfinite(effect.low):
        count = effect.n_seeds or "no"
        return Judgement("undecided", f"more seeds: {count} says nothing about the spread")
    if effect.low > threshold:
        return Judgement("holds" if exceeds else "does not hold")
    if effect.high < threshold:
        return Judgement("does not hold" if exceeds else "holds")
    if effect.low == effect.high:
        return Judgement("undecided", "more marks: no seed shows any difference between these")
    seeds = effect.seeds_to_decide(threshold)
    return Judgement(
        "undecided", f"more than {MOST_SEEDS_WORTH_NAMING} seeds at this spread", seeds
    )


def overall(findings: Sequence[Finding]) -> Verdict:
    """A claim about all places holds if it does in each, and fails if it does in any.

    Places of other data than the paper's neither hold nor fail it, and do not keep it open where
    there are some of the paper's.
    """
    of_paper = [finding for finding in findings if finding.judgement.needs != STAND_IN]
    verdicts = {finding.judgement.verdict for finding in of_paper or findings}
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts == {"holds"} else "undecided"
