"""Two panels of `make figure1` as its user sees them: from the command to the finished figure.

Two cells of AEVB, each with two seeds to a million samples, on made-up images of MNIST's sizes:
the start, compiling, evaluations, checkpoints and the figure are in the time. `--seconds` changes
nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.peers.workload import (
    N_HIDDEN,
    N_LATENT,
    N_PIXELS,
    N_TRAIN,
    Measurement,
    grey_levels,
    parser,
    positive_int,
    report,
)
from reproduce.common.errors import UserError

SEEDS, SIZES = 2, (N_LATENT, N_LATENT - 1)  # as fast as each other
N_TEST = 10_000
DATA = f"""# @package _global_
defaults:
  - /model/decoder: bernoulli
  - _self_
data: {{name: made_up, train: train.npy, test: test.npy, image_shape: [1, {N_PIXELS}],
  n_train: {N_TRAIN}, n_test: {N_TEST}}}
model: {{n_hidden: {N_HIDDEN}}}
"""


def measure(seconds: float, threads: int, samples: int = 1_000_000) -> Measurement:
    """Train to `samples` per seed; return samples/s over all, and the largest process."""
    panels = [f"{{data: made_up, n_latent: {size}}}" for size in SIZES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / "data" / "made_up.yaml").write_text(DATA, encoding="utf-8")
        np.save(folder / "train.npy", grey_levels())
        np.save(folder / "test.npy", grey_levels()[:N_TEST])
        command = [
            sys.executable, "-m", "reproduce", "figure", "figure=figure1", "budget=laptop",
            "figure.algorithms=[aevb]",
            f"figure.budgets.laptop.panels=[{','.join(panels)}]",
            f"seeds={SEEDS}", f"samples={samples}", f"workers={threads}",
            f"results={folder / 'results'}",
        ]  # fmt: skip
        started = time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, "METHODS": name}, capture_output=True, text=True
        )
        elapsed = time.perf_counter() - started
    if done.returncode:
        raise UserError(done.stderr)
    import resource  # not on Windows

    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    in_mib = largest / (1024**2 if sys.platform == "darwin" else 1024)
    return Measurement(len(SIZES) * SEEDS * samples / elapsed, in_mib)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--samples", type=positive_int, default=1_000_000, help="of each seed")
    report(measure, options.parse_args())
