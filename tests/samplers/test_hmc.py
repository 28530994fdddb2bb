"""What makes HMC right: the integrator's geometry, and the distributions it leaves alone."""

import itertools
import math

import pytest
import torch

from likelihood_models import draw
from reproduce.likelihood.exact import LinearGaussian
from reproduce.models.random_streams import generator
from reproduce.samplers.hmc import Chains, adapted, hmc_step, leapfrog


def banana(z):
    """A density that is neither Gaussian nor separable."""
    return -0.5 * (z[..., 0] ** 2 + 4 * (z[..., 1] - 0.5 * z[..., 0] ** 2) ** 2)


def start(n_chains=5, n_latent=2, seed=0):
    source = generator("cpu", seed, "hmc test")
    shape = (n_chains, n_latent)
    position = torch.randn(shape, generator=source, dtype=torch.float64)
    return position, torch.randn(shape, generator=source, dtype=torch.float64)


def test_the_integrator_is_reversible():
    position, momentum = start()
    step = torch.full((5,), 0.1, dtype=torch.float64)
    there, p_there = leapfrog(banana, Chains.at(banana, position), momentum, step, 20)
    back, p_back = leapfrog(banana, there, -p_there, step, 20)
    assert (there.position - position).norm(dim=-1).min() > 0.1
    assert torch.allclose(back.position, position, atol=1e-10)
    assert torch.allclose(-p_back, momentum, atol=1e-10)


def test_the_integrator_preserves_volume():
    position, momentum = start(1)
    step = torch.full((1,), 0.3, dtype=torch.float64)

    def phase(state):
        here = Chains.at(banana, state[None, :2])
        there, p = leapfrog(banana, here, state[None, 2:], step, 7)
        return torch.cat([there.position[0], p[0]])

    state, columns, h = torch.cat([position[0], momentum[0]]), [], 1e-5
    for axis in range(4):
        offset = torch.zeros(4, dtype=torch.float64)
        offset[axis] = h
        columns.append((phase(state + offset) - phase(state - offset)) / (2 * h))
    jacobian = torch.stack(columns, 1)
    assert abs(torch.linalg.det(jacobian).item() - 1) < 1e-6
    assert (jacobian - torch.eye(4, dtype=torch.float64)).abs().max() > 0.5


def test_its_energy_error_falls_as_the_square_of_the_step():
    position, momentum = start(200)
    here = Chains.at(banana, position)
    energy = 0.5 * momentum.square().sum(-1) - here.log_density
    errors = []
    for halvings in range(4):
        step = torch.full((200,), 0.1 / 2**halvings, dtype=torch.float64)
        there, p = leapfrog(banana, here, momentum, step, 10 * 2**halvings)
        after = 0.5 * p.square().sum(-1) - there.log_density
        errors.append((after - energy).abs().mean().item())
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("n_steps", [1, 4, 10])
def test_it_makes_as_many_position_updates_as_asked(n_steps):
    calls = []

    def density(z):
        calls.append(z.detach())
        return banana(z)

    position, momentum = start()
    here = Chains.at(density, position)
    leapfrog(density, here, momentum, torch.full((5,), 0.1, dtype=torch.float64), n_steps)
    assert len(calls) == 1 + n_steps


def run(density, position, step_size, n_leapfrog, n_steps, seed=1):
    """All positions of many chains, (step, chain, latent)."""
    source = generator("cpu", seed, "hmc run")
    chains, found, rate = Chains.at(density, position), [], 0.0
    step = torch.full(position.shape[:-1], step_size, dtype=position.dtype)
    for _ in range(n_steps):
        momentum = torch.randn(position.shape, generator=source, dtype=position.dtype)
        uniform = torch.rand(position.shape[:-1], generator=source, dtype=position.dtype)
        chains, accepted = hmc_step(density, chains, step, n_leapfrog, momentum, uniform)
        found.append(chains.position)
        rate += accepted.double().mean().item() / n_steps
    return torch.stack(found), rate


def test_a_correlated_gaussian_is_left_as_it_is():
    """From exact samples, with steps so large that a third of the proposals is rejected."""
    covariance = torch.tensor([[1.0, 0.8], [0.8, 2.0]], dtype=torch.float64)
    precision = torch.linalg.inv(covariance)
    n = 20_000
    position, _ = start(n)
    position = position @ torch.linalg.cholesky(covariance).mT

    def density(z):
        return -0.5 * (z @ precision * z).sum(-1)

    found, rate = run(density, position, 1.2, 3, 15)
    assert 0.4 < rate < 0.8
    last = found[-1]
    assert (last.mean(0).abs() < 4 * (covariance.diagonal() / n).sqrt()).all()
    spread = (covariance.square() + covariance.diagonal().outer(covariance.diagonal())) / n
    assert ((last.mT @ last / n - covariance).abs() < 4 * spread.sqrt()).all()


def test_without_the_metropolis_test_it_would_not_be():
    """The previous test can fail: the same integrator, every proposal accepted."""
    n = 20_000
    position, _ = start(n)

    def density(z):
        return -0.5 * z.square().sum(-1)

    source = generator("cpu", 2, "no metropolis")
    chains, step = Chains.at(density, position), torch.full((n,), 1.2, dtype=torch.float64)
    for _ in range(15):
        momentum = torch.randn(position.shape, generator=source, dtype=torch.float64)
        chains, _ = leapfrog(density, chains, momentum, step, 3)
    variance = chains.position.var(0)
    assert ((variance - 1).abs() > 4 * (2 / n) ** 0.5).all()


def test_posterior_moments_of_the_linear_gaussian_model():
    model = LinearGaussian.random(3, 64, 0.3, seeds=(0,))
    x = draw(model, 1, 64).expand(1, 4000, 64)
    mean, covariance = model.posterior(x[:, :1])
    expected, spread = mean[0, 0], covariance[0]

    def density(z):
        return model.target.log_joint(x, z.float().view(1, 1, 4000, 3)).view(4000).double()

    source = generator("cpu", 3, "posterior")
    position = expected + 0.3 * torch.randn(4000, 3, generator=source, dtype=torch.float64)
    found, rate = run(density, position, 0.03, 5, 60)
    assert rate > 0.8
    last = found[-1]
    assert ((last.mean(0) - expected).abs() < 4 * (spread.diagonal() / 4000).sqrt()).all()
    offset = last - expected
    error = (spread.square() + spread.diagonal().outer(spread.diagonal())) / 4000
    assert ((offset.mT @ offset / 4000 - spread).abs() < 4 * error.sqrt()).all()


def test_acceptance_is_metropolis():
    """A flat step into a region of log density −log 2 is accepted for uniforms below one half."""

    def density(z):
        return torch.where(z[..., 0] > 0.5, -math.log(2), 0.0) + 0 * z.sum(-1)

    here = Chains.at(density, torch.zeros(2, 1))
    momentum, step = torch.ones(2, 1), torch.ones(2)
    after, accepted = hmc_step(density, here, step, 1, momentum, torch.tensor([0.49, 0.51]))
    assert accepted.tolist() == [True, False]
    assert after.position.flatten().tolist() == [1.0, 0.0]
    assert after.log_density.tolist() == pytest.approx([-math.log(2), 0.0])


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_proposal_without_a_finite_energy_is_rejected(value):
    def density(z):
        inside = -0.5 * z.square().sum(-1)
        return torch.where(z[..., 0].abs() > 1, torch.full_like(inside, value), inside)

    here = Chains.at(density, torch.zeros(3, 1))
    momentum = torch.full((3, 1), 5.0)
    after, accepted = hmc_step(density, here, torch.ones(3), 1, momentum, torch.full((3,), 1e-9))
    assert not accepted.any()
    assert torch.equal(after.position, here.position)
    assert after.log_density.isfinite().all()


def test_step_sizes_move_towards_the_target():
    step, rate = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.95, 0.9, 0.85])
    assert adapted(step, rate).tolist() == pytest.approx([1.25, 1.25, 0.8])
    assert adapted(step, rate, target=0.97).tolist() == pytest.approx([0.8, 0.8, 0.8])
