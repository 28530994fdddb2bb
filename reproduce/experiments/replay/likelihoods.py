"""Part 4: log p(x) of untrained models by three estimators, beside Figure 3 at its first points.

The published curves of Figure 3 begin with models that have not been trained, whose log p(x) is
known almost exactly. There the published estimates can be checked without training anything.
"""

from pathlib import Path

import pandas as pd
import torch

from reproduce.analysis.published import UNTRAINED, load_vertices
from reproduce.experiments.replay.draws import FIRST_POINTS, Stream, build, published
from reproduce.likelihood.hmc_kde import HmcKde
from reproduce.likelihood.hmc_kde_2013 import HmcKde2013
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.target import Estimator, Target

ESTIMATORS: dict[str, Estimator] = {
    # p(x|z) of an untrained model hardly depends on z: the prior is all but the posterior, and
    # 500 samples of it leave an error of 0.001 nat per image.
    "importance": Importance(500, "prior"),
    "hmc_kde": HmcKde(),
    "hmc_kde_2013": HmcKde2013(),
}


def replay(data_dir: Path | None) -> pd.DataFrame:
    """Estimate the untrained 784-100-3 models; one row per published value of one.

    Returns
    -------
    pd.DataFrame
        `n_train`, `algorithm`, `split`, `samples`, `published`, and a column for each estimator:
        means of log p(x) over the first 1,000 images of the split, in nats.
    """
    vertices = load_vertices("figure3")
    vertices = vertices[vertices["value"] < UNTRAINED]
    found: dict[str, dict[tuple[str, str], float]] = {}
    rows = []
    for row in vertices.itertuples():
        # Monte Carlo EM had wake-sleep's decoder, and no encoder that log p(x) depends on.
        model = "aevb" if row.algorithm == "aevb" else "wake_sleep"
        if model not in found:
            found[model] = _estimates(model, data_dir)
        values = {name: found[model][name, str(row.split)] for name in ESTIMATORS}
        known = {
            "n_train": row.n_train,
            "algorithm": row.algorithm,
            "split": row.split,
            "samples": row.samples,
            "published": row.value,
        }
        rows.append({**known, **values})
    order = ["n_train", "algorithm", "split"]
    return pd.DataFrame(rows).sort_values(order).reset_index(drop=True)


@torch.no_grad()
def _estimates(algorithm: str, data_dir: Path | None) -> dict[tuple[str, str], float]:
    """Estimate log p(x) of one untrained model by each estimator, on each split."""
    run = published("mnist", 3, algorithm, n_hidden=100)
    stream = Stream(run, data_dir)
    built = build(run, stream)
    target = Target.of(built.model)
    values = {}
    for split, images in {"train": built.train_images, "test": built.test_images}.items():
        x = images[:FIRST_POINTS].float()[None] * run.scale
        for name, estimator in ESTIMATORS.items():
            values[name, split] = float(estimator(target, x, (0,)).value.mean())
    return values
