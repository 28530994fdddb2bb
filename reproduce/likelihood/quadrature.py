"""Near-exact log p(x) for up to three latent dimensions, by quasi-Monte Carlo quadrature.

Two sets of points are combined by the balance heuristic (Veach & Guibas 1995,
doi:10.1145/218380.218498). A Sobol grid over the prior and beyond, shared by all datapoints, covers
broad posteriors and every place where a mode may be. Sobol points in a mixture of Gaussians around
the modes, found by climbing from the best grid points and the encoder's mean, resolve posteriors
narrower than the grid. The points come in eight independent scrambles, each an estimate of its own.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.likelihood.modes import ModeMixture, mode_mixture, starts
from reproduce.likelihood.prior_grid import ROWS, PriorGrid, log_grid_ratio, normal_quantile
from reproduce.likelihood.target import (
    Estimate,
    Estimator,
    Progress,
    Target,
    require_at_least,
)
from reproduce.models.gaussian import standard_normal_log_prob

MOST_LATENT = 3
N_SCRAMBLES = 8
LEAST_LOG2_GRID, MOST_LOG2_GRID = 4, 20  # at least two points of either half in each scramble
N_ITERATIONS = 8  # Newton steps of the climb
INFLATION = 1.1  # factor on the standard deviations of the Gaussians around modes
MOST_STDERR = 0.05  # largest standard error that is trusted, in nats
FLOATS = 2**21  # of log-likelihoods on the grid held at once


class Quadrature(Estimator):
    """Quadrature over z with global coverage and local refinement.

    Parameters
    ----------
    log2_grid
        Base-2 logarithm of the number of grid points, of all scrambles together.
    n_local
        Points in the mixture around a datapoint's modes, of all scrambles together; a power of two.
    n_starts
        Grid points from which to climb.
    n_modes
        Most modes to refine per datapoint.
    scramble
        Names the scrambles. A larger grid of the same scrambles holds all points of a smaller one,
        so a check of one quadrature by another needs another name.
    """

    name = "quadrature"
    version = 2  # since half of the grid lies beyond the prior

    def __init__(
        self,
        log2_grid: int = 15,
        n_local: int = 1024,
        n_starts: int = 24,
        n_modes: int = 8,
        scramble: int = 0,
    ) -> None:
        require_at_least(LEAST_LOG2_GRID, log2_grid=log2_grid)
        require_at_least(N_SCRAMBLES, n_local=n_local)
        require_at_least(1, n_starts=n_starts, n_modes=n_modes)
        if log2_grid > MOST_LOG2_GRID:
            raise UserError(
                f"estimator.log2_grid must be at most {MOST_LOG2_GRID}, not {log2_grid}."
            )
        if n_local & (n_local - 1):
            raise UserError(f"estimator.n_local must be a power of two, not {n_local}.")
        self.log2_grid, self.n_local = log2_grid, n_local
        self.n_starts, self.n_modes = n_starts, n_modes
        self.scrambles = [1000 * scramble + 100 * number for number in range(N_SCRAMBLES)]

    def check(self, n_latent: int, has_encoder: bool) -> None:
        """Refuse more than three latent dimensions."""
        if n_latent > MOST_LATENT:
            raise UserError(
                f"Quadrature is for N_z up to {MOST_LATENT}, not {n_latent}; use "
                "estimator=importance or estimator=ais."
            )

    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Integrate p(x, z) over z; see `reproduce.likelihood.target.Estimator.__call__`.

        `seeds` are not used: the only random numbers are the scrambles, the same for all. A value
        is not trusted where they spread. Diagnostics: `n_modes`; `share_of_grid`, the part of p(x)
        that comes from grid points.
        """
        log2_points = self.log2_grid - N_SCRAMBLES.bit_length() + 1
        grid = PriorGrid.sobol(target.n_latent, log2_points, self.scrambles, target.device)
        batch = max(1, FLOATS // (target.n_seeds * len(grid.z)))
        parts = []
        for rows in x.split(batch, 1):
            parts.append(self._estimate(target, rows, grid))
            progress(rows.shape[1])
        return Estimate.joined(parts)

    def _estimate(self, target: Target, x: Tensor, grid: PriorGrid) -> Estimate:
        # The grid gives log p(x|z) everywhere, and its best points are where climbs start.
        on_grid = grid.log_likelihood(target.likelihood, x)
        start = starts(target, x, grid, on_grid, self.n_starts)
        mixture = mode_mixture(target, x, start, self.n_modes, N_ITERATIONS, INFLATION)
        # Of each scramble. Balance heuristic: with g the grid's density, every point z, wherever it
        # comes from, has the weight p(x|z) p(z) / (n_grid g(z) + n_local q(z)). On the grid both
        # parts are divided by p(z).
        log_grid = math.log(len(grid.z) // N_SCRAMBLES)
        log_local = math.log(self.n_local // N_SCRAMBLES)
        log_ratio = log_density_ratio(mixture, grid.z)
        log_ratio += log_local
        weight = on_grid - torch.logaddexp(log_ratio, (grid.log_ratio + log_grid).unsqueeze(-1))
        from_grid = _summed(weight)

        # Around the modes the same weight, with the densities as they are.
        z = self._local_points(mixture)
        log_grid_density = standard_normal_log_prob(z) + log_grid_ratio(z)
        log_proposals = torch.logaddexp(
            mixture.log_prob(z) + log_local, log_grid_density + log_grid
        )
        from_modes = _summed(target.log_joint(x, z) - log_proposals)

        # p(x) is the mean of independent estimates; its standard error is that of a mean, and that
        # of the logarithm follows by the delta method.
        each = torch.logaddexp(from_grid, from_modes)
        value = torch.logsumexp(each, 1) - math.log(N_SCRAMBLES)
        stderr = (each - value.unsqueeze(1)).exp().std(1) / N_SCRAMBLES**0.5
        return Estimate(
            value,
            stderr,
            stderr < MOST_STDERR,
            {
                "n_modes": mixture.n_modes,
                "share_of_grid": (from_grid - each).exp().mean(1).float(),
            },
        )

    def _local_points(self, mixture: ModeMixture) -> Float[Tensor, "seed sample batch latent"]:
        """The same Sobol points around every datapoint's modes, one scramble after the other."""
        # One Sobol dimension chooses the mode, the others place the point around it.
        n_seeds, _, n_batch, n_latent = mixture.mean.shape
        each = self.n_local // N_SCRAMBLES
        sobol = [qmc.Sobol(n_latent + 1, scramble=True, rng=s + 1) for s in self.scrambles]
        points = torch.cat([torch.from_numpy(one.random(each)) for one in sobol])
        points = points.to(mixture.mean.device)
        noise = normal_quantile(points[:, 1:]).float().view(1, -1, 1, n_latent)
        uniform = points[:, 0].float().view(1, -1, 1).expand(n_seeds, -1, n_batch)
        return mixture.sample(noise.expand(n_seeds, -1, n_batch, -1), uniform)


def _summed(
    log_weight: Float[Tensor, "seed sample batch"],
) -> Float[Tensor, "seed scramble batch"]:
    """Log of the sum of each scramble's weights."""
    return torch.logsumexp(log_weight.double().unflatten(1, (N_SCRAMBLES, -1)), 2)


def log_density_ratio(
    mixture: ModeMixture, z: Float[Tensor, "sample latent"]
) -> Float[Tensor, "seed sample batch"]:
    """log q(z) - log N(z; 0, I) at shared points, for every datapoint's own mixture.

    A Gaussian's log density is a quadratic function of z, so one matrix product with the monomials
    of z serves all datapoints and modes.
    """
    # With precision P = F Fᵀ and mean m, log N(z; m, P⁻¹) - log N(z; 0, I) is
    #   log det F - mᵀ P m / 2  +  (P m)ᵀ z  -  zᵀ (P - I) z / 2,
    # where the terms in 2 pi cancel.
    n_seeds, n_modes, n_batch, n_latent = mixture.mean.shape
    row, column = torch.triu_indices(n_latent, n_latent)
    precision = mixture.factor @ mixture.factor.mT
    pull = (precision @ mixture.mean.unsqueeze(-1)).squeeze(-1)
    log_scale = mixture.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = mixture.log_weight + log_scale - 0.5 * (mixture.mean * pull).sum(-1)
    # Coefficients of z_i z_j for i <= j: the quadratic form has those off the diagonal twice.
    twice = torch.where(row == column, 0.5, 1.0).to(z)
    identity = torch.eye(n_latent, device=z.device)
    quadratic = -(precision - identity)[..., row, column] * twice
    weights = torch.cat([constant.unsqueeze(-1), pull, quadratic], -1).flatten(1, 2)
    # Modes that a datapoint lacks have a weight of minus infinity, which a product would turn into
    # NaN: they take part as zero and are barred afterwards.
    finite = weights[..., :1].isfinite()
    weights = torch.where(finite, weights, 0.0)
    barred = torch.where(finite[..., 0], 0.0, -math.inf).view(n_seeds, 1, n_modes, n_batch)
    parts = []
    for some in z.split(ROWS):
        monomials = torch.cat(
            [torch.ones_like(some[:, :1]), some, some[:, row] * some[:, column]], -1
        )
        terms = (monomials @ weights.mT).view(n_seeds, -1, n_modes, n_batch)
        parts.append(torch.logsumexp(terms + barred, 2))
    return torch.cat(parts, 1)
