"""What a check of one claim in one place finds: an effect, its interval, and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Verdict = Literal["holds", "does not hold", "cannot be told"]
LEVEL = 0.95
MOST_SEEDS_WORTH_NAMING = 100


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
        How many seeds the mean is over.
    std
        Their standard deviation (n − 1); NaN with fewer than two.
    """

    value: float
    low: float
    high: float
    n_seeds: int
    std: float

    @classmethod
    def over_seeds(cls, values: NDArray[np.float64] | Sequence[float]) -> "Effect":
        """Mean and interval of a quantity that each seed has once; those not finite are left out.

        With 2 to 5 seeds a bootstrap covers far less than it says (49 % at two seeds).
        """
        found = np.asarray(values, dtype=float)
        found = found[np.isfinite(found)]
        n = len(found)
        mean = float(found.mean()) if n else math.nan
        std = float(found.std(ddof=1)) if n > 1 else math.nan
        half = half_width(std, n)
        return cls(mean, mean - half, mean + half, n, std)

    def seeds_to_tell(self, threshold: float) -> int | None:
        """How many seeds of this spread would put the interval on one side of `threshold`.

        If mean and spread stayed as they are: they will not, so about half of such runs would tell.
        None where a hundred would not do, or nothing is known of the spread.
        """
        distance = abs(self.value - threshold)
        for n in range(2, MOST_SEEDS_WORTH_NAMING + 1):
            if half_width(self.std, n) < distance:
                return n
        return None


def half_width(std: float, n: int) -> float:
    """Half the width of the 95 % Student-t interval of a mean over `n` seeds."""
    return float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * std / math.sqrt(n)) if n > 1 else math.nan


def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the range in which one more run would lie with 95 %, from the runs `values`.

    The published curves are one run each, so this, not the interval of a mean, is what they are
    held against. NaN with fewer than two runs.
    """
    effect = Effect.over_seeds(list(values))
    half = half_width(effect.std, effect.n_seeds) * math.sqrt(effect.n_seeds + 1)
    return effect.value - half, effect.value + half


@dataclass(frozen=True)
class Finding:
    """A claim in one place (a panel and a split, mostly).

    Attributes
    ----------
    claim
        Its key in `reproduce.experiments.claims.paper.CLAIMS`, such as `1a`.
    where
        For a reader.
    effect, low, high, unit, n_seeds
        The mean over seeds with its 95 % Student-t interval.
    samples
        Training datapoints at which it was read; None where that means nothing.
    stderr_images
        Standard error over images of the less certain of the two curves, where known, in nats: a
        mean over other images would differ by about so much.
    verdict, tell
        And, where it cannot be told, what would tell.
    algorithms, dataset, n_latent, n_train, split
        The same place for programs; None where it does not apply.
    """

    claim: str
    where: str
    effect: float
    low: float
    high: float
    unit: str
    n_seeds: int
    verdict: Verdict
    tell: str = ""
    samples: int | None = None
    stderr_images: float | None = None
    algorithms: tuple[str, ...] = ()
    dataset: str | None = None
    n_latent: int | None = None
    n_train: int | None = None
    split: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain containers for JSON, which has no NaN."""
        plain = asdict(self)
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in plain.items()
        }


def judge(
    effect: Effect, threshold: float, *, exceeds: bool = True, reached: bool = True, goal: str = ""
) -> tuple[Verdict, str]:
    """Say whether the effect lies beyond `threshold`; where it cannot be told, what would tell.

    Parameters
    ----------
    effect
        With its interval.
    threshold
        In the effect's unit.
    exceeds
        The claim is that the effect is above the threshold; false: that it is below.
    reached
        Whether training went as far as the claim speaks of.
    goal
        How far that is, in words.
    """
    if not reached:
        return "cannot be told", f"training to {goal}"
    if not math.isfinite(effect.low):
        count = effect.n_seeds or "no"
        return "cannot be told", f"more seeds: {count} tells nothing of the spread"
    if effect.low > threshold:
        return ("holds" if exceeds else "does not hold"), ""
    if effect.high < threshold:
        return ("does not hold" if exceeds else "holds"), ""
    if effect.low == effect.high:
        return "cannot be told", "more marks: no seed shows any difference between these"
    seeds = effect.seeds_to_tell(threshold)
    if seeds is None:
        return "cannot be told", f"more than {MOST_SEEDS_WORTH_NAMING} seeds at this spread"
    return "cannot be told", f"about {seeds} seeds at this spread"


def overall(findings: Sequence[Finding]) -> Verdict:
    """A claim about all places holds if it does in each, and fails if it does in any."""
    verdicts = {finding.verdict for finding in findings}
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts == {"holds"} else "cannot be told"
