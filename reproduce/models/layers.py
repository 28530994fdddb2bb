"""Layers that hold one weight matrix for each member of a stack."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reproduce.models.kernels import affine

Role = Literal["hidden", "output", "log_variance", "pixel", "pixel_log_variance"]
Activation = Literal["tanh", "softplus"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

LONGEST_VECTORS = 64
"""Floats that torch's loops handle at once: two vectors of up to 16 on known CPUs, with room."""


def memberwise(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply an elementwise function to `x` (member, ...) so that each member rounds as if alone."""
    parts = alike_parts(x)
    return function(x) if len(parts) == 1 else torch.stack([function(part) for part in parts])


def alike_parts(x: Tensor) -> Sequence[Tensor]:
    """Cut `x` (member, ...) into views in which elementwise functions round every member alike.

    On the CPU the last few elements of a tensor go through scalar code whose exp or tanh rounds
    otherwise than the vectorised one. Which elements are last must not depend on what is stacked
    beside a member, or its curve would. Where members fill whole vectors there are no last few.
    """
    whole = x.device.type != "cpu" or len(x) == 1 or x[0].numel() % LONGEST_VECTORS == 0
    return [x] if whole else x.unbind()


class StackedLinear(nn.Module):
    """An affine map for each member: `y[r] = x[r] @ weight[r] + bias[r]`.

    Weights are stored (member, in, out), so that their gradients come out contiguous.

    Parameters
    ----------
    n_members, n_in, n_out
        Sizes of the stack, of the input and of the output.
    role
        What the layer is for; initialisation schemes treat roles differently.
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
            return affine(x, self.weight, self.bias)
        flat = affine(x.flatten(1, -2), self.weight, self.bias)
        return flat.unflatten(1, x.shape[1:-1])


class HiddenLayer(StackedLinear):
    """An affine map followed by a nonlinearity.

    Parameters
    ----------
    n_members, n_in, n_out
        Sizes of the stack, of the input and of the output.
    activation
        `tanh`, as the paper has it, or `softplus`, log(1 + e^a), as its runs on Frey Face had it.
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
        compiling = torch.compiler.is_compiling()  # works in place where it can by itself
        if self.activation == "softplus":
            return functional.softplus(a) if compiling else _Softplus.apply(a)  # type: ignore[no-any-return]
        return 2 * torch.sigmoid(2 * a) - 1 if compiling else _Tanh.apply(a)  # type: ignore[no-any-return]


class _Tanh(torch.autograd.Function):
    """tanh(a) = 2 sigmoid(2a) - 1, in place.

    On the CPU the vectorised sigmoid is several times as fast as tanh, and nothing but this
    function's result is needed for the gradient, so the pre-activation can be overwritten.
    """

    @staticmethod
    def forward(ctx: Any, pre_activation: Tensor) -> Tensor:
        ctx.mark_dirty(pre_activation)
        y = pre_activation.mul_(2)
        for part in alike_parts(y):
            part.sigmoid_()
        y.mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        (gradient,) = gradients
        return torch.addcmul(gradient, gradient * y, y, value=-1)


class _Softplus(torch.autograd.Function):
    """log(1 + e^a), each member rounding as if alone in both directions."""

    @staticmethod
    def forward(ctx: Any, pre_activation: Tensor) -> Tensor:
        ctx.save_for_backward(pre_activation)
        return memberwise(functional.softplus, pre_activation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (pre_activation,) = ctx.saved_tensors
        return gradients[0] * memberwise(torch.sigmoid, pre_activation)
