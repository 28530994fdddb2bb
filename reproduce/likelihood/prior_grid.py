"""A low-discrepancy grid over the prior, decoded once for all datapoints.

It finds where posteriors may be: posteriors of a few dimensions are narrow and have several modes,
and whoever starts from one place sees one of them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from reproduce.likelihood.target import Likelihood
from reproduce.models.gaussian import standard_normal_log_prob

CELLS = 64
ROWS = 1024  # grid points decoded at once


@dataclass(frozen=True)
class PriorGrid:
    """Scrambled Sobol points pushed through the prior's inverse CDF, sorted into cells.

    Attributes
    ----------
    z
        (sample, latent).
    ends
        Where the cells end among the samples. Cells are boxes of about equal prior mass.
    """

    z: Float[Tensor, "sample latent"]
    ends: tuple[int, ...]

    @classmethod
    def sobol(
        cls, n_latent: int, log2_points: int, scramble: int, device: torch.device
    ) -> "PriorGrid":
        """Draw 2^log2_points points; `scramble` seeds Owen's scrambling."""
        points = qmc.Sobol(n_latent, scramble=True, rng=scramble).random_base2(log2_points)
        uniform = torch.from_numpy(points)
        bins = {1: 64, 2: 8, 3: 4}.get(n_latent, 2)
        used = min(n_latent, 6)  # 2^6 cells
        cell = torch.zeros(len(uniform), dtype=torch.int64)
        for dimension in range(used):
            cell = cell * bins + (uniform[:, dimension] * bins).long()
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
        """Return the points of highest log p(x, z), at most one from each cell, and that value."""
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
