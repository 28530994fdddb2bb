"""A low-discrepancy grid over the prior and beyond it, decoded once for all datapoints.

It shows where posteriors may be. In a few dimensions they are narrow and have several modes, of
which a search from a single point finds one. Modes of trained models lie in the prior's tail as
well, where a grid over the prior has no points: so half of the points are spread twice as wide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import qmc
from torch import Tensor

from reproduce.likelihood.target import Likelihood
from reproduce.models.gaussian import standard_normal_log_prob

ROWS = 1024  # grid points decoded at once
WIDE = 2.0  # standard deviation of the wide half
MOST_CUT = 3  # latent dimensions up to which cells are unit boxes


@dataclass(frozen=True)
class PriorGrid:
    """Scrambled Sobol points, half from N(0, I) and half from N(0, WIDE² I).

    Attributes
    ----------
    z
        The points, (sample, latent), one scramble after the other.
    order, ends
        The points sorted into cells, and the end of each cell among the sorted. Cells are unit
        boxes, or the orthants of six coordinates where boxes would hold a point each.
    neighbours
        The cells that touch a cell, (cell, neighbour), and itself as often as there are fewer.
    """

    z: Float[Tensor, "sample latent"]
    order: Int[Tensor, " sample"]
    ends: tuple[int, ...]
    neighbours: Int[Tensor, "cell neighbour"]

    @classmethod
    def sobol(
        cls, n_latent: int, log2_points: int, scrambles: Sequence[int], device: torch.device
    ) -> "PriorGrid":
        """Draw 2^log2_points points for each of `scrambles`, which seed Owen's scrambling."""
        parts = []
        for scramble in scrambles:
            sobol = qmc.Sobol(n_latent, scramble=True, rng=scramble)
            z = normal_quantile(torch.from_numpy(sobol.random_base2(log2_points)))
            # Either half of a Sobol sequence of 2^m points is as even as the whole.
            z[len(z) // 2 :] *= WIDE
            parts.append(z)
        z = torch.cat(parts)
        boxes = n_latent <= MOST_CUT
        corner = z.floor() if boxes else (z[:, :6] > 0).double()
        corner, cell = corner.unique(dim=0, return_inverse=True)
        ends = cell.bincount().cumsum(0)
        order = cell.argsort(stable=True)
        neighbours = _touching(corner) if boxes else torch.arange(len(corner)).unsqueeze(1)
        return cls(
            z.float().to(device), order.to(device), tuple(ends.tolist()), neighbours.to(device)
        )

    @property
    def log_ratio(self) -> Float[Tensor, " sample"]:
        """Log of the density that the points have, relative to the prior's."""
        return log_grid_ratio(self.z)

    @torch.no_grad()
    def log_likelihood(
        self, likelihood: Likelihood, x: Float[Tensor, "seed batch pixel"]
    ) -> Float[Tensor, "seed sample batch"]:
        """log p(x|z) in nats at every point, decoded in parts to bound the memory."""
        parts = [
            likelihood.shared_log_likelihood(x, z.expand(len(x), -1, -1))
            for z in self.z.split(ROWS)
        ]
        return torch.cat(parts, 1)

    def best(
        self, log_likelihood: Float[Tensor, "seed sample batch"], n_best: int
    ) -> tuple[Float[Tensor, "seed best batch latent"], Float[Tensor, "seed best batch"]]:
        """Find points of high log p(x, z), at most one per cell, and those values.

        Half are the best of cells that are better than all that touch them, the other half the
        best of the others.
        """
        # The best points of all would crowd around one mode, and the best of all cells around a
        # broad one: a narrow mode far from it has a cell that stands out among its neighbours.
        joint = log_likelihood + standard_normal_log_prob(self.z).unsqueeze(-1)
        values, places, start = [], [], 0
        joint = joint[:, self.order]
        for end in self.ends:
            value, place = joint[:, start:end].max(1)
            values.append(value)
            places.append(place + start)
            start = end
        value, place = torch.stack(values, 1), torch.stack(places, 1)
        n_best = min(n_best, value.shape[1])
        around = value[:, self.neighbours].amax(2)
        _, peaks = value.masked_fill(value < around, -math.inf).topk(n_best // 2, 1)
        rest = value.scatter(1, peaks, -math.inf)
        which = torch.cat([peaks, rest.topk(n_best - n_best // 2, 1).indices], 1)
        return self.z[self.order[place.gather(1, which)]], value.gather(1, which)


def _touching(corner: Float[Tensor, "cell latent"]) -> Int[Tensor, "cell neighbour"]:
    """The unit boxes that touch each of those at `corner`, itself among them."""
    touch = torch.cdist(corner, corner, p=math.inf) <= 1
    found, which = touch.float().topk(min(3 ** corner.shape[1], len(corner)), 1)
    return torch.where(found > 0, which, torch.arange(len(corner)).unsqueeze(1))


def log_grid_ratio(z: Float[Tensor, "*point latent"]) -> Float[Tensor, " *point"]:
    """Log of (N(z; 0, I) + N(z; 0, WIDE² I)) / 2, relative to N(z; 0, I)."""
    squared, n_latent = z.square().sum(-1), z.shape[-1]
    wide = 0.5 * squared * (1 - WIDE**-2) - n_latent * math.log(WIDE)
    return torch.nn.functional.softplus(wide) - math.log(2)


def normal_quantile(uniform: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The standard normal's inverse CDF, finite also at the ends of (0, 1)."""
    tiny = 2.0**-40
    return torch.special.ndtri(uniform.double().clamp(tiny, 1 - tiny))
