"""Train what a figure needs and draw it: `python -m reproduce.figure figure=figure1`.

`make figure1` calls this. Results go to results/<figure>/<budget>/.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from reproduce import cli, config, runner
from reproduce.comparison import compare
from reproduce.errors import UserError
from reproduce.figures import figure1
from reproduce.figures.panel import Panel
from reproduce.files import write_json, write_with
from reproduce.provenance import provenance
from reproduce.published import load_published
from reproduce.runner import Divergence
from reproduce.schedule import BLOCK_STEPS, blocks_for
from reproduce.store import Store
from reproduce.training import Job
from reproduce.values import whole_number

OWN_KEYS = ("data", "algorithm", "model.n_latent")


@dataclass(frozen=True)
class Plan:
    """What a figure consists of, decided before anything is trained.

    Attributes
    ----------
    settings
        The composed configuration of the figure.
    jobs, panels
        What to train, and where it is drawn.
    replaced
        From data sets that could not be had to their stand-ins.
    """

    settings: DictConfig
    jobs: list[Job]
    panels: list[Panel]
    replaced: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where the figure goes."""
        results = config.results_folder(self.settings)
        return results / str(self.settings.figure.name) / str(self.settings.budget.name)

    def path(self, name: str) -> Path:
        """The path of an output; a stand-in's says so in its name."""
        stem, dot, suffix = name.partition(".")
        return self.folder / (f"{stem}-digits{dot}{suffix}" if self.replaced else name)


def make_plan(overrides: Sequence[str], terminal: Console) -> Plan:
    """Compose the cells of the figure and find their data.

    Raises
    ------
    UserError
        For anything the user asked for that cannot be.
    """
    chosen = [o for o in overrides if o.partition("=")[0].lstrip("+~") in OWN_KEYS]
    if chosen:
        raise UserError(
            f"A figure sets {' and '.join(OWN_KEYS)} for each panel, so {chosen[0]!r} cannot be "
            "given; override figure.algorithms or figure.panels, or train one cell with "
            "`python -m reproduce`."
        )
    # What is added to an algorithm is checked against the figure's algorithms below.
    settings = config.compose_config([o for o in overrides if not o.startswith("+algorithm.")])
    wanted = _wanted_panels(settings)
    jobs = _jobs(overrides, settings, wanted)  # finds mistakes before the data are fetched
    used = cli.substitute_missing(
        [panel.dataset for panel in wanted],
        config.data_dir(settings),
        settings.data.fallback,
        terminal,
    )
    replaced = {name: stand_in for name, stand_in in used.items() if name != stand_in}
    # Without repetition: a stand-in may be among the panels already.
    panels = list(dict.fromkeys(Panel(used[panel.dataset], panel.n_latent) for panel in wanted))
    if panels != wanted:
        jobs = _jobs(overrides, settings, panels)
    cli.check_sizes(jobs)
    return Plan(settings, jobs, panels, replaced)


def _wanted_panels(settings: DictConfig) -> list[Panel]:
    name, known = str(settings.budget.panels), settings.figure.panels
    if name not in known:
        raise UserError(f"Unknown budget.panels {name!r}; choose one of: {', '.join(known)}.")
    found = known[name]
    panels = list(found) if isinstance(found, ListConfig) else []
    keys = {"data", "n_latent"}
    if not panels or not all(isinstance(p, DictConfig) and set(p) == keys for p in panels):
        raise UserError(
            f"figure.panels.{name} must be a list such as "
            f"[{{data:mnist,n_latent:20}},{{data:freyface,n_latent:10}}], not {found}."
        )
    n_latent = f"n_latent in figure.panels.{name}"
    return [Panel(str(panel.data), whole_number(n_latent, panel.n_latent)) for panel in panels]


def _jobs(overrides: Sequence[str], settings: DictConfig, panels: Sequence[Panel]) -> list[Job]:
    algorithms = settings.figure.algorithms
    if not isinstance(algorithms, ListConfig) or not algorithms:
        raise UserError(
            f"figure.algorithms must be a list such as [aevb,wake_sleep], not {algorithms}."
        )
    return [
        config.job_from(
            config.compose_config(
                [
                    *overrides,
                    f"data={panel.dataset}",
                    f"algorithm={algorithm}",
                    f"model.n_latent={panel.n_latent}",
                ]
            )
        )
        for panel in panels
        for algorithm in dict.fromkeys(algorithms)
    ]


def collect(plan: Plan) -> pd.DataFrame:
    """Read the curves of the figure from the store, up to the budget."""
    frames = []
    for job in plan.jobs:
        block = BLOCK_STEPS * job.cell.settings["algorithm"]["batch_size"]
        limit = blocks_for(job.samples, block) * block
        frames.append(Store(job.store).curves(job.cell, job.seeds, limit))
    numbers = {"n_latent": int, "n_train": int, "seed": int, "samples": int, "value": float}
    # Without rows, as where all members diverged before the first mark, pandas knows no types.
    return pd.concat(frames, ignore_index=True).astype(numbers)


def write(plan: Plan, diverged: Sequence[Divergence]) -> pd.DataFrame:
    """Write the figure, curves, comparison and manifest; return the comparison."""
    curves = collect(plan)
    published = load_published("figure2")
    comparison = compare(curves, published)
    write_with(plan.path("curves.csv"), lambda path: curves.to_csv(path, index=False))
    write_with(plan.path("comparison.csv"), lambda path: comparison.to_csv(path, index=False))
    figure1.draw(
        curves,
        published,
        plan.panels,
        plan.path("figure1"),
        title=_title(plan),
    )
    write_json(plan.path("manifest.json"), manifest(plan, diverged))
    return comparison


def manifest(plan: Plan, diverged: Sequence[Divergence]) -> dict[str, Any]:
    """Say what the figure was made from, in plain containers."""
    budget = OmegaConf.to_container(plan.settings.budget, resolve=True)
    return {
        "figure": plan.settings.figure.name,
        "title": _title(plan),
        "paper": "Figure 2 of Kingma & Welling 2013 (arXiv 1312.6114v10)",
        "budget": budget,
        "datasets": sorted({panel.dataset for panel in plan.panels}),
        "replaced": plan.replaced,
        "drawn": {"at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance()},
        "diverged": [
            {"cell": d.job.cell.id, "seed": d.seed, "samples": d.samples} for d in diverged
        ],
        "cells": [
            {
                "id": job.cell.id,
                "samples": job.samples,
                "members": [Store(job.store).manifest(job.cell, seed) for seed in job.seeds],
            }
            for job in plan.jobs
        ],
    }


def _title(plan: Plan) -> str | None:
    if plan.replaced:
        missing = " and ".join(plan.replaced)
        return f"scikit-learn digits in place of {missing}: NOT the paper's data there"
    return None


def _print_comparison(comparison: pd.DataFrame, terminal: Console) -> None:
    if comparison.empty:
        return
    last = comparison["samples"].max()
    table = Table(title=f"Variational bound at {last:.0e} samples, nats a datapoint")
    for name in ("data", "N_z", "algorithm", "split"):
        table.add_column(name)
    for name in ("published", "ours", "95 %", "difference"):
        table.add_column(name, justify="right")
    for row in comparison[comparison["samples"] == last].itertuples():
        half = (row.ci95_high - row.ci95_low) / 2  # type: ignore[operator]
        table.add_row(
            str(row.dataset), str(row.n_latent), str(row.algorithm), str(row.split),
            f"{row.published:.1f}", f"{row.ours:.1f}", f"± {half:.1f}", f"{row.difference:+.1f}",
        )  # fmt: skip
    terminal.print(table)


def main(overrides: Sequence[str] | None = None) -> int:
    """Make the figure that the command line asks for; return the exit status."""
    arguments = list(sys.argv[1:] if overrides is None else overrides)
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n`python -m reproduce --cfg job` prints the settings to override.")
        return 0
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(
            f"A figure takes overrides such as budget=smoke and no options, so {options[0]!r} "
            "cannot be given."
        )
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    plan = make_plan(arguments, terminal)
    cli.ensure_writable(plan.folder)
    diverged = runner.run(plan.jobs, config.workers(plan.settings), terminal)
    comparison = write(plan, diverged)
    _print_comparison(comparison, terminal)
    cli.report_divergence(diverged, terminal)
    terminal.print(f"Figure: {plan.path('figure1.png')}", highlight=False)
    lost = {
        job.cell.title
        for job in plan.jobs
        if sum(d.job.cell == job.cell for d in diverged) == len(job.seeds)
    }
    if lost:
        raise UserError(f"The figure lacks {', '.join(sorted(lost))}: all their members diverged.")
    return 0


if __name__ == "__main__":
    cli.command(main)
