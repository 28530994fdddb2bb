"""A low-discrepancy grid over the prior, decoded once for all datapoints.

It shows where posteriors may be. In a few dimensions they are narrow and have several modes, of
which a search from a single point finds one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from reproduce.likelihood.target import Likelihood
from reproduce.models.gaussian import standard_normal_log_prob

ROWS = 1024  # grid points decoded at once


@dataclass(frozen=True)
class PriorGrid:
    """Scrambled Sobol points, mapped through the prior's inverse CDF and sorted into cells.

    Attributes
    ----------
    z
        The points, (sample, latent).
    ends
        End of each cell among the points. Cells are boxes of equal prior mass.
    """

    z: Float[Tensor, "sample latent"]
    ends: tuple[int, ...]

    @classmethod
    def sobol(
        cls, n_latent: int, log2_points: int, scramble: int, device: torch.device
    ) -> "PriorGrid":
        """Draw 2^log2_points points; `scramble` seeds Owen's scrambling."""
        points = qmc.Sobol(n_latent, scramble=True, rng=scramble).random_base2(log2_points)
        # At most 64 cells, cut along at most six dimensions: boxes of one size in the unit cube, so
        # of equal prior mass.
        uniform = torch.from_numpy(points)
        bins = {1: 64, 2: 8, 3: 4}.get(n_latent, 2)
        used = min(n_latent, 6)
        cell = torch.zeros(len(uniform), dtype=torch.int64)
        for dimension in range(used):
            cell = cell * bins + (uniform[:, dimension] * bins).long()
        # Sorted, a cell is a slice. The inverse CDF turns uniform points into samples of the prior.
        order = cell.argsort(stable=True)
        ends = cell.bincount(minlength=bins**used).cumsum(0)
        z = normal_quantile(uniform[order]).float().to(device)
        return cls(z, tuple(ends.tolist()))

    @torch.no_grad()
    def log_likelihood(
        self, likelihood: Likelihood, x: Float[Tensor, "member batch pixel"]
    ) -> Float[Tensor, "member sample batch"]:
        """log p(x|z) in nats at every point, decoded in parts to bound the memory."""
        parts = [
            likelihood.shared_log_likelihood(x, z.expand(len(x), -1, -1))
            for z in self.z.split(ROWS)
        ]
        return torch.cat(parts, 1)

    def best(
        self, log_likelihood: Float[Tensor, "member sample batch"], n_best: int
    ) -> tuple[Float[Tensor, "member best batch latent"], Float[Tensor, "member best batch"]]:
        """Find the points of highest log p(x, z), at most one per cell, and those values."""
        # The best points of all would often crowd around one mode; one per cell spreads them.
        log_prior = standard_normal_log_prob(self.z).unsqueeze(-1)
        values, places, start = [], [], 0
        for end in self.ends:
            if end > start:
                joint = log_likelihood[:, start:end] + log_prior[start:end]
                value, place = joint.max(1)
                values.append(value)
                places.append(place + start)
            start = end
        value, place = torch.stack(values, 1), torch.stack(places, 1)
        top, which = value.topk(min(n_best, value.shape[1]), 1)
        return self.z[place.gather(1, which)], top


def normal_quantile(uniform: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The standard normal's inverse CDF, finite also at the ends of (0, 1)."""
    tiny = 2.0**-40
    return torch.special.ndtri(uniform.double().clamp(tiny, 1 - tiny))
