"""Annealed importance sampling: exact answers, and bounds from both sides."""

import pytest
import torch

from likelihood_models import draw, small, summed
from reproduce.common.errors import UserError
from reproduce.likelihood import ais
from reproduce.likelihood.ais import Ais, bidirectional, simulate
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder
from reproduce.models.random_streams import generator
from reproduce.samplers.hmc import hmc_step

QUICK = {"n_temperatures": 200, "n_chains": 16}


@pytest.mark.integration
@pytest.mark.parametrize(("n_latent", "tolerance"), [(1, 0.05), (3, 0.08)])
def test_linear_gaussian(n_latent, tolerance):
    model = LinearGaussian.random(n_latent, 64, 0.25)
    x = draw(model, 8, 64)
    found = Ais(n_temperatures=1500)(model.target, x, (0, 1))
    error = found.value - model.exact(x)
    assert error.mean().abs() < tolerance
    assert 0.4 < float(error.square().mean().sqrt() / found.stderr.mean()) < 1.8
    assert found.trusted.all()
    assert (found.diagnostics["acceptance_rate"] > 0.5).all()


@pytest.mark.parametrize("n_latent", [3, 10])
def test_too_few_temperatures_are_told_by_the_spread_of_the_weights(n_latent):
    model = LinearGaussian.random(n_latent, 64, 0.25)
    x = draw(model, 20, 64)
    found = Ais(n_temperatures=100)(model.target, x, (0, 1))
    missed = (found.value - model.exact(x)).abs() > 0.5
    assert missed.sum() >= 5
    assert not (missed & found.trusted).any()


@pytest.mark.integration
def test_chains_of_all_seeds_are_bounded(monkeypatch):
    """Smaller batches of datapoints for more chains, with the right answers."""
    model = LinearGaussian.random(1, 64, 0.25, seeds=(0, 1))
    x = draw(model, 5, 64)
    starts, sizes = ais.standard_normal_log_prob, []

    def counted(z):
        sizes.append(z.shape[:-1].numel())
        return starts(z)

    monkeypatch.setattr(ais, "standard_normal_log_prob", counted)
    monkeypatch.setattr(ais, "MOST_CHAINS", 2 * 2 * 32)
    found = Ais(n_temperatures=150, n_chains=32)(model.target, x, (0, 1))
    assert max(sizes) == 2 * 2 * 32
    assert (found.value - model.exact(x)).abs().max() < 0.5


@pytest.mark.integration
def test_two_modes():
    model = Square(0.05)
    x = draw(model, 30, 1)
    found = Ais(n_temperatures=1000)(model.target, x, (0,))
    error = found.value - model.exact(x)
    assert error.mean().abs() < 0.1
    assert error.square().mean().sqrt() < 0.2


def test_bounds_from_below_and_above():
    """With few temperatures the bounds are loose, and on the right sides of the truth."""
    model = LinearGaussian.random(5, 64, 0.25)
    z, x = simulate(model.target, 30, (0, 1))
    ais = Ais(n_temperatures=60, n_chains=4)
    exact = model.exact(x)
    below = exact - ais(model.target, x, (0, 1)).value
    above = ais.reverse(model.target, x, z, (0, 1)) - exact
    for distance in (below, above):
        stderr = distance.std() / distance.numel() ** 0.5
        assert float(distance.mean()) > 3 * float(stderr)


@pytest.mark.integration
def test_more_temperatures_close_the_gap():
    model, told = LinearGaussian.random(3, 64, 0.25), []
    loose, tight = (
        bidirectional(
            model.target, Ais(n_temperatures=n, n_chains=16), 10, (0, 1), told.append
        ).gap.mean()
        for n in (40, 600)
    )
    assert abs(float(tight)) < 0.15
    assert float(loose) > float(tight) + 0.3
    assert sum(told) == 2 * 2 * 10  # of two runs, every image at either bound


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
def test_decoders_against_brute_force(decoder):
    target, x = small(decoder, 1, std=0.5)
    found = Ais(**QUICK)(target, x, (0, 1))
    error = (found.value - summed(target, x)).abs()
    assert (error < 5 * found.stderr + 0.02).all()


@pytest.mark.integration
@pytest.mark.parametrize("n_temperatures", [2, 6])
def test_inverse_weights_of_the_way_back_average_to_one_over_p(n_temperatures, monkeypatch):
    """Exactly, however few temperatures: E[1 / w] = 1 / p(x), from exact samples of p(z|x)."""
    model = LinearGaussian.random(1, 8, 3.0, seeds=(0,))
    rows = 1_000
    # Nearly one image, as often as that: images that are the same have the same random numbers.
    x = draw(model, 1, 8) + torch.linspace(0, 0.01, rows).view(1, rows, 1)
    mean, covariance = model.posterior(x)
    monkeypatch.setattr(ais, "BATCH", rows)  # one pilot
    noise = torch.randn(1, rows, 1, generator=generator("cpu", 0, "way back"))
    z = (mean + covariance.sqrt() * noise).float()
    upper = Ais(n_temperatures, n_chains=2).reverse(model.target, x, z, (0,))
    inverse = (model.exact(x) - upper).exp()  # p(x) / w
    assert abs(float(inverse.mean()) - 1) < 4 * float(inverse.std()) / rows**0.5
    assert float(inverse.std()) / rows**0.5 < 0.02


@pytest.mark.parametrize("accepts", [True, False])
def test_acceptance_is_the_share_of_transitions(monkeypatch, accepts):
    def step(*arguments):
        chains, accepted = hmc_step(*arguments)
        return chains, torch.full_like(accepted, accepts)

    monkeypatch.setattr(ais, "hmc_step", step)
    target, x = small(BernoulliDecoder, 2)
    found = Ais(n_temperatures=7, n_chains=4)(target, x, (0, 1))
    assert torch.equal(found.diagnostics["acceptance_rate"], torch.full_like(x[..., 0], accepts))


def test_simulated_data_are_the_models():
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1))
    z, x = simulate(model.target, 500, (0, 1))
    assert z.shape == (2, 500, 2)
    noise = (x - model.mean(z)) / 0.3
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    assert float(z.std()) == pytest.approx(1, abs=0.06)
    target, _ = small(BernoulliDecoder, 2)
    binary = simulate(target, 50, (0, 1))[1]
    assert set(binary.unique().tolist()) == {0.0, 1.0}


@pytest.mark.integration
def test_estimates_repeat_and_seeds_do_not_see_each_other():
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1, 2))
    x = draw(model, 4, 64)
    estimate = Ais(**QUICK)
    whole = estimate(model.target, x, (0, 1, 2))
    assert torch.equal(whole.value, estimate(model.target, x, (0, 1, 2)).value)
    one = LinearGaussian(model.weight[1:2], model.bias[1:2], model.std)
    alone = estimate(one.target, x[1:2], (1,))
    assert torch.allclose(whole.value[1:2], alone.value, atol=0.05)
    assert not torch.equal(alone.value, estimate(one.target, x[1:2], (7,)).value)


@pytest.mark.parametrize("setting", ["n_temperatures", "n_chains", "n_leapfrog"])
def test_refusals(setting):
    with pytest.raises(UserError, match=f"estimator.{setting} must be at least"):
        Ais(**{setting: 0})
