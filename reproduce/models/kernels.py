"""Matrix products of stacks, by oneDNN on an AMD processor that has AVX-512.

torch multiplies float32 matrices with MKL, which left AVX-512 unused on the AMD processor that we
measured on; oneDNN, which torch brings as well, used it and was twice as fast. On an AMD processor
without AVX-512 training was an eighth slower with it, and on an Intel processor with AVX-512 its
products were slower than MKL's as well. torch's one way to it for float32 is the operator that its
compiler calls for linear layers, so this is the only file that knows it. Where the operator does
not serve (on a GPU, in float64, on other processors), `torch.bmm` does the same.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.common.machine import is_amd

SMALLEST = 64
"""Inner and outer size from which oneDNN pays; below, preparing takes longer than it saves."""


def product(
    a: Float[Tensor, "member rows inner"], b: Float[Tensor, "member inner columns"]
) -> Float[Tensor, "member rows columns"]:
    """`a[r] @ b[r]` for each member r."""
    return _OneDNN.apply(a, b) if _is_for_onednn(a, b) else torch.bmm(a, b)  # type: ignore[no-any-return]


def affine(
    x: Float[Tensor, "member rows inner"],
    weight: Float[Tensor, "member inner columns"],
    bias: Float[Tensor, "member 1 columns"],
) -> Float[Tensor, "member rows columns"]:
    """`x[r] @ weight[r] + bias[r]` for each member r."""
    if torch.compiler.is_compiling():  # adds the bias in the loop over what comes next
        return product(x, weight) + bias
    if _is_for_onednn(x, weight):
        return product(x, weight).add_(bias)
    return torch.baddbmm(bias, x, weight)


def single_product(
    a: Float[Tensor, "rows inner"], b: Float[Tensor, "inner columns"]
) -> Float[Tensor, "rows columns"]:
    """`a @ b` in float32 by oneDNN."""
    # An affine map without bias and activation, of weights in `nn.Linear`'s layout.
    return torch.ops.mkldnn._linear_pointwise.default(a, b.mT, None, "none", [], "")


@torch.library.custom_op("reproduce::onednn_product", mutates_args=())
def _opaque_product(a: Tensor, b: Tensor) -> Tensor:
    """`single_product` as torch's compiler must see it: its own rule wants constant weights."""
    return single_product(a, b)


@_opaque_product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


def _is_for_onednn(a: Tensor, b: Tensor) -> bool:
    return (
        a.device.type == "cpu"
        and a.dtype == torch.float32
        and min(b.shape[1:]) >= SMALLEST
        and _serves()
    )


@torch.compiler.assume_constant_result
def _serves() -> bool:
    return _probed()


@cache
def _probed() -> bool:
    """Tell whether this build of torch has the operator, on a processor where it pays."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not is_amd():
        return False
    probe = torch.ones(1, 2, 2)
    try:
        return torch.equal(_multiply(probe, probe), 2 * probe)
    except (AttributeError, RuntimeError, TypeError):
        return False


class _OneDNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _multiply(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        (gradient,) = gradients
        return (
            product(gradient, b.mT) if ctx.needs_input_grad[0] else None,
            product(a.mT, gradient) if ctx.needs_input_grad[1] else None,
        )


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Multiply each member by itself, so that none rounds otherwise for those beside it."""
    multiply = _opaque_product if torch.compiler.is_compiling() else single_product
    products = [multiply(x, y) for x, y in zip(a.unbind(), b.unbind(), strict=True)]
    # In place: autograd lets nobody add a bias to a view that a function of our own returned.
    return products[0].unsqueeze_(0) if len(products) == 1 else torch.stack(products)
