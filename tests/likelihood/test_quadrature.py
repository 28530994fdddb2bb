"""Quadrature against closed forms, one-dimensional integrals and brute force."""

import pytest
import torch

from likelihood_models import draw, small, summed
from reproduce.common.errors import UserError
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.modes import mode_mixture, search
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.quadrature import SCRAMBLES, Quadrature, log_density_ratio
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder, GaussianIdentityDecoder
from reproduce.models.gaussian import standard_normal_log_prob


@pytest.mark.parametrize("n_latent", [1, 2, 3])
@pytest.mark.parametrize(("std", "posterior_std"), [(0.3, 0.05), (0.07, 0.012)])
def test_linear_gaussian(n_latent, std, posterior_std):
    """Every point within 0.01 nat, also where a posterior is too narrow for the grid."""
    model = LinearGaussian.random(n_latent, 64, std)
    x = draw(model, 20, 64)
    spread = model.posterior(x)[1].diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(spread.max()) < posterior_std
    found = Quadrature()(model.target, x, (0, 1))
    assert (found.value - model.exact(x)).abs().max() < 0.01
    assert found.trusted.all()


@pytest.mark.parametrize("std", [0.05, 0.2])
def test_two_modes(std):
    model = Square(std)
    x = draw(model, 40, 1)
    found = Quadrature()(model.target, x, (0,))
    assert (found.value - model.exact(x)).abs().max() < 0.01
    apart = x[..., 0] > 6 * std
    assert (found.diagnostics["n_modes"][apart] == 2).all()


def test_eight_modes():
    """In three dimensions the default is not exact for every point, and says for which."""
    model = Square(0.05, 3)
    x = draw(model, 60, 3)
    found = Quadrature()(model.target, x, (0,))
    error = (found.value - model.exact(x)).abs()
    assert error.median() < 0.01
    assert error[found.trusted].max() < 0.2
    # Trusted is where the scrambles agree, to 0.05 nats; here some do not.
    assert torch.equal(found.trusted, found.diagnostics["difference"] < 0.05)
    assert not found.trusted.all()


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder, GaussianIdentityDecoder])
@pytest.mark.parametrize("n_latent", [1, 2])
def test_decoders_against_brute_force(decoder, n_latent):
    target, x = small(decoder, n_latent)
    found = Quadrature(log2_grid=14)(target, x, (0, 1))
    assert (found.value - summed(target, x)).abs().max() < 0.01


def test_a_broad_posterior_is_integrated_by_the_grid():
    """Where z hardly matters, as before training, there is no mode to refine."""
    target, x = small(BernoulliDecoder, 2, std=0.01)
    found = Quadrature(log2_grid=12)(target, x, (0, 1))
    assert (found.value - summed(target, x)).abs().max() < 1e-3
    assert found.value.std() > 0  # and the points differ


def test_members_and_batches_do_not_see_each_other(monkeypatch):
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1, 2))
    x = draw(model, 9, 64)
    quadrature = Quadrature(log2_grid=12)
    whole = quadrature(model.target, x, (0, 1, 2))
    one = LinearGaussian(model.weight[1:2], model.bias[1:2], model.std)
    alone = quadrature(one.target, x[1:2], (1,))
    assert torch.allclose(whole.value[1:2], alone.value, atol=1e-4)
    seen = []
    monkeypatch.setattr("reproduce.likelihood.quadrature.FLOATS", 3 * 2**12 * 4)
    parts = quadrature(model.target, x, (0, 1, 2), seen.append)
    assert seen == [4, 4, 1]
    assert torch.allclose(parts.value, whole.value, atol=1e-4)
    assert torch.equal(quadrature(model.target, x, (0, 1, 2)).value, parts.value)


def test_the_two_scrambles_differ_as_the_error_does():
    """The standard error is of the size of the error: neither zero nor far larger."""
    model = LinearGaussian.random(3, 64, 0.3)
    x = draw(model, 100, 64)
    found = Quadrature(log2_grid=13, n_local=64)(model.target, x, (0, 1))
    error = (found.value - model.exact(x)).square().mean().sqrt()
    assert 0.3 < float(error / found.stderr.square().mean().sqrt()) < 3


def test_the_local_points_of_the_two_scrambles_are_independent():
    """Or their agreement would say nothing where the grid is too coarse to matter."""
    model = LinearGaussian.random(3, 64, 0.07, seeds=(0,))
    x = draw(model, 2, 64)
    mixture = search(model.target, x, PriorGrid.sobol(3, 10, 5, torch.device("cpu")))
    one, other = (Quadrature()._local_points(mixture, scramble) for scramble in SCRAMBLES)
    assert torch.equal(one, Quadrature()._local_points(mixture, SCRAMBLES[0]))
    closest = (one.unsqueeze(2) - other.unsqueeze(1)).norm(dim=-1).amin(2)  # any point to any
    assert closest.min() > 0


def test_the_ratio_of_densities_by_monomials():
    model = LinearGaussian.random(3, 64, 0.3)
    x = draw(model, 4, 64)
    grid = PriorGrid.sobol(3, 10, 5, torch.device("cpu"))
    start, _ = grid.best(grid.log_likelihood(model, x), 3)
    mixture = mode_mixture(model.target, x, start, 3, 6, 1.5)
    z = grid.z[::64]
    direct = mixture.log_prob(z.view(1, -1, 1, 3).expand(2, -1, 4, -1))
    direct = direct - standard_normal_log_prob(z).view(1, -1, 1)
    found = log_density_ratio(mixture, z)
    assert torch.allclose(found, direct, rtol=1e-4, atol=0.05)


def test_refusals():
    model = LinearGaussian.random(5)
    x = draw(model, 1, 64)
    with pytest.raises(UserError, match="N_z up to 3, not 5; use estimator=importance"):
        Quadrature()(model.target, x, (0, 1))
    with pytest.raises(UserError, match=r"estimator.log2_grid must be at least 1, not 0"):
        Quadrature(log2_grid=0)
    with pytest.raises(UserError, match="log2_grid must be at most 20, not 35"):
        Quadrature(log2_grid=35)
    with pytest.raises(UserError, match="power of two, not 100"):
        Quadrature(n_local=100)
