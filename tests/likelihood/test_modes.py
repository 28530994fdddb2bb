"""Climbing to modes, and the Gaussians put there."""

import math

import pytest
import torch
from torch.distributions import Normal

from likelihood_models import draw
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.modes import ModeMixture, climb, mode_mixture
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.models.random_streams import generator


@pytest.mark.parametrize("n_latent", [1, 3, 10, 20])
def test_one_gaussian_is_found_as_it_is(n_latent):
    model = LinearGaussian.random(n_latent, 64, 0.3)
    x = draw(model, 5, 64)
    start = torch.randn(2, 4, 5, n_latent, generator=generator("cpu", 0, "start"))
    mixture = mode_mixture(model.target, x, start, 4, 12, 1.0)
    mean, covariance = model.posterior(x)
    assert (mixture.n_modes == 1).all()
    best = mixture.log_weight.argmax(1)[:, None, :, None].expand(-1, 1, -1, n_latent)
    spread = covariance.diagonal(dim1=-2, dim2=-1).sqrt().unsqueeze(1)
    assert ((mixture.mean.gather(1, best)[:, 0] - mean).abs() / spread).max() < 0.05
    precision = torch.linalg.inv(covariance).unsqueeze(1)
    found = (mixture.factor @ mixture.factor.mT)[:, 0].double()
    assert ((found - precision).norm(dim=(-2, -1)) / precision.norm(dim=(-2, -1))).max() < 0.02
    peak = model.target.log_joint(x, mean.float().unsqueeze(1)).squeeze(1)
    highest = model.target.log_joint(x, mixture.heaviest.unsqueeze(1)).squeeze(1)
    assert torch.allclose(highest, peak, atol=0.02)


def test_both_modes_of_a_square_are_found_from_one_grid():
    model = Square(0.05)
    x = torch.tensor([0.5, 1.0, 3.0]).view(1, 3, 1)
    grid = PriorGrid.sobol(1, 10, [1], torch.device("cpu"))
    start, _ = grid.best(grid.log_likelihood(model, x), 8)
    mixture = mode_mixture(model.target, x, start, 4, 12, 1.0)
    assert (mixture.n_modes == 2).all()
    for point, root in enumerate(x.flatten().sqrt().tolist()):
        kept = mixture.log_weight[0, :, point].isfinite()
        assert sorted(mixture.mean[0, kept, point, 0].tolist()) == pytest.approx(
            [-root, root], abs=0.01
        )
        assert mixture.log_weight[0, kept, point].exp().sum().item() == pytest.approx(1)


def test_a_climb_never_goes_down_and_ends_where_the_gradient_vanishes():
    model = Square(0.3, 2)
    x = torch.tensor([[1.0, 2.0]]).view(1, 1, 2)
    start = torch.tensor([[0.01, -0.02], [3.0, -3.0], [-0.5, 0.7]]).view(1, 3, 1, 2)

    def density(z):
        return model.target.log_joint(x, z)

    before = density(start)
    once, twice = climb(density, start, 1), climb(density, start, 30)
    assert (once.log_density >= before).all()
    assert (twice.log_density >= once.log_density).all()
    assert (twice.gradient.abs() < 0.05).all()


def test_samples_follow_the_density():
    """Moments of samples, and the integral of the density, of a mixture of two."""
    mean = torch.tensor([[-1.0, 0.5], [2.0, -1.0]]).view(1, 2, 1, 2)
    covariance = torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.1, -0.05], [-0.05, 0.4]]])
    factor = torch.linalg.cholesky(torch.linalg.inv(covariance)).view(1, 2, 1, 2, 2)
    weight = torch.tensor([0.3, 0.7])
    mixture = ModeMixture(mean, factor, weight.log().view(1, 2, 1))
    source = generator("cpu", 0, "samples")
    noise = torch.randn(1, 100_000, 1, 2, generator=source)
    z = mixture.sample(noise, torch.rand(1, 100_000, 1, generator=source))
    expected = (weight.view(2, 1) * mean.view(2, 2)).sum(0)
    second = covariance + mean.view(2, 2, 1) * mean.view(2, 1, 2)
    expected_second = (weight.view(2, 1, 1) * second).sum(0)
    flat = z.view(-1, 2)
    assert torch.allclose(flat.mean(0), expected, atol=0.02)
    assert torch.allclose(flat.mT @ flat / 100_000, expected_second, atol=0.05)
    line = torch.linspace(-8, 8, 401)
    grid = torch.cartesian_prod(line, line).view(1, -1, 1, 2)
    total = mixture.log_prob(grid).exp().sum() * (16 / 400) ** 2
    assert float(total) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("n_latent", [1, 2, 3, 4, 7])
def test_half_of_each_scramble_covers_the_prior_and_half_lies_beyond(n_latent):
    grid = PriorGrid.sobol(n_latent, 11, [3, 4], torch.device("cpu"))
    for number, half in enumerate(grid.z.split(1024)):
        assert half.mean(0).abs().max() < 0.03
        assert (half.std(0) - (2 if number % 2 else 1)).abs().max() < 0.03
    places = [grid.order[a:b] for a, b in zip((0, *grid.ends), grid.ends, strict=False)]
    assert torch.cat(places).sort().values.equal(torch.arange(4096))
    for place in places:
        extent = grid.z[place].amax(0) - grid.z[place].amin(0)
        assert len(place) > 0
        assert n_latent > 3 or extent.max() <= 1
    direct = torch.logaddexp(*(Normal(0, s).log_prob(grid.z).sum(-1) for s in (1.0, 2.0)))
    prior = Normal(0, 1).log_prob(grid.z).sum(-1)
    assert torch.allclose(grid.log_ratio, direct - math.log(2) - prior, rtol=1e-4, atol=1e-4)


def test_the_best_of_a_grid_are_from_different_cells():
    model = LinearGaussian.random(2, 64, 0.3)
    x = draw(model, 3, 64)
    grid = PriorGrid.sobol(2, 12, [3], torch.device("cpu"))
    on_grid = grid.log_likelihood(model, x)
    start, value = grid.best(on_grid, 5)
    assert start.shape == (2, 5, 3, 2)
    assert torch.allclose(value, model.target.log_joint(x, start), atol=0.1, rtol=1e-4)
    joint = on_grid + Normal(0, 1).log_prob(grid.z).sum(-1).view(1, -1, 1)
    assert torch.allclose(value[:, 0], joint.amax(1))
    boxes = start.floor()
    for index in range(2):
        for point in range(3):
            assert len({tuple(b.tolist()) for b in boxes[index, :, point]}) == 5
