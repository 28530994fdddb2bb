"""The paper's own estimator: HMC samples from p(z|x), and a density fitted to some of them.

Kingma & Welling 2013, Appendix D, in three stages: samples of the posterior by HMC; a density q(z)
fitted to them; new samples, and log p(x) ~ -log of the mean of q(z) / p(x, z). Good below five
latent dimensions, by the paper's own claim. A chain starts at the heaviest mode that a search finds
and sees that one: where there are several, q is fitted to it alone and the estimate is too low.
Nothing in the chain tells; the diagnostic is therefore a second look at the posterior, by
importance sampling around the modes of another search.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.likelihood.importance import SECOND_SCRAMBLE, second_look
from reproduce.likelihood.kde import KernelDensity
from reproduce.likelihood.modes import search
from reproduce.likelihood.prior_grid import PriorGrid
from reproduce.likelihood.target import Estimate, Estimator, Progress, Target
from reproduce.models.random_streams import generator
from reproduce.samplers.hmc import JITTER, TARGET_ACCEPTANCE, Chains, hmc_step

BATCH, SEARCH_BATCH = 250, 50  # datapoints at once, at most
MOST_FLOATS = 25_000_000  # of differences between samples, of which a density needs all pairs
LOG2_GRID, SCRAMBLE = 12, 505
INITIAL_STEP = 0.05
LEAST_ACCEPTANCE, MOST_WEIGHT, MOST_LATENT = 0.5, 0.5, 5
N_STARTS = 8  # places that the searches for modes climb from
MOST_DIFFERENCE = 0.4  # nats from the second look, which is itself off by some 0.05


class HmcKde(Estimator):
    """One chain a datapoint; its step size is tuned during the warm-up and then frozen.

    Parameters
    ----------
    n_fit, n_score
        Samples that the density is fitted to, and new ones that are put into the estimate.
    n_leapfrog
        Steps of the integrator in a transition (the paper's 4).
    split
        Halve `n_fit` samples instead of drawing new ones, as the author's 2013 code does.
    n_warmup
        Transitions before the first sample.
    thin
        Transitions from one sample to the next.
    persistent
        Chains go on where they were at the last call with the same images and seeds, as in the
        author's code, instead of starting at the heaviest mode that a search finds. They live as
        long as this object: after an interruption they start anew.
    """

    name = "hmc_kde"
    version = 2  # since chains start in the heaviest mode

    def __init__(
        self,
        n_fit: int = 50,
        n_score: int = 50,
        n_leapfrog: int = 4,
        split: bool = False,
        n_warmup: int = 100,
        thin: int = 2,
        persistent: bool = False,
    ) -> None:
        fewest = {"n_fit": 4 if split else 2, "n_score": 1, "n_leapfrog": 1, "n_warmup": 1}
        given = {
            "n_fit": n_fit, "n_score": n_score, "n_leapfrog": n_leapfrog, "n_warmup": n_warmup,
            "thin": thin,
        }  # fmt: skip
        for setting, value in given.items():
            least = fewest.get(setting, 1)
            if not value >= least:
                raise UserError(f"estimator.{setting} must be at least {least}, not {value}.")
        self.n_fit = n_fit // 2 if split else n_fit
        self.n_score = n_fit // 2 if split else n_score
        self.n_leapfrog, self.n_warmup, self.thin = n_leapfrog, n_warmup, thin
        self.persistent = persistent
        self._chains: dict[tuple[object, ...], tuple[Tensor, Tensor, int]] = {}

    @torch.no_grad()
    def __call__(
        self,
        target: Target,
        x: Float[Tensor, "member batch pixel"],
        seeds: Sequence[int],
        progress: Progress = lambda _: None,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator`.

        Diagnostics: `acceptance_rate`, `step_size`, `bandwidth_multiple` (of Scott's), and
        `largest_weight`, the share of one sample in the mean; `second_look`, by how many nats the
        estimate is above one by importance sampling with few samples, from a search for modes.
        """
        grid = PriorGrid.sobol(target.n_latent, LOG2_GRID, SCRAMBLE, target.device)
        parts = []
        pairs = self.n_fit * max(self.n_fit, self.n_score) * target.n_members * target.n_latent
        batch = min(BATCH, max(1, MOST_FLOATS // pairs))
        for number, rows in enumerate(x.split(batch, 1)):
            parts.append(self._estimate(target, rows, tuple(seeds), number, grid))
            progress(rows.shape[1])
        return Estimate.joined(parts)

    def _estimate(
        self, target: Target, x: Tensor, seeds: tuple[int, ...], number: int, grid: PriorGrid
    ) -> Estimate:
        place = (target.name, target.n_latent, seeds, number)
        key = (*place, tuple(x.shape), float(x.double().sum()))
        made = 0  # transitions before this call: each has random numbers of its own
        if self.persistent and key in self._chains:
            start, step_size, made = self._chains[key]
        else:
            start = torch.cat(
                [
                    search(target, rows, grid, n_starts=N_STARTS).heaviest
                    for rows in x.split(SEARCH_BATCH, 1)
                ],
                1,
            )
            step_size = torch.full(start.shape[:-1], INITIAL_STEP, device=target.device)
        walk = _Walk(target, x, seeds, number, start, step_size, self.n_leapfrog, made)
        walk.tune(self.n_warmup)
        fitted = walk.samples(self.n_fit, self.thin)
        scored = walk.samples(self.n_score, self.thin)
        if self.persistent:
            self._chains[key] = (walk.chains.position, walk.step_size, walk.transitions)

        density = KernelDensity.fit(fitted)
        log_weight = (density.log_prob(scored) - target.log_joint(x, scored)).double()
        log_mean = torch.logsumexp(log_weight, 1) - math.log(self.n_score)
        relative = (log_weight - log_mean.unsqueeze(1)).exp()  # of mean one
        stderr = (relative - 1).square().mean(1).sqrt() / self.n_score**0.5  # delta method
        acceptance, largest = walk.acceptance_rate, relative.amax(1) / self.n_score
        difference = -log_mean - self._second_look(target, x, seeds, number)
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

    def _second_look(
        self, target: Target, x: Tensor, seeds: tuple[int, ...], number: int
    ) -> Float[Tensor, "member batch"]:
        grid = PriorGrid.sobol(target.n_latent, LOG2_GRID, SECOND_SCRAMBLE, target.device)
        parts = [
            second_look(target, rows, seeds, number, grid, N_STARTS)[0]
            for rows in x.split(SEARCH_BATCH, 1)
        ]
        return torch.cat(parts, 1)


class _Walk:
    """Chains of a batch of datapoints on their way."""

    def __init__(
        self,
        target: Target,
        x: Tensor,
        seeds: tuple[int, ...],
        number: int,
        start: Float[Tensor, "member batch latent"],
        step_size: Float[Tensor, "member batch"],
        n_leapfrog: int,
        transitions: int,
    ) -> None:
        self.log_density: Callable[[Tensor], Tensor] = lambda z: target.log_joint(
            x, z.unsqueeze(1)
        ).squeeze(1)
        self.device, self.seeds, self.number = target.device, seeds, number
        self.step_size, self.n_leapfrog = step_size, n_leapfrog
        self.chains = Chains.at(self.log_density, start)
        self.transitions = transitions
        self._accepted, self._counted = torch.zeros_like(step_size), 0

    @property
    def acceptance_rate(self) -> Float[Tensor, "member batch"]:
        """Since the step size was frozen."""
        return self._accepted / max(self._counted, 1)

    def tune(self, n_transitions: int) -> None:
        """Robbins & Monro 1951: larger steps after acceptance, smaller ones after rejection."""
        for transition in range(n_transitions):
            accepted = self._move()
            gain = (1 + transition) ** -0.6
            self.step_size = self.step_size * (gain * (accepted.float() - TARGET_ACCEPTANCE)).exp()

    def samples(self, n_samples: int, thin: int) -> Float[Tensor, "member sample batch latent"]:
        """Draw with the step size as it is."""
        found = []
        for _ in range(n_samples):
            for _ in range(thin):
                self._accepted = self._accepted + self._move().float()
                self._counted += 1
            found.append(self.chains.position)
        return torch.stack(found, 1)

    def _move(self) -> Bool[Tensor, "member batch"]:
        momentum, uniform = [], []
        shape = tuple(self.chains.position.shape[1:])
        for seed in self.seeds:
            source = generator(self.device, seed, "hmc_kde", self.number, self.transitions)
            momentum.append(torch.randn(shape, generator=source, device=self.device))
            uniform.append(torch.rand(2, *shape[:1], generator=source, device=self.device))
        self.transitions += 1
        accept, shorter = torch.stack(uniform, 1)
        self.chains, accepted = hmc_step(
            self.log_density,
            self.chains,
            self.step_size * (1 - JITTER * shorter),
            self.n_leapfrog,
            torch.stack(momentum),
            accept,
        )
        return accepted
