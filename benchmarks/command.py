"""What the commands share: options, runs in turn with a progress bar, and how they end."""

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.peers.workload import Measurement, positive_int, positive_seconds
from benchmarks.variants import Variant, machine, run
from reproduce.common.errors import UserError

RESULTS = Path(__file__).parents[1] / "results"
INTERRUPTED = 130  # the exit status of a program ended by Ctrl-C
QUIET = 0.5  # processes running on average, at most, while nothing is measured yet


def parser(
    module: str, text: str | None, output: Path, repeats: int, seconds: float
) -> argparse.ArgumentParser:
    """Return a parser of the options that every comparison has, with these defaults."""
    result = argparse.ArgumentParser(
        prog=f"python -m {module}", description=(text or "").partition("\n")[0]
    )
    result.add_argument(
        "--repeats", type=positive_int, default=repeats, help="runs of each program"
    )
    result.add_argument(
        "--seconds", type=positive_seconds, default=seconds, help="time measured in each run"
    )
    result.add_argument("--output", type=Path, default=output, help="where the JSON goes")
    result.set_defaults(load_before=load())
    return result


def load() -> float:
    """How many processes have been running on average in the last minute (0 if not known)."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # not on every system
        return 0.0


def run_in_turn(
    programs: Mapping[str, Variant], repeats: int, seconds: float
) -> dict[str, list[Measurement]]:
    """Run every program `repeats` times, each in a fresh process; all once before any again.

    Those that take minutes run only once.
    """
    terminal = Console(stderr=True)
    if load() > QUIET:
        terminal.print(
            f"Other programs are running (load average {load():.1f}): the speeds will be too low.",
            highlight=False,
        )
    runs: dict[str, list[Measurement]] = {name: [] for name in programs}
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    # The speed estimate must span many runs: they take seconds each.
    with Progress(
        *columns, console=terminal, speed_estimate_period=3600, transient=True
    ) as progress:
        n_once = sum(program.once for program in programs.values())
        task = progress.add_task("", total=repeats * (len(programs) - n_once) + n_once)
        for repeat in range(repeats):
            for name, program in programs.items():
                if program.once and repeat:
                    continue
                progress.update(task, description=f"repeat {repeat + 1}/{repeats}: {name}")
                runs[name].append(run(name, program, seconds))
                progress.advance(task)
    return runs


def circumstances(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a file of results says besides them: the machine, the date and the settings.

    `load_before` is how many processes ran on average in the minute before the first run.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    settings = {"repeats": options.repeats, "seconds": options.seconds}
    described = {**machine(), "date": now, "load_before": options.load_before}
    return {"machine": described, "settings": settings}


def status_of(work: Callable[[], None]) -> int:
    """Do the work; return the exit status, with a sentence on standard error where it failed."""
    try:
        work()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return INTERRUPTED
    return 0


def console() -> Console:
    """Return a terminal for tables; a pipe or a file has no width to fit them into."""
    return Console() if sys.stdout.isatty() else Console(width=120)
