"""Checks of a GPU's numbers: of CUDA graphs by plain steps, and of the GPU by the CPU.

Training amplifies rounding: one unit in the last place is a percent of the way after a hundred
steps. So steps are compared a block at a time, each from the same state and with the same random
numbers. Rounding then moves a block's end by some millionths of the way that it took.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.sizes import Run
from reproduce import config, data
from reproduce.algorithms.base import Algorithm, Noise
from reproduce.algorithms.schedule import BLOCK_STEPS
from reproduce.common.machine import available_cores, prepare
from reproduce.training import loop as training

MOST_APART = 1e-4
"""Of the way that a block takes. On a CPU a change of every parameter and every sum by 1e-7 of
itself, as rounding might make, gave at most 4e-6. TF32 rounds each factor by up to 5e-4."""
MOST_NATS = 1e-3
"""Between two mean bounds of a block. The same change gave at most 8e-6."""
SETTLING = 2
"""Blocks after the warm-up that are not compared: the first steps amplify rounding."""

Step = tuple[str, Callable[[], Any]]


def checks(run: Run) -> Iterator[Step]:
    """What is checked, by its name in the report."""
    prepare(available_cores())
    if run.device == "cuda":  # a CPU has no graphs
        yield "graphs_and_plain_steps", partial(graphs_agree, run)
    yield "device_and_cpu", partial(device_agrees, run)
    yield "curves_and_committed_ones", partial(agreement, run)


def graphs_agree(run: Run, *, compiled: bool = False) -> dict[str, Any]:
    """Compare blocks replayed from a CUDA graph, compiled or not, with plain ones."""
    plain, replayed = (make(run, run.device) for _ in range(2))
    plain._captures = lambda: False
    if compiled:
        replayed.compile_steps()
    started = time.monotonic()
    found = compare(plain, replayed, run.blocks, Algorithm.train_block)
    if compiled:
        found["compiling_seconds"] = time.monotonic() - started  # nearly all of it
    # Otherwise plain steps have been compared with plain ones.
    captured = replayed._graph is not None and replayed.is_compiled == compiled
    return {**found, "captured": captured, "agrees": found["agrees"] and captured}


def device_agrees(run: Run) -> dict[str, Any]:
    """Compare blocks on the device with those on the CPU, with random numbers drawn on the CPU."""
    here, there = make(run, "cpu"), make(run, run.device)
    noise: dict[str, Tensor] = {}

    def take(algorithm: Algorithm, block: int) -> None:
        if algorithm is here:
            noise.update(here._draw(block))
        moved: Noise = {name: drawn.to(algorithm.device) for name, drawn in noise.items()}
        algorithm._run_steps(moved, max(0, algorithm.warmup_steps - block * BLOCK_STEPS))

    return compare(here, there, run.blocks, take)


def make(run: Run, device: str) -> Algorithm:
    """Build AEVB with three seeds at the sizes of the run."""
    composed = config.compose_config([
        f"data={run.dataset}", "algorithm=aevb", f"model.n_latent={run.n_latent}",
        f"model.n_hidden={run.n_hidden}", "seeds=3", *run.overrides,
    ])  # fmt: skip
    job = config.job_from(composed)
    images = data.load(job.cell.dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
    return training.build(job.cell, images, job.seeds, device).without_trainer()


def compare(
    first: Algorithm, second: Algorithm, blocks: int, take: Callable[[Algorithm, int], object]
) -> dict[str, Any]:
    """Let both take blocks after the warm-up, each from the state of `first`.

    Returns
    -------
    dict
        Whether all ends are the same bits; how far apart they are at most, as a share of the way,
        and their mean bounds, in nats; and whether that is rounding.
    """
    settled = -(-first.warmup_steps // BLOCK_STEPS) + SETTLING
    for block in range(settled):
        take(first, block)
    identical, apart, nats = True, [], []
    for block in range(settled, settled + blocks):
        _copy_state(first, second)
        start = _parameters(first)
        for algorithm in (first, second):
            algorithm.start_new_mark()
            take(algorithm, block)
        ends = _parameters(first), _parameters(second)
        bounds = [algorithm.running_bound().cpu() for algorithm in (first, second)]
        identical &= torch.equal(*ends) and torch.equal(*bounds)
        apart.append(float((ends[0] - ends[1]).norm() / (ends[0] - start).norm()))
        nats.append(float((bounds[0] - bounds[1]).abs().max()))
    # Not `max`, which may pass a NaN over.
    agrees = all(a < MOST_APART for a in apart) and all(n < MOST_NATS for n in nats)
    found = {"blocks": blocks, "identical": identical, "apart": max(apart), "nats": max(nats)}
    return {**found, "agrees": agrees}


def _parameters(algorithm: Algorithm) -> Tensor:
    return torch.cat([p.detach().flatten().cpu().double() for p in algorithm.model.parameters()])


@torch.no_grad()
def _copy_state(source: Algorithm, target: Algorithm) -> None:
    """In place: a graph goes on reading the same tensors."""
    for theirs, ours in zip(source._raw_optimizers(), target._raw_optimizers(), strict=True):
        for before, after in zip(theirs.parameters, ours.parameters, strict=True):
            after.copy_(before)
            ours.state[after]["sum"].copy_(theirs.state[before]["sum"])
