"""Running many jobs: which are left, on how many cores, with a progress bar and a time left."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
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

from reproduce import data, tracking
from reproduce.checkpoints import read_checkpoint
from reproduce.errors import UserError
from reproduce.runtime import available_cores, choose_device, is_out_of_memory
from reproduce.store import Store
from reproduce.training import Job, Report, as_interrupts, last_mark, train


@dataclass(frozen=True)
class Divergence:
    """A member whose bound became infinite or undefined."""

    job: Job
    seed: int
    samples: int


def run(
    jobs: Sequence[Job], workers: int | None, console: Console, *, bar: bool = True
) -> list[Divergence]:
    """Train what is missing of `jobs`, several at once, and return the members that diverged.

    On a CPU each worker is a process that trains one job on one thread: two cores give two jobs
    at once, and numbers do not depend on how many. With one worker all happens in this process.

    Parameters
    ----------
    jobs
        What to train. Jobs that are done cost nothing.
    workers
        How many processes; None means one for each core, or one on a GPU.
    console
        Where messages and the progress bar go.
    bar
        Whether there is a bar; without it there are lines alone.

    Raises
    ------
    UserError
        For a checkpoint that cannot be continued from, before anything is trained; then for the
        first job that fails. The others keep what their checkpoints hold.
    """
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, not {workers}.")
    left = [job for job in jobs if _is_left(job)]
    if len(left) < len(jobs):
        console.print(f"{len(jobs) - len(left)} of {len(jobs)} cells are done already.")
    for job in left:
        _check_checkpoints(job)
    if left:
        on_gpu = choose_device(left[0].device).type == "cuda"
        workers = workers or (1 if on_gpu else available_cores() // left[0].threads or 1)
        left = _split(left, workers)
        left.sort(key=_cost, reverse=True)
        with _Board(left, console, bar) as board:
            if workers == 1 or len(left) == 1:
                for job in left:
                    _train(job, board.reporter(job))
                    board.finished(job)
            else:
                _run_pool(left, min(workers, len(left)), board)
    return diverged(jobs)


def diverged(jobs: Sequence[Job]) -> list[Divergence]:
    """Return the members of `jobs` that are known to have diverged within the job's samples."""
    found = []
    for job in jobs:
        for seed in job.seeds:
            at = Store(job.store).manifest(job.cell, seed).get("diverged_at")
            if at is not None and at <= last_mark(job):
                found.append(Divergence(job, seed, at))
    return found


def _is_left(job: Job) -> bool:
    store = Store(job.store)
    return not all(store.is_done(job.cell, seed, job.samples) for seed in job.seeds)


def _check_checkpoints(job: Job) -> None:
    """Find out before hours of training which checkpoints are damaged or belong elsewhere."""
    store = Store(job.store)
    for seed in job.seeds:
        path = store.checkpoint(job.cell, seed)
        if store.is_done(job.cell, seed, job.samples) or not path.exists():
            continue
        read_checkpoint(store, job.cell, seed)


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
    pixels = data.load(job.cell.dataset, job.data_dir).train.shape[1]
    width = job.cell.settings["model"]["n_hidden"]
    return job.samples * len(job.seeds) * width * (pixels + job.cell.n_latent)


class _Board:
    """The progress bar: samples summed over members, weighted by what they cost."""

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
        reach = f"{last_mark(job):.1e} samples"
        self.console.print(f"{label} {reach}   {shown}   nats", highlight=False)


_reports: Any = None


def _start_worker(reports: Any) -> None:
    """Prepare a worker process: it dies with its parent, and Ctrl-C is its parent's business."""
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _train_in_worker(number: int, job: Job) -> None:
    _train(job, lambda kind, payload: _reports.put((number, kind, payload)))


def _train(job: Job, report: Report) -> None:
    """Train; say in a sentence where the disk or the memory of this machine did not suffice."""
    try:
        with as_interrupts():
            train(job, report)
    except (RuntimeError, MemoryError) as error:
        # torch has no type of its own for a failed write.
        if "inline_container" in str(error):  # the part of torch that writes checkpoints
            raise UserError(
                f"Could not write a checkpoint below {Store(job.store).folder(job.cell)}: the disk "
                "is full or fails; free some space or choose another folder with results=FOLDER, "
                "then run the same command again to continue."
            ) from error
        if is_out_of_memory(error):
            raise UserError(
                f"{job.cell.title} does not fit into memory; choose a smaller model, fewer seeds "
                "or workers=1, then run the command again."
            ) from error
        raise
    except Exception as error:
        if not tracking.is_wandb(error):
            raise
        raise UserError(tracking.WANDB_FAILS.format(error)) from error


def _run_pool(jobs: Sequence[Job], workers: int, board: _Board) -> None:
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    reporters = [board.reporter(job) for job in jobs]
    pool = ProcessPoolExecutor(workers, context, _start_worker, (reports,))
    futures = {pool.submit(_train_in_worker, n, job): n for n, job in enumerate(jobs)}
    try:
        _follow(futures, reports, reporters, lambda n: board.finished(jobs[n]))
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process was killed (out of memory, or by hand). Finished cells and "
            "checkpoints are safe: run the same command again to continue."
        ) from error
    finally:
        # On an error or Ctrl-C the workers are in the middle of a job: stop them now. What they
        # have done since their last checkpoint will be repeated. SIGTERM would not do: Lightning
        # catches it, and a worker that survives others waits for ever for the queue they held.
        if any(not future.done() for future in futures):
            for process in list((pool._processes or {}).values()):
                process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _follow(
    futures: dict[Future[None], int],
    reports: Any,
    reporters: Sequence[Report],
    finished: Callable[[int], None],
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
            number = pending.pop(future)
            future.result()
            finished(number)
