"""Importance sampling: log p(x) from the mean of p(x, z) / q(z) over samples of a proposal q.

In expectation a lower bound of log p(x) that grows with the number of samples (Burda, Grosse &
Salakhutdinov 2015, arXiv:1509.00519, theorem 1). How far below depends on the proposal: an encoder
trained on few images is not a safe one for others.
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
from reproduce.likelihood.target import Estimate, Estimator, Progress, Target
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.models.random_streams import generator

PROPOSALS = ("modes", "encoder", "prior")
BATCH = 50  # datapoints at once
PAIRS = 2**13  # of sample and datapoint decoded at once
LOG2_GRID, SECOND_SCRAMBLE = 12, 404
SCALES = {1.1: 0.6, 2.0: 0.3}  # from inflation to share of the samples; the prior gets the rest
N_CHECK = 256
MOST_EXCESS = 0.2  # nats
MOST_PARETO_K = 0.7
LEAST_ESS = 20


class Importance(Estimator):
    """Importance sampling with a proposal that has looked for several modes, or a simpler one.

    Parameters
    ----------
    n_samples
        K.
    proposal
        `modes`: Gaussians of two widths around the modes that a climb from the best places of a
        grid over the prior (and from the encoder's mean) finds, and the prior for what they miss;
        `encoder`: q(z|x); `prior`: p(z).
    """

    name = "importance"

    def __init__(self, n_samples: int = 5000, proposal: str = "modes") -> None:
        if not n_samples >= FEWEST:
            raise UserError(f"estimator.n_samples must be at least {FEWEST}, not {n_samples}.")
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

    @torch.no_grad()
    def __call__(
        self,
        target: Target,
        x: Float[Tensor, "member batch pixel"],
        seeds: Sequence[int],
        progress: Progress = lambda _: None,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator`.

        Diagnostics: `ess`, the effective sample size (sum of weights)² / sum of squares;
        `pareto_k`; `n_modes`; `mode_excess`, by how many nats another search for modes, from
        another grid and with few samples, finds more than the estimate.
        """
        self.check(target.n_latent, target.encoder is not None)
        grids = [
            PriorGrid.sobol(target.n_latent, LOG2_GRID, scramble, target.device)
            for scramble in (303, SECOND_SCRAMBLE)
        ]
        parts = []
        for number, rows in enumerate(x.split(BATCH, 1)):
            source = _Source(target, tuple(seeds), number)
            proposal = self._proposal(target, rows, grids[0])
            found = _estimate(target, rows, proposal, self.n_samples, source.named("estimate"))
            other, n_modes = second_look(target, rows, tuple(seeds), number, grids[1])
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
            return _around(search(target, x, grid, with_encoder=True))
        if self.proposal == "prior":
            return [_prior(1.0)]
        assert target.encoder is not None
        posterior = target.encoder(x)
        return [_Component(1.0, lambda noise, uniform: posterior.sample(noise), posterior.log_prob)]


def second_look(
    target: Target,
    x: Float[Tensor, "member batch pixel"],
    seeds: tuple[int, ...],
    number: int,
    grid: PriorGrid,
    n_starts: int = N_STARTS,
) -> tuple[Float[Tensor, "member batch"], Float[Tensor, "member batch"]]:
    """log p(x) in nats as a search for modes of its own sees it, and the modes that it found.

    With few samples, for diagnostics: where an estimate lies far from it, one of the two has
    missed something. The search climbs from `n_starts` places, which is what it costs.
    """
    mixture = search(target, x, grid, n_starts=n_starts)
    source = _Source(target, seeds, number, "check")
    return _estimate(target, x, _around(mixture), N_CHECK, source).value, mixture.n_modes


@dataclass(frozen=True)
class _Component:
    """A part of a proposal: its share of the samples, how to draw, and its log density."""

    share: float
    sample: Callable[[Tensor, Tensor], Tensor]
    log_prob: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Source:
    """Random numbers of a batch of datapoints."""

    target: Target
    seeds: tuple[int, ...]
    number: int
    name: str = ""

    def named(self, name: str) -> "_Source":
        return _Source(self.target, self.seeds, self.number, name)

    def draw(self, shape: Sequence[int], part: int) -> tuple[Tensor, Tensor]:
        """Normal numbers (member, sample, batch, latent) and uniform ones without the last axis."""
        device = self.target.device
        normal, uniform = [], []
        for seed in self.seeds:
            source = generator(device, seed, "importance", self.name, self.number, part)
            normal.append(torch.randn(tuple(shape), generator=source, device=device))
            uniform.append(torch.rand(tuple(shape[:-1]), generator=source, device=device))
        return torch.stack(normal), torch.stack(uniform)


def _prior(share: float) -> _Component:
    return _Component(share, lambda noise, uniform: noise, standard_normal_log_prob)


def _around(mixture: ModeMixture) -> list[_Component]:
    """The defensive proposal around the modes."""
    parts = []
    for scale, share in SCALES.items():
        wider = ModeMixture(mixture.mean, mixture.factor / scale, mixture.log_weight)
        parts.append(_Component(share, wider.sample, wider.log_prob))
    return [*parts, _prior(1 - sum(SCALES.values()))]


def _estimate(
    target: Target, x: Tensor, proposal: Sequence[_Component], n_samples: int, source: _Source
) -> Estimate:
    """Each component draws its share of the samples; all are weighed by the whole mixture."""
    n_batch, rows = x.shape[1], max(1, PAIRS // (x.shape[0] * x.shape[1]))
    counts = [round(component.share * n_samples) for component in proposal]
    counts[-1] = n_samples - sum(counts[:-1])
    log_share = [math.log(count / n_samples) for count in counts]
    weights, part = [], 0
    for component, count in zip(proposal, counts, strict=True):
        for start in range(0, count, rows):
            shape = (min(rows, count - start), n_batch, target.n_latent)
            z = component.sample(*source.draw(shape, part))
            terms = [
                one.log_prob(z) + share for one, share in zip(proposal, log_share, strict=True)
            ]
            weights.append(target.log_joint(x, z) - torch.logsumexp(torch.stack(terms), 0))
            part += 1
    log_weight = torch.cat(weights, 1).double()
    value = torch.logsumexp(log_weight, 1) - math.log(n_samples)
    relative = (log_weight - value.unsqueeze(1)).exp()  # of mean one
    ess = n_samples / relative.square().mean(1)
    stderr = relative.std(1) / n_samples**0.5  # delta method
    diagnostics = {"ess": ess.float(), "pareto_k": pareto_k(log_weight).float()}
    return Estimate(value, stderr, torch.ones_like(value, dtype=torch.bool), diagnostics)
