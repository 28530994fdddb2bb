"""Importance sampling: log p(x) from the mean of p(x, z) / q(z) over samples of a proposal q.

The estimate is a lower bound in expectation, and rises to log p(x) as samples are added (Burda,
Grosse & Salakhutdinov 2015, arXiv:1509.00519, theorem 1). How far below it lies depends on the
proposal: an encoder trained on few images is not a safe one for other images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.likelihood.modes import N_STARTS, ModeMixture, search
from reproduce.likelihood.pareto import FEWEST, pareto_k
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import (
    Estimate,
    Estimator,
    Progress,
    Target,
    require_at_least,
)
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.models.random_streams import ImageStreams

PROPOSALS = ("modes", "encoder", "prior")
BATCH = 50  # datapoints at once
PAIRS = 2**13  # pairs of a sample and a datapoint decoded at once
DRAWN = 1024  # samples drawn at once; another number draws others
LOG2_GRID, SCRAMBLE, CHECK_SCRAMBLE = 14, 303, 404
SCALES = {1.1: 0.6, 2.0: 0.3}  # from inflation to share of the samples; the prior gets the rest
N_CHECK = 256  # samples of the check
MOST_EXCESS = 0.2  # nats by which the check may lie above the estimate
MOST_PARETO_K = 0.7
LEAST_ESS = 20


class Importance(Estimator):
    """Importance sampling from a mixture around the posterior's modes, or from a simpler proposal.

    Parameters
    ----------
    n_samples
        K, per datapoint.
    proposal
        `modes`: Gaussians of two widths around the modes found by climbing from the best points of
        a grid over the prior (and from the encoder's mean), and the prior for what they miss;
        `encoder`: q(z|x); `prior`: p(z).
    """

    name = "importance"
    version = 2  # since half of the search lies beyond the prior

    def __init__(self, n_samples: int = 5000, proposal: str = "modes") -> None:
        require_at_least(FEWEST, n_samples=n_samples)
        if proposal not in PROPOSALS:
            raise UserError(
                f"estimator.proposal cannot be {proposal!r}; choose one of: {', '.join(PROPOSALS)}."
            )
        self.n_samples, self.proposal = n_samples, proposal

    def check(self, n_latent: int, has_encoder: bool) -> None:
        """Refuse the encoder as proposal where there is none."""
        if self.proposal == "encoder" and not has_encoder:
            raise UserError(
                "This model has no encoder to propose from (Monte Carlo EM trains none); choose "
                "estimator.proposal=modes or prior."
            )

    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator.__call__`.

        Diagnostics: `ess`, the effective sample size (sum of weights)² / sum of squares;
        `pareto_k`; `n_modes`; `mode_excess`, the nats by which an independent search for modes,
        from another grid and with few samples, finds more than the estimate.
        """
        grids = [
            PriorGrid.sobol(target.n_latent, LOG2_GRID, [scramble], target.device)
            for scramble in (SCRAMBLE, CHECK_SCRAMBLE)
        ]
        parts = []
        for rows in x.split(BATCH, 1):
            streams = ImageStreams.of(rows, seeds)
            proposal = self._proposal(target, rows, grids[0])
            found = _estimate(target, rows, proposal, self.n_samples, streams, "estimate")
            # Weights cannot tell of a mode that no sample reached. A search from another grid can:
            # only an excess counts, since missing mass makes an estimate too low.
            other, n_modes = rough_estimate(target, rows, streams, grids[1])
            excess = other - found.value
            trusted = (
                (found.diagnostics["pareto_k"] < MOST_PARETO_K)
                & (found.diagnostics["ess"] > LEAST_ESS)
                & (excess < MOST_EXCESS)
            )
            diagnostics = {
                **found.diagnostics,
                "n_modes": n_modes,
                "mode_excess": excess.float(),
            }
            parts.append(Estimate(found.value, found.stderr, trusted, diagnostics))
            progress(rows.shape[1])
        return Estimate.joined(parts)

    def _proposal(self, target: Target, x: Tensor, grid: PriorGrid) -> "list[_Component]":
        if self.proposal == "modes":
            return _around(search(target, x, grid))
        if self.proposal == "prior":
            return [_prior(1.0)]
        assert target.encoder is not None
        posterior = target.encoder(x)
        return [_Component(1.0, lambda noise, uniform: posterior.sample(noise), posterior.log_prob)]


def rough_estimate(
    target: Target,
    x: Float[Tensor, "seed batch pixel"],
    streams: ImageStreams,
    grid: PriorGrid,
    n_starts: int = N_STARTS,
) -> tuple[Float[Tensor, "seed batch"], Float[Tensor, "seed batch"]]:
    """Rough log p(x) in nats from a search for modes of its own, and how many modes it found.

    It takes few samples, and serves as a diagnostic: where an estimate lies far from it, one of
    the two has missed something. Its cost is the climb from `n_starts` points.
    """
    mixture = search(target, x, grid, n_starts=n_starts)
    found = _estimate(target, x, _around(mixture), N_CHECK, streams, "check")
    return found.value, mixture.n_modes


@dataclass(frozen=True)
class _Component:
    """Part of a mixture proposal: share of the samples, sampler, and log density in nats."""

    share: float
    sample: Callable[[Tensor, Tensor], Tensor]
    log_prob: Callable[[Tensor], Tensor]


def _prior(share: float) -> _Component:
    return _Component(share, lambda noise, uniform: noise, standard_normal_log_prob)


def _around(mixture: ModeMixture) -> list[_Component]:
    """Build the defensive mixture (Hesterberg 1995) around the modes."""
    # The narrow Gaussians fit a posterior that is Gaussian near its modes, the wide ones its
    # tails. With a share of the prior no weight exceeds p(x|z) / share, wherever z lies.
    parts = []
    for scale, share in SCALES.items():
        # Standard deviations times `scale`: the precision's root is divided by it.
        wider = ModeMixture(mixture.mean, mixture.factor / scale, mixture.log_weight)
        parts.append(_Component(share, wider.sample, wider.log_prob))
    return [*parts, _prior(1 - sum(SCALES.values()))]


def _estimate(
    target: Target,
    x: Tensor,
    proposal: Sequence[_Component],
    n_samples: int,
    streams: ImageStreams,
    purpose: str,
) -> Estimate:
    """Draw each component's share of the samples, and weigh all by the whole mixture."""
    # Stratified: shares are fixed counts, and log_share the mixture weights that they make.
    rows = max(1, PAIRS // (x.shape[0] * x.shape[1]))
    counts = [round(component.share * n_samples) for component in proposal]
    counts[-1] = n_samples - sum(counts[:-1])
    log_share = [math.log(count / n_samples) for count in counts]
    weights = []
    for part, (component, count) in enumerate(zip(proposal, counts, strict=True)):
        for start in range(0, count, DRAWN):
            n = min(DRAWN, count - start)
            key = ("importance", purpose, part, start)
            normal, uniform = streams.draw((n, target.n_latent), (n,), *key)
            drawn = component.sample(normal.transpose(1, 2), uniform.transpose(1, 2))
            for z in drawn.split(rows, 1):
                # log of p(x, z) / q(z), with q the whole mixture whichever component drew z: the
                # balance heuristic (Veach & Guibas 1995).
                terms = [
                    one.log_prob(z) + share for one, share in zip(proposal, log_share, strict=True)
                ]
                weights.append(target.log_joint(x, z) - torch.logsumexp(torch.stack(terms), 0))
    # log p(x) ~ log of the mean weight (Burda et al., eq. 8).
    log_weight = torch.cat(weights, 1).double()
    value = torch.logsumexp(log_weight, 1) - math.log(n_samples)
    # Weights relative to their mean: (sum w)² / sum w² is then K / mean(relative²), and the
    # standard error of the logarithm is that of the mean of `relative` (delta method).
    relative = (log_weight - value.unsqueeze(1)).exp()
    ess = n_samples / relative.square().mean(1)
    stderr = relative.std(1) / n_samples**0.5
    diagnostics = {"ess": ess.float(), "pareto_k": pareto_k(log_weight).float()}
    return Estimate(value, stderr, torch.ones_like(value, dtype=torch.bool), diagnostics)
