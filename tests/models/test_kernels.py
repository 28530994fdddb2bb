"""Kernels against their plain forms, with gradients: products at the sizes of the experiments."""

import pytest
import torch

from building import has_onednn
from reproduce.models import kernels

SIZES = [(100, 784, 500), (100, 500, 784), (100, 560, 200), (100, 200, 560), (77, 64, 65)]


def stack(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def closest(found, exact):
    """Rounding errors beside the size of the products, in units of float32's precision."""
    scale = exact.abs().max()
    return ((found.double() - exact).abs().max() / scale / torch.finfo(torch.float32).eps).item()


def plain_bernoulli(logits, x):
    y = torch.sigmoid(logits)
    return (x * y.log() + (1 - x) * (1 - y).log()).sum(-1)


PLAIN_FORMS = {
    "exp": (kernels.exp, torch.exp),
    "sigmoid": (kernels.sigmoid, torch.sigmoid),
    "tanh": (lambda x: kernels.tanh_(x.clone()), torch.tanh),
    "softplus": (kernels.softplus, lambda x: torch.log1p(torch.exp(x))),
    "bernoulli": (
        lambda x: kernels.bernoulli_log_likelihood(x, (x.detach()[:, :1] > 0).to(x) * 0.7),
        lambda x: plain_bernoulli(x, (x.detach()[:, :1] > 0).to(x) * 0.7),
    ),
}


@pytest.mark.parametrize("name", PLAIN_FORMS)
@pytest.mark.parametrize("pixels", [1, 7, 12, 64, 784])  # folded not at all to three times
def test_elementwise_kernels_equal_their_plain_forms(name, pixels):
    kernel, plain = PLAIN_FORMS[name]
    x = stack(3, 2, 5, pixels).double().mul_(2).requires_grad_()
    found, expected = kernel(x), plain(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    direction = stack(*found.shape, seed=1).double()
    gradients = [torch.autograd.grad(y, x, direction)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN_FORMS)
def test_elementwise_kernels_round_each_seed_as_if_alone(name):
    kernel, _ = PLAIN_FORMS[name]
    x = stack(3, 1, 5, 13)  # of which vectors leave a few elements over
    assert torch.equal(kernel(x)[1:2], kernel(x[1:2]))


serves = kernels._probed.__wrapped__


@pytest.fixture(params=[True, False] if has_onednn() else [False], autouse=True)
def onednn(request, monkeypatch):
    """With and without, whichever this processor would choose."""
    monkeypatch.setattr(kernels, "_serves", lambda: request.param)
    return request.param


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_products_and_gradients_are_those_of_float64(size, n_seeds):
    rows, inner, columns = size
    x = stack(n_seeds, rows, inner, seed=1).requires_grad_()
    weight = stack(n_seeds, inner, columns, seed=2).requires_grad_()
    bias = stack(n_seeds, 1, columns, seed=3).requires_grad_()
    direction = stack(n_seeds, rows, columns, seed=4)
    y = kernels.affine(x, weight, bias)
    found = torch.autograd.grad(y, (x, weight, bias), direction)
    wide = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    exact = wide[0] @ wide[1] + wide[2]
    assert closest(y.detach(), exact.detach()) < 16
    for ours, reference in zip(
        found, torch.autograd.grad(exact, wide, direction.double()), strict=True
    ):
        assert closest(ours, reference) < 16


def test_views_are_multiplied_as_what_they_show():
    images = stack(1, 90, 784).expand(3, -1, -1)  # one data set under all seeds
    logits = stack(3, 80, 784, seed=1)
    found = kernels.product(logits, images.mT)
    torch.testing.assert_close(found, torch.bmm(logits, images.mT), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_a_seed_does_not_depend_on_those_beside_it(size, onednn):
    rows, inner, columns = size
    a, b = stack(4, rows, inner), stack(4, inner, columns, seed=1)
    together = kernels.product(a, b)
    for index in range(4):
        alone = kernels.product(a[index : index + 1], b[index : index + 1])
        if onednn or size[0] % 100 == 0:  # all sizes of training
            assert torch.equal(together[index : index + 1], alone)
        else:  # MKL rounds products of odd sizes by their place
            torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-5, atol=1e-4)


def test_both_libraries_give_the_same_numbers_but_for_rounding(monkeypatch, onednn):
    x, weight, bias = stack(2, 100, 784), stack(2, 784, 500, seed=1), stack(2, 1, 500, seed=2)
    found = kernels.affine(x, weight, bias)
    monkeypatch.setattr(kernels, "_serves", lambda: not onednn and has_onednn())
    torch.testing.assert_close(found, kernels.affine(x, weight, bias), rtol=1e-5, atol=1e-3)


def test_float64_stays_float64():
    a, b = stack(2, 70, 80).double(), stack(2, 80, 90, seed=1).double()
    assert torch.equal(kernels.product(a, b), torch.bmm(a, b))


def test_only_large_float32_products_on_the_cpu_go_to_onednn(monkeypatch):
    taken = []

    def recorded(a, b):
        taken.append((*a.shape, b.shape[1]))
        return a @ b

    monkeypatch.setattr(kernels, "_serves", lambda: True)
    monkeypatch.setattr(kernels, "single_product", recorded)
    large, small = stack(2, 784, 500), stack(2, 784, 20)
    x, bias = stack(2, 100, 784), stack(2, 1, 500)
    kernels.affine(x, large, bias)
    assert taken == [(100, 784, 500)] * 2
    kernels.affine(x, small, bias[..., :20])
    kernels.product(x.double(), large.double())
    assert len(taken) == 2


@pytest.mark.parametrize("capability", ["AVX512", "AVX2", "DEFAULT"])
@pytest.mark.parametrize("amd", [True, False])
def test_onednn_serves_where_it_pays(monkeypatch, capability, amd):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(kernels, "is_amd", lambda: amd)
    assert serves() == (capability == "AVX512" and amd and has_onednn())
