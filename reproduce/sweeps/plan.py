"""What a sweep will do and how long it will take, before it begins."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from reproduce import config, data
from reproduce.algorithms.schedule import BLOCK_STEPS, marks
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.machine import choose_device, prepare
from reproduce.store.store import Store
from reproduce.sweeps import launchers
from reproduce.sweeps.application import job_with_data
from reproduce.training.job import Job
from reproduce.training.loop import (
    block_samples,
    build,
    most_stacked,
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
        How far each seed was when the plan was made, in samples; all the way where it is done.
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
        Summed over the seeds of its stack.
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
    """Train a stack of `stack` seeds for a moment, in memory; nothing is kept."""
    prepare(job.threads)
    images = data.load(job.cell.dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
    device = choose_device(job.device)
    algorithm = build(job.cell, images, job.seeds[:stack], device).without_trainer()
    first, block = 1, 0  # the first block is not counted: it also sets up, or compiles
    if job.compiled is True:  # not for "auto": a plan should not take longer than it has to
        algorithm.compile_steps(job.threads)
    if algorithm.is_compiled:  # from the end of the warm-up on
        block = -(-algorithm.warmup_steps // BLOCK_STEPS)
    times = [time.perf_counter()]
    while len(times) < first + 2 or times[-1] - times[first] < MEASURED_SECONDS:
        algorithm.training_step(range(block, block + 1), 0)
        block += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    per_block = (times[-1] - times[first]) / (len(times) - 1 - first)
    seconds_to_compile = times[1] - times[0] if algorithm.is_compiled else 0.0
    before = time.perf_counter()
    for values in algorithm.measure().values():
        values.tolist()  # waits for a GPU
    seconds_per_mark = time.perf_counter() - before
    return Rate(stack * algorithm.block_samples / per_block, seconds_per_mark, seconds_to_compile)


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
        job.cell.dataset, job.cell.n_train, job.cell.n_latent, str(model), target, stack,
        job.threads, job.compiled,
        job.cell.settings["algorithm"].get("batch_size"),
    )  # fmt: skip
