"""Near-exact log p(x) for up to three latent dimensions, by quasi-Monte Carlo quadrature.

Two sets of points are combined by the balance heuristic (Veach & Guibas 1995,
doi:10.1145/218380.218498). A Sobol grid over the prior, shared by all datapoints, covers broad
posteriors and every place where a mode may be. Sobol points in a mixture of Gaussians around the
modes, found by climbing from the best grid points, resolve posteriors narrower than the grid. All
is done twice, with independent scrambles.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.likelihood.modes import ModeMixture, mode_mixture
from reproduce.likelihood.prior_grid import ROWS, PriorGrid, normal_quantile
from reproduce.likelihood.target import Estimate, Estimator, Progress, Target, require_at_least
from reproduce.models.gaussian import standard_normal_log_prob

MOST_LATENT = 3
SCRAMBLES = (101, 202)
MOST_LOG2_GRID = 20
N_ITERATIONS = 8  # Newton steps of the climb
INFLATION = 1.1  # factor on the standard deviations of the Gaussians around modes
TOLERANCE = 0.05  # largest difference of the two scrambles that is trusted, in nats
FLOATS = 2**20  # of log-likelihoods on the grid held at once: what the caches like


class Quadrature(Estimator):
    """Quadrature over z with global coverage and local refinement.

    Parameters
    ----------
    log2_grid
        Base-2 logarithm of the number of grid points.
    n_local
        Points in the mixture around a datapoint's modes; a power of two.
    n_starts
        Grid points from which to climb.
    n_modes
        Most modes to refine per datapoint.
    scrambles
        Seeds of the two scrambles. A larger grid of the same scramble holds all points of a smaller
        one, so a check of one quadrature by another needs other seeds.
    """

    name = "quadrature"

    def __init__(
        self,
        log2_grid: int = 14,
        n_local: int = 512,
        n_starts: int = 12,
        n_modes: int = 8,
        scrambles: tuple[int, int] = SCRAMBLES,
    ) -> None:
        require_at_least(
            1, log2_grid=log2_grid, n_local=n_local, n_starts=n_starts, n_modes=n_modes
        )
        if log2_grid > MOST_LOG2_GRID:
            raise UserError(
                f"estimator.log2_grid must be at most {MOST_LOG2_GRID}, not {log2_grid}."
            )
        if n_local & (n_local - 1):
            raise UserError(f"estimator.n_local must be a power of two, not {n_local}.")
        self.log2_grid, self.n_local = log2_grid, n_local
        self.n_starts, self.n_modes, self.scrambles = n_starts, n_modes, scrambles

    def check(self, n_latent: int, has_encoder: bool) -> None:
        """Refuse more than three latent dimensions."""
        if n_latent > MOST_LATENT:
            raise UserError(
                f"Quadrature is for N_z up to {MOST_LATENT}, not {n_latent}; use "
                "estimator=importance or estimator=ais."
            )

    @torch.no_grad()
    def __call__(
        self,
        target: Target,
        x: Float[Tensor, "member batch pixel"],
        seeds: Sequence[int],
        progress: Progress = lambda _: None,
    ) -> Estimate:
        """Integrate p(x, z) over z; see `reproduce.likelihood.target.Estimator`.

        `seeds` are not used: the only random numbers are the two scrambles, the same for all.
        Diagnostics: `difference` of the two scrambles, in nats; `n_modes`; `share_of_grid`, the
        part of p(x) that comes from grid points.
        """
        self.check(target.n_latent, target.encoder is not None)
        grids = [
            PriorGrid.sobol(target.n_latent, self.log2_grid, scramble, target.device)
            for scramble in self.scrambles
        ]
        batch = max(1, FLOATS // (target.n_members * 2**self.log2_grid))
        parts = []
        for rows in x.split(batch, 1):
            parts.append(self._estimate(target, rows, grids))
            progress(rows.shape[1])
        return Estimate.joined(parts)

    def _estimate(self, target: Target, x: Tensor, grids: Sequence[PriorGrid]) -> Estimate:
        found = [
            self._integrate(target, x, grid, scramble)
            for grid, scramble in zip(grids, self.scrambles, strict=True)
        ]
        # p(x) is the mean of two independent randomised quadratures. Half their difference is the
        # standard error of that mean (of two values: |a - b| / 2).
        values = torch.stack([value for value, _ in found])
        difference = (values[0] - values[1]).abs()
        means = {name: torch.stack([d[name] for _, d in found]).mean(0) for name in found[0][1]}
        return Estimate(
            torch.logsumexp(values, 0) - math.log(len(values)),
            0.5 * difference,
            difference < TOLERANCE,
            {"difference": difference.float(), **means},
        )

    def _integrate(
        self, target: Target, x: Tensor, grid: PriorGrid, scramble: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Integrate with one scramble: log p(x), (member, batch), and diagnostics."""
        # The grid gives log p(x|z) everywhere, and its best points are where climbs start.
        on_grid = grid.log_likelihood(target.likelihood, x)
        start, _ = grid.best(on_grid, self.n_starts)
        mixture = mode_mixture(target, x, start, self.n_modes, N_ITERATIONS, INFLATION)
        n_grid = len(grid.z)
        # Balance heuristic: every point z, wherever it comes from, has the weight
        # p(x|z) p(z) / (n_grid p(z) + n_local q(z)). On the grid both parts are divided by p(z).
        log_ratio = log_density_ratio(mixture, grid.z)
        log_ratio += math.log(self.n_local)
        weight = on_grid - torch.logaddexp(log_ratio, torch.tensor(math.log(n_grid)))
        from_grid = torch.logsumexp(weight.double(), 1)

        # Around the modes the same weight, with the densities as they are.
        z = self._local_points(mixture, scramble)
        log_prior = standard_normal_log_prob(z)
        log_proposals = torch.logaddexp(
            mixture.log_prob(z) + math.log(self.n_local), log_prior + math.log(n_grid)
        )
        local = target.log_joint(x, z) - log_proposals
        from_modes = torch.logsumexp(local.double(), 1)
        value = torch.logaddexp(from_grid, from_modes)
        return value, {
            "n_modes": mixture.n_modes,
            "share_of_grid": (from_grid - value).exp().float(),
        }

    def _local_points(self, mixture: ModeMixture, scramble: int) -> Tensor:
        """The same Sobol points around every datapoint's modes, (member, sample, batch, latent)."""
        # One Sobol dimension chooses the mode, the others place the point around it.
        n_members, _, n_batch, n_latent = mixture.mean.shape
        sobol = qmc.Sobol(n_latent + 1, scramble=True, rng=scramble + 1)
        points = torch.from_numpy(sobol.random(self.n_local)).to(mixture.mean.device)
        noise = normal_quantile(points[:, 1:]).float().view(1, -1, 1, n_latent)
        uniform = points[:, 0].float().view(1, -1, 1).expand(n_members, -1, n_batch)
        return mixture.sample(noise.expand(n_members, -1, n_batch, -1), uniform)


def log_density_ratio(
    mixture: ModeMixture, z: Float[Tensor, "sample latent"]
) -> Float[Tensor, "member sample batch"]:
    """log q(z) - log N(z; 0, I) at shared points, for every datapoint's own mixture.

    A Gaussian's log density is a quadratic function of z, so one matrix product with the monomials
    of z serves all datapoints and modes.
    """
    # With precision P = F Fᵀ and mean m, log N(z; m, P⁻¹) - log N(z; 0, I) is
    #   log det F - mᵀ P m / 2  +  (P m)ᵀ z  -  zᵀ (P - I) z / 2,
    # where the terms in 2 pi cancel.
    n_members, n_modes, n_batch, n_latent = mixture.mean.shape
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
    barred = torch.where(finite[..., 0], 0.0, -math.inf).view(n_members, 1, n_modes, n_batch)
    parts = []
    for some in z.split(ROWS):
        monomials = torch.cat(
            [torch.ones_like(some[:, :1]), some, some[:, row] * some[:, column]], -1
        )
        terms = (monomials @ weights.mT).view(n_members, -1, n_modes, n_batch)
        parts.append(torch.logsumexp(terms + barred, 2))
    return torch.cat(parts, 1)
