"""From how many samples compiled steps pay: `python -m benchmarks.compiling`.

CPU seconds of one core, so that what else runs matters little: of a million samples of one seed,
plain and compiled, of the evaluations on the way there, and of compiling.
"""

import os

from reproduce import config, data
from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import BLOCK_STEPS, marks
from reproduce.common.machine import prepare
from reproduce.common.markdown import aligned
from reproduce.training.loop import build

CELLS = [
    (dataset, n_latent, algorithm)
    for dataset, n_latent in (("mnist", 20), ("freyface", 10), ("digits", 10))
    for algorithm in ("aevb", "wake_sleep")
]
SECONDS = 8.0
"""CPU time that each is measured for."""


def cpu_seconds() -> float:
    """CPU time of this process and of the compilers it has called."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(algorithm: Algorithm) -> tuple[float, float]:
    """CPU seconds of the first block after the warm-up, and of a million samples after that."""
    first = -(-algorithm.warmup_steps // BLOCK_STEPS)
    start = cpu_seconds()
    algorithm.training_step(range(first, first + 1), 0)
    begun = now = cpu_seconds()
    blocks = 0
    while now - begun < SECONDS:
        blocks += 1
        algorithm.training_step(range(first + blocks, first + blocks + 1), 0)
        now = cpu_seconds()
    return begun - start, (now - begun) / (blocks * algorithm.block_samples) * 1e6


def row(dataset: str, n_latent: int, algorithm: str) -> list[str]:
    """Measure one cell."""
    settings = [f"data={dataset}", f"model.n_latent={n_latent}", f"algorithm={algorithm}"]
    job = config.job_from(config.compose_config(settings))
    images = data.load(dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
    plain, compiled = (build(job.cell, images, (0,)).without_trainer() for _ in range(2))
    compiled.compile_steps(job.threads)
    (_, slow), (once, fast) = measure(plain), measure(compiled)
    begun = cpu_seconds()
    plain.points()
    evaluating = (cpu_seconds() - begun) * len(marks(10**6, plain.block_samples))
    pays = f"{once / (slow - fast):.1f}e6" if slow > fast else "never"
    return [f"{dataset} N_z = {n_latent}, {algorithm}", f"{slow:.0f}", f"{fast:.0f}",
            f"{evaluating:.0f}", f"{once:.0f}", pays]  # fmt: skip


if __name__ == "__main__":
    prepare(threads=1)
    head = ["cell", "1e6 samples, plain", "compiled", "evaluating", "compiling, once",
            "pays from"]  # fmt: skip
    print(aligned([head, *(row(*cell) for cell in CELLS)], right=range(1, 6)))
