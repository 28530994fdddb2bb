"""Measure this suite's training speed beside its peers: `python -m benchmarks.bench`.

Every variant runs in a fresh process, and all variants run once before any runs again, so that a
slow spell of the machine falls on all of them. The figure of a variant is the median of its runs,
in training samples per second, summed over members.
"""

import argparse
import datetime
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.peers.workload import positive_int, positive_seconds
from benchmarks.variants import THREADS, VARIANTS, machine, run
from reproduce.errors import UserError
from reproduce.files import write_json

RESULTS = Path(__file__).parents[1] / "results" / "bench.json"
INTERRUPTED = 130  # the exit status of a program ended by Ctrl-C


def measure_all(repeats: int, seconds: float, console: Console) -> dict[str, list[float]]:
    """Run every variant `repeats` times, interleaved; return their speeds in samples/s.

    Raises
    ------
    UserError
        Where a variant fails.
    """
    runs: dict[str, list[float]] = {name: [] for name in VARIANTS}
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    # The speed estimate must span many runs: they take seconds each.
    with Progress(
        *columns, console=console, speed_estimate_period=3600, transient=True
    ) as progress:
        task = progress.add_task("", total=repeats * len(VARIANTS))
        for repeat in range(repeats):
            for name in VARIANTS:
                progress.update(task, description=f"repeat {repeat + 1}/{repeats}: {name}")
                runs[name].append(run(name, seconds))
                progress.advance(task)
    return runs


def summarise(runs: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Return the median of each variant, and as `ceiling` the better of the two ceilings."""
    summary: dict[str, dict[str, Any]] = {
        name: {"samples_per_second": statistics.median(values), "runs": list(values)}
        for name, values in runs.items()
    }
    best = max(
        ("ceiling_threads", "ceiling_processes"), key=lambda c: summary[c]["samples_per_second"]
    )
    summary["ceiling"] = {**summary[best], "variant": best}
    return summary


def table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the comparison as a table, one variant a row."""
    lightning = summary["lightning"]["samples_per_second"]
    ceiling = summary["ceiling"]["samples_per_second"]
    result = Table(title=f"Training speed, 784-500-20, minibatch 100, {THREADS} CPU threads")
    result.add_column("program", no_wrap=True)
    for header in ("samples/s", "slowest - fastest run", "ratio to Lightning", "of the ceiling"):
        result.add_column(header, justify="right")
    for name, variant in VARIANTS.items():
        speed, runs = summary[name]["samples_per_second"], summary[name]["runs"]
        result.add_row(
            variant.title,
            f"{speed:,.0f}",
            f"{min(runs):,.0f} - {max(runs):,.0f}",
            f"{speed / lightning:.2f}",
            f"{speed / ceiling:.0%}",
        )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, print its table and write `results/bench.json`; return the status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--repeats", type=positive_int, default=5, help="runs of each variant")
    parser.add_argument(
        "--seconds", type=positive_seconds, default=4.0, help="time measured in each run"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    options = parser.parse_args(arguments)
    # A pipe or a file has no width to fit the table into.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    try:
        runs = measure_all(options.repeats, options.seconds, Console(stderr=True))
        summary = summarise(runs)
        console.print(table(summary))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        settings = {"repeats": options.repeats, "seconds": options.seconds}
        write_json(
            options.output, {**summary, "machine": {**machine(), "date": now}, "settings": settings}
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return INTERRUPTED
    print(f"Written to {os.path.relpath(options.output)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
