"""How far the 2013 code's estimator is from the truth: `python -m studies.published_estimator`.

For the trained seeds of experiment 2 it prints three values of log p(x) beside the published one:
near-exact (by quadrature), by the 2013 code's chains with samples laid out right, and as that code
lays them out. Where the last is near the published curve and the first is not, the estimator may
explain the difference; a constant shift, fitted to the same values, stands beside it. Estimates
already in the output folder are not made again.
"""

import argparse
import math
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import command
from benchmarks.peers.workload import positive_int
from reproduce import config
from reproduce.analysis.curves import in_paper_order, value_at
from reproduce.analysis.published import load_published
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import write_json, write_text, write_with
from reproduce.common.machine import available_cores, prepare
from reproduce.common.markdown import aligned, nats, or_blank
from reproduce.common.names import algorithm_name, dataset_name, short_number
from reproduce.common.provenance import provenance
from reproduce.likelihood import evaluate
from reproduce.likelihood.evaluate import ConfiguredEstimator, Question
from reproduce.likelihood.hmc_kde_2013 import HmcKde2013
from reproduce.store.cell import Cell
from reproduce.store.load import snapshots_of
from reproduce.store.store import Store, find_cell
from studies.published_estimator import picture as drawing
from studies.published_estimator.picture import AS_PUBLISHED, EXACT

OUTPUT = Path("results/published_estimator")
LEAST_ENDS = 3  # fewer have no spread to speak of
PLACE = ["dataset", "n_latent", "n_train", "algorithm", "split"]
KEYS = [*PLACE, "step_size", "samples", "cell"]
N_HIDDEN = 100  # of the paper's Figure 3
SPLITS: tuple[evaluate.Split, ...] = ("train", "test")
VALUES = (EXACT, "laid_out_right", AS_PUBLISHED)
ASKED = ["cell", "samples", "seed", "split", "n_points", "settings"]
"""Columns of `estimates.csv` that say what a row is an estimate of."""


def cells_of(store: Store, published: pd.DataFrame) -> list[tuple[Cell, int, list[int]]]:
    """Return the stored cells of the figure's sizes, with their last weights and seeds."""
    known = published[["dataset", "n_latent", "n_train", "algorithm"]].drop_duplicates()
    found = []
    for path in sorted(store.root.glob("*/cell.json")):
        cell = find_cell(store, path.parent.name)
        weights = snapshots_of(store, cell)
        identity = (cell.dataset, cell.n_latent, cell.n_train, cell.algorithm)
        there = identity in known.itertuples(index=False, name=None)
        if weights and there and cell.settings["model"]["n_hidden"] == N_HIDDEN:
            found.append((cell, max(weights), weights[max(weights)]))
    if not found:
        raise UserError(
            f"{store.root} holds no trained cell of experiment 2; run `make figure2` first."
        )
    return found


def exact(
    store: Store, question: Question, seeds: Sequence[int], data_dir: str | None
) -> dict[int, float]:
    """Return log p(x) by quadrature, as kept beside the seeds or else estimated now."""
    estimator = ConfiguredEstimator.from_config(
        config.compose_config(["estimator=quadrature"], "estimate").estimator
    )
    found = {}
    for seed in seeds:
        frame = store.likelihoods(question.cell, seed)
        same = frame[
            (frame["estimator"] == EXACT)
            & (frame["split"] == question.split)
            & (frame["samples"] == question.samples)
            & (frame["n_points"] == question.n_points)
            & (frame["settings"] == estimator.digest)
        ]
        if same.empty:
            now, _ = evaluate.estimate(store, question, [seed], estimator, data_dir)
            found[seed] = float(now.value.mean())
        else:
            found[seed] = float(same["value"].iloc[-1])
    return found


def rows_of(
    store: Store, cell: Cell, samples: int, seeds: Sequence[int], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Estimate a cell's seeds on both splits."""
    estimator = _configured(options)
    step_size = cell.settings["algorithm"]["step_size"]
    for split in SPLITS:
        question = Question(cell, samples, split, options.n_points)
        found, seconds = evaluate.estimate(store, question, seeds, estimator, options.data_dir)
        right = found.diagnostics["laid_out_right"]
        reference = exact(store, question, seeds, options.data_dir)
        for index, seed in enumerate(seeds):
            yield {
                "dataset": cell.dataset, "n_latent": cell.n_latent, "n_train": cell.n_train,
                "algorithm": cell.algorithm, "step_size": step_size, "seed": seed, "split": split,
                "samples": samples, "cell": cell.id,
                "n_points": options.n_points, "settings": estimator.digest,
                EXACT: reference[seed],
                "laid_out_right": float(right[index].mean()),
                AS_PUBLISHED: float(found.value[index].mean()),
                "seconds": round(seconds / len(seeds), 1),
            }  # fmt: skip


def _configured(options: argparse.Namespace) -> ConfiguredEstimator:
    settings = {"n_evaluations": options.n_evaluations}
    return ConfiguredEstimator(HmcKde2013.name, HmcKde2013(**settings), settings)


def kept(options: argparse.Namespace) -> pd.DataFrame:
    """Return what an earlier run estimated with the same settings, at any number of samples."""
    path = options.output / "estimates.csv"
    if not path.exists():
        return pd.DataFrame(columns=ASKED)
    try:
        rows = pd.read_csv(path, dtype={"settings": str})
        same = (rows["n_points"] == options.n_points) & (
            rows["settings"] == _configured(options).digest
        )
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"{path} is no table of estimates ({error}); move it away.") from error
    return rows[same]


def compared(rows: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds, and put the published value beside."""
    table = rows.groupby(KEYS, as_index=False)[list(VALUES)].mean()
    theirs = []
    for row in table.to_dict("records"):
        curve = _curve(published, row)
        last = min(float(row["samples"]), float(curve["samples"].max()))
        theirs.append(value_at(curve, last))
    return in_paper_order(table.assign(published=theirs))


def _curve(published: pd.DataFrame, row: Mapping[Hashable, Any]) -> pd.DataFrame:
    """The published curve of a row's place."""
    for key in PLACE:
        published = published[published[key] == row[key]]
    return published


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, with the differences from the published values."""
    head = [
        "dataset", "N_train", "algorithm", "step size", "split", "samples", "published", EXACT,
        "2013, laid out right", "2013 as it is", f"{EXACT} − published", "2013 − published",
    ]  # fmt: skip
    rows = [head]
    for row in table.to_dict("records"):
        where = [dataset_name(row["dataset"]), f"{row['n_train']:,}"]
        where += [algorithm_name(row["algorithm"]), f"{row['step_size']:g}"]
        where += [row["split"], short_number(row["samples"])]
        values = [or_blank(row[name]) for name in ("published", *VALUES)]
        off = [or_blank(row[name] - row["published"], "+") for name in (EXACT, AS_PUBLISHED)]
        rows.append(where + values + off)
    return aligned(rows, right=(1, 3, *range(5, len(head))))


def explained(table: pd.DataFrame) -> str:
    """Hold the 2013 code against a constant shift, at the ends of the published curves.

    The code has nothing that was fitted, the constant has one number. Where a place has cells of
    several step sizes, first the figure's is taken, then the other.
    """
    chosen = config.compose_config([]).step_sizes
    published = load_published("figure3")
    ends = []
    for row in table.to_dict("records"):
        curve = _curve(published, row)
        if row["samples"] >= 0.95 * curve["samples"].max():
            own = chosen.get(f"{row['dataset']}_n{row['n_train']}", {}).get(row["algorithm"])
            ends.append({**row, "own": row["step_size"] == own})
    frame = pd.DataFrame(ends)
    if len(frame) < LEAST_ENDS:
        return ""
    own = frame.sort_values("own", ascending=False, kind="stable").drop_duplicates(PLACE)
    other = frame.sort_values("own", kind="stable").drop_duplicates(PLACE)
    head = ["step sizes", "values", "mean", "within 1", "constant", "left by it", "within 1",
            "2013", "left by it", "within 1", "correlation"]  # fmt: skip
    rows = [head, ["the figure's", *_explained(own)]]
    if not own.equals(other):
        rows.append(["the other where there is one", *_explained(other)])
    return (
        "Quadrature − published at the ends of the published curves, in nats: its mean, and what "
        "a constant shift (fitted) and the 2013 code (nothing fitted) leave of it, as root mean "
        "square; correlation: of the code's shifts with those that are needed.\n\n"
        f"{aligned(rows, right=range(1, len(head)))}"
    )


def _explained(ends: pd.DataFrame) -> list[str]:
    off = ends[EXACT] - ends["published"]
    left = ends[AS_PUBLISHED] - ends["published"]
    constant = -off.mean()
    return [
        str(len(ends)), nats(off.mean(), "+"), _near(off), nats(constant, "+"),
        f"{_rms(off + constant):.1f}", _near(off + constant),
        nats((left - off).mean(), "+"), f"{_rms(left):.1f}", _near(left),
        f"{(left - off).corr(-off):.2f}".replace("-", "−"),
    ]  # fmt: skip


def _near(values: pd.Series) -> str:
    return str(int((values.abs() < 1).sum()))


def _rms(values: pd.Series) -> float:
    return math.sqrt(float(values.pow(2).mean()))


def _write(rows: pd.DataFrame, path: Path) -> None:
    rows.to_csv(path, index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Estimate, compare and write; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.published_estimator",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "results", type=Path, nargs="+", help="results folders with trained cells of experiment 2"
    )
    parser.add_argument("--data-dir", help="your folder of data files")
    parser.add_argument("--n-points", type=positive_int, default=1_000, help="images of each split")
    parser.add_argument("--n-evaluations", type=positive_int, default=3, help="see HmcKde2013")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)

    def work() -> None:
        origin = provenance()
        prepare(available_cores())
        terminal = cli.console()
        published = load_published("figure3")
        stores = [Store(folder / "runs") for folder in options.results]
        found = [(store, *cell) for store in stores for cell in cells_of(store, published)]
        rows = kept(options)
        n_kept = len(rows)
        start = time.perf_counter()
        columns = (
            TextColumn("{task.description}"), BarColumn(), TextColumn("left"), TimeRemainingColumn()
        )  # fmt: skip
        with Progress(
            *columns, console=terminal, transient=True, speed_estimate_period=3600
        ) as bar:
            task = bar.add_task("", total=len(found))
            for store, cell, samples, seeds in found:
                bar.update(task, description=cell.id)
                there = rows[(rows["cell"] == cell.id) & (rows["samples"] == samples)]
                missing = [seed for seed in seeds if seed not in set(there["seed"])]
                if missing:
                    new = pd.DataFrame(rows_of(store, cell, samples, missing, options))
                    rows = pd.concat([rows, new], ignore_index=True) if len(rows) else new
                    write_with(options.output / "estimates.csv", partial(_write, rows))
                bar.advance(task)
        comparison = compared(rows, published)
        table = "\n\n".join(filter(None, [markdown(comparison), explained(comparison)]))
        caption = (
            f"log p(x) in nats per datapoint on the first {options.n_points:,} images of each "
            "split; means over seeds."
        )
        drawing.draw(comparison, options.output / "published_estimator")
        write_text(options.output / "table.md", f"{caption}\n\n{table}\n")
        about = {
            "n_points": options.n_points,
            "n_evaluations": options.n_evaluations,
            "rows_of_earlier_runs": n_kept,
            "cells": list(dict.fromkeys(rows["cell"])),
            "seconds": round(time.perf_counter() - start),
            "provenance": origin,
        }
        write_json(options.output / "manifest.json", about)
        terminal.print(f"{caption}\n\n{table}", markup=False, highlight=False, soft_wrap=True)
        terminal.print(f"Written: {options.output}", highlight=False)

    return command.status_of(work)


if __name__ == "__main__":
    sys.exit(main())
