"""The whole GPU run, and its checks: `python -m benchmarks.gpu --minutes 25`.

In this order: training speed beside idiomatic Lightning and the device's fp32 ceiling; members
trained on the GPU beside those of the committed CPU run, which must agree within their intervals;
then cells of experiments 1 and 2 at the `paper` budget, whole cells at a time, the quickest first,
each exported when it is finished, until the time is over. Run it again to go on.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.lightning import LitVAE, StopOnTime
from benchmarks.peers.workload import (
    BATCH_SIZE,
    N_HIDDEN,
    N_LATENT,
    N_PIXELS,
    WARM_UP_STEPS,
    Clock,
    grey_levels,
    images,
)
from benchmarks.variants import machine
from reproduce import cli, config, exchange, runner, training
from reproduce.data.images import ImageData
from reproduce.errors import UserError
from reproduce.files import write_json
from reproduce.plan import make_plan
from reproduce.provenance import device_name, provenance
from reproduce.store import Store
from reproduce.training import Job

ROOT = Path(__file__).parents[1]
CPU_CURVES = ROOT / "results" / "reference" / "figure1" / "laptop" / "curves.csv"
CELLS = ROOT / "results" / "reference" / "cells"
MEMBERS = 5
FLOP_A_SAMPLE = 5 * 2 * N_PIXELS * N_HIDDEN  # the five large matrix products of a step
AGREEMENT_SAMPLES = 1_000_000
AGREEMENT_PANELS = (("mnist", 10), ("mnist", 20), ("freyface", 10))
CEILING_SIZE = 8_192
BARS = {"samples_per_second": 4e6, "times_lightning": 50.0}


def measure_ours(seconds: float, graphs: bool) -> float:
    """Train `MEMBERS` stacked members through Lightning; return samples/s summed over members."""
    overrides = ["data=mnist", "algorithm=aevb", f"model.n_latent={N_LATENT}", f"seeds={MEMBERS}"]
    job = config.job_from(config.compose_config([*overrides, "device=cuda"]))
    pixels = torch.from_numpy(grey_levels())
    made_up = ImageData("mnist", pixels, pixels[:100], 1 / 256, (28, 28), "", "made up")
    algorithm = training.build(job.cell, made_up, job.seeds, "cuda")
    algorithm._captures = lambda: graphs
    blocks = training.LONGEST_CHUNK["cuda"] // algorithm.block_samples
    stopwatch = _Stopwatch(seconds, MEMBERS * algorithm.block_samples)
    chunks = training.Chunks(0, [10**11], algorithm.block_samples, longest=blocks)
    _trainer(stopwatch).fit(algorithm, train_dataloaders=chunks)
    return stopwatch.samples_per_second


def measure_lightning(seconds: float) -> float:
    """Train one model as Lightning's documentation would on a GPU; return samples/s."""
    loader = DataLoader(
        TensorDataset(torch.from_numpy(images())),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=0,
        pin_memory=True,
    )
    clock = Clock(seconds, warm_up=WARM_UP_STEPS)
    _trainer(StopOnTime(clock), max_epochs=-1).fit(LitVAE(), loader)
    return clock.samples_per_second


def measure_ceiling(seconds: float) -> float:
    """FLOP/s of one large fp32 matrix product."""
    a, b = torch.randn(2, CEILING_SIZE, CEILING_SIZE, device="cuda").unbind()
    out = torch.empty_like(a)
    for _ in range(3):
        torch.mm(a, b, out=out)
    torch.cuda.synchronize()
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        torch.mm(a, b, out=out)
        torch.cuda.synchronize()
        products += 1
    return products * 2 * CEILING_SIZE**3 / (time.perf_counter() - started)


class _Stopwatch(pl.Callback):
    """Times chunks, the first of which warms up, and stops training when the time is over."""

    def __init__(self, seconds: float, samples_a_block: int) -> None:
        self.seconds, self.samples_a_block = seconds, samples_a_block
        self.started: float | None = None
        self.blocks, self.elapsed = 0, 0.0

    @property
    def samples_per_second(self) -> float:
        return self.blocks * self.samples_a_block / self.elapsed

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: range,
        batch_idx: int,
    ) -> None:
        """Wait for the device, as the runner does after each chunk, and count."""
        torch.cuda.synchronize()
        if self.started is None:
            self.started = time.perf_counter()
            return
        self.blocks += len(batch)
        self.elapsed = time.perf_counter() - self.started
        trainer.should_stop = self.elapsed > self.seconds


def _trainer(callback: pl.Callback, max_epochs: int = 1) -> pl.Trainer:
    training.quieten_lightning()
    return pl.Trainer(
        accelerator="gpu",
        devices=1,
        max_epochs=max_epochs,
        logger=False,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def speed(seconds: float) -> dict[str, Any]:
    """Measure all programs and say which bars are met."""
    # The better of two rounds each, in turn: the first pays for loading kernels.
    rounds = [
        (measure_ours(seconds, True), measure_ours(seconds, False), measure_lightning(seconds))
        for _ in range(2)
    ]
    ours, eager, lightning = (max(values) for values in zip(*rounds, strict=True))
    ceiling = measure_ceiling(min(seconds, 3.0))
    found = {
        "samples_per_second": ours,
        "without_graphs": eager,
        "lightning": lightning,
        "times_lightning": ours / lightning,
        "ceiling_flops": ceiling,
        "of_ceiling": ours * FLOP_A_SAMPLE / ceiling,
    }
    return {**found, "met": {name: found[name] >= bar for name, bar in BARS.items()}}


def agreement(store: Path, data_dir: str | None, terminal: Console) -> list[dict[str, Any]]:
    """Train a few cells to 1e6 samples and compare them with the committed run on a CPU.

    Agreement means that the 95 % Welch interval of the difference of the means holds zero.
    """
    on_cpu = pd.read_csv(CPU_CURVES)
    found = []
    for dataset, n_latent in AGREEMENT_PANELS:
        for algorithm in ("aevb", "wake_sleep"):
            overrides = [
                f"data={dataset}", f"algorithm={algorithm}", f"model.n_latent={n_latent}",
                f"seeds={MEMBERS}", f"samples={AGREEMENT_SAMPLES}", "device=cuda", "tracking=off",
                f"results={store}", *([f"data.dir={data_dir}"] if data_dir else []),
            ]  # fmt: skip
            job = config.job_from(config.compose_config(overrides))
            runner.run([job], 1, terminal)
            curves = Store(job.store).curves(job.cell, job.seeds, AGREEMENT_SAMPLES)
            keys = {"dataset": dataset, "n_latent": n_latent, "algorithm": algorithm}
            for split in ("train", "test"):
                ours = _ends(curves, {**keys, "split": split})
                theirs = _ends(on_cpu, {**keys, "split": split})
                found.append({**keys, "split": split, **compare(ours, theirs)})
    return found


def compare(gpu: Sequence[float], cpu: Sequence[float]) -> dict[str, Any]:
    """Means on both devices, and the 95 % Welch interval of their difference."""
    interval = stats.ttest_ind(gpu, cpu, equal_var=False).confidence_interval(0.95)
    low, high = float(interval.low), float(interval.high)
    return {
        "gpu": sum(gpu) / len(gpu),
        "cpu": sum(cpu) / len(cpu),
        "difference_low": low,
        "difference_high": high,
        "agrees": low <= 0 <= high,
    }


def _ends(curves: pd.DataFrame, keys: dict[str, Any]) -> list[float]:
    chosen = curves[(curves[list(keys)] == pd.Series(keys)).all(axis=1)]
    at_end = chosen[chosen["samples"] == chosen["samples"].max()]
    return at_end["value"].tolist()


def paper_cells(
    deadline: float, speed: float, data_dir: str | None, terminal: Console
) -> dict[str, list[str]]:
    """Train cells of both figures at the `paper` budget while the time suffices; export each.

    Parameters
    ----------
    deadline
        When to begin no further cell, on the clock of `time.monotonic`.
    speed
        Samples/s of 784-500-20; other cells are taken to cost what their widths say, and after
        the first one what was measured on it.
    data_dir, terminal
        Where the data are, and where progress goes.
    """
    common = ["budget=paper", "device=cuda", "tracking=off", "data.fallback=error"]
    common += [f"data.dir={data_dir}"] if data_dir else []
    jobs = [
        job
        for figure in ("figure1", "figure2")
        for job in make_plan([f"figure={figure}", *common], terminal).jobs
    ]
    done, left = [], []
    for job in sorted(jobs, key=_work):
        store = Store(job.store)
        known = all(store.is_done(job.cell, seed, job.samples) for seed in job.seeds)
        if not known and time.monotonic() + _work(job) / speed > deadline:
            left.append(job.cell.id)
            continue
        started = time.monotonic()
        runner.run([job], 1, terminal)
        if not known:
            speed = _work(job) / (time.monotonic() - started)
        exchange.export(job.store, CELLS)
        done.append(job.cell.id)
    return {"done": done, "missing": left}


def _work(job: Job) -> float:
    """Samples of 784-500-20 that would cost about what the job costs."""
    n_pixels = 560 if job.cell.dataset == "freyface" else N_PIXELS
    width = job.cell.settings["model"]["n_hidden"] * n_pixels / (N_HIDDEN * N_PIXELS)
    # A step is bound by launching its kernels where layers are small.
    cost = max(width, 0.3) * (1.0 if job.cell.algorithm == "aevb" else 1.6)
    return job.samples * len(job.seeds) * cost


def _print(report: dict[str, Any], terminal: Console) -> None:
    table = Table(title=f"Training on {report['device']}, 784-500-20, {MEMBERS} members, fp32")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for name, value in report["speed"].items():
        if name != "met":
            table.add_row(name.replace("_", " "), f"{value:,.3g}")
    terminal.print(table)
    for name, met in report["speed"]["met"].items():
        terminal.print(f"{name} >= {BARS[name]:,.3g}: {'met' if met else 'not met'}")
    for row in report.get("agreement", []):
        terminal.print(
            f"{row['dataset']} N_z={row['n_latent']} {row['algorithm']} {row['split']}: GPU "
            f"{row['gpu']:.2f}, CPU {row['cpu']:.2f}, difference in "
            f"[{row['difference_low']:.2f}, {row['difference_high']:.2f}]: "
            f"{'agrees' if row['agrees'] else 'DIFFERS'}",
            highlight=False,
        )


def main() -> int:
    """Run everything that the time allows and write `results/gpu.json`; return the status."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    options.add_argument("--minutes", type=float, default=25.0, help="begin no cell after these")
    options.add_argument("--seconds", type=float, default=10.0, help="of each speed measurement")
    options.add_argument("--data-dir", default=None, help="folder with MNIST and Frey Face")
    options.add_argument("--output", type=Path, default=ROOT / "results" / "gpu.json")
    options.add_argument("--speed-only", action="store_true", help="measure, train nothing")
    given = options.parse_args()
    if not (given.minutes > 0 and given.seconds > 0 and math.isfinite(given.minutes)):
        raise UserError("--minutes and --seconds must be greater than zero.")
    if not torch.cuda.is_available():
        raise UserError("torch sees no CUDA device here; this script needs one.")
    deadline = time.monotonic() + 60 * given.minutes
    terminal = cli.console()
    where = {"device": device_name(torch.device("cuda")), "machine": machine(), **provenance()}
    report: dict[str, Any] = {**where, "speed": speed(given.seconds)}
    write_json(given.output, report)
    if not given.speed_only:
        report["agreement"] = agreement(ROOT / "results" / "gpu", given.data_dir, terminal)
        write_json(given.output, report)
        rate = report["speed"]["samples_per_second"]
        report["paper_cells"] = paper_cells(deadline, rate, given.data_dir, terminal)
        write_json(given.output, report)
    _print(report, terminal)
    disagree = [row for row in report.get("agreement", []) if not row["agrees"]]
    return 1 if disagree or not all(report["speed"]["met"].values()) else 0


if __name__ == "__main__":
    cli.command(main)
