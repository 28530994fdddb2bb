"""Replays first hooks side by side, a process per core."""

import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from reproduce.common.machine import available_cores, prepare
from reproduce.experiments.replay import first_hook
from reproduce.experiments.replay.draws import Run

_done: "Synchronized[int] | None" = None


def replayed(
    runs: list[Run], data_dir: Path | None, workers: int | None, terminal: Console
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each run as it is finished, under a progress bar."""
    if not runs:
        return
    work = {
        run: first_hook.first_hook(run)[0] * _size(run) * first_hook.continuations(run)
        for run in runs
    }
    longest_first = sorted(runs, key=lambda run: -work[run])
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    n_workers = min(len(runs), workers or available_cores())
    columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=terminal) as bar,
        context.Pool(n_workers, _begin, (counter,)) as pool,
    ):
        task = bar.add_task("first hooks of the published runs", total=sum(work.values()))
        tasks = [(run, data_dir, _size(run)) for run in longest_first]
        results = pool.imap_unordered(_replay, tasks)
        left = len(tasks)
        while left:
            try:
                rows = results.next(timeout=0.5)
            except multiprocessing.TimeoutError:
                bar.update(task, completed=counter.value)
                continue
            left -= 1
            yield rows
        bar.update(task, completed=sum(work.values()))


def _size(run: Run) -> int:
    """How much an iteration has to do: the size of its largest products."""
    pixels = 784 if run.dataset == "mnist" else 2 * 560  # of the mean and of the log variance
    return run.batch_size * run.n_hidden * pixels


def _begin(counter: "Synchronized[int]") -> None:
    global _done
    _done = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    prepare(threads=1)


def _replay(task: tuple[Run, Path | None, int]) -> list[dict[str, Any]]:
    run, data_dir, weight = task

    def advance(iterations: int) -> None:
        assert _done is not None
        with _done.get_lock():
            _done.value += iterations * weight

    return first_hook.replay(data_dir, [run], advance)
