"""The estimator of log p(x) as the author's 2013 research code computes it, errors included.

Not for quoting: it shows how far the published Figure 3 may lie from the truth for the same
models. It follows `hmc_est.py` and `hmc.py` of https://github.com/dpkingma/anglepy (commit
c23d603). They differ from the paper's Appendix D, and so from `hmc_kde`, as follows:

- chains continue from one evaluation to the next, while the model is trained; five transitions are
  discarded before each. They start from the prior. Ours, whose model is already trained, start at
  each posterior's highest point on a grid over the prior;
- step sizes are tuned even while samples are taken. Each chain's own is multiplied by exp(1.02)
  after an acceptance and divided by it after a rejection, so that half of the proposals are
  accepted and not the paper's 90 %. (The commit has another rule, one step size for all chains and
  90 %, which its estimator does not use; `step_sizes=global` does.);
- each proposal makes one position update more than the number of leapfrog steps asked for;
- half of one set of samples fits the density, the other half is scored;
- **samples of several datapoints are laid out in two orders.** Latent coordinates are stored
  dimension by dimension, and read as if they were stored datapoint by datapoint: with N datapoints,
  density k is fitted to *one* coordinate of N_z neighbouring datapoints instead of the N_z
  coordinates of one. Log joint densities are stored datapoint by datapoint, and their second half
  is taken for the second half of the *samples*: it is all samples of the last N/2 datapoints. So
  log q and log p(x, z) that are subtracted belong to different datapoints, and the first half of
  the data counts only through q.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import logsumexp
from scipy.stats import gaussian_kde
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.likelihood.hmc_kde import LOG2_GRID, SCRAMBLE
from reproduce.likelihood.kde import MULTIPLES
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
from reproduce.samplers.hmc import Chains, adapted, hmc_step

FIRST_STEP = 1e-3
LOG_FACTOR = 1.02  # change of the logarithm of a chain's step size at each transition
STEP_SIZES = ("individual", "global")
LEAST_SAMPLES = 8  # per latent dimension; with fewer, the code fits no kernel density


class HmcKde2013(Estimator):
    """Chains of all datapoints side by side, and densities fitted across them.

    Parameters
    ----------
    n_samples
        Samples per evaluation; half fits the density, half is scored.
    n_steps
        Leapfrog steps asked for (the paper's 4); the code makes one more.
    n_burnin
        Transitions discarded before an evaluation.
    n_evaluations
        Evaluations in turn, of which the last is returned.
    step_sizes
        `individual`, one per chain, as in the commit's estimator; or `global`, one for all chains.
    """

    name = "hmc_kde_2013"
    version = 2  # since half of the grid for its starts lies beyond the prior

    def __init__(
        self,
        n_samples: int = 50,
        n_steps: int = 4,
        n_burnin: int = 5,
        n_evaluations: int = 3,
        step_sizes: str = "individual",
    ) -> None:
        require_at_least(LEAST_SAMPLES, n_samples=n_samples)
        require_at_least(1, n_steps=n_steps, n_evaluations=n_evaluations)
        require_at_least(0, n_burnin=n_burnin)
        if step_sizes not in STEP_SIZES:
            raise UserError(
                f"Unknown estimator.step_sizes {step_sizes!r}; choose one of: "
                f"{', '.join(STEP_SIZES)}."
            )
        self.step_sizes = step_sizes
        self.n_samples, self.n_steps = n_samples, n_steps
        self.n_burnin, self.n_evaluations = n_burnin, n_evaluations

    def check(self, n_latent: int, has_encoder: bool) -> None:
        """Refuse fewer samples than the code fits a kernel density to."""
        if self.n_samples // 2 < LEAST_SAMPLES / 2 * n_latent:
            raise UserError(
                f"estimator.n_samples must be at least {LEAST_SAMPLES * n_latent} "
                f"at N_z = {n_latent}, not {self.n_samples}."
            )

    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Estimate log p(x); see `reproduce.likelihood.target.Estimator.__call__`.

        Only the mean over datapoints has a meaning, and it is never trusted. Diagnostic:
        `laid_out_right`, the estimate from the same samples with log q and log p(x, z) of the
        same datapoint.
        """
        position, log_joint = self._sample(target, x, tuple(seeds), progress)
        pairs = list(zip(position, log_joint, strict=True))
        value, stderr = _stacked([published_layout(z, p) for z, p in pairs], x)
        right, _ = _stacked([right_layout(z, p) for z, p in pairs], x)
        return Estimate(
            value, stderr, torch.zeros_like(value, dtype=torch.bool), {"laid_out_right": right}
        )

    def _sample(
        self, target: Target, x: Tensor, seeds: tuple[int, ...], progress: Progress
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (seed, sample, batch, latent) positions and their log joint densities."""
        n_points = x.shape[1]
        n_transitions = self.n_evaluations * (self.n_burnin + self.n_samples)
        shapes = (n_transitions, target.n_latent), (n_transitions,)
        normal, uniform = ImageStreams.of(x, seeds).draw(*shapes, self.name)

        def log_density(z: Tensor) -> Tensor:
            return target.log_joint(x, z.unsqueeze(1)).squeeze(1)

        # From here on one chain per datapoint, through all evaluations.
        grid = PriorGrid.sobol(target.n_latent, LOG2_GRID, [SCRAMBLE], target.device)
        start, _ = grid.best(grid.log_likelihood(target.likelihood, x), 1)
        chains = Chains.at(log_density, start[:, 0])
        step_size = torch.full((len(seeds), n_points), FIRST_STEP, device=target.device)
        position, log_joint = [], []
        step = in_steps(progress, n_points, n_transitions)
        for transition in range(n_transitions):
            chains, accepted = hmc_step(
                log_density,
                chains,
                step_size,
                self.n_steps + 1,
                normal[:, :, transition],
                uniform[:, :, transition],
            )
            # A step size that never settles leaves no exact stationary distribution: one of the
            # 2013 code's errors, and kept.
            accepted = accepted.float()
            if self.step_sizes == "global":
                rate = accepted.mean(1, keepdim=True).expand_as(step_size)
                step_size = adapted(step_size, rate)
            else:
                step_size = step_size * (LOG_FACTOR * (2 * accepted - 1)).exp()
            if transition >= n_transitions - self.n_samples:
                position.append(chains.position)
                log_joint.append(chains.log_density)
            step()
        return (
            torch.stack(position, 1).double().cpu().numpy(),
            torch.stack(log_joint, 1).double().cpu().numpy(),
        )


def published_layout(
    position: Float[np.ndarray, "sample batch latent"], log_joint: Float[np.ndarray, "sample batch"]
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    """Estimate log p(x) in nats, with standard errors, in the 2013 code's layout."""
    # Stored dimension by dimension, (latent, batch, sample), and read as (batch, latent, sample):
    # "datapoint" k is one coordinate of N_z neighbouring datapoints.
    n_samples, n_points, n_latent = position.shape
    n_fit = n_samples // 2
    coordinates = position.transpose(2, 1, 0).reshape(n_latent * n_points, n_samples)
    log_q = _scored_log_densities(coordinates.reshape(n_points, n_latent, n_samples), n_fit)
    # Stored datapoint by datapoint, (batch, sample), and cut in the middle as if it were (sample,
    # batch): not the second half of the samples, but all samples of the last datapoints.
    last = log_joint.T.reshape(-1)[n_fit * n_points :]
    return _reciprocal(log_q - last.reshape(n_points, n_samples - n_fit))


def right_layout(
    position: Float[np.ndarray, "sample batch latent"], log_joint: Float[np.ndarray, "sample batch"]
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    """Estimate the same with each density fitted to, and scored at, samples of one datapoint."""
    n_fit = len(position) // 2
    log_q = _scored_log_densities(position.transpose(1, 2, 0), n_fit)
    return _reciprocal(log_q - log_joint[n_fit:].T)


def _scored_log_density(
    samples: Float[np.ndarray, "latent sample"], n_fit: int
) -> Float[np.ndarray, " scored"]:
    """Fit a kernel density to the first `n_fit` samples; return its log density at the others.

    The bandwidth is the multiple of Scott's under which one half of the fitted samples is
    likeliest, given a density fitted to the other half.
    """
    # scipy multiplies the factor by the samples' full covariance; `kde.py` has one per dimension.
    fitted = samples[:, :n_fit]
    held_out, rest = fitted[:, : n_fit // 2], fitted[:, n_fit // 2 :]
    scott = n_fit ** (-1 / (len(samples) + 4))
    scores = [gaussian_kde(rest, scott * m).logpdf(held_out).sum() for m in MULTIPLES]
    density = gaussian_kde(fitted, scott * MULTIPLES[int(np.argmax(scores))])
    return density.logpdf(samples[:, n_fit:])


def _scored_log_densities(
    blocks: Float[np.ndarray, "batch latent sample"], n_fit: int
) -> Float[np.ndarray, "batch scored"]:
    """Score many blocks of samples, (batch, scored).

    Where a chain has not moved no density can be fitted, and the next block's values are used; the
    2013 code stops there.
    """
    found = []
    for block in blocks[::-1]:
        try:
            found.append(_scored_log_density(block, n_fit))
        except np.linalg.LinAlgError:
            if not found:
                raise UserError("The last chain has not moved; take more samples.") from None
            found.append(found[-1])
    return np.stack(found[::-1])


def _reciprocal(
    log_ratio: Float[np.ndarray, "batch scored"],
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    """-log of the mean of q(z) / p(x, z) (Appendix D), and its standard error (delta method)."""
    n_scored = log_ratio.shape[1]
    log_mean = logsumexp(log_ratio, 1) - math.log(n_scored)
    relative = np.exp(log_ratio - log_mean[:, None])
    return -log_mean, relative.std(1) / n_scored**0.5


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]], like: Tensor) -> tuple[Tensor, Tensor]:
    value, stderr = (np.stack(each) for each in zip(*parts, strict=True))
    return torch.from_numpy(value).to(like.device), torch.from_numpy(stderr).to(like.device)
