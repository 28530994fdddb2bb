"""Importance sampling: exact answers, honest errors, and alarms that ring."""

import numpy as np
import pytest
import torch
from scipy import stats

from likelihood_models import draw, small, summed
from reproduce.common.errors import UserError
from reproduce.likelihood import importance, modes
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.pareto import pareto_k
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import Target
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder
from reproduce.models.gaussian import DiagonalGaussian
from reproduce.models.random_streams import generator


class FixedEncoder(torch.nn.Module):
    """A proposal that is told where to be."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x):
        log_variance = torch.full_like(self.mean, 2 * np.log(self.std))
        return DiagonalGaussian(self.mean, log_variance)


@pytest.mark.parametrize(
    ("n_latent", "tolerance"), [(1, 0.05), (2, 0.05), (3, 0.05), (5, 0.05), (10, 0.1), (20, 0.2)]
)
def test_linear_gaussian(n_latent, tolerance):
    model = LinearGaussian.random(n_latent, 64, 0.25)
    x = draw(model, 10, 64)
    spread = model.posterior(x)[1].diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(spread.max()) < 0.05
    found = Importance()(model.target, x, (0, 1))
    error = found.value - model.exact(x)
    assert error.abs().max() < tolerance
    assert 0.4 < float(error.square().mean().sqrt() / found.stderr.mean()) < 1.6
    assert found.trusted.all()


def test_effective_sample_size_is_the_second_moment_of_the_weights():
    """With the prior as proposal in one dimension: p(x)² / E[p(x|z)²], both by summation."""
    target, x = small(BernoulliDecoder, 1, std=0.4)
    n_samples = 200_000
    found = Importance(n_samples, proposal="prior")(target, x, (0, 1))
    line = torch.linspace(-8, 8, 4001)
    z = line.view(1, -1, 1).expand(target.n_seeds, -1, -1)
    likelihood = target.likelihood.shared_log_likelihood(x, z).double().exp()
    mass = torch.from_numpy(stats.norm.pdf(line.numpy())).view(1, -1, 1) * (line[1] - line[0])
    exact = (likelihood * mass).sum(1).square() / (likelihood.square() * mass).sum(1)
    assert torch.allclose(found.diagnostics["ess"].double() / n_samples, exact, rtol=0.03)
    assert exact.min() < 0.6  # the weights differ


def test_the_proposal_is_wider_than_the_posterior():
    """By a tenth and by two, where the posterior is Gaussian; the prior has the last word."""
    model = LinearGaussian.random(2, 64, 0.25, seeds=(0,))
    x = draw(model, 3, 64)
    grid = PriorGrid.sobol(2, 10, [1], model.target.device)
    source = generator("cpu", 0, "wider")
    noise = torch.randn(1, 20_000, 3, 2, generator=source)
    uniform = torch.rand(1, 20_000, 3, generator=source)
    narrow, wide, prior = importance._around(modes.search(model.target, x, grid))
    mean, covariance = model.posterior(x)
    std = covariance.diagonal(dim1=-2, dim2=-1).sqrt().float().unsqueeze(1)
    for part, factor in ((narrow, 1.1), (wide, 2.0)):
        drawn = part.sample(noise, uniform)
        assert torch.allclose(drawn.mean(1), mean.float(), atol=0.01)
        assert torch.allclose(drawn.std(1), (factor * std).expand(1, 3, 2), rtol=0.03)
    assert torch.equal(prior.sample(noise, uniform), noise)
    assert narrow.share + wide.share + prior.share == pytest.approx(1)


def test_two_modes():
    model = Square(0.05)
    x = draw(model, 50, 1)
    found = Importance()(model.target, x, (0,))
    assert (found.value - model.exact(x)).abs().max() < 0.1
    assert found.trusted.all()


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
@pytest.mark.parametrize("proposal", ["modes", "encoder", "prior"])
def test_decoders_against_brute_force(decoder, proposal):
    target, x = small(decoder, 2, std=0.4)
    found = Importance(proposal=proposal)(target, x, (0, 1))
    error = (found.value - summed(target, x)).abs()
    assert (error < 5 * found.stderr + 1e-3)[found.trusted].all()
    if proposal == "modes":
        assert error.max() < 0.05


def test_a_proposal_on_one_of_two_modes_is_half_off_and_flagged():
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
    model = Square(0.05)
    target = Target(model, 1, 1, encoder=FixedEncoder(x.sqrt(), 0.05))
    found = Importance(proposal="encoder")(target, x, (0,))
    missing = model.exact(x) - found.value
    assert torch.allclose(missing, torch.full_like(missing, np.log(2)), atol=0.05)
    assert torch.allclose(found.diagnostics["mode_excess"].double(), missing, atol=0.15)
    assert not found.trusted.any()
    assert (found.diagnostics["pareto_k"] < 0.5).all()  # which alone would have trusted it


def test_a_proposal_beside_the_posterior_is_flagged():
    model = LinearGaussian.random(3, 64, 0.3, seeds=(0,))
    x = draw(model, 8, 64)
    mean = model.posterior(x)[0].float()
    target = Target(model, 1, 3, encoder=FixedEncoder(mean + 0.4, 0.05))
    found = Importance(proposal="encoder")(target, x, (0,))
    assert (model.exact(x) - found.value > 5).all()
    assert not found.trusted.any()


def test_bounds_grow_with_samples_towards_the_truth():
    """E[bound] <= E[IS(K)] <= E[IS(K')] <= log p(x), with a proposal that is not the posterior."""
    model = LinearGaussian.random(2, 64, 0.3, seeds=tuple(range(8)))
    x = draw(model, 50, 64)
    mean = model.posterior(x)[0].float()
    encoder = FixedEncoder(mean + 0.1, 0.06)
    target = Target(model, 8, 2, encoder=encoder)
    exact = model.exact(x)
    noise = torch.randn(8, 200, 50, 2, generator=generator("cpu", 0, "bound"))
    z = encoder(x).sample(noise)
    bound = (target.log_joint(x, z) - encoder(x).log_prob(z)).double().mean(1)
    small, large = (
        Importance(n_samples=k, proposal="encoder")(target, x, range(8)).value for k in (25, 400)
    )
    steps = [small - bound, large - small, exact - large]
    for step in steps:
        stderr = step.std() / step.numel() ** 0.5
        assert float(step.mean()) > 0
        assert float(step.mean()) > 2 * float(stderr)


def test_estimates_repeat_and_seeds_do_not_see_each_other():
    model = LinearGaussian.random(3, 64, 0.3, seeds=(0, 1, 2))
    x = draw(model, 60, 64)
    estimate = Importance(n_samples=200)
    whole = estimate(model.target, x, (0, 1, 2))
    assert torch.equal(whole.value, estimate(model.target, x, (0, 1, 2)).value)
    assert not torch.equal(whole.value, estimate(model.target, x, (3, 4, 5)).value)
    one = LinearGaussian(model.weight[1:2], model.bias[1:2], model.std)
    seen = []
    alone = estimate(one.target, x[1:2], (1,), seen.append)
    assert seen == [50, 10]
    # Samples come in other parts, so that the numbers are others, of the same accuracy.
    spread = 6 * (whole.stderr[1:2].square() + alone.stderr.square()).sqrt()
    assert ((whole.value[1:2] - alone.value).abs() < spread).all()


def test_pareto_k_of_known_tails():
    """Shapes of generalised Pareto samples, and scipy's fit of the same tails."""
    for k in (0.2, 0.7, 1.2):
        draws = stats.genpareto.rvs(k, size=(40, 20_000), random_state=1)
        found = pareto_k(torch.from_numpy(draws).log().T.unsqueeze(0))[0].numpy()
        n_tail = int(3 * 20_000**0.5)
        fits = []
        for row in draws[:10]:
            tail = np.sort(row)[-n_tail - 1 :]
            fits.append(stats.genpareto.fit(tail[1:] - tail[0], floc=0)[0])
        assert abs(found.mean() - k) < 0.05
        assert np.abs(found[:10] - fits).max() < 0.05


@pytest.mark.parametrize(
    ("n", "k", "expected"),
    [
        (30, 0.3, 0.38546591400268604),
        (100, 0.9, 0.7205967434897376),
        (400, 0.3, 0.33560832058231677),
        (5000, 0.9, 0.8734800689174953),
    ],
)
def test_pareto_k_is_arvizs(n, k, expected):
    """`psislw(-log_weight)` of arviz-stats 0.8.0, at quantiles of a generalised Pareto."""
    weight = stats.genpareto.isf((np.arange(n) + 0.5) / n, k)
    found = pareto_k(torch.from_numpy(np.log(weight)).view(1, -1, 1))
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_pareto_k_of_bounded_weights_is_small_and_of_few_unknown():
    weights = torch.rand(1, 5000, 3, generator=generator("cpu", 0, "weights"))
    assert (pareto_k(weights.log()) < 0.3).all()
    assert pareto_k(weights[:, :20].log()).isnan().all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_samples": 0}, "estimator.n_samples must be at least 25, not 0"),
        ({"proposal": "posterior"}, "choose one of: modes, encoder, prior"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(UserError, match=said):
        Importance(**settings)


def test_an_encoder_that_is_not_there_is_named():
    model = LinearGaussian.random(2)
    x = draw(model, 1, 64)
    with pytest.raises(UserError, match="has no encoder to propose from"):
        Importance(proposal="encoder")(model.target, x, (0, 1))
