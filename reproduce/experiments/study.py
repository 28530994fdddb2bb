"""The skeleton of every study: compose, find the data, train, collect, write, print.

A study says what it trains (`Study`), and what came of it (`Outcome`); the rest is here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from omegaconf import DictConfig
from rich.console import Console, RenderableType

from reproduce import config
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable, write_json, write_text, write_with
from reproduce.common.provenance import drawn, provenance
from reproduce.data.fallback import substitute_missing
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job
from reproduce.training.loop import check_sizes, last_mark
from reproduce.training.pool import Divergence

NUMBERS = {"n_latent": int, "n_train": int, "seed": int, "samples": int, "value": float}
NOTHING_TO_DRAW = (
    "There is no curve to draw: nothing has been trained (leave out train=false), or only further, "
    "with marks beyond these samples (ask for more)."
)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is trained, and where what comes of it goes.

    Attributes
    ----------
    settings, overrides
        The composed configuration, and what it was composed from.
    jobs
        What to train.
    folder
        Where outputs go.
    labels
        What each job is beside its cell, such as the variant of an ablation: columns of the curves
        and entries of the manifest.
    suffix
        Of the names of outputs, where a data set has a stand-in.
    """

    settings: DictConfig
    overrides: Sequence[str]
    jobs: Sequence[Job]
    folder: Path
    labels: Sequence[Mapping[str, str]] = ()
    suffix: str = ""

    def path(self, name: str) -> Path:
        """The path of an output."""
        stem, dot, ending = name.partition(".")
        return self.folder / f"{stem}{self.suffix}{dot}{ending}"

    def labelled(self) -> list[tuple[Job, Mapping[str, str]]]:
        """Each job with its labels."""
        return list(zip(self.jobs, self.labels or [{}] * len(self.jobs), strict=True))

    def curves(self) -> pd.DataFrame:
        """Read the curves of all jobs as far as these go; one without a point has no row."""
        frames = [
            Store(job.store).curves(job.cell, job.seeds, last_mark(job)).assign(**labels)
            for job, labels in self.labelled()
        ]
        # Beside a frame without rows pandas knows no types.
        return pd.concat(frames, ignore_index=True).astype(NUMBERS)


@dataclass(frozen=True)
class Outcome:
    """What came of a study.

    Attributes
    ----------
    tables
        By file name: frames are written as CSV, texts as they are.
    about
        What the manifest says beside code, data and cells.
    draw
        Writes the pictures.
    shown
        What is printed at the end.
    written
        The file to look at; "": the folder.
    failure
        Why the command fails, although everything is written.
    """

    tables: Mapping[str, pd.DataFrame | str]
    about: Mapping[str, Any]
    draw: Callable[[], object] = field(default=lambda: None)
    shown: RenderableType = ""
    written: str = ""
    failure: str | None = None


S = TypeVar("S", bound=Study)


def run(
    arguments: Sequence[str],
    make: Callable[[list[str], Console], S],
    finish: Callable[[S, list[Divergence], Console], Outcome],
) -> int:
    """Do a study from the command line to its files; return the exit status.

    Parameters
    ----------
    arguments
        As on the command line: overrides.
    make
        Names the jobs, and refuses what cannot be.
    finish
        Makes tables and pictures of what is trained.
    """
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(
            "This takes overrides such as seeds=2 and no options, so "
            f"{options[0]!r} cannot be given."
        )
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    study = make(list(arguments), terminal)
    datasets = dict.fromkeys(job.cell.dataset for job in study.jobs)
    substitute_missing(datasets, config.data_dir(study.settings), "error", terminal)
    check_sizes(study.jobs)
    ensure_writable(study.folder)
    workers = config.workers(study.settings)
    if config.trains(study.settings):
        diverged = pool.run(study.jobs, workers, terminal)
    else:
        diverged = pool.diverged(study.jobs)
    pool.report_divergence(diverged, terminal)
    outcome = finish(study, diverged, terminal)
    for name, table in outcome.tables.items():
        write_table(study.path(name), table)
    outcome.draw()
    write_json(study.path("manifest.json"), manifest(study, outcome.about, diverged))
    if outcome.shown:
        terminal.print(outcome.shown, highlight=False)
    terminal.print(f"Written: {study.path(outcome.written)}", highlight=False)
    if outcome.failure:
        raise UserError(outcome.failure)
    return 0


def write_table(path: Path, table: pd.DataFrame | str) -> None:
    """Write a frame as CSV, a text as it is."""
    if isinstance(table, str):
        write_text(path, table + "\n")
    else:
        write_with(path, lambda temporary: table.to_csv(temporary, index=False))


def manifest(
    study: Study, about: Mapping[str, Any], diverged: Sequence[Divergence]
) -> dict[str, Any]:
    """Say in plain containers what a study was made from."""
    return {
        **about,
        "drawn": drawn(),
        "diverged": [
            {"cell": d.job.cell.id, "seed": d.seed, "samples": d.samples} for d in diverged
        ],
        "cells": [
            {
                **labels,
                "id": job.cell.id,
                "samples": job.samples,
                "members": [Store(job.store).manifest(job.cell, seed) for seed in job.seeds],
            }
            for job, labels in study.labelled()
        ],
    }
