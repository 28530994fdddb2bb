import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from building import autoencoder
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.bounds import sgvb_a, sgvb_b
from reproduce.models.decoders import Decoder, GaussianDecoder
from reproduce.models.encoder import GaussianEncoder
from reproduce.models.gaussian import LOG_2PI, DiagonalGaussian
from reproduce.models.layers import StackedLinear


def test_estimators_agree_in_expectation():
    model = autoencoder(std=0.8).double()
    x = torch.rand(2, 3, 12, dtype=torch.float64)
    noise = torch.randn(2, 200_000, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    differences = []
    for piece in noise.split(20_000, dim=1):
        differences.append((sgvb_a(model, x, piece) - sgvb_b(model, x, piece)).detach())
    differences = torch.stack(differences)
    error = differences.std(0) / math.sqrt(len(differences))
    assert (differences.mean(0).abs() < 5 * error).all()
    assert error.max() < 0.02  # nats: the check above is sharp
    one = noise[:, :1]
    assert not torch.allclose(sgvb_a(model, x, one), sgvb_b(model, x, one), atol=1e-2)


@pytest.mark.parametrize("bound", [sgvb_a, sgvb_b])
@pytest.mark.parametrize("samples", [1, 3])
def test_several_samples_are_the_mean_of_single_ones(bound, samples):
    model = autoencoder(decoder=GaussianDecoder)
    x, noise = torch.rand(2, 4, 12), torch.randn(2, samples, 4, 3)
    singles = [bound(model, x, noise[:, i : i + 1]) for i in range(samples)]
    assert torch.allclose(bound(model, x, noise), torch.stack(singles).mean(0), atol=1e-4)


@pytest.mark.parametrize("bound", [sgvb_a, sgvb_b])
def test_gradients_pass_gradcheck(bound):
    model = autoencoder(decoder=GaussianDecoder).double()
    x = torch.rand(2, 4, 12, dtype=torch.float64)
    noise = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    names = [name for name, _ in model.named_parameters()]

    def of_parameters(*values):
        return torch.func.functional_call(
            _Bound(model, bound),
            {f"model.{n}": v for n, v in zip(names, values, strict=True)},
            (x, noise),
        )

    values = [p.detach().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(of_parameters, values, fast_mode=True)


class _Bound(torch.nn.Module):
    def __init__(self, model, bound):
        super().__init__()
        self.model, self.bound = model, bound

    def forward(self, x, noise):
        return self.bound(self.model, x, noise)


class LinearGaussian(Decoder):
    """x = W z + b + noise: a decoder whose marginal likelihood has a closed form."""

    def __init__(self, n_seeds, n_latent, n_pixels):
        torch.nn.Module.__init__(self)
        self.output = StackedLinear(n_seeds, n_latent, n_pixels)
        self.log_variance = torch.nn.Parameter(torch.zeros(n_seeds, 1, 1, 1))

    def log_likelihood(self, x, z):
        squared = (x.unsqueeze(1) - self.output(z)).square() * torch.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + LOG_2PI).sum(-1)


class LinearEncoder(GaussianEncoder):
    def __init__(self, n_seeds, n_pixels, n_latent):
        torch.nn.Module.__init__(self)
        self.mean = StackedLinear(n_seeds, n_pixels, n_latent)
        self.log_variance = torch.nn.Parameter(torch.zeros(n_seeds, 1, n_latent))

    def forward(self, x):
        mean = self.mean(x)
        return DiagonalGaussian(mean, self.log_variance.expand_as(mean))


def probabilistic_pca(x, n_latent):
    """Mean log-likelihood at the maximum (Tipping & Bishop 1999), nats a datapoint."""
    variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = variances[n_latent:].mean()
    d = x.shape[1]
    return -0.5 * (
        d * math.log(2 * math.pi) + variances[:n_latent].log().sum()
        + (d - n_latent) * noise.log() + d
    ).item()  # fmt: skip


@pytest.mark.parametrize("bound", [sgvb_a, sgvb_b])
def test_linear_gaussian_model_reaches_its_known_optimum(bound):
    """There the bound is tight, so its maximum is the maximum likelihood of probabilistic PCA."""
    source = torch.Generator().manual_seed(3)
    loadings = torch.randn(2, 6, generator=source, dtype=torch.float64) * torch.tensor(
        [[2.0], [1.0]]
    )
    z = torch.randn(400, 2, generator=source, dtype=torch.float64)
    x = z @ loadings + 0.5 * torch.randn(400, 6, generator=source, dtype=torch.float64)
    x = x - x.mean(0)
    best = probabilistic_pca(x, 2)

    model = Autoencoder(LinearEncoder(2, 6, 2), LinearGaussian(2, 2, 6), 2).double()
    with torch.no_grad():
        for layer in (model.encoder.mean, model.decoder.output):
            layer.weight.normal_(0, 0.3, generator=source)
    batch = x.expand(2, -1, -1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for _ in range(800):
        noise = torch.randn(2, 2, 400, 2, generator=source, dtype=torch.float64)
        loss = -bound(model, batch, noise).mean(1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        noise = torch.randn(2, 200, 400, 2, generator=source, dtype=torch.float64)
        reached = bound(model, batch, noise).mean(1)
        weight = model.decoder.output.weight
        covariance = weight.mT @ weight + model.decoder.log_variance.exp().flatten(1)[
            ..., None
        ] * torch.eye(6)
        mean = model.decoder.output.bias[:, 0]
        exact = [
            MultivariateNormal(m, c).log_prob(x).mean()
            for m, c in zip(mean, covariance, strict=True)
        ]
    for value, likelihood in zip(reached, exact, strict=True):
        assert value <= likelihood + 0.01  # a bound
        assert value == pytest.approx(best, abs=0.02)
        assert likelihood <= best + 1e-9
