"""Training speed on a GPU beside idiomatic Lightning and the device's fp32 ceiling."""

import math
import time
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.gpu.checks import Step, graphs_agree
from benchmarks.gpu.sizes import Run
from benchmarks.peers.workload import (
    BATCH_SIZE,
    N_HIDDEN,
    N_PIXELS,
    Clock,
    grey_levels,
    images,
)
from reproduce import config
from reproduce.algorithms.schedule import BLOCK_STEPS, Chunks
from reproduce.common.lightning import pl
from reproduce.data.images import ImageData
from reproduce.training import loop as training

SEEDS = (3, 5, 1)
"""Seeds in a stack: first those of the `paper` budget."""
FLOP_A_SAMPLE = 5 * 2 * N_PIXELS * N_HIDDEN  # the five large matrix products of a step
CEILING_SIZE = 8_192
PAPER_SAMPLES = 1e8
AIMS = {"samples_per_second": 2e6, "times_lightning": 50.0}


def speed(run: Run) -> Iterator[Step]:
    """What is measured, by its name in the report: samples/s summed over seeds, or FLOP/s."""
    for seeds in SEEDS:
        yield f"seeds_{seeds}", partial(measure_ours, run, seeds)
    yield "lightning", partial(measure_lightning, run)
    if run.device == "cuda":
        yield f"without_graphs_seeds_{SEEDS[0]}", partial(measure_ours, run, SEEDS[0], graphs=False)
        yield "ceiling_flops", partial(measure_ceiling, min(run.seconds, 3.0))
        # Last: compiling may take longer than there is time.
        yield "compiled_and_plain_steps", partial(graphs_agree, run, compiled=True)
        for seeds in SEEDS:
            yield f"compiled_seeds_{seeds}", partial(measure_ours, run, seeds, compiled=True)


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """The best speed and what it is a share of, as far as measured, and which aims are met."""
    ours = max((rate for name, rate in found.items() if "seeds_" in name), key=_rate, default=0)
    best = _rate(ours)
    result: dict[str, Any] = {"samples_per_second": best}
    if lightning := _rate(found.get("lightning")):
        result["times_lightning"] = best / lightning
    if ceiling := _rate(found.get("ceiling_flops")):
        result["of_ceiling"] = best * FLOP_A_SAMPLE / ceiling
    met = {name: result.get(name, 0.0) >= aim for name, aim in AIMS.items()}
    return {**result, "met": met}


def choose(found: Mapping[str, Any]) -> tuple[int, bool]:
    """How many seeds to stack, 3 or 5, and whether to compile the steps, by what was measured.

    Five where that takes less time a seed. Compiled where that agrees with plain steps, and saves
    more in a cell of the `paper` budget than compiling cost.
    """
    seeds = 5 if _rate(found.get("seeds_5")) > _rate(found.get("seeds_3")) else 3
    plain, compiled = (_rate(found.get(f"{kind}seeds_{seeds}")) for kind in ("", "compiled_"))
    check = found.get("compiled_and_plain_steps")
    if not plain or not compiled or not isinstance(check, Mapping) or not check.get("agrees"):
        return seeds, False
    saved = PAPER_SAMPLES * seeds * (1 / plain - 1 / compiled)
    return seeds, saved > check["compiling_seconds"]


def _rate(found: Any) -> float:
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else 0.0


def measure_ours(run: Run, seeds: int, *, compiled: bool = False, graphs: bool = True) -> float:
    """Train stacked seeds through Lightning; return samples/s summed over seeds."""
    composed = config.compose_config([
        "data=mnist", "algorithm=aevb", f"model.n_latent={run.n_latent}",
        f"model.n_hidden={run.n_hidden}", f"seeds={seeds}", f"device={run.device}",
    ])  # fmt: skip
    job = config.job_from(composed)
    algorithm = training.build(job.cell, _made_up(), job.seeds, run.device)
    if not graphs:
        algorithm._captures = lambda: False
    if compiled:
        algorithm.compile_steps()
    stopwatch = _Stopwatch(run, seeds * algorithm.block_samples, algorithm.warmup_steps)
    blocks = run.chunk // algorithm.block_samples
    chunks = Chunks(0, [10**11], algorithm.block_samples, longest=blocks)
    _trainer(run, stopwatch).fit(algorithm, train_dataloaders=chunks)
    return stopwatch.samples_per_second


@cache
def _made_up() -> ImageData:
    pixels = torch.from_numpy(grey_levels())
    return ImageData("mnist", pixels, pixels[:100], 1 / 256, (28, 28), "", "made up")


def measure_lightning(run: Run) -> float:
    """Train one model as Lightning's documentation would on a GPU; return samples/s."""
    from benchmarks.peers.lightning import LitVAE, StopOnTime

    loader = DataLoader(
        TensorDataset(torch.from_numpy(images())),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=0,
        pin_memory=run.device == "cuda",
    )
    clock = Clock(run.seconds, warm_up=run.warm_up)
    _trainer(run, StopOnTime(clock), max_epochs=-1).fit(LitVAE(), loader)
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
    """Times chunks after Adagrad's warm-up, and stops training when the time is over."""

    def __init__(self, run: Run, samples_a_block: int, warmup_steps: int) -> None:
        self.run, self.samples_a_block = run, samples_a_block
        self.warm_up = warmup_steps / BLOCK_STEPS + 2
        """In blocks: the first after the warm-up is compiled, and the second captured."""
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
        if self.run.device == "cuda":
            torch.cuda.synchronize()
        if self.started is None:
            self.warm_up -= len(batch)
            if self.warm_up <= 0:
                self.started = time.perf_counter()
            return
        self.blocks += len(batch)
        self.elapsed = time.perf_counter() - self.started
        trainer.should_stop = self.elapsed > self.run.seconds


def _trainer(run: Run, callback: pl.Callback, max_epochs: int = 1) -> pl.Trainer:
    training.quieten_lightning()
    return pl.Trainer(
        accelerator="gpu" if run.device == "cuda" else "cpu",
        devices=1,
        max_epochs=max_epochs,
        logger=False,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
