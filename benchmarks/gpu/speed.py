"""Training speed on a GPU beside idiomatic Lightning and the device's fp32 ceiling."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
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
from reproduce import config
from reproduce.data.images import ImageData
from reproduce.training import loop as training

MEMBERS = 5
FLOP_A_SAMPLE = 5 * 2 * N_PIXELS * N_HIDDEN  # the five large matrix products of a step
CEILING_SIZE = 8_192
COMPILING_PAYS = 1.2  # times as fast as without: each cell must be compiled first
BARS = {"samples_per_second": 4e6, "times_lightning": 50.0}


def speed(seconds: float) -> dict[str, Any]:
    """Measure all programs and say which bars are met."""
    # The better of two rounds each, in turn: the first pays for loading kernels.
    rounds = [
        (
            measure_ours(seconds, compiled=False),
            measure_compiled(seconds),
            measure_ours(seconds, compiled=False, graphs=False),
            measure_lightning(seconds),
        )
        for _ in range(2)
    ]
    graphs, compiled, eager, lightning = (max(values) for values in zip(*rounds, strict=True))
    ours = max(graphs, compiled)
    ceiling = measure_ceiling(min(seconds, 3.0))
    found = {
        "samples_per_second": ours,
        "compiled_in_graphs": compiled,
        "in_graphs": graphs,
        "without_graphs": eager,
        "lightning": lightning,
        "times_lightning": ours / lightning,
        "ceiling_flops": ceiling,
        "of_ceiling": ours * FLOP_A_SAMPLE / ceiling,
    }
    return {**found, "met": {name: found[name] >= bar for name, bar in BARS.items()}}


def compiling_pays(found: Mapping[str, float]) -> bool:
    """Whether cells are to be compiled, by what `speed` found."""
    return found["compiled_in_graphs"] > COMPILING_PAYS * found["in_graphs"]


def measure_compiled(seconds: float) -> float:
    """As `measure_ours` with compiled steps; 0 where torch cannot compile them, which is said."""
    try:
        return measure_ours(seconds, compiled=True)
    except Exception as error:  # whatever it is, the rest can be measured
        print(f"Compiled steps: {error}", file=sys.stderr)
        return 0.0


def measure_ours(seconds: float, compiled: bool, graphs: bool = True) -> float:
    """Train `MEMBERS` stacked members through Lightning; return samples/s summed over members."""
    overrides = ["data=mnist", "algorithm=aevb", f"model.n_latent={N_LATENT}", f"seeds={MEMBERS}"]
    job = config.job_from(config.compose_config([*overrides, "device=cuda"]))
    pixels = torch.from_numpy(grey_levels())
    made_up = ImageData("mnist", pixels, pixels[:100], 1 / 256, (28, 28), "", "made up")
    algorithm = training.build(job.cell, made_up, job.seeds, "cuda")
    algorithm._captures = lambda: graphs
    if compiled:
        algorithm.compile_steps()
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
