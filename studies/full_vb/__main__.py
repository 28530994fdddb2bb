"""Train AEVB and full VB on 1,000 images of MNIST: `python -m studies.full_vb`.

Takes the settings of `reproduce train` that say where, how and how far (`results=`, `data.dir=`,
`workers=`, `seeds=`, `samples=`, `compile=`). Writes studies/full_vb/results.csv and prints a
table of it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from reproduce import config
from reproduce.algorithms.schedule import rounded
from reproduce.analysis.curves import spread
from reproduce.common import cli
from reproduce.common.files import write_with
from reproduce.common.markdown import aligned, with_interval
from reproduce.common.names import algorithm_name, short_number
from reproduce.data.fallback import substitute_missing
from reproduce.likelihood import evaluate
from reproduce.likelihood.evaluate import ConfiguredEstimator, Question, Split
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job
from reproduce.training.loop import block_samples, last_mark

ALGORITHMS = ("aevb", "full_vb")
SETTINGS = (
    "seeds=3", "samples=2000000", "tracking=off", "data=mnist", "data.n_train=1000",
    "model.n_latent=10", "model.n_hidden=100", "algorithm.step_size=0.1",
)  # fmt: skip
"""Those of experiment 2, but for N_z, so that there is more to overfit with."""
ESTIMATOR = ("estimator=importance", "estimator.n_samples=1000")
N_POINTS = 200
SHOWN = (100_000, 200_000, 500_000, 1_000_000, 2_000_000)
"""Numbers of samples in the table; the curves have more points."""
QUANTITIES = {
    "train": "bound, training images",
    "test": "bound, test images",
    "gap": "bound, training − test",
    "full_bound": "L(φ; X) / N",
    "log_p_train": f"log p(x), {N_POINTS} training images",
    "log_p_test": f"log p(x), {N_POINTS} test images",
    "log_p_gap": "log p(x), training − test",
}
GAPS = (("gap", "train", "test"), ("log_p_gap", "log_p_train", "log_p_test"))
"""What is shown of differences: the name, and the quantities that are subtracted."""
COLUMNS = ["algorithm", "seed", "samples", "quantity", "value"]
RESULTS = Path(__file__).with_name("results.csv")


def jobs(overrides: Sequence[str]) -> list[Job]:
    """Return the training of each algorithm, with the weights kept at its end."""
    found = []
    for name in ALGORITHMS:
        composed = config.compose_config([*SETTINGS, *overrides, f"algorithm={name}"])
        job = config.job_from(composed)
        found.append(replace(job, snapshots=(job.samples,)))
    return found


def estimated(job: Job, split: Split) -> Iterator[tuple[int, str, float]]:
    """Yield each seed's mean log p(x) of the first images of a split, and how many are in doubt.

    As seed, quantity and value: nats, and images that the estimator's diagnostics do not trust.
    """
    store = Store(job.store)
    estimator = ConfiguredEstimator.from_config(
        config.compose_config(ESTIMATOR, "estimate").estimator
    )
    samples = rounded(job.samples, block_samples(job.cell))
    question = Question(job.cell, samples, split, N_POINTS)
    for seed in job.seeds:
        known = evaluate.kept_or_made(store, question, seed, estimator, job.data_dir)
        yield seed, f"log_p_{split}", float(known["value"])
        yield seed, f"untrusted_{split}", float(known["n_untrusted"])


def results_of(job: Job) -> pd.DataFrame:
    """Return the curves and the final estimates of one algorithm, as in the committed table."""
    curves = Store(job.store).curves(job.cell, job.seeds, last_mark(job))
    curves = curves.rename(columns={"split": "quantity"})[COLUMNS]
    ends = [
        [job.cell.algorithm, seed, last_mark(job), quantity, value]
        for split in ("train", "test")
        for seed, quantity, value in estimated(job, split)
    ]
    return pd.concat([curves, pd.DataFrame(ends, columns=COLUMNS)], ignore_index=True)


def markdown(table: pd.DataFrame) -> str:
    """Lay out means over seeds, and over the differences within a seed, with 95 % intervals."""
    rows = [["", "samples", *map(algorithm_name, ALGORITHMS), "difference"]]
    table = pd.concat([table, *(_gaps(table, *names) for names in GAPS)], ignore_index=True)
    for quantity, title in QUANTITIES.items():
        for samples in SHOWN:
            mine = table[(table["quantity"] == quantity) & (table["samples"] == samples)]
            if mine.empty:
                continue
            wide = mine.pivot(index="seed", columns="algorithm", values="value")
            wide = wide.reindex(columns=[*ALGORITHMS])
            wide["difference"] = wide["full_vb"] - wide["aevb"]
            found = spread(wide.to_numpy())
            means = zip(found.mean, found.half_width, strict=True)
            rows.append([title, short_number(samples), *(with_interval(*one) for one in means)])
    return aligned(rows, right=range(1, 5))


def _gaps(table: pd.DataFrame, name: str, first: str, second: str) -> pd.DataFrame:
    """Differences of two quantities of the same weights, as rows called `name`."""
    key = ["algorithm", "seed", "samples"]
    one, other = (
        table[table["quantity"] == quantity].set_index(key)["value"] for quantity in (first, second)
    )
    return (one - other).dropna().reset_index().assign(quantity=name)


def main() -> int:
    """Train, estimate, write and print; return the exit status."""
    overrides = sys.argv[1:]
    terminal = Console(soft_wrap=True, markup=False)
    settings = config.compose_config(overrides)
    substitute_missing(["mnist"], config.data_dir(settings), "error", terminal)
    found = jobs(overrides)
    pool.run(found, config.workers(settings), terminal)
    table = pd.concat([results_of(job) for job in found], ignore_index=True)
    table["value"] = table["value"].round(3)
    write_with(RESULTS, lambda path: table.to_csv(path, index=False))
    terminal.print(markdown(table), highlight=False)
    return 0


if __name__ == "__main__":
    cli.command(main)
