"""What the checks of a method look with: random draws, states, log p(x), steps without moving."""

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import BLOCK_STEPS
from reproduce.common import plugins
from reproduce.likelihood.quadrature import Quadrature
from reproduce.likelihood.target import Target

REPEATS = 30
"""Blocks of steps, or evaluations, that a mean is taken of."""


class Draws(TorchFunctionMode):
    """Notes which of torch's functions draw from its global generator, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, and see whether the generator moved."""
        before = torch.get_rng_state()
        result = func(*args, **(kwargs or {}))
        if not torch.equal(before, torch.get_rng_state()):
            own = [f for f in traceback.extract_stack() if plugins.is_own(Path(f.filename))]
            place = (
                f" in {own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}," if own else ""
            )
            self.found.append(f"torch's {getattr(func, '__name__', func)}{place} draws")
        return result


@contextmanager
def globals_kept(seed: int | None = None) -> Iterator[None]:
    """Leave the global generators as they were, whatever happens within; there with a seed."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def global_states() -> dict[str, str]:
    """Where the global generators are, by their names for a reader."""
    return {
        "torch's global generator": repr(torch.get_rng_state().tolist()),
        "Python's module random": repr(random.getstate()),
        "numpy.random": repr(np.random.get_state(legacy=False)),
    }


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Name the first tensor in which two states differ in a bit; empty where none does."""
    weights_first = sorted(one, key=lambda name: not name.startswith("model."))
    return next((name for name in weights_first if not torch.equal(one[name], other[name])), "")


def weights(algorithm: Algorithm) -> Tensor:
    """All parameters of the model, one vector."""
    return torch.cat([p.detach().flatten() for p in algorithm.model.parameters()])


def log_p(algorithm: Algorithm, images: Tensor) -> Float[Tensor, "seed image"]:
    """log p(x) of each image, in nats, by quadrature."""
    x = (images.float() * algorithm.image_scale).expand(len(algorithm.seeds), -1, -1)
    return Quadrature()(Target.of(algorithm.model), x, algorithm.seeds).value.double()


def frozen_steps(
    algorithm: Algorithm,
) -> tuple[Float[Tensor, "step seed"], list[Tensor], Float[Tensor, "step 1"] | None]:
    """Take steps by which no parameter moves.

    Returns
    -------
    tuple
        What each returned, the images that it was of, and what it ascended, a datapoint and in the
        mean over seeds: None where it had several losses, which need not be of a bound.
    """
    losses: list[list[float]] = []
    take = algorithm.adagrad_step

    def noted(loss: Tensor, optimizer_index: int = 0) -> None:
        losses[-1].append(float(loss.detach()))
        take(loss, optimizer_index)

    returned, index = [], []
    algorithm.adagrad_step = noted  # type: ignore[method-assign]
    try:
        for block in range(REPEATS):
            drawn = algorithm._draw(block)
            for step in range(BLOCK_STEPS):
                noise = {name: values[:, step] for name, values in drawn.items()}
                losses.append([])
                returned.append(algorithm.one_step(noise, moves=False).double())
                index.append(noise["index"])
    finally:
        algorithm.adagrad_step = take  # type: ignore[method-assign]
    ascended = None
    if all(len(one) == 1 for one in losses):
        datapoints = index[0].numel()
        ascended = -torch.tensor(losses, dtype=torch.float64) / datapoints
    return torch.stack(returned), index, ascended


def mean_and_error(values: Float[Tensor, "repeat column"]) -> tuple[Tensor, Tensor]:
    """Mean over repeats and its standard error."""
    return values.mean(0), values.std(0) / len(values) ** 0.5
