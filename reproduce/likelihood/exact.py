"""Models whose log p(x) is known, for testing estimators.

Both have the interface of a decoder (`reproduce.likelihood.target.Likelihood`).
"""

import math
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy import integrate
from torch import Tensor

from reproduce.likelihood.target import Target
from reproduce.models.decoders import (
    AnyImages,
    AnyLatents,
    Images,
    Latents,
    LogLikelihood,
    NoiseKind,
    SharedLatents,
)
from reproduce.models.gaussian import LOG_2PI, standard_normal_log_prob
from reproduce.models.random_streams import generator


class LinearGaussian:
    """x = W z + b + std * noise, with z ~ N(0, I): x ~ N(b, W Wᵀ + std² I), in closed form.

    Parameters
    ----------
    weight
        W, (seed, latent, pixel).
    bias
        b, (seed, 1, pixel).
    std
        Standard deviation of the noise.
    """

    noise_kind: ClassVar[NoiseKind] = "normal"

    def __init__(
        self,
        weight: Float[Tensor, "seed latent pixel"],
        bias: Float[Tensor, "seed 1 pixel"],
        std: float,
    ) -> None:
        self.weight, self.bias, self.std = weight, bias, std

    @classmethod
    def random(
        cls, n_latent: int, n_pixels: int = 64, std: float = 0.3, seeds: tuple[int, ...] = (0, 1)
    ) -> "LinearGaussian":
        """Draw W and b from N(0, 1): the posterior's std is near std / sqrt(n_pixels)."""
        draws = [generator("cpu", seed, "linear-gaussian", n_latent) for seed in seeds]
        weight = torch.stack([torch.randn(n_latent, n_pixels, generator=g) for g in draws])
        bias = torch.stack([torch.randn(1, n_pixels, generator=g) for g in draws])
        return cls(weight, bias, std)

    @property
    def target(self) -> Target:
        """The model as an estimator takes it."""
        return Target(self, len(self.weight), self.weight.shape[1])

    def mean(self, z: AnyLatents) -> AnyImages:
        """E[x|z]."""
        flat = torch.baddbmm(self.bias, z.flatten(1, -2), self.weight)
        return flat.unflatten(1, z.shape[1:-1])

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log N(x; W z + b, std² I)."""
        squared = (x.unsqueeze(1) - self.mean(z)).square().sum(-1)
        return self._log_normal(squared, x.shape[-1])

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """The same for every datapoint under every sample."""
        # Squared distances, as differences: from matrix products they would lose digits.
        exactly = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(self.mean(z), x, compute_mode=exactly)
        return self._log_normal(distance.square(), x.shape[-1])

    def _log_normal(self, squared: Tensor, n_pixels: int) -> Tensor:
        constant = n_pixels * (LOG_2PI + 2 * math.log(self.std))
        return -0.5 * (squared / self.std**2 + constant)

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x = W z + b + std * noise."""
        return self.mean(z) + self.std * noise

    def exact(self, x: Float[Tensor, "seed batch pixel"]) -> Float[Tensor, "seed batch"]:
        """log p(x) in nats, computed in double precision."""
        # A linear map of a Gaussian, plus Gaussian noise, is Gaussian: covariances add.
        weight = self.weight.double()
        identity = torch.eye(x.shape[-1], dtype=torch.float64)
        covariance = weight.mT @ weight + self.std**2 * identity
        normal = torch.distributions.MultivariateNormal(
            self.bias.double().mT.squeeze(-1).unsqueeze(1), covariance.unsqueeze(1)
        )
        return normal.log_prob(x.double())

    def posterior(
        self, x: Float[Tensor, "seed batch pixel"]
    ) -> tuple[Float[Tensor, "seed batch latent"], Float[Tensor, "seed latent latent"]]:
        """Mean and covariance of p(z|x)."""
        # Precisions add: the prior's I and the likelihood's W Wᵀ / std² (Bishop 2006, eq. 2.117).
        weight = self.weight.double()
        identity = torch.eye(weight.shape[1], dtype=torch.float64)
        precision = identity + weight @ weight.mT / self.std**2
        covariance = torch.linalg.inv(precision)
        mean = (x.double() - self.bias.double()) @ weight.mT @ covariance / self.std**2
        return mean, covariance


class Square:
    """x = z² + std * noise in each of `n_latent` dimensions: 2^n_latent modes, well apart.

    log p(x) is a sum over dimensions of the logarithm of a one-dimensional integral.
    """

    noise_kind: ClassVar[NoiseKind] = "normal"

    def __init__(self, std: float = 0.05, n_latent: int = 1, n_seeds: int = 1) -> None:
        self.std, self.n_latent, self.n_seeds = std, n_latent, n_seeds

    @property
    def target(self) -> Target:
        """The model as an estimator takes it."""
        return Target(self, self.n_seeds, self.n_latent)

    def mean(self, z: AnyLatents) -> AnyImages:
        """E[x|z]."""
        return z.square()

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log N(x; z², std² I)."""
        return self._log_normal(x.unsqueeze(1) - z.square())

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """The same for every datapoint under every sample."""
        return self._log_normal(x.unsqueeze(1) - z.square().unsqueeze(2))

    def _log_normal(self, difference: Tensor) -> Tensor:
        standardised = difference / self.std
        return standard_normal_log_prob(standardised) - self.n_latent * math.log(self.std)

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x = z² + std * noise."""
        return z.square() + self.std * noise

    def exact(self, x: Float[Tensor, "seed batch pixel"]) -> Float[Tensor, "seed batch"]:
        """log p(x) in nats, by adaptive quadrature around the mode in each dimension."""
        flat = [math.log(self._integral(float(value))) for value in x.flatten()]
        return torch.tensor(flat, dtype=torch.float64).view(x.shape).sum(-1)

    def _integral(self, value: float) -> float:
        def joint(z: float) -> float:
            # N(x; z², std²) N(z; 0, 1).
            exponent = -0.5 * ((value - z * z) / self.std) ** 2 - 0.5 * z * z
            return math.exp(exponent) / (2 * math.pi * self.std)

        # The integrand is even in z. Its peak is near sqrt(x), of width std / (d z² / dz), except
        # near zero, where z² is flat and the width is sqrt(std).
        centre = math.sqrt(max(value, 0.0))
        width = self.std / (2 * centre) if centre > math.sqrt(self.std) else math.sqrt(self.std)
        low, high = max(0.0, centre - 12 * width), centre + 12 * width
        half, _ = integrate.quad(joint, low, high, points=[centre], epsabs=0, epsrel=1e-10)
        return 2 * float(np.float64(half))
