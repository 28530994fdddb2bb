"""Annealed importance sampling with HMC transitions, and bounds from both sides.

Neal 2001, doi:10.1023/A:1008923215028. Chains go from the prior to the posterior through the
densities p_beta(z) ~ p(z) p(x|z)^beta. The mean of their weights estimates p(x), and its logarithm
is too low in expectation. The same chains run backwards, from an exact sample of the posterior,
bound log p(x) from above (Grosse, Ghahramani & Adams 2015, arXiv:1511.02543). Where x was simulated
from the model such a sample is known, and the gap between the bounds limits the error.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.likelihood.target import (
    Estimate,
    Estimator,
    Progress,
    Target,
    in_steps,
    require_at_least,
)
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.models.random_streams import ImageStreams, generator
from reproduce.samplers.hmc import JITTER, Chains, hmc_step

BATCH, MOST_CHAINS = 50, 2**14  # datapoints, and chains of all seeds, at once
N_PILOT, PILOT_CHAINS = 200, 8  # temperatures and chains of the pilot run
FIRST_BETA = 1e-6
INITIAL_STEP = 1.0
PILOT_ACCEPTANCE, PILOT_GAIN = 0.8, 0.4
SMOOTHED = 9  # width of the moving average, in temperatures of the pilot run
LEAST_ESS, MOST_STDERR = 3, 0.15  # of a trusted estimate: in chains, in nats


class Ais(Estimator):
    """Annealed importance sampling.

    For each datapoint a pilot run of few chains, with random numbers of its own, finds the
    temperatures at which the log-likelihood varies and the step sizes that are accepted. The
    schedule (equal parts of the standard deviation of the log weight) and the step sizes are then
    frozen.

    Parameters
    ----------
    n_temperatures
        Number of temperatures, from the prior (excluded) to the posterior (included).
    n_chains
        Chains whose weights are averaged. An estimate from three or fewer is never trusted.
    n_leapfrog
        Integrator steps per transition; there is one transition at each temperature.
    """

    name = "ais"
    version = 2  # since random numbers belong to images

    def __init__(self, n_temperatures: int = 4000, n_chains: int = 64, n_leapfrog: int = 2) -> None:
        require_at_least(2, n_temperatures=n_temperatures, n_chains=n_chains)
        require_at_least(1, n_leapfrog=n_leapfrog)
        self.n_temperatures, self.n_chains, self.n_leapfrog = n_temperatures, n_chains, n_leapfrog

    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator.__call__`.

        Diagnostics: `ess` of the chains' weights, `acceptance_rate`. A value is not trusted where
        few chains carry the mean or its standard error is large. Too few temperatures show there
        well before the estimate is half a nat too low.
        """
        parts = []
        for rows in x.split(self._batch(target), 1):
            path = _Path(target, rows, seeds, self.n_leapfrog)
            path.pilot(self.n_temperatures)
            step = in_steps(progress, rows.shape[1], self.n_temperatures - 1)
            log_weight, acceptance = path.forward(self.n_chains, step)
            parts.append(_summary(log_weight, acceptance))
        return Estimate.joined(parts)

    @torch.no_grad()
    def reverse(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        z: Float[Tensor, "seed batch latent"],
        seeds: Sequence[int],
        progress: Progress = lambda _: None,
    ) -> Float[Tensor, "seed batch"]:
        """Upper bound of log p(x) in expectation, nats, from exact samples z of p(z|x)."""
        parts = []
        batch = self._batch(target)
        pairs = zip(x.split(batch, 1), z.split(batch, 1), strict=True)
        for rows, at in pairs:
            path = _Path(target, rows, seeds, self.n_leapfrog)
            path.pilot(self.n_temperatures)
            # Backwards the mean of 1/weight estimates 1/p(x); by Jensen -log of it is too high.
            step = in_steps(progress, rows.shape[1], self.n_temperatures - 1)
            log_weight = path.backward(at, self.n_chains, step).double()
            parts.append(math.log(self.n_chains) - torch.logsumexp(-log_weight, 1))
        return torch.cat(parts, 1)

    def _batch(self, target: Target) -> int:
        return min(BATCH, max(1, MOST_CHAINS // (self.n_chains * target.n_seeds)))


@dataclass(frozen=True)
class Bidirectional:
    """Both bounds on data simulated from the model (bidirectional Monte Carlo).

    Attributes
    ----------
    lower, upper
        Of log p(x) in nats, (seed, batch).
    """

    lower: Float[Tensor, "seed batch"]
    upper: Float[Tensor, "seed batch"]

    @property
    def gap(self) -> Float[Tensor, " seed"]:
        """Mean of upper − lower in nats: in expectation it bounds the error of each."""
        return (self.upper - self.lower).mean(1)


def bidirectional(
    target: Target,
    ais: Ais,
    n_points: int,
    seeds: Sequence[int],
    progress: Progress = lambda _: None,
) -> Bidirectional:
    """Simulate data from the model and bound their log p(x) from both sides.

    `progress` is told of each datapoint twice, once for each bound.
    """
    z, x = simulate(target, n_points, seeds)
    lower = ais(target, x, seeds, progress).value
    return Bidirectional(lower, ais.reverse(target, x, z, seeds, progress))


@torch.no_grad()
def simulate(
    target: Target, n_points: int, seeds: Sequence[int]
) -> tuple[Float[Tensor, "seed batch latent"], Float[Tensor, "seed batch pixel"]]:
    """Draw z from the prior and x from p(x|z): z is then an exact sample of p(z|x)."""
    draw = torch.rand if target.likelihood.noise_kind == "uniform" else torch.randn
    sources = [generator(target.device, seed, "simulate") for seed in seeds]
    shape = (n_points, target.n_latent)
    z = torch.stack([torch.randn(shape, generator=s, device=target.device) for s in sources])
    # A target does not know its images' size, so one is decoded to see.
    size = target.likelihood.mean(z[:, :1]).shape[-1]
    noise = torch.stack(
        [draw((n_points, size), generator=s, device=target.device) for s in sources]
    )
    return z, target.likelihood.sample(z, noise)


class _Path:
    """The annealed densities of a batch of datapoints, with schedule and step sizes."""

    def __init__(self, target: Target, x: Tensor, seeds: Sequence[int], n_leapfrog: int) -> None:
        self.target, self.x, self.n_leapfrog = target, x, n_leapfrog
        self.streams = ImageStreams.of(x, seeds)
        self.beta = torch.empty(0)  # (temperature, seed, batch), increasing to one
        self.step_size = torch.empty(0)  # the same

    def pilot(self, n_temperatures: int) -> None:
        """Set schedule and step sizes from a run of few chains on a fixed schedule."""
        # Temperatures evenly spaced in log beta: near the prior a small beta changes much.
        fixed = torch.logspace(math.log10(FIRST_BETA), 0, N_PILOT, device=self.target.device)
        z = self._start(PILOT_CHAINS, "pilot")
        step = torch.full(z.shape[::2], INITIAL_STEP, device=z.device)  # (seed, batch)
        chains = Chains.at(self._annealed(fixed[0].expand(step.shape)), z)
        before, steps, spread = fixed[0].expand(step.shape), [], []
        for number, beta in enumerate(fixed):
            now = beta.expand(step.shape)
            # At each temperature two transitions, after each of which a datapoint's step size moves
            # towards the wanted acceptance. The pilot is thrown away, so adapting biases nothing.
            chains = _reheated(chains, before, now)
            before = now
            for repeat in range(2):
                moved, accepted = self._move(
                    chains, now, step, "pilot", 2 * number + repeat, PILOT_CHAINS
                )
                chains = moved
                excess = accepted.float().mean(1) - PILOT_ACCEPTANCE
                step = (step * (PILOT_GAIN * excess).exp()).clamp(1e-4, 2.0)
            steps.append(step)
            spread.append(_log_likelihood(chains, now).std(1))
        log_step = _smoothed(torch.stack(steps).log())
        spread = _smoothed(torch.stack(spread))
        # A step of the path adds (difference of beta) x log-likelihood to a chain's log weight. So
        # its noise is the standard deviation's integral over beta, of which each step of the
        # schedule gets an equal part.
        width = torch.diff(fixed, prepend=fixed.new_zeros(1)).view(-1, 1, 1)
        cumulative = (spread * width).cumsum(0)
        wanted = torch.linspace(0, 1, n_temperatures + 1, device=z.device)[1:]
        self.beta, place = _inverse(cumulative, fixed, wanted)
        # Step sizes at those temperatures, interpolated in the logarithm.
        low = place.floor().long().clamp(max=N_PILOT - 2)
        share = place - low
        logs = log_step.gather(0, low) * (1 - share) + log_step.gather(0, low + 1) * share
        self.step_size = logs.exp()

    def forward(self, n_chains: int, step: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Log weights (seed, chain, batch) of chains from the prior, and their acceptance."""
        # log w = sum over t of (beta_{t+1} - beta_t) log p(x|z_t), with beta_0 = 0 at the prior.
        # The first term needs no transition: the start is an exact sample of the prior.
        chains = Chains.at(self._annealed(self.beta[0]), self._start(n_chains, "forward"))
        log_weight = self.beta[0].unsqueeze(1) * _log_likelihood(chains, self.beta[0])
        acceptance = torch.zeros_like(self.beta[0])
        for t in range(len(self.beta) - 1):
            if t:
                chains = _reheated(chains, self.beta[t - 1], self.beta[t])
            # A transition that leaves p_beta invariant, then the weight of going to the next beta.
            chains, accepted = self._move(
                chains, self.beta[t], self.step_size[t], "forward", t, n_chains
            )
            acceptance += accepted.float().mean(1)
            gain = (self.beta[t + 1] - self.beta[t]).unsqueeze(1)
            log_weight += gain * _log_likelihood(chains, self.beta[t])
            step()
        return log_weight, acceptance / (len(self.beta) - 1)

    def backward(
        self, z: Float[Tensor, "seed batch latent"], n_chains: int, step: Callable[[], None]
    ) -> Tensor:
        """Log weights (seed, chain, batch) of the same path gone back from exact samples."""
        # The same increments in reverse order, and each transition its own reversal: HMC with
        # fresh momenta is reversible.
        start = z.unsqueeze(1).expand(-1, n_chains, -1, -1)
        last = len(self.beta) - 1
        chains = Chains.at(self._annealed(self.beta[last]), start)
        gain = self.beta[last] - self.beta[last - 1]
        log_weight = gain.unsqueeze(1) * _log_likelihood(chains, self.beta[last])
        for t in range(last - 1, -1, -1):
            chains = _reheated(chains, self.beta[t + 1], self.beta[t])
            chains, _ = self._move(chains, self.beta[t], self.step_size[t], "backward", t, n_chains)
            gain = self.beta[t] - self.beta[t - 1] if t else self.beta[0]
            log_weight += gain.unsqueeze(1) * _log_likelihood(chains, self.beta[t])
            step()
        return log_weight

    def _annealed(self, beta: Float[Tensor, "seed batch"]) -> Callable[[Tensor], Tensor]:
        def log_density(z: Tensor) -> Tensor:
            log_likelihood = self.target.likelihood.log_likelihood(self.x, z)
            return standard_normal_log_prob(z) + beta.unsqueeze(1) * log_likelihood

        return log_density

    def _move(
        self, chains: Chains, beta: Tensor, step: Tensor, run: str, number: int, n_chains: int
    ) -> tuple[Chains, Tensor]:
        shape = (n_chains, self.target.n_latent)
        momentum, uniform = self.streams.draw(shape, (2, n_chains), "ais", run, number)
        accept, shorter = uniform.movedim(1, -1).unbind(1)
        size = step.unsqueeze(1) * (1 - JITTER * shorter)
        return hmc_step(
            self._annealed(beta), chains, size, self.n_leapfrog, momentum.transpose(1, 2), accept,
        )  # fmt: skip

    def _start(self, n_chains: int, run: str) -> Tensor:
        start, _ = self.streams.draw((n_chains, self.target.n_latent), (0,), "ais start", run)
        return start.transpose(1, 2)


def _log_likelihood(chains: Chains, beta: Float[Tensor, "seed batch"]) -> Tensor:
    """log p(x|z) (seed, chain, batch), recovered from log p(z) + beta log p(x|z)."""
    prior = standard_normal_log_prob(chains.position)
    return (chains.log_density - prior) / beta.unsqueeze(1)


def _reheated(chains: Chains, before: Tensor, now: Tensor) -> Chains:
    """Move chains to another temperature, the positions the same, without an evaluation."""
    # log p(z) + beta log p(x|z) is linear in beta, and so is its gradient, where that of
    # log p(z) is -z.
    ratio = (now / before).unsqueeze(1)
    prior = standard_normal_log_prob(chains.position)
    z = chains.position
    return Chains(
        z,
        prior + ratio * (chains.log_density - prior),
        -z + ratio.unsqueeze(-1) * (chains.gradient + z),
    )


def _smoothed(values: Float[Tensor, "temperature seed batch"]) -> Tensor:
    """Moving average over neighbouring temperatures."""
    flat = values.flatten(1).mT.unsqueeze(1)
    half = SMOOTHED // 2
    padded = torch.nn.functional.pad(flat, (half, half), mode="replicate")
    mean = torch.nn.functional.avg_pool1d(padded, SMOOTHED, stride=1)
    return mean.squeeze(1).mT.reshape(values.shape)


def _inverse(
    cumulative: Float[Tensor, "temperature seed batch"], beta: Tensor, wanted: Tensor
) -> tuple[Tensor, Tensor]:
    """Invert `cumulative` at the shares `wanted` of its end, for each datapoint.

    Returns
    -------
    tuple
        The temperatures, linear between those of `beta`, and their places among them, both
        (wanted, seed, batch).
    """
    # Linear interpolation in a table (datapoint, temperature) with a zero before it: the prior.
    shape = cumulative.shape
    table = (cumulative / cumulative[-1:]).flatten(1).mT.contiguous()
    table = torch.cat([torch.zeros_like(table[:, :1]), table], 1)
    nodes = torch.cat([beta.new_zeros(1), beta])
    at = wanted.expand(len(table), -1).contiguous()
    high = torch.searchsorted(table, at).clamp(1, table.shape[1] - 1)
    lower, upper = table.gather(1, high - 1), table.gather(1, high)
    share = ((at - lower) / (upper - lower).clamp_min(1e-30)).clamp(0, 1)
    found = nodes[high - 1] + share * (nodes[high] - nodes[high - 1])
    found[:, -1] = 1.0  # the posterior, exactly
    place = (high - 2 + share).clamp_min(0)
    return (
        found.mT.reshape(-1, *shape[1:]),
        place.mT.reshape(-1, *shape[1:]),
    )


def _summary(log_weight: Tensor, acceptance: Tensor) -> Estimate:
    # As in importance sampling: log of the mean weight, and the delta method.
    n_chains = log_weight.shape[1]
    log_weight = log_weight.double()
    value = torch.logsumexp(log_weight, 1) - math.log(n_chains)
    relative = (log_weight - value.unsqueeze(1)).exp()
    ess = n_chains / relative.square().mean(1)
    stderr = relative.std(1) / n_chains**0.5
    diagnostics = {"ess": ess.float(), "acceptance_rate": acceptance}
    trusted = (ess > LEAST_ESS) & (stderr < MOST_STDERR)
    return Estimate(value, stderr, trusted, diagnostics)
