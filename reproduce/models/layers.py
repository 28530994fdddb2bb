"""Layers with one weight matrix per member of a stack."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reproduce.models import kernels

Role = Literal["hidden", "output", "log_variance", "pixel", "pixel_log_variance"]
Activation = Literal["tanh", "softplus"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


class StackedLinear(nn.Module):
    """An affine map for each member: `y[r] = x[r] @ weight[r] + bias[r]`.

    Weights are stored (member, in, out), so that their gradients come out contiguous.

    Parameters
    ----------
    n_members, n_in, n_out
        Sizes of the stack, of the input and of the output.
    role
        Purpose of the layer; initialisation schemes treat roles differently.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, role: Role = "output") -> None:
        super().__init__()
        self.role: Role = role
        self.weight = nn.Parameter(torch.zeros(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(
        self, x: Float[Tensor, "member *batch n_in"]
    ) -> Float[Tensor, "member *batch n_out"]:
        """Map (member, ..., in) to (member, ..., out)."""
        if x.ndim == 3:
            return kernels.affine(x, self.weight, self.bias)
        flat = kernels.affine(x.flatten(1, -2), self.weight, self.bias)
        return flat.unflatten(1, x.shape[1:-1])


class HiddenLayer(StackedLinear):
    """An affine map followed by a nonlinearity.

    Parameters
    ----------
    n_members, n_in, n_out
        Sizes of the stack, of the input and of the output.
    activation
        `tanh`, as in the paper, or `softplus`, log(1 + e^a), as in its runs on Frey Face.
    """

    def __init__(
        self, n_members: int, n_in: int, n_out: int, activation: Activation = "tanh"
    ) -> None:
        super().__init__(n_members, n_in, n_out, role="hidden")
        self.activation = activation

    def forward(
        self, x: Float[Tensor, "member *batch n_in"]
    ) -> Float[Tensor, "member *batch n_out"]:
        """Map (member, ..., in) to (member, ..., out)."""
        a = super().forward(x)
        return kernels.softplus(a) if self.activation == "softplus" else kernels.tanh_(a)
