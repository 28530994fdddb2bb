"""Train candidates, set beside Figure 3: `python -m studies.figure3_settings`.

Takes the settings of `reproduce train` that say where and how (`results=`, `data.dir=`, `workers=`,
`seeds=`, `compile=`). Writes studies/figure3_settings/results.csv and prints it as a table.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from reproduce import config
from reproduce.algorithms.schedule import rounded
from reproduce.analysis.published import load_published
from reproduce.common import cli
from reproduce.common.files import write_with
from reproduce.common.markdown import aligned, nats
from reproduce.common.names import algorithm_name
from reproduce.data.fallback import substitute_missing
from reproduce.likelihood import evaluate
from reproduce.likelihood.evaluate import ConfiguredEstimator, Question
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job
from reproduce.training.loop import block_samples

STEP, FACTOR = "algorithm.step_size", "model.encoder.log_variance_scale"
WARM_UP = "algorithm.warmup_updates"
CANDIDATES: dict[tuple[int, str], list[dict[str, float]]] = {
    (1_000, "aevb"): [{STEP: 0.1}, {STEP: 0.02}],
    (1_000, "wake_sleep"): [
        {STEP: 0.1, FACTOR: 0.1}, {STEP: 0.1, FACTOR: 1.0}, {STEP: 0.02, FACTOR: 0.1}
    ],
    (1_000, "mcem"): [
        {STEP: 0.1, WARM_UP: 10}, {STEP: 0.1, WARM_UP: 0}, {STEP: 0.02, WARM_UP: 10}
    ],
    (50_000, "aevb"): [{STEP: 0.02}, {STEP: 0.1}],
    (50_000, "wake_sleep"): [
        {STEP: 0.1, FACTOR: 0.1}, {STEP: 0.1, FACTOR: 1.0}, {STEP: 0.02, FACTOR: 0.1},
        {STEP: 0.02, FACTOR: 1.0},
    ],
    (50_000, "mcem"): [
        {STEP: 0.1, WARM_UP: 10}, {STEP: 0.1, WARM_UP: 0}, {STEP: 0.02, WARM_UP: 10}
    ],
}  # fmt: skip
"""From N_train and algorithm to candidates; the first of each is the suite's default."""
POINTS: dict[tuple[int, str], tuple[int, ...]] = {
    (1_000, "aevb"): (278_400, 565_300),
    (1_000, "wake_sleep"): (1_467_800,),
    (1_000, "mcem"): (195_000, 840_000),
    (50_000, "aevb"): (2_803_000,),
    (50_000, "wake_sleep"): (1_790_800,),
    (50_000, "mcem"): (26_250_000,),
}
"""Where the published training curve is read, in samples: its first points of trained models."""
ESTIMATORS = ("quadrature", "hmc_kde_2013")
N_POINTS = 1_000
RESULTS = Path(__file__).with_name("results.csv")


def jobs(overrides: Sequence[str]) -> Iterator[tuple[tuple[int, str], str, Job]]:
    """Return each candidate's place, its name and its training, with weights kept at the points."""
    for (n_train, algorithm), candidates in CANDIDATES.items():
        points = POINTS[n_train, algorithm]
        for candidate in candidates:
            given = [f"{key}={value}" for key, value in candidate.items()]
            job = config.job_from(
                config.compose_config(
                    [
                        "seeds=2", "tracking=off", *overrides, "data=mnist",
                        f"algorithm={algorithm}", f"data.n_train={n_train}", "model.n_latent=3",
                        "model.n_hidden=100", f"samples={max(points)}", *given,
                    ]
                )
            )  # fmt: skip
            name = ", ".join(f"{key.rpartition('.')[2]} {v}" for key, v in candidate.items())
            yield (n_train, algorithm), name, replace(job, snapshots=points)


def estimated(job: Job, samples: int, name: str) -> Iterator[tuple[int, float]]:
    """Yield each seed with log p(x) of the first training images by an estimator, in nats."""
    store = Store(job.store)
    estimator = ConfiguredEstimator.from_config(
        config.compose_config([f"estimator={name}"], "estimate").estimator
    )
    question = Question(job.cell, samples, "train", N_POINTS)
    for seed in job.seeds:
        known = evaluate.kept_or_made(store, question, seed, estimator, job.data_dir)
        yield seed, float(known["value"])


def markdown(table: pd.DataFrame) -> str:
    """Lay the results out, one row per candidate and point: each seed's value by each estimator."""
    head = ["N_train", "algorithm", "candidate", "samples", "published", *ESTIMATORS]
    rows = [head]
    for key, mine in table.groupby(head[:5], sort=False):
        n_train, algorithm, candidate, samples, published = key  # type: ignore[misc]
        values = [" ".join(nats(value) for value in mine[name]) for name in ESTIMATORS]
        rows.append([f"{n_train:,}", algorithm_name(str(algorithm)), str(candidate),
                     f"{samples:,}", nats(published), *values])  # fmt: skip
    return aligned(rows, right=(0, 3, 4, 5, 6))


def main() -> int:
    """Train, estimate, write and print; return the exit status."""
    overrides = sys.argv[1:]
    terminal = Console(soft_wrap=True, markup=False)
    settings = config.compose_config(overrides)
    substitute_missing(["mnist"], config.data_dir(settings), "error", terminal)
    found = list(jobs(overrides))
    pool.run([job for *_, job in found], config.workers(settings), terminal)
    published = load_published("figure3")
    published = published[published["split"] == "train"].set_index(
        ["n_train", "algorithm", "samples"]
    )["value"]
    rows = []
    for (n_train, algorithm), name, job in found:
        for point in POINTS[n_train, algorithm]:
            samples = rounded(point, block_samples(job.cell))
            by_seed: dict[int, dict[str, float]] = {}
            for estimator in ESTIMATORS:
                terminal.print(f"{job.cell.title}, {name}: {estimator} at {samples:,} samples")
                for seed, value in estimated(job, samples, estimator):
                    by_seed.setdefault(seed, {})[estimator] = round(value, 3)
            rows += [
                {"N_train": n_train, "algorithm": algorithm, "candidate": name, "seed": seed,
                 "samples": samples, "published": published[n_train, algorithm, point], **values}
                for seed, values in by_seed.items()
            ]  # fmt: skip
    table = pd.DataFrame(rows)
    write_with(RESULTS, lambda path: table.to_csv(path, index=False))
    terminal.print(markdown(table), highlight=False)
    return 0


if __name__ == "__main__":
    cli.command(main)
