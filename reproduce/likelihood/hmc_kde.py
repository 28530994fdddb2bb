"""The paper's own estimator: HMC samples from p(z|x), and a density fitted to some of them.

Kingma & Welling 2013, Appendix D, in three stages: samples of the posterior by HMC; a density q(z)
fitted to them; new samples, and log p(x) ~ -log of the mean of q(z) / p(x, z). The paper claims
good estimates below five latent dimensions. A chain starts at the heaviest mode that a search finds
and stays there: where there are several modes, q is fitted to one and the estimate is too low. The
chain itself does not show it, so each estimate is checked by importance sampling around the modes
of another search.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reproduce.likelihood.importance import CHECK_SCRAMBLE, rough_estimate
from reproduce.likelihood.kde import KernelDensity
from reproduce.likelihood.modes import search
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import (
    Estimate,
    Estimator,
    Progress,
    Target,
    in_steps,
    require_at_least,
)
from reproduce.models.random_streams import ImageStreams
from reproduce.samplers.hmc import JITTER, TARGET_ACCEPTANCE, Chains, hmc_step

BATCH, SEARCH_BATCH = 250, 50  # datapoints at once, at most
MOST_FLOATS = 25_000_000  # of differences between samples, of which a density needs all pairs
LOG2_GRID, SCRAMBLE = 12, 505
INITIAL_STEP = 0.05
LEAST_ACCEPTANCE, MOST_WEIGHT, MOST_LATENT = 0.5, 0.5, 5  # of a trusted estimate
N_STARTS = 8  # grid points from which searches for modes climb
MOST_DIFFERENCE = 0.4  # nats from the check, whose own error is some 0.05


class HmcKde(Estimator):
    """One chain per datapoint; its step size is tuned during the warm-up and then frozen.

    Parameters
    ----------
    n_fit, n_score
        Samples for fitting the density, and new samples for the estimate.
    n_leapfrog
        Integrator steps per transition (the paper's 4).
    n_warmup
        Transitions before the first sample.
    thin
        Transitions from one sample to the next.
    """

    name = "hmc_kde"
    version = 3  # since half of the search for modes lies beyond the prior

    def __init__(
        self,
        n_fit: int = 50,
        n_score: int = 50,
        n_leapfrog: int = 4,
        n_warmup: int = 100,
        thin: int = 2,
    ) -> None:
        require_at_least(2, n_fit=n_fit)
        require_at_least(1, n_score=n_score, n_leapfrog=n_leapfrog, n_warmup=n_warmup, thin=thin)
        self.n_fit, self.n_score = n_fit, n_score
        self.n_leapfrog, self.n_warmup, self.thin = n_leapfrog, n_warmup, thin

    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator.__call__`.

        Diagnostics: `acceptance_rate`; `step_size`; `bandwidth_multiple` (of Scott's);
        `largest_weight`, the share of one sample in the mean; `second_look`, the nats by which the
        estimate is above one by importance sampling with few samples around the modes of another
        search.
        """
        # A density of n samples takes all n² differences at once, which limits the batch.
        grid = PriorGrid.sobol(target.n_latent, LOG2_GRID, [SCRAMBLE], target.device)
        parts = []
        pairs = self.n_fit * max(self.n_fit, self.n_score) * target.n_seeds * target.n_latent
        batch = min(BATCH, max(1, MOST_FLOATS // pairs))
        for rows in x.split(batch, 1):
            parts.append(self._estimate(target, rows, seeds, grid, progress))
        return Estimate.joined(parts)

    def _estimate(
        self, target: Target, x: Tensor, seeds: Sequence[int], grid: PriorGrid, progress: Progress
    ) -> Estimate:
        # Stage 1: samples of p(z|x). `fitted` and `scored` are separate stretches of one chain.
        batches = x.split(SEARCH_BATCH, 1)
        starts = [search(target, rows, grid, n_starts=N_STARTS).heaviest for rows in batches]
        n_transitions = self.n_warmup + self.thin * (self.n_fit + self.n_score)
        step = in_steps(progress, x.shape[1], n_transitions)
        walk = _Walk(target, x, seeds, n_transitions, torch.cat(starts, 1), self.n_leapfrog, step)
        walk.tune(self.n_warmup)
        fitted = walk.samples(self.n_fit, self.thin)
        scored = walk.samples(self.n_score, self.thin)

        # Stage 2: a density q(z). Stage 3: 1 / p(x) is the posterior's mean of q(z) / p(x, z),
        # whatever q is, since q integrates to one (the paper's derivation in Appendix D).
        density = KernelDensity.fit(fitted)
        log_weight = (density.log_prob(scored) - target.log_joint(x, scored)).double()
        log_mean = torch.logsumexp(log_weight, 1) - math.log(self.n_score)
        # Terms relative to their mean; the standard error of the logarithm by the delta method. It
        # counts samples as independent, and knows nothing of modes that the chain has not seen.
        relative = (log_weight - log_mean.unsqueeze(1)).exp()
        stderr = (relative - 1).square().mean(1).sqrt() / self.n_score**0.5
        acceptance, largest = walk.acceptance_rate, relative.amax(1) / self.n_score
        difference = -log_mean - self._rough_estimate(target, x, seeds)
        trusted = (acceptance > LEAST_ACCEPTANCE) & (largest < MOST_WEIGHT)
        trusted = trusted & (difference.abs() < MOST_DIFFERENCE)
        return Estimate(
            -log_mean,
            stderr,
            trusted & (target.n_latent <= MOST_LATENT),
            {
                "acceptance_rate": acceptance,
                "step_size": walk.step_size,
                "bandwidth_multiple": density.multiple,
                "largest_weight": largest.float(),
                "second_look": difference.float(),
            },
        )

    def _rough_estimate(
        self, target: Target, x: Tensor, seeds: Sequence[int]
    ) -> Float[Tensor, "seed batch"]:
        grid = PriorGrid.sobol(target.n_latent, LOG2_GRID, [CHECK_SCRAMBLE], target.device)
        parts = [
            rough_estimate(target, rows, ImageStreams.of(rows, seeds), grid, N_STARTS)[0]
            for rows in x.split(SEARCH_BATCH, 1)
        ]
        return torch.cat(parts, 1)


class _Walk:
    """One HMC chain for each datapoint of a batch, at random numbers of its own."""

    def __init__(
        self,
        target: Target,
        x: Tensor,
        seeds: Sequence[int],
        n_transitions: int,
        start: Float[Tensor, "seed batch latent"],
        n_leapfrog: int,
        step: Callable[[], None],
    ) -> None:
        # log p(z|x) up to log p(x): its gradient is grad log p(z) + grad log p(x|z) (Appendix D).
        self.log_density: Callable[[Tensor], Tensor] = lambda z: target.log_joint(
            x, z.unsqueeze(1)
        ).squeeze(1)
        # All random numbers at once, (transition, seed, batch, ...); of the uniform ones, the
        # first decides on acceptance and the second shortens the step.
        shapes = (n_transitions, target.n_latent), (n_transitions, 2)
        normal, uniform = ImageStreams.of(x, seeds).draw(*shapes, "hmc_kde")
        self._momenta, self._uniforms = normal.movedim(2, 0), uniform.movedim(2, 0)
        self.step_size = torch.full(start.shape[:-1], INITIAL_STEP, device=target.device)
        self.n_leapfrog, self._step = n_leapfrog, step
        self.chains = Chains.at(self.log_density, start)
        self._transitions = 0
        self._accepted, self._counted = torch.zeros_like(self.step_size), 0

    @property
    def acceptance_rate(self) -> Float[Tensor, "seed batch"]:
        """Share of proposals accepted since the step size was frozen."""
        return self._accepted / max(self._counted, 1)

    def tune(self, n_transitions: int) -> None:
        """Tune each chain's step size to the target acceptance (Robbins & Monro 1951)."""
        # Larger after an acceptance, smaller after a rejection. Gains t^-0.6 sum to infinity, their
        # squares do not, so the step size can go anywhere and still settles.
        for transition in range(n_transitions):
            accepted = self._move()
            gain = (1 + transition) ** -0.6
            self.step_size = self.step_size * (gain * (accepted.float() - TARGET_ACCEPTANCE)).exp()

    def samples(self, n_samples: int, thin: int) -> Float[Tensor, "seed sample batch latent"]:
        """Draw samples with the step size frozen: only then is p(z|x) the chain's limit."""
        found = []
        for _ in range(n_samples):
            for _ in range(thin):
                self._accepted = self._accepted + self._move().float()
                self._counted += 1
            found.append(self.chains.position)
        return torch.stack(found, 1)

    def _move(self) -> Bool[Tensor, "seed batch"]:
        momentum = self._momenta[self._transitions]
        accept, shorter = self._uniforms[self._transitions].unbind(-1)
        self._transitions += 1
        # A step shortened at random, so that no trajectory comes round (see JITTER).
        self.chains, accepted = hmc_step(
            self.log_density,
            self.chains,
            self.step_size * (1 - JITTER * shorter),
            self.n_leapfrog,
            momentum,
            accept,
        )
        self._step()
        return accepted
