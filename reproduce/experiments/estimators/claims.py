"""Claims 4 and 5, on estimators: the noise of the bound, and Appendix D's log p(x)."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reproduce.common.names import algorithm_name
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Effect, Finding, Verdict
from reproduce.experiments.claims.places import finding_at, groups, panel_name

GOOD = 0.5
"""Nats of RMSE."""
MEASURED = 0.2
"""A measured variance is known to about this share of itself."""


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
    for (dataset, n_latent, n_train, algorithm, name), members in groups(table, keys):
        for claim, column in kinds.items():
            values = members[column].to_numpy(float)
            # No interval over members: each has to satisfy the claim by itself.
            effect = replace(Effect.over_seeds(values), low=math.nan, high=math.nan)
            verdict, tell = _all_below(values, 1.0)
            cell = f"{algorithm_name(algorithm)} ({name.rpartition('-')[2]})"
            place: dict[str, Any] = {
                "where": f"{panel_name(dataset, n_latent, n_train)}, {cell}",
                "dataset": dataset, "n_latent": int(n_latent), "n_train": int(n_train),
            }  # fmt: skip
            samples = int(members["samples"].min())
            found = finding_at(claim, effect, verdict, tell, samples, (algorithm,), place)
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
