"""Measure estimators and HMC beside what people write otherwise: `python -m benchmarks.likelihood`.

Importance sampling, K = 5,000, 784-100-3: datapoints a second of this suite, of a loop over single
pictures that takes all K samples at once, and of one that takes 100 at a time, as libraries of
VAEs do. HMC: gradient evaluations a second beside the matrix products that one needs at least. All
programs run in one process on the same threads, in turn, so that a slow spell falls on all.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.variants import THREADS, machine
from reproduce.common.files import write_json
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.target import Target
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.decoders import BernoulliDecoder
from reproduce.models.encoder import GaussianEncoder
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.models.initialisation import initialise
from reproduce.models.kernels import product
from reproduce.samplers.hmc import Chains, leapfrog

RESULTS = Path(__file__).parents[1] / "results" / "bench_likelihood.json"
K = 5_000
N_POINTS = {"ours": 100, "ours_modes": 100, "loop": 20, "loop_100": 20}
N_CHAINS, N_LEAPFROG = 2_000, 10
REPEATS = 5
SIZES: dict[str, Any] = {"n_seeds": 1, "n_pixels": 784, "n_hidden": 100, "n_latent": 3}

TITLES = {
    "ours": "this suite, proposal=encoder",
    "ours_modes": "this suite, default proposal (searches for modes)",
    "loop": "a picture at a time, all samples at once",
    "loop_100": "a picture at a time, 100 samples at a time",
    "hmc": "this suite's HMC, 10 leapfrog steps",
    "products": "the products of a gradient alone, as this suite makes them",
    "products_mkl": "the same by torch.bmm",
}


def model() -> Autoencoder:
    """Return an untrained model: speed does not depend on weights."""
    made = Autoencoder(GaussianEncoder(**SIZES), BernoulliDecoder(**SIZES), SIZES["n_latent"])
    initialise(made, [0], "normal", 0.1)
    return made.requires_grad_(False)


def loop(made: Autoencoder, x: Tensor, at_once: int) -> Tensor:
    """Estimate log p(x) a picture at a time, as it is usually written; x is (batch, pixel)."""
    values = []
    for picture in x:
        one = picture.reshape(1, 1, -1)
        posterior = made.encoder(one)
        weights = []
        for _ in range(K // at_once):
            z = posterior.sample(torch.randn(1, at_once, 1, SIZES["n_latent"]))
            joint = made.decoder.log_likelihood(one, z) + standard_normal_log_prob(z)
            weights.append((joint - posterior.log_prob(z)).flatten())
        values.append(torch.cat(weights).logsumexp(0) - math.log(K))
    return torch.stack(values)


def programs() -> dict[str, Callable[[], float]]:
    """Return what is measured: each runs once and returns how many units it did."""
    made = model()
    x = torch.rand(max(N_POINTS.values()), SIZES["n_pixels"])
    target = Target.of(made)

    def importance(name: str, proposal: str) -> float:
        points = x[: N_POINTS[name]].unsqueeze(0)
        Importance(n_samples=K, proposal=proposal)(target, points, [0])
        return points.shape[1]

    def looped(name: str, at_once: int) -> float:
        loop(made, x[: N_POINTS[name]], at_once)
        return N_POINTS[name]

    chains = torch.rand(N_CHAINS, SIZES["n_pixels"]).unsqueeze(0)
    start = torch.randn(1, N_CHAINS, SIZES["n_latent"])

    def density(z: Tensor) -> Tensor:
        return target.log_joint(chains, z.unsqueeze(1))[:, 0]

    def hmc() -> float:
        begin = Chains.at(density, start)
        leapfrog(
            density, begin, torch.randn_like(start), torch.full((1, N_CHAINS), 0.01), N_LEAPFROG
        )
        return N_CHAINS * (N_LEAPFROG + 1)

    shapes = [(N_CHAINS, 3, 100), (N_CHAINS, 100, 784), (N_CHAINS, 784, 100), (N_CHAINS, 100, 3)]
    pairs = [(torch.rand(1, m, k), torch.rand(1, k, n)) for m, k, n in shapes]

    def products(multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
        for _ in range(N_LEAPFROG + 1):
            for left, right in pairs:
                multiply(left, right)
        return N_CHAINS * (N_LEAPFROG + 1)

    return {
        "ours": lambda: importance("ours", "encoder"),
        "ours_modes": lambda: importance("ours_modes", "modes"),
        "loop": lambda: looped("loop", K),
        "loop_100": lambda: looped("loop_100", 100),
        "hmc": hmc,
        "products": lambda: products(product),
        "products_mkl": lambda: products(torch.bmm),
    }


def measure(repeats: int, console: Console) -> dict[str, list[float]]:
    """Run every program in turn, `repeats` times after a warm-up; return units a second."""
    found: dict[str, list[float]] = {name: [] for name in TITLES}
    made = programs()
    for repeat in range(repeats + 1):
        for name, program in made.items():
            console.print(f"repeat {repeat}/{repeats}: {TITLES[name]}", highlight=False)
            start = time.perf_counter()
            done = program()
            if repeat:
                found[name].append(done / (time.perf_counter() - start))
    return found


def table(found: dict[str, list[float]]) -> Table:
    """Return the comparison: importance sampling against the loops, HMC against its ceiling."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    result = Table(title=f"784-100-3, {THREADS} CPU threads")
    for name in ("program", "unit"):
        result.add_column(name, no_wrap=True)
    for name in ("a second", "slowest - fastest", "ratio"):
        result.add_column(name, justify="right", no_wrap=True)
    for name, title in TITLES.items():
        chains = name in ("hmc", "products", "products_mkl")
        base = medians["products" if chains else "loop"]
        digits = 0 if chains else 1
        result.add_row(
            title,
            "gradients" if chains else f"images, K = {K:,}",
            f"{medians[name]:,.{digits}f}",
            f"{min(found[name]):,.{digits}f} - {max(found[name]):,.{digits}f}",
            f"{medians[name] / base:.2f}",
        )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write `results/bench_likelihood.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.likelihood", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("output", type=Path, nargs="?", default=RESULTS, help="where the JSON goes")
    output = parser.parse_args(arguments).output
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    with torch.no_grad():
        found = measure(REPEATS, Console(stderr=True))
    Console(width=120).print(table(found))
    write_json(output, {"runs": found, "machine": machine(), "K": K, "chains": N_CHAINS})
    print(f"Written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
