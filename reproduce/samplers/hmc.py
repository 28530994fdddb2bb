"""Hybrid (Hamiltonian) Monte Carlo with many independent chains at once.

Duane et al. 1987, doi:10.1016/0370-2693(87)91197-X; Neal 2011, arXiv:1206.1901. Kingma & Welling
(2013) use it to sample z from p(z|x): in Monte Carlo EM (Appendix E) and in the estimator of the
marginal likelihood (Appendix D).

All leading axes, whatever they are, count chains: positions have the shape (*chain, latent), log
densities and step sizes (*chain).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
"""From positions (*chain, latent) to log densities (*chain), up to a constant, in nats."""

TARGET_ACCEPTANCE = 0.9
ADAPTATION_FACTOR = 1.25
JITTER = 0.5
"""Largest share by which a transition's step is shortened, at random. Trajectories of one fixed
length can return to their start, or to the opposite point, for ever (Neal 2011, on tuning)."""


@dataclass(frozen=True)
class Chains:
    """Positions of many chains, with the log density and its gradient there.

    Attributes
    ----------
    position
        Shape (*chain, latent).
    log_density
        At `position`, shape (*chain).
    gradient
        Of the log density at `position`, shape (*chain, latent).
    """

    position: Float[Tensor, "*chain latent"]
    log_density: Float[Tensor, "*chain"]
    gradient: Float[Tensor, "*chain latent"]

    @classmethod
    def at(cls, log_density: LogDensity, position: Float[Tensor, "*chain latent"]) -> "Chains":
        """Evaluate the density and its gradient at `position`."""
        with torch.enable_grad():
            position = position.detach().requires_grad_()
            value = log_density(position)
            # Chains do not interact, so the gradient of the sum holds each chain's own.
            (gradient,) = torch.autograd.grad(value.sum(), position)
        return cls(position.detach(), value.detach(), gradient)


def leapfrog(
    log_density: LogDensity,
    start: Chains,
    momentum: Float[Tensor, "*chain latent"],
    step_size: Float[Tensor, "*chain"],
    n_steps: int,
) -> tuple[Chains, Float[Tensor, "*chain latent"]]:
    """Integrate Hamilton's equations for unit mass, with `n_steps` position updates.

    Half a step of the momentum, then steps of position and momentum in turn, the last of the
    momentum a half (Neal 2011, on the leapfrog method). The map is reversible and preserves
    volume, and its error in the energy falls as the square of the step.

    Returns
    -------
    tuple
        The chains and the momenta at the end.
    """
    # Potential energy U = -log density and kinetic energy p² / 2: dz/dt = p, dp/dt = grad log
    # density. Two half steps of the momentum that follow each other are made as a whole one.
    epsilon = step_size.unsqueeze(-1)
    chains = start
    momentum = momentum + 0.5 * epsilon * chains.gradient
    for step in range(n_steps):
        chains = Chains.at(log_density, chains.position + epsilon * momentum)
        last = step == n_steps - 1
        momentum = momentum + (0.5 if last else 1.0) * epsilon * chains.gradient
    return chains, momentum


def hmc_step(
    log_density: LogDensity,
    chains: Chains,
    step_size: Float[Tensor, "*chain"],
    n_leapfrog: int,
    momentum: Float[Tensor, "*chain latent"],
    uniform: Float[Tensor, "*chain"],
) -> tuple[Chains, Bool[Tensor, "*chain"]]:
    """Make one proposal per chain, and accept or reject it (Metropolis).

    Parameters
    ----------
    log_density
        The density to sample from.
    chains
        The chains before the step.
    step_size, n_leapfrog
        Step size and number of steps of the integrator.
    momentum, uniform
        The random numbers of the step, from N(0, I) and from [0, 1).

    Returns
    -------
    tuple
        The chains after the step, and which proposals were accepted. A proposal whose energy is
        not finite is rejected.
    """
    proposal, momentum_there = leapfrog(log_density, chains, momentum, step_size, n_leapfrog)
    # Accept with probability min(1, exp(H(here) - H(there))): the integrator preserves volume, so
    # no Jacobian appears. An exact integrator would conserve H and always be accepted.
    energy_here = 0.5 * momentum.square().sum(-1) - chains.log_density
    energy_there = 0.5 * momentum_there.square().sum(-1) - proposal.log_density
    accepted = uniform.log() < energy_here - energy_there  # False where either is NaN
    # Rejected chains stay, and count again: dropping them would bias the sample.
    wide = accepted.unsqueeze(-1)
    after = Chains(
        torch.where(wide, proposal.position, chains.position),
        torch.where(accepted, proposal.log_density, chains.log_density),
        torch.where(wide, proposal.gradient, chains.gradient),
    )
    return after, accepted


def adapted(
    step_size: Float[Tensor, "*chain"],
    acceptance_rate: Float[Tensor, "*chain"],
    target: float = TARGET_ACCEPTANCE,
) -> Float[Tensor, "*chain"]:
    """Tune step sizes towards a target acceptance: up by a quarter at or above it, else down.

    The rule of the author's 2013 code. Chains whose step size still changes have no stationary
    distribution: freeze it before measuring anything.
    """
    factor = torch.where(acceptance_rate >= target, ADAPTATION_FACTOR, 1 / ADAPTATION_FACTOR)
    return step_size * factor
