"""The paper's claims as functions over curves; each returns a finding for every place.

Values are in nats per datapoint. Effects are means over seeds of differences within a seed, with
Student-t intervals; "about the same" means within 1 % of the value, which is about 1 nat on MNIST
and 10 on Frey Face.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reproduce.claims.evidence import Evidence
from reproduce.claims.finding import Effect, Finding, Verdict, judge, prediction_interval
from reproduce.comparison import FIGURE2_SPLITS
from reproduce.figures.style import algorithm_name, dataset_name, in_order, short_number
from reproduce.published import load_published, value_at


@dataclass(frozen=True)
class Claim:
    """What is claimed, and the definition that decides it."""

    statement: str
    definition: str


CLAIMS = {
    "1a": Claim(
        "AEVB converges faster than wake-sleep",
        "AEVB needs fewer training samples to reach the lower of the two bounds that both have at "
        "the end: the ratio of samples is above 1, in every panel of Figure 2, on both splits",
    ),
    "1b": Claim(
        "AEVB reaches a better bound than wake-sleep",
        "the difference of the bounds where the published curves end is above 0, in every panel "
        "of Figure 2, on both splits",
    ),
    "2a": Claim(
        "More latent variables do not overfit: the test bound",
        "the final test bound does not fall by more than 1 % from one N_z to the next",
    ),
    "2b": Claim(
        "More latent variables do not overfit: the gap",
        "the final gap between training and test bound does not grow by more than 1 % of the "
        "bound from one N_z to the next",
    ),
    "3a": Claim(
        "AEVB beats wake-sleep at both training-set sizes",
        "the difference of log p(x) where Figure 3 ends is above 0 at N = 1,000 and 50,000",
    ),
    "3b": Claim(
        "MCEM is competitive at N = 1,000",
        "its log p(x) where Figure 3 ends is no more than 1 % below wake-sleep's",
    ),
    "3c": Claim(
        "MCEM is far behind at N = 50,000",
        "its log p(x) where Figure 3 ends is more than 5 nats below AEVB's, and below wake-sleep's",
    ),
    "4a": Claim(
        "The estimator of the plotted bound varies little",
        "the variance over noise of the plotted mean (up to 10,000 images, L = 1) is below 1 nat² "
        "in every trained model",
    ),
    "4b": Claim(
        "The estimator of one image's bound varies little",
        "the variance over noise of a single image's bound with L = 1 is below 1 nat², in the mean "
        "over images",
    ),
    "5a": Claim(
        "Appendix D's estimator is good up to 5 dimensions",
        "its RMSE against the closed form of linear-Gaussian models is below 0.5 nat",
    ),
    "5b": Claim(
        "Appendix D's estimator is unreliable above 5 dimensions",
        "its RMSE against the closed form of linear-Gaussian models is above 0.5 nat",
    ),
    "own-a": Claim("Your method converges faster than AEVB", "the ratio of 1a"),
    "own-b": Claim(
        "Your method reaches a better bound than AEVB",
        "the difference of 1b, at the samples reached",
    ),
    "match": Claim(
        "The published curves could be runs of ours",
        "the published value at the last common number of samples lies in the 95 % prediction "
        "interval of our seeds, which must be narrower than ±5 % of it to tell anything",
    ),
}
"""The claims, as they are defined here, by their keys."""

SAME = 0.01
FAR_BEHIND = 5.0
GOOD = 0.5
INFORMATIVE = 0.05
MEASURED = 0.2
NEARLY = 0.95
"""Training counts as complete from this share of the published curve's length."""


def check_all(evidence: Evidence) -> list[Finding]:
    """Return every finding that the evidence allows, in the order of the claims."""
    checks: list[Callable[[Evidence], Iterator[Finding]]] = [
        converges_faster, better_bound, final_bound_does_not_fall, gap_does_not_grow,
        beats_wake_sleep, mcem_is_competitive, mcem_is_far_behind, bound_varies_little,
        hmc_kde_is_good_then_unreliable, own_methods, published_could_be_ours,
    ]  # fmt: skip
    found = [finding for check in checks for finding in check(evidence)]
    order = list(CLAIMS)
    return sorted(found, key=lambda finding: order.index(finding.claim))


# Claim 1: AEVB against wake-sleep.


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
        yield from _better(evidence, "own-b", own, "aevb", complete=False)


def _faster(evidence: Evidence, claim: str, first: str, second: str) -> Iterator[Finding]:
    for place, curves in _places(evidence.bounds, ("train", "test")):
        pairs = _paired(curves, first, second)
        if not pairs:
            continue
        logs = [math.log10(speed_up(mine, other)) for mine, other in pairs]
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
            samples=_last_common(pairs),
            algorithms=(first, second),
            **place,
        )


def speed_up(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """How many times fewer samples `first` needs than `second` for what both reach.

    The level is the lower of the two values at the last mark that both have; samples are read
    where each curve first reaches it, linearly in log10(samples). A curve that is above it from
    its first mark counts as reaching it there, so that the ratio is then on the cautious side for
    that curve.

    Parameters
    ----------
    first, second
        One seed's curve each: `samples`, `value`.
    """
    end = float(min(first["samples"].max(), second["samples"].max()))
    level = min(value_at(first, end), value_at(second, end))
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
    evidence: Evidence, claim: str, first: str, second: str, *, complete: bool = True
) -> Iterator[Finding]:
    published = load_published("figure2")
    for place, curves in _places(evidence.bounds, ("train", "test")):
        pairs = _paired(curves, first, second)
        if not pairs:
            continue
        samples = _last_common(pairs)
        reached, goal = _complete(published, place, samples)
        effect = Effect.over_seeds(
            [value_at(mine, samples) - value_at(other, samples) for mine, other in pairs]
        )
        verdict, tell = judge(effect, 0.0, reached=reached or not complete, goal=goal)
        yield _finding(claim, effect, verdict, tell, samples, (first, second), place)


# Claim 2: more latent variables do not overfit.


def final_bound_does_not_fall(evidence: Evidence) -> Iterator[Finding]:
    """Claim 2a, from each latent size to the next larger one."""
    yield from _over_latents(evidence, "2a", lambda train, test: test, falls=True)


def gap_does_not_grow(evidence: Evidence) -> Iterator[Finding]:
    """Claim 2b, from each latent size to the next larger one."""
    yield from _over_latents(evidence, "2b", lambda train, test: train - test, falls=False)


def _over_latents(
    evidence: Evidence, claim: str, quantity: Callable[[float, float], float], *, falls: bool
) -> Iterator[Finding]:
    published = load_published("figure2")
    bounds = evidence.bounds
    for (dataset, n_train, algorithm), curves in _groups(
        bounds, ["dataset", "n_train", "algorithm"]
    ):
        sizes = sorted(int(size) for size in set(curves["n_latent"]))
        for smaller, larger in pairwise(sizes):
            two = [curves[curves["n_latent"] == size] for size in (smaller, larger)]
            samples = int(min(one["samples"].max() for one in two))
            values = [_by_seed(one, samples, quantity) for one in two]
            seeds = sorted(set(values[0]) & set(values[1]))
            effect = Effect.over_seeds([values[1][seed] - values[0][seed] for seed in seeds])
            test = _by_seed(two[1], samples, lambda train, test: test)
            margin = SAME * abs(float(np.mean(list(test.values())))) if test else math.nan
            place: dict[str, Any] = {
                "where": f"{dataset_name(dataset)}, {algorithm_name(algorithm)}, N_z = {smaller} "
                f"to {larger}",
                "dataset": dataset, "n_latent": larger, "n_train": int(n_train),
            }  # fmt: skip
            reached, goal = _complete(published, place, samples)
            threshold = -margin if falls else margin
            verdict, tell = judge(effect, threshold, exceeds=falls, reached=reached, goal=goal)
            yield _finding(claim, effect, verdict, tell, samples, (algorithm,), place)


def _by_seed(
    curves: pd.DataFrame, samples: int, quantity: Callable[[float, float], float]
) -> dict[int, float]:
    """A quantity of (training bound, test bound) at `samples`, for each seed."""
    found = {}
    for seed, mine in _groups(curves, ["seed"]):
        values = [value_at(mine[mine["split"] == split], samples) for split in ("train", "test")]
        if all(map(math.isfinite, values)):
            found[int(seed[0])] = quantity(*values)
    return found


# Claim 3: the marginal likelihood at two training-set sizes.


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
    for place, panel in _places(curves, ("train", "test")):
        pairs = _paired(panel, first, second)
        if not pairs:
            continue
        samples = _last_common(pairs)
        reached, goal = _complete(published, place, samples)
        # Linear between marks, which lie close: MCEM stops at its own iterations only.
        at = [[_linear(curve, samples) for curve in pair] for pair in pairs]
        effect = Effect.over_seeds([mine - other for mine, other in at])
        limit = threshold(float(np.mean([other for _, other in at])))
        verdict, tell = judge(effect, limit, reached=reached, goal=goal)
        errors = [float(c["stderr"].iloc[-1]) for pair in pairs for c in pair if "stderr" in c]
        # That of the less certain curve: both are of the same images, and how much of their
        # errors the difference shares is not stored.
        stderr = max(errors) if errors else None
        yield _finding(claim, effect, verdict, tell, samples, (first, second), place, stderr)


def _linear(curve: pd.DataFrame, samples: int) -> float:
    ordered = curve.sort_values("samples")
    return float(np.interp(samples, ordered["samples"], ordered["value"], left=math.nan))


# Claims 4 and 5: estimators.


def bound_varies_little(evidence: Evidence) -> Iterator[Finding]:
    """Claim 4, for the plotted mean and for a single image.

    A statement about each trained model, so every member must satisfy it, by more than what the
    measurement of a variance leaves open.
    """
    table = evidence.diagnostics
    if table.empty:
        return
    kinds = {"4a": "variance_plotted", "4b": "variance_single"}
    keys = ["dataset", "n_latent", "n_train", "algorithm", "id"]
    for (dataset, n_latent, n_train, algorithm, name), members in _groups(table, keys):
        for claim, column in kinds.items():
            values = members[column].to_numpy(float)
            effect = Effect.over_seeds(values)
            verdict, tell = _all_below(values, 1.0)
            cell = f"{algorithm_name(algorithm)} ({name.rpartition('-')[2]})"
            place: dict[str, Any] = {
                "where": f"{_panel_name(dataset, n_latent, n_train)}, {cell}",
                "dataset": dataset, "n_latent": int(n_latent), "n_train": int(n_train),
            }  # fmt: skip
            samples = int(members["samples"].min())
            found = _finding(claim, effect, verdict, tell, samples, (algorithm,), place)
            yield replace(found, unit="nats²")


def _all_below(values: NDArray[np.float64], limit: float) -> tuple[Verdict, str]:
    """Judge a variance that was measured of every member to about MEASURED of itself."""
    if (values * (1 + MEASURED) < limit).all():
        return "holds", ""
    if (values > limit * (1 + MEASURED)).any():
        return "does not hold", ""
    return "cannot be told", "more repeats"


def hmc_kde_is_good_then_unreliable(evidence: Evidence) -> Iterator[Finding]:
    """Claim 5, on linear-Gaussian models, whose log p(x) is known.

    The interval is over datapoints: the mean squared error's normal interval cannot be had from a
    stored RMSE alone, so that of a chi-squared with as many degrees of freedom is given.
    """
    table = evidence.estimators
    if table.empty:
        return
    exact = table[(table["part"] == "a") & (table["estimator"] == "hmc_kde")]
    for row in exact.to_dict("records"):
        n_latent, n = int(str(row["model"]).rpartition("=")[2]), int(row["n_points"])
        rmse = float(row["rmse"])
        low, high = (rmse * math.sqrt(n / stats.chi2.ppf(p, n)) for p in (0.975, 0.025))
        claim = "5a" if n_latent <= 5 else "5b"
        effect = Effect(rmse, low, high, n, math.nan)
        beyond = low > GOOD if claim == "5b" else high < GOOD
        against = high < GOOD if claim == "5b" else low > GOOD
        verdict = "holds" if beyond else "does not hold" if against else "cannot be told"
        yield Finding(
            claim=claim,
            where=str(row["model"]),
            effect=effect.value,
            low=low,
            high=high,
            unit="nats RMSE",
            n_seeds=0,
            verdict=verdict,
            tell="more datapoints" if verdict == "cannot be told" else "",
            algorithms=("hmc_kde",),
            n_latent=n_latent,
        )


# Is the published curve one of ours?


def published_could_be_ours(evidence: Evidence) -> Iterator[Finding]:
    """For each curve, where the published value lies among our runs, as a prediction interval.

    The effect is ours − published, so the published curve could be one of our runs where the
    interval holds 0.
    """
    yield from _matches(evidence.bounds, load_published("figure2"), FIGURE2_SPLITS)
    same = {"train": "train", "test": "test"}
    yield from _matches(evidence.likelihoods, load_published("figure3"), same)


def _matches(curves: pd.DataFrame, published: pd.DataFrame, splits: Any) -> Iterator[Finding]:
    keys = ["dataset", "n_latent", "n_train", "algorithm"]
    for identity, mine in _groups(curves, keys):
        named = dict(zip(keys, identity, strict=True))
        have = [key for key in keys if key in published.columns]
        for split, own in splits.items():
            theirs = published[published["split"] == split]
            for key in have:
                theirs = theirs[theirs[key] == named[key]]
            ours = mine[mine["split"] == own]
            if theirs.empty or ours.empty:
                continue
            ends = ours.groupby("seed")["samples"].max()
            samples = int(min(ends.max(), theirs["samples"].max()))
            value = value_at(theirs, samples)
            seeds = [value_at(one, samples) for _, one in ours.groupby("seed")]
            seeds = [one for one in seeds if math.isfinite(one)]
            if not seeds or not math.isfinite(value):
                continue
            low, high = prediction_interval([one - value for one in seeds])
            effect = Effect(float(np.mean(seeds) - value), low, high, len(seeds), math.nan)
            verdict, tell = _could_be_ours(low, high, value)
            place: dict[str, Any] = {
                "where": f"{_panel_name(*identity[:3])}, {algorithm_name(named['algorithm'])}, "
                f"{split}",
                "dataset": named["dataset"], "n_latent": int(named["n_latent"]),
                "n_train": int(named["n_train"]), "split": split,
            }  # fmt: skip
            algorithms = (str(named["algorithm"]),)
            yield _finding("match", effect, verdict, tell, samples, algorithms, place)


def _could_be_ours(low: float, high: float, published: float) -> tuple[Verdict, str]:
    """Judge a prediction interval of ours − published."""
    if not math.isfinite(low):
        return "cannot be told", "a second seed"
    if not low <= 0 <= high:
        return "does not hold", ""
    if high - low > 2 * INFORMATIVE * abs(published):
        return "cannot be told", "more seeds: the interval is wider than ±5 %"
    return "holds", ""


# What the checks share.


def _places(
    curves: pd.DataFrame, splits: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each panel and split that there is."""
    for (dataset, n_latent, n_train), panel in _groups(curves, ["dataset", "n_latent", "n_train"]):
        for split in splits:
            rows = panel[panel["split"] == split]
            if not rows.empty:
                place: dict[str, Any] = {
                    "where": f"{_panel_name(dataset, n_latent, n_train)}, {split}",
                    "dataset": dataset, "n_latent": int(n_latent), "n_train": int(n_train),
                    "split": split,
                }  # fmt: skip
                yield place, rows


def _groups(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups in the paper's order: MNIST first."""
    if frame.empty:
        return
    groups: dict[tuple[Any, ...], pd.DataFrame] = {
        key if isinstance(key, tuple) else (key,): rows for key, rows in frame.groupby(keys)
    }
    order = in_order([str(key[0]) for key in groups], ["mnist", "freyface"])
    yield from sorted(groups.items(), key=lambda item: (order.index(str(item[0][0])), item[0][1:]))


def _panel_name(dataset: str, n_latent: int, n_train: int) -> str:
    return f"{dataset_name(dataset)}, N_z = {n_latent}, N = {n_train:,}"


def _paired(
    curves: pd.DataFrame, first: str, second: str
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """The curves of two algorithms, seed by seed, without values that are not finite."""
    finite = curves[np.isfinite(curves["value"].astype(float))]
    both = []
    for _, mine in finite.groupby("seed"):
        pair = tuple(mine[mine["algorithm"] == name] for name in (first, second))
        if all(len(curve) for curve in pair):
            both.append((pair[0], pair[1]))
    return both


def _last_common(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> int:
    """The furthest that both curves of every seed go."""
    return int(min(curve["samples"].max() for pair in pairs for curve in pair))


def _complete(published: pd.DataFrame, place: dict[str, Any], samples: int) -> tuple[bool, str]:
    """Tell whether `samples` is as far as the published panel goes, and how far that is."""
    theirs = published[published["dataset"] == place["dataset"]]
    for key in ("n_latent", "n_train"):
        if key in theirs.columns:
            theirs = theirs[theirs[key] == place[key]]
    if theirs.empty:
        return True, ""
    end = float(theirs["samples"].max())
    return samples >= NEARLY * end, f"{short_number(end)} samples (so far {short_number(samples)})"


def _finding(
    claim: str,
    effect: Effect,
    verdict: Any,
    tell: str,
    samples: int,
    algorithms: tuple[str, ...],
    place: dict[str, Any],
    stderr: float | None = None,
) -> Finding:
    return Finding(
        claim=claim,
        effect=effect.value,
        low=effect.low,
        high=effect.high,
        unit="nats",
        n_seeds=effect.n_seeds,
        verdict=verdict,
        tell=tell,
        samples=samples,
        stderr_images=stderr,
        algorithms=algorithms,
        **place,
    )
