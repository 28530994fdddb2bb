"""Layers with one weight matrix per seed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reproduce.models import kernels

Role = Literal["hidden", "output", "log_variance", "pixel", "pixel_log_variance"]
Activation = Literal["tanh", "softplus", "relu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
ACTIVATION_FUNCTIONS = {
    "tanh": kernels.tanh_,
    "softplus": kernels.softplus,
    "relu": torch.relu,
}


class StackedLinear(nn.Module):
    """An affine map for each seed: `y[r] = x[r] @ weight[r] + bias[r]`.

    Weights are stored (seed, in, out), so that their gradients come out contiguous.

    Parameters
    ----------
    n_seeds, n_in, n_out
        Sizes of the stack, of the input and of the output.
    role
        Purpose of the layer; initialisation schemes treat roles differently.
    """

    def __init__(self, n_seeds: int, n_in: int, n_out: int, role: Role = "output") -> None:
        super().__init__()
        self.role: Role = role
        self.weight = nn.Parameter(torch.zeros(n_seeds, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_seeds, 1, n_out))

    def forward(self, x: Float[Tensor, "seed *batch n_in"]) -> Float[Tensor, "seed *batch n_out"]:
        """Map (seed, ..., in) to (seed, ..., out)."""
        if x.ndim == 3:
            return kernels.affine(x, self.weight, self.bias)
        flat = kernels.affine(x.flatten(1, -2), self.weight, self.bias)
        return flat.unflatten(1, x.shape[1:-1])


class HiddenLayer(StackedLinear):
    """An affine map followed by a nonlinearity.

    Parameters
    ----------
    n_seeds, n_in, n_out
        Sizes of the stack, of the input and of the output.
    activation
        `tanh`, as in the paper, `softplus`, log(1 + e^a), as in its runs on Frey Face, or `relu`.
    """

    def __init__(
        self, n_seeds: int, n_in: int, n_out: int, activation: Activation = "tanh"
    ) -> None:
        super().__init__(n_seeds, n_in, n_out, role="hidden")
        self.activation = activation

    def forward(self, x: Float[Tensor, "seed *batch n_in"]) -> Float[Tensor, "seed *batch n_out"]:
        """Map (seed, ..., in) to (seed, ..., out)."""
        return ACTIVATION_FUNCTIONS[self.activation](super().forward(x))


HiddenLayers = HiddenLayer | nn.Sequential


def hidden_layers(
    n_seeds: int, n_in: int, n_hidden: int | Sequence[int], activation: Activation = "tanh"
) -> HiddenLayers:
    """One hidden layer, or several in turn, of the widths `n_hidden` from input to output."""
    # A single layer is no sequence of one: the names of its weights are those in checkpoints.
    if isinstance(n_hidden, int):
        return HiddenLayer(n_seeds, n_in, n_hidden, activation)
    sizes = pairwise((n_in, *n_hidden))
    return nn.Sequential(*(HiddenLayer(n_seeds, *size, activation) for size in sizes))


def last_width(n_hidden: int | Sequence[int]) -> int:
    """Width of the last of the hidden layers."""
    return n_hidden if isinstance(n_hidden, int) else n_hidden[-1]
