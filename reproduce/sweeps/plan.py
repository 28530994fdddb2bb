"""What a sweep will do and how long it will take, before it begins."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from reproduce import config, data
from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import BLOCK_STEPS, Chunks, marks
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.lightning import pl
from reproduce.common.machine import choose_device, prepare
from reproduce.store.store import Store
from reproduce.sweeps import launchers
from reproduce.sweeps.application import job_with_data
from reproduce.training.job import Job
from reproduce.training.loop import (
    as_interrupts,
    block_samples,
    build,
    most_stacked,
    quieten_lightning,
)

MEASURED_SECONDS = 1.0
"""How long each size of model is tried, beside one evaluation."""


@dataclass(frozen=True)
class Planned:
    """A job of a sweep.

    Attributes
    ----------
    overrides
        What was asked for.
    job
        What will be trained; None where that cannot be.
    problem
        Why it cannot.
    workers
        How many processes the user gave to each job; None: as many as fit.
    seen
        How far each member was when the plan was made, in samples; all the way where it is done.
    """

    overrides: tuple[str, ...]
    job: Job | None
    problem: str | None = None
    workers: int | None = None
    seen: tuple[int, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether nothing was left to train when the plan was made."""
        return self.job is not None and min(self.seen) >= self.job.samples


@dataclass(frozen=True)
class Rate:
    """How fast one process trains.

    Attributes
    ----------
    samples_per_second
        Summed over the members of its stack.
    seconds_per_mark
        What a point of the curves costs.
    seconds_to_compile
        What a process's first stack costs before its steps are taken; for the next ones torch
        finds most of it done.
    """

    samples_per_second: float
    seconds_per_mark: float
    seconds_to_compile: float = 0.0


def plan(jobs: Sequence[tuple[str, ...]], terminal: Console) -> list[Planned]:
    """Compose every job, find its data, and say what cannot be."""
    found: list[Planned] = []
    for overrides in jobs:
        first = not any(one.job for one in found)  # one banner on missing data is enough
        found.append(_planned(overrides, terminal if first else Console(quiet=True)))
    return found


def durations(planned: Sequence[Planned], divided: launchers.Division | None) -> list[float]:
    """Estimate how many seconds each job takes, from a rate measured here for each size.

    NaN where a job cannot be tried: what is wrong it will say itself.
    """
    rates: dict[Any, Rate | None] = {}
    found = []
    for one in planned:
        if one.job is None or one.is_done:
            found.append(0.0)
            continue
        job = one.job
        workers = one.workers or (divided.cores // job.threads if divided else 1) or 1
        if choose_device(job.device).type == "cuda":
            workers = one.workers or 1
        left = [job.samples - seen for seen in one.seen if seen < job.samples]
        share = -(-len(left) // min(workers, len(left)))
        stack = most_stacked(job, share)
        size = _size(job, stack)
        if size not in rates:
            rates[size] = _rate(job, stack)
        rate = rates[size]
        if rate is None:
            found.append(math.nan)
            continue
        ends = marks(job.samples, block_samples(job.cell))
        to_come = sum(mark > job.samples - max(left) for mark in ends)
        training = max(left) * share / rate.samples_per_second
        measuring = to_come * rate.seconds_per_mark * share / stack
        found.append(training + measuring + rate.seconds_to_compile)
    return found


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """Return how long jobs take of which `at_once` run at a time, the next on the first free."""
    free = [0.0] * at_once
    for one in (duration for duration in seconds if not math.isnan(duration)):
        first = min(range(at_once), key=free.__getitem__)
        free[first] += one
    return max(free)


def _rate(job: Job, stack: int) -> Rate | None:
    try:
        return measure_rate(job, stack)
    except Exception:
        return None


def measure_rate(job: Job, stack: int) -> Rate:
    """Train a stack of `stack` members for a moment, in memory; nothing is kept."""
    prepare(job.threads)
    quieten_lightning()
    images = data.load(job.cell.dataset, job.data_dir, job.cell.split).first(job.cell.n_train)
    device = choose_device(job.device)
    algorithm = build(job.cell, images, job.seeds[:stack], device)
    begin = 0
    if job.compiled:
        algorithm.compile_steps(job.threads)
    if algorithm.is_compiled:  # from the end of the warm-up on
        begin = -(-algorithm.warmup_steps // BLOCK_STEPS)
    watch = _Watch(MEASURED_SECONDS)
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    block = algorithm.block_samples
    chunks = Chunks(begin * block, [(begin + _Watch.MOST_BLOCKS) * block], block, longest=1)
    with as_interrupts():
        trainer.fit(algorithm, train_dataloaders=chunks)
    algorithm.to(device)  # Lightning leaves it on the CPU
    before = time.perf_counter()
    for values in algorithm.measure().values():
        values.tolist()  # waits for a GPU
    seconds_per_mark = time.perf_counter() - before
    seconds_to_compile = watch.times[1] - watch.times[0] if algorithm.is_compiled else 0.0
    return Rate(stack * block / watch.seconds_per_block, seconds_per_mark, seconds_to_compile)


class _Watch(pl.Callback):
    """Times blocks of training until enough time has passed; the first also warms up."""

    MOST_BLOCKS = 1_000

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.times = [time.perf_counter()]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Stop when enough has been seen."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        first = 1 if cast(Algorithm, pl_module).is_compiled else 0  # in block 0 steps are compiled
        if len(self.times) > first + 1 and self.times[-1] - self.times[first] > self.seconds:
            trainer.should_stop = True

    @property
    def seconds_per_block(self) -> float:
        """The mean, without the first block unless it is the only one."""
        timed = self.times[1:] if len(self.times) > 2 else self.times
        return (timed[-1] - timed[0]) / (len(timed) - 1)


def _planned(overrides: tuple[str, ...], terminal: Console) -> Planned:
    try:
        settings, job = job_with_data(config.compose_config(overrides), overrides, terminal)
        return Planned(overrides, job, None, config.workers(settings), _seen(job))
    except UserError as error:
        return Planned(overrides, None, str(error))
    except OmegaConfBaseException as error:
        return Planned(overrides, None, cli.hydra_sentence(error))


def _seen(job: Job) -> tuple[int, ...]:
    store = Store(job.store)
    found = []
    for seed in job.seeds:
        marks_seen = store.curve(job.cell, seed)["samples"]
        done = store.is_done(job.cell, seed, job.samples)
        found.append(job.samples if done else int(marks_seen.max()) if len(marks_seen) else 0)
    return tuple(found)


def _size(job: Job, stack: int) -> tuple[Any, ...]:
    model = job.cell.settings["model"]
    target = job.cell.settings["algorithm"]["_target_"]
    return (
        job.cell.dataset, job.cell.n_train, job.cell.n_latent, model["n_hidden"], target, stack,
        str(model.get("decoder")), job.threads, job.compiled,
        job.cell.settings["algorithm"].get("batch_size"),
    )  # fmt: skip
