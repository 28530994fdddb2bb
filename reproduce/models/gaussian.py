"""The diagonal Gaussian, the paper's choice of approximate posterior (section 3)."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.models import kernels

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag exp(log_variance)), one for each seed and datapoint (eq. 9).

    Attributes
    ----------
    mean, log_variance
        Shape (seed, batch, dimension).
    std
        Standard deviation, of the same shape.
    """

    mean: Float[Tensor, "seed batch dimension"]
    log_variance: Float[Tensor, "seed batch dimension"]
    std: Float[Tensor, "seed batch dimension"] = field(init=False)

    def __post_init__(self) -> None:
        """Compute the standard deviation once for all uses."""
        object.__setattr__(self, "std", kernels.exp(0.5 * self.log_variance))

    def sample(
        self, noise: Float[Tensor, "seed sample batch dimension"]
    ) -> Float[Tensor, "seed sample batch dimension"]:
        """Reparameterised samples, z = mean + std * noise (Kingma & Welling 2013, eq. 10)."""
        return torch.addcmul(self.mean.unsqueeze(1), self.std.unsqueeze(1), noise)

    def log_prob(
        self, value: Float[Tensor, "seed sample batch dimension"]
    ) -> Float[Tensor, "seed sample batch"]:
        """Log density in nats, summed over dimensions."""
        standardised = (value - self.mean.unsqueeze(1)) / self.std.unsqueeze(1)
        return -0.5 * (standardised.square() + self.log_variance.unsqueeze(1) + LOG_2PI).sum(-1)

    def kl_to_standard_normal(self) -> Float[Tensor, "seed batch"]:
        """KL(self || N(0, I)) in nats (Kingma & Welling 2013, Appendix B)."""
        # Integral of q log p is -sum(log 2 pi + mean² + std²) / 2, and that of q log q is
        # -sum(log 2 pi + 1 + log std²) / 2.
        terms = 1 + self.log_variance - self.mean.square() - self.std.square()
        return -0.5 * terms.sum(-1)


def normal_log_prob(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of a diagonal Gaussian in nats, summed over the last axis."""
    squared = (value - mean).square() * kernels.exp(-log_variance)
    return -0.5 * (squared + log_variance + LOG_2PI).sum(-1)


def standard_normal_log_prob(value: Tensor) -> Tensor:
    """Log density of N(0, I) in nats, summed over the last axis."""
    return -0.5 * (value.square().sum(-1) + value.shape[-1] * LOG_2PI)
