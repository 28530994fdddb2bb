"""Choose Adagrad's step size as the paper did: `python -m reproduce.step_sizes`.

The rule is in conf/selection.yaml. The outcome is written to results/reference/step_sizes/ and to
conf/step_sizes.yaml, where the configurations of the algorithms find it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from reproduce import cli, config, runner
from reproduce.files import write_json, write_text, write_with
from reproduce.overrides import CONF
from reproduce.provenance import provenance
from reproduce.store import Store
from reproduce.training import Job

HEADER = "# Written by `make step-sizes`; see results/reference/step_sizes/.\n"
COLUMNS = ["dataset", "algorithm", "step_size", "seed", "samples", "train_bound"]


def choose(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the best candidate of each data set and algorithm.

    Parameters
    ----------
    scores
        Columns dataset, algorithm, step_size, seed, train_bound (nats; NaN where the member
        diverged).

    Returns
    -------
    pandas.DataFrame
        One row for each data set and algorithm: dataset, algorithm, step_size, train_bound (mean
        over seeds). A candidate with a diverged member cannot win; where all have one, the row
        is missing.
    """
    by_candidate = scores.groupby(["dataset", "algorithm", "step_size"], sort=False)["train_bound"]
    means = by_candidate.apply(lambda bounds: bounds.mean(skipna=False)).dropna().reset_index()
    best = means.groupby(["dataset", "algorithm"], sort=False)["train_bound"].idxmax()
    return means.loc[best].reset_index(drop=True)


def candidates(settings: DictConfig, overrides: Sequence[str]) -> list[Job]:
    """Return a job for each data set, algorithm and candidate."""
    rule = settings.selection
    return [
        config.job_from(
            config.compose_config(
                [
                    *overrides,
                    f"data={dataset}",
                    f"algorithm={algorithm}",
                    f"algorithm.step_size={step_size}",
                    f"model.n_latent={rule.n_latent}",
                    f"samples={rule.horizon}",
                    f"seeds={rule.seeds}",
                ]
            )
        )
        for dataset in rule.data
        for algorithm in rule.algorithms
        for step_size in rule.candidates
    ]


def read_scores(jobs: Sequence[Job]) -> pd.DataFrame:
    """Read the training bound at the horizon from the store; NaN where a member diverged."""
    rows = []
    for job in jobs:
        for seed in job.seeds:
            curve = Store(job.store).curve(job.cell, seed)
            at = curve[(curve["split"] == "train") & (curve["samples"] == job.samples)]
            bound = float(at["value"].iloc[0]) if len(at) else float("nan")
            step_size = job.cell.settings["algorithm"]["step_size"]
            cell = (job.cell.dataset, job.cell.algorithm)
            rows.append((*cell, step_size, seed, job.samples, bound))
    return pd.DataFrame(rows, columns=COLUMNS)


def _show(scores: pd.DataFrame, chosen: pd.DataFrame, terminal: Console) -> None:
    winners = set(zip(chosen["dataset"], chosen["algorithm"], chosen["step_size"], strict=True))
    table = Table(title="Bound on the training set at the horizon, nats a datapoint")
    for name in ("data", "algorithm"):
        table.add_column(name)
    for name in ("step size", "mean", "worst seed", "chosen"):
        table.add_column(name, justify="right")
    groups = scores.groupby(["dataset", "algorithm", "step_size"], sort=False)["train_bound"]
    for key, bounds in groups:
        dataset, algorithm, step_size = key  # type: ignore[misc]
        diverged = bounds.isna().any()
        table.add_row(
            str(dataset),
            str(algorithm),
            f"{step_size}",
            "diverged" if diverged else _nats(bounds.mean()),
            "" if diverged else _nats(bounds.min()),
            "*" if key in winners else "",
        )
    terminal.print(table)


def _nats(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.1e}"


def main() -> int:
    """Train the candidates, choose, and write the choice; return the exit status."""
    overrides = sys.argv[1:]
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    settings = config.compose_config(overrides)
    cli.substitute_missing(settings.selection.data, config.data_dir(settings), "error", terminal)
    cli.ensure_writable(config.runs_folder(settings))
    jobs = candidates(settings, overrides)
    runner.run(jobs, config.workers(settings), terminal)
    scores = read_scores(jobs)
    chosen = choose(scores)
    _show(scores, chosen, terminal)

    current = config.compose_config([]).step_sizes
    for row in chosen.itertuples():
        current[row.dataset][row.algorithm] = row.step_size
    body = OmegaConf.to_yaml(OmegaConf.create({"step_sizes": current}))
    write_text(CONF / "step_sizes.yaml", HEADER + body)
    folder = Path(settings.selection.folder)
    write_with(folder / "step_sizes.csv", lambda path: scores.to_csv(path, index=False))
    rule = OmegaConf.to_container(settings.selection, resolve=True)
    outcome = {"rule": rule, "chosen": chosen.to_dict("records"), "provenance": provenance()}
    write_json(folder / "manifest.json", outcome)
    terminal.print(f"Written: {CONF / 'step_sizes.yaml'} and {folder}", highlight=False)
    return 0


if __name__ == "__main__":
    cli.command(main)
