"""Claims 4 and 5, on estimators: the noise of the bound, and Appendix D's log p(x)."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reproduce.analysis.curves import by_place
from reproduce.common.names import PANEL, PAPER_DATASETS, algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, Judgement, Place
from reproduce.experiments.claims.places import STAND_IN, panel_name

GOOD = 0.5
"""Nats of RMSE."""
MEASURED = 0.2
"""A measured variance is known to about this share of itself."""


def bound_varies_little(evidence: Evidence) -> Iterator[Finding]:
    """Claim 4, for the plotted mean and for a single image.

    A statement about each trained model, so every seed must satisfy it, by more than what the
    measurement of a variance leaves open.
    """
    table = evidence.diagnostics
    if table.empty:
        return
    kinds = {"4a": "variance_plotted", "4b": "variance_single"}
    for identity, runs in by_place(table, [*PANEL, "algorithm", "id"]):
        dataset, n_latent, n_train, algorithm, name = identity
        for claim, column in kinds.items():
            values = runs[column].to_numpy(float)
            # No interval over seeds: each has to satisfy the claim by itself.
            effect = replace(Effect.over_seeds(values), low=math.nan, high=math.nan)
            cell = f"{algorithm_name(algorithm)} ({name.rpartition('-')[2]})"
            where = f"{panel_name(dataset, n_latent, n_train)}, {cell}"
            place = Place(where, (algorithm,), dataset, int(n_latent), int(n_train))
            samples = int(runs["samples"].min())
            judgement = _all_below(values, 1.0)
            if dataset not in PAPER_DATASETS:
                judgement = Judgement("undecided", STAND_IN)
            yield Finding(claim, place, effect, judgement, samples, "nats²")


def _all_below(values: NDArray[np.float64], limit: float) -> Judgement:
    """Judge a variance that was measured of every seed to about MEASURED of itself."""
    if (values * (1 + MEASURED) < limit).all():
        return Judgement("holds")
    if (values > limit * (1 + MEASURED)).any():
        return Judgement("does not hold")
    return Judgement("undecided", "more repeats")


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
        claim, good, bad = ("5a" if n_latent <= 5 else "5b"), high < GOOD, low > GOOD
        judgement = Judgement("undecided", "more datapoints")
        if good or bad:
            judgement = Judgement("holds" if good == (claim == "5a") else "does not hold")
        place = Place(str(row["model"]), ("hmc_kde",), n_latent=n_latent)
        yield Finding(claim, place, Effect(rmse, low, high), judgement, unit="nats RMSE")
