"""The ceiling: only the five large matrix products of a training step, nothing else.

A program that trains the model on the CPU in float32 needs at least these, so with the same matrix
library it can hardly be faster. PyTorch brings two: MKL, to which `torch.bmm` goes, with outputs
preallocated and R models stacked in one call, as its documentation
(https://docs.pytorch.org/docs/stable/generated/torch.bmm.html) offers with `out=`; and oneDNN, to
which this suite goes (`reproduce.models.kernels`), one model at a time.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor

from benchmarks.peers.workload import (
    BATCH_SIZE,
    N_HIDDEN,
    N_PIXELS,
    WARM_UP_STEPS,
    Clock,
    Measurement,
    parser,
    positive_int,
    report,
    together,
)
from reproduce.common.errors import UserError
from reproduce.common.machine import prepare
from reproduce.models.kernels import single_product

START_TIMEOUT = 120  # seconds until every process must have warmed up

_barrier: Barrier | None = None  # set in worker processes only


def measure(
    seconds: float, threads: int, seeds: int = 4, processes: int = 1, library: str = "mkl"
) -> Measurement:
    """Repeat the products for `seconds` after a warm-up; return samples/s in all, and memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads in all, shared out evenly over the processes.
    seeds
        Models in all, shared out evenly over the processes and stacked within each.
    processes
        Processes that measure at the same time; their speeds are summed.
    library
        A name in `PRODUCTS`.
    """
    if threads % processes or seeds % processes:
        raise UserError(
            f"{threads} threads and {seeds} seeds cannot be shared out evenly over "
            f"{processes} processes; choose multiples of the number of processes."
        )
    share = (seconds, threads // processes, seeds // processes, library)
    if processes == 1:
        return _measure_here(*share)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, initializer=_set_barrier, initargs=(context.Barrier(processes),)
    ) as pool:
        running = [pool.submit(_measure_here, *share) for _ in range(processes)]
        return together(result.result() for result in running)


def mkl(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Multiply all seeds in one call."""
    torch.bmm(a, b, out=out)


def onednn(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Multiply one seed at a time; the operator has no `out=`."""
    for x, y in zip(a, b, strict=True):
        single_product(x, y)


PRODUCTS = {"mkl": mkl, "onednn": onednn}


def products(seeds: int, library: str = "mkl") -> Callable[[], None]:
    """Return a function that does the five products of one step of `seeds` models."""
    multiply = PRODUCTS[library]

    def normal(rows: int, columns: int) -> Tensor:
        return torch.randn(seeds, rows, columns)

    x, w1 = normal(BATCH_SIZE, N_PIXELS), normal(N_PIXELS, N_HIDDEN)
    w4, d_logits = normal(N_HIDDEN, N_PIXELS), normal(BATCH_SIZE, N_PIXELS)
    hidden, logits = normal(BATCH_SIZE, N_HIDDEN), normal(BATCH_SIZE, N_PIXELS)
    d_hidden, d_w1, d_w4 = torch.empty_like(hidden), torch.empty_like(w1), torch.empty_like(w4)

    def step() -> None:
        multiply(x, w1, hidden)
        multiply(hidden, w4, logits)
        multiply(hidden.mT, d_logits, d_w4)
        multiply(d_logits, w4.mT, d_hidden)
        multiply(x.mT, d_hidden, d_w1)

    return step


def _measure_here(seconds: float, threads: int, seeds: int, library: str) -> Measurement:
    """Measure in this process, starting together with the others where there are any."""
    prepare(threads)  # without it, memory fresh from the system costs oneDNN half its speed
    torch.manual_seed(0)
    step = products(seeds, library)
    for _ in range(WARM_UP_STEPS):
        step()
    if _barrier is not None:
        _barrier.wait(START_TIMEOUT)
    clock = Clock(seconds, samples_per_step=seeds * BATCH_SIZE, warm_up=0)
    step()
    while not clock.tick():
        step()
    return clock.measurement()


def _set_barrier(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--seeds", type=positive_int, default=4, help="models in all")
    options.add_argument("--processes", type=positive_int, default=1, help="processes at once")
    options.add_argument("--library", choices=PRODUCTS, default="mkl", help="matrix library")
    report(measure, options.parse_args())
