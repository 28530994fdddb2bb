"""Initial weights: the readings of the paper's "N(0, 0.01)" and of the author's later code."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn

from reproduce.common.errors import UserError
from reproduce.models.layers import Role, StackedLinear
from reproduce.models.random_streams import generator

Draw = Callable[[Sequence[int]], Tensor]

SCHEMES = ("normal", "fan_in")
BIASES_LEFT_ZERO: dict[str, tuple[Role, ...]] = {
    "normal": (),
    "mean": ("pixel_log_variance",),
    "zero": ("pixel", "pixel_log_variance"),
}
OUTPUT_BIASES = tuple(BIASES_LEFT_ZERO)
OWN = "initialise_seed"
"""Method of a module of the user's own that fills one seed's slice of its parameters."""


def initialise(
    model: nn.Module, seeds: Sequence[int], scheme: str, std: float, output_bias: str = "normal"
) -> None:
    """Fill every stacked layer of `model`, each seed's slice from its own random numbers.

    Parameters
    ----------
    model
        A module of `len(seeds)` seeds whose parameters all belong to `StackedLinear` layers, or
        to modules with a method `initialise_seed(index, draw)`, `draw(shape)` being ~ N(0, 1).
    seeds
        One per slice of the stack, whose weights depend on it alone.
    scheme
        `normal`: weights and biases ~ N(0, std²), the encoder's log-variance layer at zero (the
        author's 2013 models, with std 0.01). `fan_in`: matrices ~ N(0, 1/fan_in), biases of
        hidden layers ~ N(0, std²), all other biases and the encoder's log-variance layer at zero
        (his later `VAE_Z_X`).
    std
        Standard deviation in `scheme`.
    output_bias
        Biases of the decoder's output layers that `scheme` draws: all (`normal`), those of the
        mean or the logits (`mean`: the published wake-sleep runs), or none (`zero`: the published
        AEVB runs). The others are zero.

    Raises
    ------
    UserError
        Where a parameter belongs to another module, which would not start from the seeds.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, StackedLinear) or hasattr(module, OWN)
    ]
    for name, module in model.named_modules():
        if module not in layers and list(module.parameters(recurse=False)):
            raise UserError(
                f"model.{name} ({type(module).__name__}) has parameters that would not start from "
                f"the seeds: make it of reproduce.models.layers.StackedLinear, or give its class a "
                f"method {OWN}(index, draw); docs/add-a-method.md has an example."
            )
    with torch.no_grad():
        for index, seed in enumerate(seeds):
            # Drawn on the CPU whatever the device, so that all devices start from the same weights.
            source = generator("cpu", seed, "initialisation")

            def draw(shape: Sequence[int], source: torch.Generator = source) -> Tensor:
                return torch.randn(tuple(shape), generator=source)

            for layer in layers:
                if isinstance(layer, StackedLinear):
                    _fill(layer, index, draw, scheme, std, BIASES_LEFT_ZERO[output_bias])
                else:
                    getattr(layer, OWN)(index, draw)


def _fill(
    layer: StackedLinear,
    index: int,
    draw: Draw,
    scheme: str,
    std: float,
    biases_left_zero: Collection[str],
) -> None:
    weight, bias = layer.weight[index], layer.bias[index]
    if layer.role == "log_variance":
        weight.zero_()
        bias.zero_()
    elif scheme == "normal":
        weight.copy_(std * draw(weight.shape))
        bias.zero_() if layer.role in biases_left_zero else bias.copy_(std * draw(bias.shape))
    else:
        weight.copy_(draw(weight.shape) / weight.shape[0] ** 0.5)
        bias.copy_(std * draw(bias.shape)) if layer.role == "hidden" else bias.zero_()
