"""This suite: the seeds of one AEVB cell through Lightning's Trainer, as `make figure1` runs it.

One seed trains on one thread in this process. Several are shared out over two processes of one
thread each, which is what the runner does on two cores. Compiled seeds (`compile=true`) are
trained one after another in each process, so the speed of the first is measured.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any, cast

import pytorch_lightning as pl
import torch

from benchmarks.peers.workload import (
    BATCH_SIZE,
    N_HIDDEN,
    N_LATENT,
    N_TRAIN,
    WARM_UP_STEPS,
    Clock,
    Measurement,
    grey_levels,
    parser,
    positive_int,
    report,
    together,
)
from reproduce import config
from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import Chunks
from reproduce.common.machine import prepare
from reproduce.data.images import ImageData
from reproduce.training import loop as training

START_TIMEOUT = 120  # seconds until every process must have warmed up
MOST_BLOCKS = 100_000  # minutes of training; Lightning counts them before it starts

_barrier: Barrier | None = None  # set in worker processes only


class Stopwatch(pl.Callback):
    """Times chunks after the warm-up and stops the training when the time is over."""

    def __init__(self, seconds: float, seeds: int) -> None:
        self.seconds, self.seeds = seconds, seeds
        self.warm_up = WARM_UP_STEPS * BATCH_SIZE
        self.clock: Clock | None = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: range,
        batch_idx: int,
    ) -> None:
        """Count the samples of the chunk just finished."""
        samples = len(batch) * cast(Algorithm, pl_module).block_samples
        if self.clock is None:
            self.warm_up -= samples
            if self.warm_up <= 0:
                if _barrier is not None:
                    _barrier.wait(START_TIMEOUT)
                self.clock = Clock(self.seconds, samples * self.seeds, warm_up=0)
        elif self.clock.tick():
            trainer.should_stop = True


def measure(
    seconds: float,
    threads: int,
    seeds: int = 4,
    n_train: int = N_TRAIN,
    overrides: Sequence[str] = (),
) -> Measurement:
    """Train for `seconds` after a warm-up; return samples/s over all seeds, and memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads in all: as many processes of one thread, but no more than seeds.
    seeds
        Models in all, shared out over the processes and stacked within each.
    n_train
        Training images.
    overrides
        Of the cell's configuration, in Hydra's syntax.
    """
    processes = min(threads, seeds)
    shares = [seeds // processes + (i < seeds % processes) for i in range(processes)]
    if processes == 1:
        return _measure_here(seconds, seeds, n_train, overrides)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, initializer=_set_barrier, initargs=(context.Barrier(processes),)
    ) as pool:
        running = [
            pool.submit(_measure_here, seconds, share, n_train, overrides) for share in shares
        ]
        return together(result.result() for result in running)


def _measure_here(
    seconds: float, seeds: int, n_train: int, overrides: Sequence[str]
) -> Measurement:
    prepare(threads=1)
    job = config.job_from(
        config.compose_config(
            [
                "data=mnist",
                "algorithm=aevb",
                f"model.n_hidden={N_HIDDEN}",
                f"model.n_latent={N_LATENT}",
                f"seeds={seeds}",
                "compile=false",  # unless overridden
                *overrides,
            ]
        )
    )
    pixels = torch.from_numpy(grey_levels())
    made_up = ImageData("mnist", pixels, pixels[:100], 1 / 256, (28, 28), "", "made up")
    stacked = training.most_stacked(job, seeds)  # if fewer, the others would come after them
    algorithm = training.build(job.cell, made_up.first(n_train), job.seeds[:stacked])
    if job.compiled:
        algorithm.compile_steps()
    stopwatch = Stopwatch(seconds, stacked)
    training.quieten_lightning()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        callbacks=[stopwatch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    end = MOST_BLOCKS * algorithm.block_samples
    longest = max(1, training.LONGEST_CHUNK["cpu"] // algorithm.block_samples)  # as in training
    plenty = Chunks(0, [end], algorithm.block_samples, longest)
    trainer.fit(algorithm, train_dataloaders=plenty)
    assert stopwatch.clock is not None
    return stopwatch.clock.measurement()


def _set_barrier(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--seeds", type=positive_int, default=4, help="models in all")
    options.add_argument("--n-train", type=positive_int, default=N_TRAIN, help="training images")
    options.add_argument("overrides", nargs="*", help="of the cell, such as algorithm=wake_sleep")
    report(measure, options.parse_args())
