"""Choose Adagrad's step size as the paper did: `reproduce step-sizes`.

The rules are in conf/selection/, one a figure. The outcome is written to results/reference/ and to
conf/text_step_sizes.yaml, where the configurations of the algorithms find it.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from reproduce import config
from reproduce.common import cli
from reproduce.common.checks import numbers, texts
from reproduce.common.errors import UserError
from reproduce.common.files import write_text
from reproduce.common.provenance import INSTALLED
from reproduce.config.overrides import CONF
from reproduce.experiments import study
from reproduce.experiments.study import Outcome, Study
from reproduce.store.store import Store
from reproduce.training.pool import Divergence

HEADER = "# Written by `make step-sizes`; see results/reference/step_sizes/.\n"
SCORES: dict[str, type] = {
    "entry": str, "algorithm": str, "step_size": float, "seed": int, "samples": int,
    "measure": str, "value": float,
}  # fmt: skip
"""Columns of `step_sizes.csv`, one row per seed."""


def choose(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the best candidate of each entry and algorithm.

    Parameters
    ----------
    scores
        Columns entry, algorithm, step_size, seed, value (nats; NaN where the seed diverged).

    Returns
    -------
    pandas.DataFrame
        One row for each entry and algorithm: entry, algorithm, step_size, value (mean over
        seeds). A candidate with a diverged seed cannot win; where all have one, the row is
        missing.
    """
    by_candidate = scores.groupby(["entry", "algorithm", "step_size"], sort=False)["value"]
    means = by_candidate.apply(lambda values: values.mean(skipna=False)).dropna().reset_index()
    best = means.groupby(["entry", "algorithm"], sort=False)["value"].idxmax()
    return means.loc[best].reset_index(drop=True)


def make(overrides: list[str], terminal: Console) -> Study:
    """Name the candidates of every entry and algorithm of the rule."""
    settings = config.compose_config(overrides, "step-sizes")
    rule = settings.selection
    jobs, labels = [], []
    for entry, wanted in rule.entries.items():
        given = texts(f"the overrides of {entry}", wanted.overrides, "[data=mnist]")
        for algorithm, samples in wanted.samples.items():
            for step_size in numbers("selection.candidates", rule.candidates, "[0.01,0.02,0.1]"):
                composed = [
                    "settings=text",  # the paper's rule is part of its text
                    *overrides,
                    *given,
                    f"algorithm={algorithm}",
                    f"algorithm.step_size={step_size}",
                    f"samples={samples}",
                    f"seeds={rule.seeds}",
                ]
                jobs.append(config.job_from(config.compose_config(composed, "step-sizes")))
                labels.append({"entry": str(entry), "measure": rule.measure[algorithm]})
    if not jobs:
        raise UserError("There is nothing to choose from: selection has no candidates or entries.")
    return Study(
        settings=settings,
        overrides=overrides,
        jobs=jobs,
        folder=Path(rule.folder),
        labels=labels,
    )


def read_scores(found: Study) -> pd.DataFrame:
    """Read each candidate's measure at its horizon from the store; NaN where one diverged."""
    rows = []
    for job, labels in found.labelled():
        entry, measure = labels["entry"], labels["measure"]
        for seed in job.seeds:
            curve = Store(job.store).curve(job.cell, seed)
            curve = curve[(curve["split"] == measure) & (curve["samples"] >= job.samples)]
            value = float(curve["value"].iloc[0]) if len(curve) else float("nan")
            step_size = job.cell.settings["algorithm"]["step_size"]
            which = (entry, job.cell.algorithm, step_size, seed)
            rows.append((*which, job.samples, measure, value))
    return pd.DataFrame(rows, columns=list(SCORES))


def _table(scores: pd.DataFrame, chosen: pd.DataFrame) -> Table:
    winners = set(zip(chosen["entry"], chosen["algorithm"], chosen["step_size"], strict=True))
    right = ("step size", "mean", "worst seed", "chosen")
    title = "At the horizon, nats a training datapoint"
    table = cli.table(("entry", "algorithm", "measure", *right), right, title)
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
    return table


def _nats(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.1e}"


def main(overrides: Sequence[str]) -> int:
    """Train the candidates, choose, and write the choice; return the exit status."""
    if INSTALLED:
        raise UserError("step-sizes writes conf/text_step_sizes.yaml, so it needs the repository.")
    return study.run(overrides, make, finish)


def finish(found: Study, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Choose, and write the choice to conf/text_step_sizes.yaml."""
    scores = read_scores(found)
    chosen = choose(scores)
    current = OmegaConf.to_container(config.compose_config([]).step_sizes)
    assert isinstance(current, dict)
    for row in chosen.itertuples():
        current.setdefault(str(row.entry), {})[str(row.algorithm)] = row.step_size
    body = OmegaConf.to_yaml(OmegaConf.create({"step_sizes": current}))
    write_text(CONF / "text_step_sizes.yaml", HEADER + body)
    terminal.print(f"Written: {CONF / 'text_step_sizes.yaml'}", highlight=False)
    rule = OmegaConf.to_container(found.settings.selection, resolve=True)
    return Outcome(
        tables={"step_sizes.csv": scores},
        about={"rule": rule, "chosen": chosen.to_dict("records")},
        shown=_table(scores, chosen),
    )
