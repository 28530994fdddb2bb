"""The paper's estimator: right where the paper says so, and biased where it says so."""

import math

import pytest
import torch
from torch.distributions import Normal

from likelihood_models import draw, small, summed
from reproduce.common.errors import UserError
from reproduce.likelihood import hmc_kde
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.hmc_kde import HmcKde
from reproduce.likelihood.kde import KernelDensity
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import Target
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder


def errors(n_latent, n_points=60, **settings):
    model = LinearGaussian.random(n_latent, 64, 0.25)
    x = draw(model, n_points, 64)
    spread = model.posterior(x)[1].diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(spread.max()) < 0.05
    found = HmcKde(**settings)(model.target, x, (0, 1))
    return found.value - model.exact(x), found


@pytest.mark.parametrize("n_latent", [1, 3])
def test_few_dimensions(n_latent):
    error, found = errors(n_latent)
    assert error.mean().abs() < 0.1
    assert error.square().mean().sqrt() < 0.3
    assert found.diagnostics["acceptance_rate"].mean() == pytest.approx(0.9, abs=0.04)
    off = error.abs() > 0.5
    assert not (off & found.trusted).any()
    assert found.trusted.float().mean() > 0.8


@pytest.mark.integration
def test_its_bias_grows_with_the_dimension():
    """Upwards, as theory says of a density fitted to 50 samples."""
    means = [float(errors(n)[0].mean()) for n in (3, 10, 20)]
    assert means[0] + 0.1 < means[1] < means[2] - 0.5
    assert not errors(10)[1].trusted.any()


def test_a_mode_that_the_chain_never_sees_is_missing():
    """Two equal modes: an estimate from one is too low by log 2."""
    model = Square(0.05)
    x = torch.full((1, 40, 1), 2.0)
    found = HmcKde()(model.target, x, (0,))
    error = (found.value - model.exact(x)).mean()
    assert float(error) == pytest.approx(-0.693, abs=0.1)
    off = (found.value - model.exact(x)).abs() > 0.5
    assert off.float().mean() > 0.8
    assert not (off & found.trusted).any()
    assert float(found.diagnostics["second_look"].median()) == pytest.approx(-0.693, abs=0.15)


class NarrowPeakBesideAHeavyMode:
    """p(x, z) = 0.9 N(z; -1, 0.6²) + 0.1 N(z; 1, 0.02²) for every x, so that log p(x) = 0."""

    noise_kind = "normal"

    def log_likelihood(self, x, z):
        heavy = Normal(-1.0, 0.6).log_prob(z) + math.log(0.9)
        narrow = Normal(1.0, 0.02).log_prob(z) + math.log(0.1)
        return (torch.logaddexp(heavy, narrow) - Normal(0.0, 1.0).log_prob(z)).squeeze(-1)

    def shared_log_likelihood(self, x, z):
        return self.log_likelihood(x, z).unsqueeze(2).expand(-1, -1, x.shape[1])

    def mean(self, z):
        raise NotImplementedError

    def sample(self, z, noise):
        raise NotImplementedError


def test_a_chain_starts_in_the_heaviest_mode_not_at_the_highest_point():
    target = Target(NarrowPeakBesideAHeavyMode(), 1, 1)
    grid = PriorGrid.sobol(1, 12, [0], target.device)
    x = torch.zeros(1, 30, 1)
    highest, _ = grid.best(grid.log_likelihood(target.likelihood, x), 1)
    assert torch.allclose(highest, torch.ones(()), atol=0.05)
    found = HmcKde()(target, x, (0,))
    assert float(found.value.mean()) == pytest.approx(math.log(0.9), abs=0.15)  # narrow: -2.3


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
def test_decoders_against_brute_force(decoder):
    target, x = small(decoder, 1, std=0.5, n_points=40)
    found = HmcKde()(target, x, (0, 1))
    error = found.value - summed(target, x)
    assert error.mean().abs() < 0.15


def test_estimates_repeat_and_seeds_do_not_see_each_other():
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1, 2))
    x = draw(model, 5, 64)
    estimate = HmcKde(n_warmup=20)
    whole = estimate(model.target, x, (0, 1, 2))
    assert torch.equal(whole.value, estimate(model.target, x, (0, 1, 2)).value)
    one = LinearGaussian(model.weight[1:2], model.bias[1:2], model.std)
    alone = estimate(one.target, x[1:2], (1,))
    assert torch.allclose(whole.value[1:2], alone.value, atol=1e-2)
    other = estimate(one.target, x[1:2], (5,))
    assert not torch.allclose(other.value, alone.value, atol=1e-2)


def test_more_samples_are_fitted_in_smaller_batches(monkeypatch):
    """The differences of all pairs of samples are held at once, of all seeds of a batch."""
    model, sizes = LinearGaussian.random(2, 64, 0.3), []
    x = draw(model, 5, 64)
    fit = KernelDensity.fit

    def counted(samples):
        sizes.append(samples.shape[1] * samples.numel())
        return fit(samples)

    monkeypatch.setattr(KernelDensity, "fit", counted)
    one = 30**2 * 2 * 2  # pairs of samples, seeds, latent dimensions
    monkeypatch.setattr(hmc_kde, "MOST_FLOATS", 2 * one)
    found = HmcKde(30, 30, n_warmup=20)(model.target, x, (0, 1))
    assert sizes == [2 * one, 2 * one, one]
    assert (found.value - model.exact(x)).abs().max() < 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_fit": 1}, "estimator.n_fit must be at least 2, not 1"),
        ({"n_score": 0}, "n_score must be at least 1"),
        ({"n_leapfrog": 0}, "n_leapfrog must be at least 1"),
        ({"thin": 0}, "thin must be at least 1"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(UserError, match=said):
        HmcKde(**settings)
