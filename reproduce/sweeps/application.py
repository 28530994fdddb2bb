"""Hydra's application: the training of one cell, alone or as a job of a sweep.

It is a module of its own and not in `__main__`, so that the workers of any launcher can import it.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from reproduce import config
from reproduce.common import cli, plugins
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable
from reproduce.config.overrides import CONF
from reproduce.data.fallback import substitute_missing
from reproduce.sweeps import launchers, multirun
from reproduce.training import pool, tracking
from reproduce.training.job import Job
from reproduce.training.loop import check_sizes
from reproduce.training.pool import report_divergence


def run() -> None:
    """Do what the command line asks Hydra for."""
    hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")(train_cell)()


def train_cell(settings: DictConfig) -> None:
    """Train the cell of `settings`; in a sweep, write down how it ended."""
    about = HydraConfig.get()
    # As they were typed: a `${...}` in them belongs to the cell's settings, not to Hydra's.
    overrides = OmegaConf.to_container(about.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    if about.mode == RunMode.RUN:
        with cli.as_sentences():
            _train(settings, overrides)
        return
    multirun.end_with_sweep()
    os.chdir(about.runtime.cwd)  # a worker of Ray begins elsewhere
    plugins.make_importable()
    cores = launchers.share(about)
    folder = Path(about.runtime.output_dir)
    multirun.record(folder, overrides, lambda: _train(settings, overrides, cores))
    sys.stdout.flush()


def job_with_data(
    settings: DictConfig, overrides: Sequence[str], terminal: Console
) -> tuple[DictConfig, Job]:
    """Return what to train: with the data set of `settings`, or with its stand-in."""
    if settings.train is not True:
        raise UserError("train=... is for figures, which can be drawn from what is there already.")
    job = config.job_from(settings)
    name = str(settings.data.name)
    used = substitute_missing([name], job.data_dir, settings.data.fallback, terminal)[name]
    if used != name:
        settings = config.compose_config([*overrides, f"data={used}"])
        job = config.job_from(settings)
    check_sizes([job])
    tracking.check_trial(job.tracking, len(job.seeds))
    return settings, job


def check_folders(job: Job) -> None:
    """Find out before training whether its folders can be written to."""
    ensure_writable(job.store)
    if job.tracking["mode"] != "off":
        ensure_writable(Path(job.tracking["folder"]), "tracking.folder")


def _train(settings: DictConfig, overrides: list[str], cores: int | None = None) -> None:
    """Train with as many processes as `cores` allow, or as this machine has where that is None."""
    terminal = cli.console()
    settings, job = job_with_data(settings, overrides, terminal)
    check_folders(job)
    workers = config.workers(settings)
    if workers is None and cores is not None:
        workers = cores // job.threads or 1
    # Several bars would overwrite each other.
    diverged = pool.run([job], workers, terminal, bar=cores is None)
    report_divergence(diverged, terminal)
    if lost := pool.all_lost(job):
        raise UserError(lost)
    terminal.print(f"Curves and checkpoints: {job.store / job.cell.id}", highlight=False)
