"""How large the pieces of a GPU run are: on a GPU, and in its rehearsal on a CPU."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers.workload import N_HIDDEN, N_LATENT, WARM_UP_STEPS
from benchmarks.variants import ROOT
from reproduce.common.checks import quoted

COMMITTED = ROOT / "results" / "reference"


@dataclass(frozen=True)
class Run:
    """One GPU run.

    Attributes
    ----------
    output, data_dir
        Folders: where everything goes, and of MNIST and Frey Face.
    cells
        Beginnings of the ids of the cells to train, in this order; empty: all.
    device
        `cuda`, or `cpu` in a rehearsal.
    dataset, n_hidden, n_latent, blocks
        Of the checks and, without the data set, of the speed measurements. Blocks: compared.
    seconds, chunk, warm_up
        Of each speed measurement; the samples a seed in a chunk; Lightning's steps before it.
    curves, settings, seeds, mark
        Curves that were made on a CPU and are committed, their settings, how many seeds are trained
        to compare with them, and after how many samples.
    budget, samples, train_seconds
        Of the cells, their samples in turn (empty: the budget's), and all of training, at most.
    """

    output: Path
    data_dir: str | None
    cells: tuple[str, ...] = ()
    device: str = "cuda"
    dataset: str = "mnist"
    n_hidden: int = N_HIDDEN
    n_latent: int = N_LATENT
    blocks: int = 30
    seconds: float = 4.0
    chunk: int = 200_000
    warm_up: int = WARM_UP_STEPS
    curves: Path = COMMITTED / "text" / "figure1" / "desktop" / "curves.csv"
    settings: str = "text"
    seeds: int = 5
    mark: int = 1_000_000
    budget: str = "paper"
    samples: tuple[int, ...] = ()
    train_seconds: float = math.inf

    @property
    def overrides(self) -> list[str]:
        """What every training has in common, in Hydra's syntax."""
        data = [f"data.dir={quoted(self.data_dir)}"] if self.data_dir else []
        return [f"device={self.device}", "tracking=off", *data]


def rehearsal(run: Run) -> Run:
    """The same run on a CPU, with the digits, in seconds: no CUDA graphs, nothing compiled."""
    return replace(
        run, device="cpu", data_dir=None, dataset="digits", n_hidden=20, n_latent=10, blocks=3,
        seconds=0.2, chunk=1_000, warm_up=5,
        curves=COMMITTED / "figure1" / "smoke" / "curves.csv", settings="published", seeds=2,
        mark=20_000, budget="smoke", samples=(5_000, 10**8), train_seconds=6.0,
    )  # fmt: skip
