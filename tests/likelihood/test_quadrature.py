"""Quadrature against closed forms, one-dimensional integrals and brute force."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal

from likelihood_models import draw, small, summed
from reproduce.common.errors import UserError
from reproduce.likelihood.evaluate import Question, points
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.modes import mode_mixture, search
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.quadrature import Quadrature, log_density_ratio
from reproduce.likelihood.target import Target
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder, GaussianIdentityDecoder
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.store.load import load_seeds, trains_encoder
from reproduce.store.store import Store

DATA_DIR = os.environ["AEVB_TEST_DATA_DIR"]
COMMITTED = Store(Path(__file__).parents[2] / "results" / "reference" / "cells")
EXPERIMENT_2 = [
    "mnist-aevb-z3-n1000-6d4fa325", "mnist-mcem-z3-n1000-233af121",
    "mnist-wake_sleep-z3-n1000-3e674615", "mnist-aevb-z3-n50000-250ae053",
    "mnist-mcem-z3-n50000-5c27eab7", "mnist-wake_sleep-z3-n50000-f52c72b2",
]  # fmt: skip
"""The cells whose models, at their end, the paper's Figure 3 ends with."""
IMAGES = [*range(20), 221, 269, 287]
"""The first, and some whose heaviest mode a grid over the prior alone missed."""


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
    assert (found.diagnostics["n_modes"][apart] >= 2).all()


def test_eight_modes():
    """In three dimensions the default is not exact for every point, and says for which."""
    model = Square(0.05, 3)
    x = draw(model, 60, 3)
    found = Quadrature()(model.target, x, (0,))
    error = (found.value - model.exact(x)).abs()
    assert error.median() < 0.01
    assert error[found.trusted].max() < 0.2
    assert torch.equal(found.trusted, found.stderr < 0.05)
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


class ModeInTheTail:
    """p(x, z) = N(z; 0, 0.4²) / 2 + N(z; far, 0.1²) / 2 for every x, so that log p(x) = 0."""

    noise_kind = "normal"

    def __init__(self, norm, n_latent):
        self.n_latent, self.far = n_latent, norm / n_latent**0.5

    def log_likelihood(self, x, z):
        near = Normal(0.0, 0.4).log_prob(z).sum(-1)
        far = Normal(self.far, 0.1).log_prob(z).sum(-1)
        return torch.logaddexp(near, far) - math.log(2) - standard_normal_log_prob(z)

    def shared_log_likelihood(self, x, z):
        return self.log_likelihood(x, z).unsqueeze(2).expand(-1, -1, x.shape[1])

    def mean(self, z):
        raise NotImplementedError

    def sample(self, z, noise):
        raise NotImplementedError


@pytest.mark.integration
@pytest.mark.parametrize("n_latent", [1, 2, 3])
@pytest.mark.parametrize("norm", [3.8, 4.6, 5.4])
def test_a_mode_in_the_priors_tail_is_found(norm, n_latent):
    """Where trained models have modes and a grid over the prior has no points."""
    target, x = Target(ModeInTheTail(norm, n_latent), 1, n_latent), torch.zeros(1, 2, 1)
    for estimator in (Quadrature(), Importance(), Importance(proposal="prior")):
        found = estimator(target, x, (0,))
        missed = found.value.abs() > 0.1
        assert not (missed & found.trusted).any()
        if estimator.name == "quadrature":
            assert not missed.any()


def test_seeds_and_batches_do_not_see_each_other(monkeypatch):
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1, 2))
    x = draw(model, 9, 64)
    quadrature = Quadrature(log2_grid=13)
    whole = quadrature(model.target, x, (0, 1, 2))
    one = LinearGaussian(model.weight[1:2], model.bias[1:2], model.std)
    alone = quadrature(one.target, x[1:2], (1,))
    assert torch.allclose(whole.value[1:2], alone.value, atol=1e-4)
    seen = []
    monkeypatch.setattr("reproduce.likelihood.quadrature.FLOATS", 3 * 2**13 * 4)
    parts = quadrature(model.target, x, (0, 1, 2), seen.append)
    assert seen == [4, 4, 1]
    assert torch.allclose(parts.value, whole.value, atol=1e-4)
    assert torch.equal(quadrature(model.target, x, (0, 1, 2)).value, parts.value)


@pytest.mark.integration
@pytest.mark.parametrize("n_latent", [1, 3])
def test_the_standard_error_means_what_one_means(n_latent):
    """35 % of errors lie beyond it and 8.5 % beyond twice it (Student's t of eight scrambles)."""
    model = LinearGaussian.random(n_latent, 64, 0.3, seeds=(0,))
    x = draw(model, 1, 64)
    exact, errors = model.exact(x), []
    for scramble in range(100):  # datapoints share a scramble's points, so their errors are alike
        found = Quadrature(9, 128, 4, scramble=scramble)(model.target, x, (0,))
        errors.append(((found.value - exact) / found.stderr).abs())
    error = torch.stack(errors)
    assert 0.2 < float((error > 1).double().mean()) < 0.5
    assert 0.03 < float((error > 2).double().mean()) < 0.16


def test_the_local_points_of_the_scrambles_are_independent():
    """Or their agreement would say nothing where the grid is too coarse to matter."""
    model = LinearGaussian.random(3, 64, 0.07, seeds=(0,))
    x = draw(model, 2, 64)
    mixture = search(model.target, x, PriorGrid.sobol(3, 10, [5], torch.device("cpu")))
    points = Quadrature()._local_points(mixture)
    assert torch.equal(points, Quadrature()._local_points(mixture))
    for point in points[0].unbind(1):
        assert len(point.unique(dim=0)) == len(point)
    assert not torch.isin(points, Quadrature(scramble=1)._local_points(mixture)).all(-1).any()


def test_the_ratio_of_densities_by_monomials():
    model = LinearGaussian.random(3, 64, 0.3)
    x = draw(model, 4, 64)
    grid = PriorGrid.sobol(3, 10, [5], torch.device("cpu"))
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
    with pytest.raises(UserError, match=r"estimator.log2_grid must be at least 4, not 0"):
        Quadrature(log2_grid=0)
    with pytest.raises(UserError, match="log2_grid must be at most 20, not 35"):
        Quadrature(log2_grid=35)
    with pytest.raises(UserError, match="n_local must be at least 8, not 4"):
        Quadrature(n_local=4)
    with pytest.raises(UserError, match="power of two, not 100"):
        Quadrature(n_local=100)


@pytest.mark.slow
@pytest.mark.skipif(not DATA_DIR, reason="DATA_DIR does not name a folder with the real data")
@pytest.mark.parametrize("name", EXPERIMENT_2)
def test_no_trusted_miss_on_the_models_of_experiment_2(name, monkeypatch):
    """Against ten times the starts and eight times the points, in other scrambles."""
    cell, seeds = COMMITTED.cell(name), (0, 1, 2)
    model = load_seeds(COMMITTED, cell, seeds).requires_grad_(False)
    target = Target.of(model, has_encoder=trains_encoder(cell))
    x = points(Question(cell, 0, "test", 300), DATA_DIR)[IMAGES].expand(3, -1, -1)
    found = Quadrature()(target, x, seeds)
    monkeypatch.setattr("reproduce.likelihood.quadrature.FLOATS", 2**24)  # fewer decodings
    reference = Quadrature(18, 8192, 240, 24, scramble=7)(target, x, seeds)
    error = (found.value - reference.value).abs()
    assert not (found.trusted & (error > 0.5)).any()
    assert found.trusted.double().mean() > 0.8
