"""What the estimators of log p(x) were to reach, beside what the validation obtained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

TRAINED = ("quadrature", "importance", "hmc_kde", "ais")


@dataclass(frozen=True)
class Goal:
    """One target: the largest that a statistic of some rows of the validation may be.

    Attributes
    ----------
    part, estimators, latents
        Which rows of `errors.csv`; `latents` None: all.
    statistic
        Its column, without sign.
    most
        In nats.
    """

    part: str
    estimators: tuple[str, ...]
    statistic: str
    most: float
    latents: tuple[int, ...] | None = None


GOALS = (
    Goal("a", ("quadrature",), "largest", 0.01),
    Goal("b", ("quadrature",), "largest", 0.01),
    Goal("a", ("importance",), "largest", 0.05, (1, 2, 3, 5)),
    Goal("a", ("importance",), "largest", 0.2, (20,)),
    Goal("b", ("importance",), "largest", 0.1),
    Goal("a", ("ais",), "rmse", 0.05, (1, 2, 3, 5)),
    Goal("a", ("ais",), "rmse", 0.2, (20,)),
    Goal("b", ("ais",), "rmse", 0.1),
    Goal("a", ("hmc_kde",), "rmse", 0.3, (3,)),
    Goal("c", TRAINED, "mean_error", 0.2),
    Goal("c", TRAINED, "p99", 0.5),
    Goal("c", TRAINED, "missed_unflagged", 0),
)
MEANINGS: dict[str, str] = {
    "largest": "largest error of an image",
    "mean_error": "mean error",
    "rmse": "root mean squared error",
    "p99": "99th percentile of an image's error",
    "missed_unflagged": "images missed by 0.5 and trusted",
}
MOST_GAP = 0.2


def targets(errors: pd.DataFrame, gaps: pd.DataFrame) -> list[dict[str, Any]]:
    """Set every target beside the worst that the validation has.

    Parameters
    ----------
    errors, gaps
        As `make estimators` writes `errors.csv` and `bdmc.csv`.
    """
    latent = errors["model"].str.extract(r"N_z = (\d+)", expand=False).astype(float)
    found = []
    for goal in GOALS:
        for name in goal.estimators:
            chosen = (errors["part"] == goal.part) & (errors["estimator"] == name)
            if goal.latents is not None:
                chosen &= latent.isin(goal.latents)
            worst = float(errors.loc[chosen, goal.statistic].abs().max())
            where = f"N_z = {', '.join(map(str, goal.latents))}" if goal.latents else "all"
            found.append(_row(goal.part, where, name, MEANINGS[goal.statistic], goal.most, worst))
    three = gaps["model"].str.endswith("N_z = 3")
    worst = float(gaps.loc[three, "gap"].abs().max())
    return [*found, _row("d", "N_z = 3", "ais", "gap of the bounds", MOST_GAP, worst)]


def _row(
    part: str, models: str, estimator: str, statistic: str, most: float, worst: float
) -> dict[str, Any]:
    return {
        "part": part,
        "models": models,
        "estimator": estimator,
        "statistic": statistic,
        "at most": f"{most:g}",
        "worst": f"{worst:.3g}",
        "met": "yes" if worst <= most else "NO",
    }


def missed(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Part, estimator and statistic of the targets that are not met."""
    return [(r["part"], r["estimator"], r["statistic"]) for r in rows if r["met"] != "yes"]
