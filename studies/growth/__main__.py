"""Measure how training time grows with seeds, N_z and N_train: `python -m studies.growth`.

Every point is a training of this suite in a fresh process, and all run once before any runs again.
Time ought to be at most linear in the seeds and in N_z, and, for Monte Carlo EM's iterations, in
N_train; minibatch algorithms ought not to notice N_train. Writes results/growth.json and draws it.
"""

import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import command
from benchmarks.peers import workload as peers
from benchmarks.peers.workload import Measurement
from benchmarks.variants import THREADS, Variant
from reproduce import config
from reproduce.common.files import write_json
from reproduce.training import loop as training
from studies.growth import picture as growth_figure

SAMPLES = 10_000  # whose time is told
SEEDS = (1, 2, 4, 8)
N_LATENT = (2, 10, 20, 50, 100, 200)
N_TRAIN = (1_000, 5_000, 20_000, 50_000)
EXPERIMENT_2 = ("model.n_hidden=100", "model.n_latent=3")  # Monte Carlo EM belongs there


class Point(NamedTuple):
    """One point of the figure: what is trained, and how much of it is told."""

    panel: str
    series: str
    x: int
    options: tuple[str, ...]
    """Of `benchmarks.ours`."""
    samples: int
    """Samples, summed over seeds, whose time is the point's height."""

    @property
    def program(self) -> str:
        """The program's name; points of the same program share its runs."""
        return "growth " + " ".join(self.options)


def points() -> list[Point]:
    """Return all points, panel by panel."""
    found = []
    for series, threads in (("one_thread", 1), ("two_processes", THREADS)):
        found += [
            Point("members", series, n, _options(threads, n), SAMPLES * n)
            for n in SEEDS
            if n >= threads  # fewer seeds are fewer processes
        ]
    for algorithm in ("aevb", "wake_sleep"):
        found += [
            Point("n_latent", algorithm, n, _options(1, 1, *_cell(algorithm, n)), SAMPLES)
            for n in N_LATENT
        ]
    for algorithm in ("aevb", "wake_sleep", "mcem"):
        found += [
            Point(
                "n_train",
                algorithm,
                n,
                _options(1, 1, "--n-train", str(n), *_cell(algorithm), *EXPERIMENT_2),
                iteration_samples(n) if algorithm == "mcem" else SAMPLES,
            )
            for n in N_TRAIN
        ]
    return found


def iteration_samples(n_train: int) -> int:
    """Return how many samples an iteration of Monte Carlo EM counts."""
    overrides = ["data=mnist", "algorithm=mcem", f"data.n_train={n_train}"]
    return training.block_samples(config.job_from(config.compose_config(overrides)).cell)


def rows_of(
    measured: Iterable[Point], runs: Mapping[str, Sequence[Measurement]]
) -> list[dict[str, Any]]:
    """Return the points with their seconds: the median, and each run's."""
    rows = []
    for point in measured:
        seconds = [point.samples / run.samples_per_second for run in runs[point.program]]
        rows.append(
            {
                "panel": point.panel,
                "series": point.series,
                "x": point.x,
                "samples": point.samples,
                "seconds": statistics.median(seconds),
                "runs": seconds,
            }
        )
    return rows


def exponents(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the exponent of each series, by panel: the slope of log seconds over log x."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault((row["panel"], row["series"]), []).append((row["x"], row["seconds"]))
    found: dict[str, dict[str, float]] = {}
    for (panel, name), pairs in series.items():
        x, seconds = np.log(np.array(pairs)).T
        found.setdefault(panel, {})[name] = float(np.polyfit(x, seconds, 1)[0])
    return found


def _options(threads: int, seeds: int, *others: str) -> tuple[str, ...]:
    return ("--threads", str(threads), "--seeds", str(seeds), *others)


def _cell(algorithm: str, n_latent: int = peers.N_LATENT) -> list[str]:
    """Overrides that differ from what `benchmarks.ours` trains anyway."""
    found = [] if algorithm == "aevb" else [f"algorithm={algorithm}"]
    return found + ([] if n_latent == peers.N_LATENT else [f"model.n_latent={n_latent}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and draw; return the status."""
    output = command.RESULTS / "growth.json"
    parser = command.parser("studies.growth", __doc__, output, repeats=3, seconds=2.0)
    options = parser.parse_args(arguments)

    def work() -> None:
        measured = points()
        programs = {p.program: Variant(p.program, "benchmarks.ours", p.options) for p in measured}
        rows = rows_of(measured, command.run_in_turn(programs, options.repeats, options.seconds))
        found = {"points": rows, "exponents": exponents(rows), **command.circumstances(options)}
        write_json(options.output, found)
        drawn = growth_figure.draw(rows, found["exponents"], options.output.with_suffix(""))
        written = ", ".join(os.path.relpath(path) for path in (options.output, *drawn))
        print(f"Written: {written}.")

    return command.status_of(work)


if __name__ == "__main__":
    sys.exit(main())
