"""Initial weights: the readings of the paper's "N(0, 0.01)" and of the author's later code."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.models.layers import StackedLinear
from reproduce.randomness import generator

Draw = Callable[[Sequence[int]], Tensor]

SCHEMES = ("normal", "fan_in")


def initialise(model: nn.Module, seeds: Sequence[int], scheme: str, std: float) -> None:
    """Fill every stacked layer of `model`, member by member, each from its own seed.

    Parameters
    ----------
    model
        A module whose parameters all belong to `StackedLinear` layers of `len(seeds)` members.
    seeds
        One for each member. A member's weights depend on its seed alone.
    scheme
        `normal`: weights and biases ~ N(0, std²), the encoder's log-variance layer at zero (the
        author's 2013 models, with std 0.01). `fan_in`: matrices ~ N(0, 1/fan_in), biases of
        hidden layers ~ N(0, std²), all other biases and the encoder's log-variance layer at zero
        (his later `VAE_Z_X`).
    std
        The standard deviation named above.

    Raises
    ------
    UserError
        For an unknown scheme or a negative std.
    """
    if scheme not in SCHEMES:
        raise UserError(f"Unknown initialisation {scheme!r}; choose one of: {', '.join(SCHEMES)}.")
    if not std >= 0:
        raise UserError(f"model.init.std must be zero or more, not {std}.")
    layers = [module for module in model.modules() if isinstance(module, StackedLinear)]
    with torch.no_grad():
        for member, seed in enumerate(seeds):
            # Drawn on the CPU whatever the device, so that all devices start alike.
            source = generator("cpu", seed, "initialisation")

            def draw(shape: Sequence[int], source: torch.Generator = source) -> Tensor:
                return torch.randn(tuple(shape), generator=source)

            for layer in layers:
                _fill(layer, member, draw, scheme, std)


def _fill(layer: StackedLinear, member: int, draw: Draw, scheme: str, std: float) -> None:
    weight, bias = layer.weight[member], layer.bias[member]
    if layer.role == "log_variance":
        weight.zero_()
        bias.zero_()
    elif scheme == "normal":
        weight.copy_(std * draw(weight.shape))
        bias.copy_(std * draw(bias.shape))
    else:
        weight.copy_(draw(weight.shape) / weight.shape[0] ** 0.5)
        bias.copy_(std * draw(bias.shape)) if layer.role == "hidden" else bias.zero_()
