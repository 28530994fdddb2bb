"""Modes of p(z|x), and the mixture of Gaussians around them: one Laplace approximation per mode.

The mixture is a proposal for importance sampling and quadrature.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import Target
from reproduce.models.gaussian import LOG_2PI
from reproduce.samplers.hmc import Chains, LogDensity

N_STARTS, N_MODES, N_ITERATIONS = 12, 8, 12  # of a search
DIFFERENCE = 3e-3  # of z, for second derivatives; gradients have a relative error near 1e-6
LEAST_PRECISION, MOST_PRECISION = 0.5, 1e7
SAME_MODE = 1.0  # standard deviations
NEGLIGIBLE = 20.0  # nats below the heaviest mode
LEAST_WEIGHT = 0.02  # part of the mixture that is shared equally among the modes


@dataclass(frozen=True)
class ModeMixture:
    """A mixture of Gaussians for each datapoint.

    Attributes
    ----------
    mean
        (seed, mode, batch, latent).
    factor
        Lower triangular square root of each precision matrix, (seed, mode, batch, latent,
        latent).
    log_weight
        (seed, mode, batch); minus infinity where a datapoint has fewer modes.
    """

    mean: Float[Tensor, "seed mode batch latent"]
    factor: Float[Tensor, "seed mode batch latent latent"]
    log_weight: Float[Tensor, "seed mode batch"]

    @property
    def n_modes(self) -> Float[Tensor, "seed batch"]:
        """Number of modes of each datapoint."""
        return self.log_weight.isfinite().sum(1).float()

    @property
    def heaviest(self) -> Float[Tensor, "seed batch latent"]:
        """Mode of the largest weight of each datapoint."""
        index = self.log_weight.argmax(1, keepdim=True).unsqueeze(-1)
        return self.mean.gather(1, index.expand(-1, -1, -1, self.mean.shape[-1])).squeeze(1)

    def log_prob(
        self, z: Float[Tensor, "seed sample batch latent"]
    ) -> Float[Tensor, "seed sample batch"]:
        """Log density in nats."""
        total: Tensor | None = None
        for mode in range(self.mean.shape[1]):  # one at a time, to bound the memory
            # With precision F Fᵀ: log N = log det F - (|Fᵀ (z - mean)|² + D log 2 pi) / 2.
            factor = self.factor[:, mode].unsqueeze(1)
            offset = (z - self.mean[:, mode].unsqueeze(1)).unsqueeze(-2) @ factor
            log_scale = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            log_normal = -0.5 * (offset.square().sum((-2, -1)) + z.shape[-1] * LOG_2PI)
            term = self.log_weight[:, mode].unsqueeze(1) + log_scale + log_normal
            total = term if total is None else torch.logaddexp(total, term)
        assert total is not None
        return total

    def sample(
        self,
        noise: Float[Tensor, "seed sample batch latent"],
        uniform: Float[Tensor, "seed sample batch"],
    ) -> Float[Tensor, "seed sample batch latent"]:
        """Draw by choosing modes with `uniform` and scaling `noise` from N(0, I)."""
        # The mode whose interval of cumulative weights `uniform` falls into.
        cumulative = self.log_weight.exp().cumsum(1).unsqueeze(2)  # (seed, mode, 1, batch)
        chosen = (uniform.unsqueeze(1) > cumulative[:, :-1]).sum(1)  # (seed, sample, batch)
        index = chosen.unsqueeze(-1)
        mean = self.mean.gather(1, index.expand(noise.shape))
        size = noise.shape[-1]
        factor = self.factor.gather(1, index.unsqueeze(-1).expand(*noise.shape, size))
        # z = mean + F⁻ᵀ noise has covariance F⁻ᵀ F⁻¹, so precision F Fᵀ.
        offset = torch.linalg.solve_triangular(factor.mT, noise.unsqueeze(-1), upper=True)
        return mean + offset.squeeze(-1)


def search(
    target: Target,
    x: Float[Tensor, "seed batch pixel"],
    grid: PriorGrid,
    *,
    n_starts: int = N_STARTS,
) -> ModeMixture:
    """Search for modes of p(z|x) from the `starts` of a grid."""
    start = starts(target, x, grid, grid.log_likelihood(target.likelihood, x), n_starts)
    return mode_mixture(target, x, start, N_MODES, N_ITERATIONS, inflation=1.0)


def starts(
    target: Target,
    x: Float[Tensor, "seed batch pixel"],
    grid: PriorGrid,
    on_grid: Float[Tensor, "seed sample batch"],
    n_starts: int,
) -> Float[Tensor, "seed start batch latent"]:
    """The best points of a grid with log p(x|z) `on_grid`, and the mean of q(z|x) if there is one.

    They are a function of the model and the datapoint alone, whichever others are asked for.
    """
    start, _ = grid.best(on_grid, n_starts)
    if target.encoder is None:
        return start
    return torch.cat([target.encoder(x).mean.unsqueeze(1), start], 1)


def mode_mixture(
    target: Target,
    x: Float[Tensor, "seed batch pixel"],
    start: Float[Tensor, "seed start batch latent"],
    n_modes: int,
    n_iterations: int,
    inflation: float,
) -> ModeMixture:
    """Climb log p(x, z) from every start, and put a Gaussian on each mode that is found.

    Parameters
    ----------
    target, x, start
        The density to climb, its datapoints, and the starts.
    n_modes
        Most modes to keep per datapoint.
    n_iterations
        Newton steps.
    inflation
        Factor on the standard deviations of the Laplace approximation.
    """

    def log_density(z: Tensor) -> Tensor:
        return target.log_joint(x, z)

    # Laplace: near a mode p(x, z) is a Gaussian whose precision is the negative Hessian.
    chains = climb(log_density, start, n_iterations)
    precision = _safe(_negative_hessian(log_density, chains))
    factor = torch.linalg.cholesky(precision)
    # The Gaussian's integral is the mode's share of p(x), hence its weight:
    # log p(x, z*) + (D / 2) log 2 pi - log det(precision) / 2.
    log_scale = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    evidence = chains.log_density - log_scale + 0.5 * start.shape[-1] * LOG_2PI
    # Keep the heaviest, each once, and no more columns than some datapoint has modes.
    evidence = torch.where(_duplicate(chains, factor), -math.inf, evidence)
    evidence, kept = evidence.topk(min(n_modes, evidence.shape[1]), 1)
    # Climbs that have not arrived are far lower, and would only take samples.
    evidence = evidence.masked_fill(evidence < evidence[:, :1] - NEGLIGIBLE, -math.inf)
    most = int(evidence.isfinite().sum(1).amax())
    evidence, kept = evidence[:, :most], kept[:, :most]
    # Laplace weights can be far off, so every mode gets a least share.
    weight = torch.softmax(evidence, 1)
    found = evidence.isfinite()
    weight = (1 - LEAST_WEIGHT) * weight + LEAST_WEIGHT * found / found.sum(1, keepdim=True)
    latent = start.shape[-1]
    vector, matrix = kept.unsqueeze(-1), kept[..., None, None]
    return ModeMixture(
        chains.position.gather(1, vector.expand(*kept.shape, latent)),
        factor.gather(1, matrix.expand(*kept.shape, latent, latent)) / inflation,
        torch.where(found, weight.log(), -math.inf),
    )


def climb(
    log_density: LogDensity, start: Float[Tensor, "*chain latent"], n_iterations: int
) -> Chains:
    """Take Newton steps uphill, damped as by Levenberg and Marquardt; none leads downhill."""
    here = Chains.at(log_density, start)
    damping = torch.ones_like(here.log_density)
    for _ in range(n_iterations):
        # A Newton step in the Hessian's eigenbasis: gradient / curvature along each axis. With the
        # curvature's absolute value the step leads uphill where the density curves upwards, too.
        curvature, axes = torch.linalg.eigh(_negative_hessian(log_density, here))
        curvature = curvature.abs().clamp(LEAST_PRECISION, MOST_PRECISION)
        curvature = curvature + damping.unsqueeze(-1) * curvature.amax(-1, keepdim=True) * 0.01
        along = (axes.mT @ here.gradient.unsqueeze(-1)).squeeze(-1) / curvature
        # At most one long, the prior's standard deviation: farther away the quadratic model is off.
        along = along * (1.0 / along.norm(dim=-1, keepdim=True).clamp_min(1.0))
        step = (axes @ along.unsqueeze(-1)).squeeze(-1)
        # Keep what leads uphill; damp less after a success, more after a failure.
        there = Chains.at(log_density, here.position + step)
        better = there.log_density > here.log_density  # False where either is not a number
        wide = better.unsqueeze(-1)
        here = Chains(
            torch.where(wide, there.position, here.position),
            torch.where(better, there.log_density, here.log_density),
            torch.where(wide, there.gradient, here.gradient),
        )
        damping = torch.where(better, damping / 10, (damping * 30).clamp(1e-3, 1e6))
    return here


def _negative_hessian(log_density: LogDensity, at: Chains) -> Float[Tensor, "*chain latent latent"]:
    """Negative Hessian of the log density, by forward differences of its gradient."""
    # Not by autograd: the gradient of `kernels.bernoulli_log_likelihood` is not differentiable.
    rows = []
    for dimension in range(at.position.shape[-1]):
        shifted = at.position.clone()
        shifted[..., dimension] += DIFFERENCE
        rows.append((at.gradient - Chains.at(log_density, shifted).gradient) / DIFFERENCE)
    hessian = torch.stack(rows, -2)
    return torch.nan_to_num(0.5 * (hessian + hessian.mT))


def _safe(matrix: Float[Tensor, "*chain latent latent"]) -> Float[Tensor, "*chain latent latent"]:
    """Clamp a precision matrix's eigenvalues, so that it is positive definite and not extreme."""
    values, axes = torch.linalg.eigh(matrix)
    values = values.clamp(LEAST_PRECISION, MOST_PRECISION)
    return (axes * values.unsqueeze(-2)) @ axes.mT


def _duplicate(chains: Chains, factor: Tensor) -> Tensor:
    """Which starts ended where a higher or an earlier equal one did, (seed, start, batch)."""
    # Distances are in standard deviations of the other's Gaussian.
    position, value = chains.position, chains.log_density
    n_starts = position.shape[1]
    number = torch.arange(n_starts, device=position.device).view(1, -1, 1)
    duplicate = torch.zeros_like(value, dtype=torch.bool)
    for other in range(n_starts):
        offset = (position - position[:, other : other + 1]).unsqueeze(-2)
        distance = (offset @ factor[:, other : other + 1]).norm(dim=(-2, -1))
        theirs = value[:, other : other + 1]
        higher = (theirs > value) | ((theirs == value) & (number > other))
        duplicate |= (distance < SAME_MODE) & higher
    return duplicate
