"""Every trick of speed or rounding, each with its plain form in its docstring.

Nothing here changes the mathematics: read the plain forms, and go on to `layers.py` and
`decoders.py`. There are two kinds of trick. *Rounding*: each seed of a stack gets the numbers
that it would get alone, to the last bit. *Speed*: fewer passes over memory, and the faster of the
two libraries for matrix products that come with torch.

That library is oneDNN on an AMD processor with AVX-512. torch multiplies float32 matrices with MKL,
which left AVX-512 unused on the AMD processor that we measured on; oneDNN used it and was twice as
fast. Without AVX-512 training was an eighth slower with oneDNN, and on an Intel processor with
AVX-512 its products were slower than MKL's as well. torch's one way to oneDNN for float32 is the
operator that its compiler calls for linear layers; this is the only file that knows it. Where the
operator does not serve (on a GPU, in float64, on other processors), `torch.bmm` does the same.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from reproduce.common.machine import is_amd

SMALLEST = 64
"""Inner and outer size from which oneDNN pays; below, preparing takes longer than it saves."""
LONGEST_VECTORS = 64
"""Floats that torch's loops handle at once: two vectors of up to 16 on known CPUs, with room."""
FOLDS = 3
"""Up to 2^FOLDS arguments of a logarithm are multiplied before it is taken."""


# Elementwise functions.


def seedwise(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "seed *any"]
) -> Float[Tensor, "seed *any"]:
    """`function(x)`, elementwise, each seed rounding as if alone."""
    parts = _alike_parts(x)
    return function(x) if len(parts) == 1 else torch.stack([function(part) for part in parts])


def exp(x: Float[Tensor, "seed *any"]) -> Float[Tensor, "seed *any"]:
    """`torch.exp(x)`, each seed rounding as if alone."""
    return seedwise(torch.exp, x)


def sigmoid(x: Float[Tensor, "seed *any"]) -> Float[Tensor, "seed *any"]:
    """`torch.sigmoid(x)`, each seed rounding as if alone."""
    return seedwise(torch.sigmoid, x)


def tanh_(x: Float[Tensor, "seed *any"]) -> Float[Tensor, "seed *any"]:
    """`torch.tanh(x)`, as 2 sigmoid(2x) - 1; overwrites `x`."""
    # Compiled loops save the memory by themselves.
    if torch.compiler.is_compiling():
        return 2 * torch.sigmoid(2 * x) - 1
    return _Tanh.apply(x)  # type: ignore[no-any-return]


def softplus(x: Float[Tensor, "seed *any"]) -> Float[Tensor, "seed *any"]:
    """`torch.log1p(torch.exp(x))`, finite for large x, each seed rounding as if alone."""
    if torch.compiler.is_compiling():
        return functional.softplus(x)
    return _Softplus.apply(x)  # type: ignore[no-any-return]


def bernoulli_log_likelihood(
    logits: Float[Tensor, "seed sample batch pixel"], x: Float[Tensor, "seed 1 batch pixel"]
) -> Float[Tensor, "seed sample batch"]:
    """`(x * log(y) + (1 - x) * log(1 - y)).sum(-1)` with y = sigmoid(logits).

    As x * logit - softplus(logit), which stays finite where y rounds to 0 or 1.
    """
    return _BernoulliLogLikelihood.apply(logits, x)  # type: ignore[no-any-return]


def _alike_parts(x: Tensor) -> Sequence[Tensor]:
    """Cut `x` (seed, ...) into views in which elementwise functions round every seed alike.

    On the CPU the last few elements of a tensor go through scalar code whose exp or tanh rounds
    otherwise than the vectorised one. Which elements are last must not depend on what is stacked
    beside a seed, or its curve would. Where seeds fill whole vectors there are no last few.
    """
    whole = x.device.type != "cpu" or len(x) == 1 or x[0].numel() % LONGEST_VECTORS == 0
    return [x] if whole else x.unbind()


class _Tanh(torch.autograd.Function):
    """tanh, in place, with the gradient 1 - tanh²."""

    @staticmethod
    def forward(ctx: Any, pre_activation: Tensor) -> Tensor:
        # On the CPU the vectorised sigmoid is several times as fast as tanh. The gradient needs
        # the result alone, so the pre-activation can be overwritten.
        ctx.mark_dirty(pre_activation)
        y = pre_activation.mul_(2)
        for part in _alike_parts(y):
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
    """softplus, seedwise, with its gradient, the sigmoid, seedwise as well."""

    @staticmethod
    def forward(ctx: Any, pre_activation: Tensor) -> Tensor:
        ctx.save_for_backward(pre_activation)
        return seedwise(functional.softplus, pre_activation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (pre_activation,) = ctx.saved_tensors
        return gradients[0] * sigmoid(pre_activation)


class _BernoulliLogLikelihood(torch.autograd.Function):
    """sum of x * logit - softplus(logit), with its gradient x - sigmoid(logit)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        # One sigmoid serves value and gradient.
        probability = sigmoid(logits)
        ctx.save_for_backward(probability, x)
        # One buffer for all terms: fresh ones of this size would leave the caches.
        work = x * logits
        linear = work.sum(-1)
        return linear - _softplus_sum(logits, probability, work)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probability, x = ctx.saved_tensors
        return (x - probability).mul_(gradients[0].unsqueeze(-1)), None


def _softplus_sum(logits: Tensor, probability: Tensor, work: Tensor) -> Tensor:
    """`softplus(logits).sum(-1)`, from `probability` = sigmoid(logits); overwrites `work`."""
    # softplus(l) = max(l, 0) - log max(s, 1 - s) with s = sigmoid(l), and max(s, 1 - s) is
    # |s - 1/2| + 1/2.
    positive_part = torch.clamp_min(logits, 0, out=work).sum(-1)
    torch.sub(probability, 0.5, out=work).abs_().add_(0.5)
    # Logarithms take the time, so their arguments are multiplied first. All lie between one half
    # and one: a product of eight is far from underflow.
    for _ in range(FOLDS):
        if work.shape[-1] % 2:
            break
        left, right = work.chunk(2, -1)
        work = left * right
    for part in _alike_parts(work):
        part.log_()
    return positive_part - work.sum(-1)


# Matrix products.


def product(
    a: Float[Tensor, "seed rows inner"], b: Float[Tensor, "seed inner columns"]
) -> Float[Tensor, "seed rows columns"]:
    """`a @ b`."""
    return _OneDNN.apply(a, b) if _is_for_onednn(a, b) else torch.bmm(a, b)  # type: ignore[no-any-return]


def affine(
    x: Float[Tensor, "seed rows inner"],
    weight: Float[Tensor, "seed inner columns"],
    bias: Float[Tensor, "seed 1 columns"],
) -> Float[Tensor, "seed rows columns"]:
    """`x @ weight + bias`."""
    # A compiled step adds the bias in the loop over what comes next.
    if torch.compiler.is_compiling():
        return product(x, weight) + bias
    if _is_for_onednn(x, weight):
        return product(x, weight).add_(bias)
    return torch.baddbmm(bias, x, weight)


def single_product(
    a: Float[Tensor, "rows inner"], b: Float[Tensor, "inner columns"]
) -> Float[Tensor, "rows columns"]:
    """`a @ b`, in float32, by oneDNN."""
    # An affine map without bias and activation, of weights in `nn.Linear`'s layout.
    return torch.ops.mkldnn._linear_pointwise.default(a, b.mT, None, "none", [], "")


@torch.library.custom_op("reproduce::onednn_product", mutates_args=())
def _opaque_product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, opaque to torch's compiler: its rule for the operator wants constant weights."""
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
    """Whether this build of torch has the operator, on a processor where it pays."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not is_amd():
        return False
    probe = torch.ones(1, 2, 2)
    try:
        return torch.equal(_multiply(probe, probe), 2 * probe)
    except (AttributeError, RuntimeError, TypeError):
        return False


class _OneDNN(torch.autograd.Function):
    """a @ b; the gradients are products as well: of a, gradient @ bᵀ; of b, aᵀ @ gradient."""

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
    """`a @ b`, a seed at a time, so that none rounds otherwise for those beside it."""
    multiply = _opaque_product if torch.compiler.is_compiling() else single_product
    products = [multiply(x, y) for x, y in zip(a.unbind(), b.unbind(), strict=True)]
    # In place: autograd lets nobody add a bias to a view that a function of our own returned.
    return products[0].unsqueeze_(0) if len(products) == 1 else torch.stack(products)
