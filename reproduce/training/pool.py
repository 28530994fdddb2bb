"""Running many jobs: which are left, on how many cores, with a progress bar and a time left."""

import ctypes
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reproduce import data
from reproduce.common.cli import WANDB_FAILS, is_wandb, own_fault
from reproduce.common.errors import UserError
from reproduce.common.machine import available_cores, choose_device, is_out_of_memory
from reproduce.common.provenance import provenance
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.store import Store
from reproduce.training.job import Job, Report
from reproduce.training.loop import as_interrupts, last_mark, train

GRACE = 15.0
"""Seconds that workers have to close their W&B runs when they are told to stop."""
SMALL = 10_000
"""Samples, over all seeds, that are trained here before workers would have begun."""


@dataclass(frozen=True)
class Divergence:
    """A seed whose bound became infinite or undefined."""

    job: Job
    seed: int
    samples: int


def run(
    jobs: Sequence[Job],
    workers: int | None,
    console: Console,
    *,
    bar: bool = True,
    failures: dict[str, Exception] | None = None,
) -> list[Divergence]:
    """Train what is missing of `jobs`, several at once, and return the seeds that diverged.

    On a CPU each worker is a process that trains one job on one thread: two cores give two jobs
    at once, and numbers do not depend on how many. With one worker all happens in this process.

    Parameters
    ----------
    jobs
        What to train. Jobs that are done cost nothing.
    workers
        How many processes; None means one for each core, but one on a GPU or for little work.
    console
        Where messages and the progress bar go.
    bar
        Whether there is a bar; without it there are lines alone.
    failures
        Where given, a job that fails stops no other: its error is put here, by the cell's id.
    """
    left = [job for job in jobs if _is_left(job)]
    if len(left) < len(jobs):
        console.print(f"{len(jobs) - len(left)} of {len(jobs)} cells are done already.")
    for job in jobs:
        if job not in left and (end := _ends_early(job)):
            console.print(end, style="yellow", highlight=False)
    for job in left:
        with _noted(job, failures):
            _check_checkpoints(job)
    left = [job for job in left if job.cell.id not in (failures or {})]
    if left:
        workers = workers or _usual_workers(left)
        left = _split(left, workers)
        left.sort(key=_cost, reverse=True)
        with _Board(left, console, bar) as board:
            if workers == 1 or len(left) == 1:
                for job in left:
                    with _noted(job, failures):
                        _train(job, board.reporter(job))
                        board.finished(job)
            else:
                _run_pool(left, min(workers, len(left)), board, failures)
    return diverged(jobs)


def diverged(jobs: Sequence[Job]) -> list[Divergence]:
    """Return the seeds of `jobs` that are known to have diverged within the job's samples."""
    found = []
    for job in jobs:
        for seed in job.seeds:
            at = Store(job.store).manifest(job.cell, seed).get("diverged_at")
            if at is not None and at <= last_mark(job):
                found.append(Divergence(job, seed, at))
    return found


def all_lost(job: Job) -> str | None:
    """Say that all seeds of a job have diverged, where they have."""
    if len(diverged([job])) < len(job.seeds):
        return None
    return f"All seeds of {job.cell.title} diverged; try a smaller step size."


def _is_left(job: Job) -> bool:
    store = Store(job.store)
    return not all(store.is_done(job.cell, seed, job.samples) for seed in job.seeds)


def _ends_early(job: Job) -> str | None:
    """Say where the curves of a job that is done end, where they have no mark at its samples."""
    store, last = Store(job.store), last_mark(job)
    ends = []
    for seed in job.seeds:
        marks = store.curve(job.cell, seed)["samples"]
        if store.manifest(job.cell, seed).get("diverged_at") is None and not (marks == last).any():
            ends.append(max((mark for mark in marks if mark <= last), default=0))
    if not ends:
        return None
    return (
        f"{job.cell.title} has been trained further than {last:,} samples and has no mark there: "
        f"its curves are read up to {min(ends):,}."
    )


def _check_checkpoints(job: Job) -> None:
    """Find out before hours of training which checkpoints are damaged or belong elsewhere."""
    store = Store(job.store)
    for seed in job.seeds:
        path = store.checkpoint(job.cell, seed)
        if store.is_done(job.cell, seed, job.samples) or not path.exists():
            continue
        read_checkpoint(store, job.cell, seed)


def _usual_workers(jobs: Sequence[Job]) -> int:
    is_little = sum(job.samples * len(job.seeds) for job in jobs) <= SMALL
    if is_little or choose_device(jobs[0].device).type == "cuda":
        return 1
    return available_cores() // jobs[0].threads or 1


def _split(jobs: list[Job], workers: int) -> list[Job]:
    """Share the seeds of each job among workers that would otherwise have none."""
    pieces = []
    for job in jobs:
        share = min(len(job.seeds), -(-workers // len(jobs)))
        stacks = [job.seeds[i::share] for i in range(share)]
        pieces.extend(replace(job, seeds=stack) for stack in stacks)
    return pieces


def _cost(job: Job) -> float:
    """A rough measure of work, to start long jobs first and to estimate the time left."""
    pixels = data.load(job.cell.dataset, job.data_dir, job.cell.reading).train.shape[1]
    layers = pairwise((pixels, *job.cell.widths, job.cell.n_latent))
    return job.samples * len(job.seeds) * sum(n_in * n_out for n_in, n_out in layers)


class _Board:
    """The progress bar: samples summed over seeds, weighted by what they cost."""

    def __init__(self, jobs: Sequence[Job], console: Console, bar: bool) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not bar,
            # Averaged over minutes: jobs differ in speed.
            speed_estimate_period=300,
        )
        self.jobs = len(jobs)
        self.done = 0
        self.task = self.progress.add_task(
            f"training (0/{self.jobs} jobs)", total=sum(_cost(job) for job in jobs)
        )

    def __enter__(self) -> "_Board":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def reporter(self, job: Job) -> Report:
        """Return a function that shows what `job` reports."""
        rate = _cost(job) / (job.samples * len(job.seeds))

        def report(kind: str, payload: Any) -> None:
            if kind == "advance":
                self.progress.advance(self.task, payload * rate)
            else:
                self.console.print(payload)

        return report

    def finished(self, job: Job) -> None:
        """Print the last point of a finished job."""
        self.done += 1
        self.progress.update(self.task, description=f"training ({self.done}/{self.jobs} jobs)")
        curves = Store(job.store).curves(job.cell, job.seeds, last_mark(job))
        ends = curves.groupby(["split", "seed"])["value"].last().groupby("split").mean()
        shown = "   ".join(
            f"{split} {ends[split]:9.2f}"
            for split in ("train", "test", "train_log_joint")
            if split in ends
        )
        label = f"{job.cell.dataset:<17} N_z={job.cell.n_latent:<4}{job.cell.algorithm:<11}"
        seeds = f"seed{'s' * (len(job.seeds) > 1)} {', '.join(map(str, job.seeds))}"
        reach = f"{seeds:<11} {last_mark(job):.1e} samples"
        self.console.print(f"{label} {reach}   {shown}   nats", highlight=False)


_reports: Any = None
_stopping: Any = None


def _start_worker(reports: Any, stopping: Any) -> None:
    """Prepare a worker process: it dies with its parent, and Ctrl-C is its parent's business."""
    global _reports, _stopping
    _reports, _stopping = reports, stopping
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    provenance()  # of the code that this process has just loaded
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _train_in_worker(number: int, job: Job) -> None:
    def report(kind: str, payload: Any) -> None:
        _reports.put((number, kind, payload))
        stop_if_told()

    def stop_if_told() -> None:
        """Between two chunks, as Ctrl-C does in a single process: W&B's runs are closed."""
        if _stopping.value:
            raise KeyboardInterrupt

    stop_if_told()
    _train(job, report)


def _train(job: Job, report: Report) -> None:
    """Train; say in a sentence what failed where it is not the suite."""
    try:
        with as_interrupts():
            train(job, report)
    except Exception as error:
        # In the worker, since the frames that an error passed through do not leave it.
        if isinstance(error, UserError) or (said := _sentence(job, error)) is None:
            raise
        raise UserError(said) from error


def _sentence(job: Job, error: Exception) -> str | None:
    if is_out_of_memory(error):
        return (
            f"{job.cell.title} does not fit into memory; choose a smaller model, fewer seeds "
            "or workers=1, then run the command again."
        )
    return WANDB_FAILS.format(error) if is_wandb(error) else own_fault(error)


@contextmanager
def _noted(job: Job, failures: dict[str, Exception] | None) -> Iterator[None]:
    """Note how a job failed, where the others are to go on."""
    try:
        yield
    except Exception as error:
        if failures is None or isinstance(error, BrokenProcessPool):
            raise
        failures[job.cell.id] = error


def _run_pool(
    jobs: Sequence[Job], workers: int, board: _Board, failures: dict[str, Exception] | None
) -> None:
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    # Without a lock, which a worker that is killed might hold for ever.
    stopping = context.RawValue(ctypes.c_bool, False)
    reporters = [board.reporter(job) for job in jobs]
    pool = ProcessPoolExecutor(workers, context, _start_worker, (reports, stopping))
    # Processes, started here, inherit that interrupts are ignored while they import.
    with _interrupts_ignored(), _start_method_of_python():
        futures = {pool.submit(_train_in_worker, n, job): n for n, job in enumerate(jobs)}
    processes = list((pool._processes or {}).values())

    def settle(number: int, future: Future[None]) -> None:
        with _noted(jobs[number], failures):
            future.result()
            board.finished(jobs[number])

    try:
        _follow(futures, reports, reporters, settle)
    except BaseException as error:
        stopping.value = True
        codes = [process.exitcode for process in processes]  # before the others are ended
        _end(processes, pool)
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"{_why_lost(codes)} Finished cells and checkpoints are safe: run the same "
                "command again to continue."
            ) from error
        raise
    pool.shutdown()


def _why_lost(codes: Iterable[int | None]) -> str:
    """Say how the worker was lost that was lost first: a negative exit status is a signal's."""
    own = [code for code in codes if code is not None and code >= 0]
    if own:
        return f"A worker process ended by itself (exit status {own[0]}; see what it says above)."
    return "A worker process was killed (out of memory, or by hand)."


@contextmanager
def _start_method_of_python() -> Iterator[None]:
    """Let children begin where joblib started us: they look up our default way to start processes.

    Joblib's workers have one of joblib's own as their default, which Python does not know.
    """
    before = multiprocessing.get_start_method(allow_none=True)
    if before is None or before in multiprocessing.get_all_start_methods():
        yield
        return
    multiprocessing.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # where none arrive
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(processes: Sequence[BaseProcess], pool: ProcessPoolExecutor) -> None:
    """End workers that have been told to stop; those that do not in time, by force.

    What they have done since their last checkpoint will be repeated. SIGTERM would not do:
    Lightning catches it, and where a worker was killed another may wait for ever for the queue
    that it held.
    """
    pool.shutdown(wait=False, cancel_futures=True)
    deadline = time.monotonic() + GRACE
    try:
        while left := [process.sentinel for process in processes if process.is_alive()]:
            if not wait(left, max(0.0, deadline - time.monotonic())):
                break
    finally:
        for process in processes:
            process.kill()


def _follow(
    futures: dict[Future[None], int],
    reports: Any,
    reporters: Sequence[Report],
    settle: Callable[[int, Future[None]], None],
) -> None:
    pending = dict(futures)
    quiet = False
    while pending or not quiet:  # a job may have ended before its last reports are here
        try:
            number, kind, payload = reports.get(timeout=0.2)
            reporters[number](kind, payload)
            quiet = False
        except queue.Empty:
            quiet = True
        # After each report, not only when none is left: busy workers may send them without end.
        for future in [f for f in pending if f.done()]:
            settle(pending.pop(future), future)


def report_divergence(found: Iterable[Divergence], terminal: Console) -> None:
    """Name the seeds that diverged."""
    for one in found:
        terminal.print(
            f"Diverged: {one.job.cell.title} seed {one.seed}, before {one.samples:,} "
            "samples; its curve ends there.",
            style="yellow",
        )
