"""Choose Adagrad's step size as the paper did: `reproduce step-sizes`.

The rules are in conf/selection/, one a figure. The outcome is written to results/reference/ and to
conf/step_sizes.yaml, where the configurations of the algorithms find it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from reproduce import config
from reproduce.common import cli
from reproduce.common.checks import numbers, texts
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable, write_json, write_text, write_with
from reproduce.common.provenance import provenance
from reproduce.config.overrides import CONF
from reproduce.data.fallback import substitute_missing
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job

HEADER = "# Written by `make step-sizes`; see results/reference/step_sizes/.\n"
SCORES: dict[str, type] = {
    "entry": str, "algorithm": str, "step_size": float, "seed": int, "samples": int,
    "measure": str, "value": float,
}  # fmt: skip
"""Columns of `step_sizes.csv`, a row a member."""


@dataclass(frozen=True)
class Candidate:
    """One step size for one entry of conf/step_sizes.yaml and algorithm.

    Attributes
    ----------
    entry
        A data set, or a name for it with the sizes of an experiment.
    measure
        The curve whose last value counts.
    job
        The training that gives it.
    """

    entry: str
    measure: str
    job: Job


def choose(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the best candidate of each entry and algorithm.

    Parameters
    ----------
    scores
        Columns entry, algorithm, step_size, seed, value (nats; NaN where the member diverged).

    Returns
    -------
    pandas.DataFrame
        One row for each entry and algorithm: entry, algorithm, step_size, value (mean over
        seeds). A candidate with a diverged member cannot win; where all have one, the row is
        missing.
    """
    by_candidate = scores.groupby(["entry", "algorithm", "step_size"], sort=False)["value"]
    means = by_candidate.apply(lambda values: values.mean(skipna=False)).dropna().reset_index()
    best = means.groupby(["entry", "algorithm"], sort=False)["value"].idxmax()
    return means.loc[best].reset_index(drop=True)


def candidates(settings: DictConfig, overrides: Sequence[str]) -> list[Candidate]:
    """Return the candidates of every entry and algorithm that the rule names."""
    rule = settings.selection
    return [
        Candidate(
            entry,
            rule.measure[algorithm],
            config.job_from(
                config.compose_config(
                    [
                        "settings=text",  # the paper's rule is part of its text
                        *overrides,
                        *texts(f"the overrides of {entry}", wanted.overrides, "[data=mnist]"),
                        f"algorithm={algorithm}",
                        f"algorithm.step_size={step_size}",
                        f"samples={samples}",
                        f"seeds={rule.seeds}",
                    ]
                )
            ),
        )
        for entry, wanted in rule.entries.items()
        for algorithm, samples in wanted.samples.items()
        for step_size in numbers("selection.candidates", rule.candidates, "[0.01,0.02,0.1]")
    ]


def read_scores(found: Sequence[Candidate]) -> pd.DataFrame:
    """Read each candidate's measure at its horizon from the store; NaN where one diverged."""
    rows = []
    for candidate in found:
        job = candidate.job
        for seed in job.seeds:
            curve = Store(job.store).curve(job.cell, seed)
            curve = curve[(curve["split"] == candidate.measure) & (curve["samples"] >= job.samples)]
            value = float(curve["value"].iloc[0]) if len(curve) else float("nan")
            step_size = job.cell.settings["algorithm"]["step_size"]
            which = (candidate.entry, job.cell.algorithm, step_size, seed)
            rows.append((*which, job.samples, candidate.measure, value))
    return pd.DataFrame(rows, columns=list(SCORES))


def _show(scores: pd.DataFrame, chosen: pd.DataFrame, terminal: Console) -> None:
    winners = set(zip(chosen["entry"], chosen["algorithm"], chosen["step_size"], strict=True))
    table = Table(title="At the horizon, nats a training datapoint")
    for name in ("entry", "algorithm", "measure"):
        table.add_column(name)
    for name in ("step size", "mean", "worst seed", "chosen"):
        table.add_column(name, justify="right")
    for key, rows in scores.groupby(["entry", "algorithm", "step_size"], sort=False):
        entry, algorithm, step_size = key  # type: ignore[misc]
        values = rows["value"]
        diverged = values.isna().any()
        table.add_row(
            str(entry),
            str(algorithm),
            str(rows["measure"].iloc[0]),
            f"{step_size}",
            "diverged" if diverged else _nats(values.mean()),
            "" if diverged else _nats(values.min()),
            "*" if key in winners else "",
        )
    terminal.print(table)


def _nats(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.1e}"


def main(overrides: Sequence[str]) -> int:
    """Train the candidates, choose, and write the choice; return the exit status."""
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    settings = config.compose_config(overrides)
    found = candidates(settings, overrides)
    if not found:
        raise UserError("There is nothing to choose from: selection has no candidates or entries.")
    jobs = [candidate.job for candidate in found]
    datasets = dict.fromkeys(job.cell.dataset for job in jobs)
    substitute_missing(datasets, config.data_dir(settings), "error", terminal)
    ensure_writable(config.runs_folder(settings))
    pool.run(jobs, config.workers(settings), terminal)
    scores = read_scores(found)
    chosen = choose(scores)
    _show(scores, chosen, terminal)

    current = OmegaConf.to_container(config.compose_config([]).step_sizes)
    assert isinstance(current, dict)
    for row in chosen.itertuples():
        current.setdefault(str(row.entry), {})[str(row.algorithm)] = row.step_size
    body = OmegaConf.to_yaml(OmegaConf.create({"step_sizes": current}))
    write_text(CONF / "step_sizes.yaml", HEADER + body)
    folder = Path(settings.selection.folder)
    write_with(folder / "step_sizes.csv", lambda path: scores.to_csv(path, index=False))
    rule = OmegaConf.to_container(settings.selection, resolve=True)
    outcome = {"rule": rule, "chosen": chosen.to_dict("records"), "provenance": provenance()}
    write_json(folder / "manifest.json", outcome)
    terminal.print(f"Written: {CONF / 'step_sizes.yaml'} and {folder}", highlight=False)
    return 0
