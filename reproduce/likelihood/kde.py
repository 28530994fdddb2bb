"""Kernel density estimates for many datapoints at once."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.models.gaussian import LOG_2PI

MULTIPLES = tuple(math.exp((i - 5) / 2) for i in range(10))
"""Multiples of Scott's bandwidth to choose from by held-out likelihood (the author's 2013 code)."""
LEAST_STD = 1e-6  # for chains that never moved


@dataclass(frozen=True)
class KernelDensity:
    """Mixture of Gaussian product kernels, one on every sample, with a bandwidth per dimension.

    Attributes
    ----------
    centre
        The samples, (seed, sample, batch, latent).
    bandwidth
        Standard deviations of the kernels, (seed, batch, latent).
    multiple
        The chosen multiple of Scott's bandwidth, (seed, batch).
    """

    centre: Float[Tensor, "seed sample batch latent"]
    bandwidth: Float[Tensor, "seed batch latent"]
    multiple: Float[Tensor, "seed batch"]

    @classmethod
    def fit(cls, samples: Float[Tensor, "seed sample batch latent"]) -> "KernelDensity":
        """Fit to samples; the bandwidth's multiple has the best leave-one-out likelihood."""
        # Scott's rule, n^(-1 / (D + 4)) standard deviations, is right for Gaussian samples. Chains
        # are correlated and posteriors are not Gaussian, so its multiple is chosen by likelihood.
        n_samples, n_latent = samples.shape[1], samples.shape[-1]
        std = samples.std(1).clamp_min(LEAST_STD)
        scott = std * n_samples ** (-1 / (n_latent + 4))
        # In units of Scott's bandwidth all pairs' distances are computed once, for all multiples.
        scaled = samples / scott.unsqueeze(1)
        squared = (scaled.unsqueeze(1) - scaled.unsqueeze(2)).square().sum(-1)
        own = torch.eye(n_samples, dtype=torch.bool, device=samples.device)
        scores = []
        for multiple in MULTIPLES:
            # Leave one out: with its own kernel a sample would favour ever smaller bandwidths.
            # Constants that all multiples share are left out, too.
            log_kernel = -0.5 * squared / multiple**2 - n_latent * math.log(multiple)
            log_kernel = log_kernel.masked_fill(own[None, :, :, None], -math.inf)
            scores.append(torch.logsumexp(log_kernel, 2).mean(1))
        best = torch.stack(scores).argmax(0)
        multiple = torch.tensor(MULTIPLES, device=samples.device)[best]
        return cls(samples, scott * multiple.unsqueeze(-1), multiple)

    def log_prob(
        self, z: Float[Tensor, "seed point batch latent"]
    ) -> Float[Tensor, "seed point batch"]:
        """Log density in nats."""
        # log of the mean over kernels of prod_d N(z_d; centre_d, bandwidth_d²).
        bandwidth = self.bandwidth.unsqueeze(1)
        centre = self.centre / bandwidth
        squared = ((z / bandwidth).unsqueeze(2) - centre.unsqueeze(1)).square().sum(-1)
        n_latent = z.shape[-1]
        log_scale = self.bandwidth.log().sum(-1) + 0.5 * n_latent * LOG_2PI
        log_mean = torch.logsumexp(-0.5 * squared, 2) - math.log(self.centre.shape[1])
        return log_mean - log_scale.unsqueeze(1)
