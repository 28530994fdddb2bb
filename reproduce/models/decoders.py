"""The decoders p(x|z): Bernoulli, Gaussian, and Gaussian with identity covariance.

Kingma & Welling 2013, Appendix C. All share one interface, which an estimator of log p(x) needs
(`reproduce.likelihood.target.Likelihood`); log likelihoods are in nats.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reproduce.models import kernels
from reproduce.models.gaussian import LOG_2PI, normal_log_prob
from reproduce.models.layers import Activation, StackedLinear, hidden_layers, last_width

NoiseKind = Literal["uniform", "normal"]

Images = Float[Tensor, "seed batch pixel"]
AnyImages = Float[Tensor, "seed *batch pixel"]
Latents = Float[Tensor, "seed sample batch latent"]
"""L samples of z for each datapoint."""
SharedLatents = Float[Tensor, "seed sample latent"]
"""Samples of z that all datapoints share."""
AnyLatents = Float[Tensor, "seed *batch latent"]
LogLikelihood = Float[Tensor, "seed sample batch"]


class Decoder(nn.Module):
    """One tanh layer, h = tanh(W z + b), and a linear output whose sigmoid is the mean image.

    Several hidden layers are given by the encoder's widths, from x to z: here they are taken in
    reverse.
    """

    noise_kind: ClassVar[NoiseKind]
    """The random numbers that `sample` takes."""

    def __init__(
        self,
        n_seeds: int,
        n_latent: int,
        n_hidden: int | Sequence[int],
        n_pixels: int,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        widths = n_hidden if isinstance(n_hidden, int) else tuple(reversed(n_hidden))
        self.hidden = hidden_layers(n_seeds, n_latent, widths, activation)
        self.output = StackedLinear(n_seeds, last_width(widths), n_pixels, role="pixel")

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log p(x|z) of each datapoint under samples of its own."""
        raise NotImplementedError

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """log p(x|z) of every datapoint under every sample, each decoded once."""
        raise NotImplementedError

    def mean(self, z: AnyLatents) -> AnyImages:
        """E[x|z], each pixel in (0, 1)."""
        return kernels.sigmoid(self.output(self.hidden(z)))

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x ~ p(x|z), given noise of the kind `noise_kind`."""
        raise NotImplementedError


class BernoulliDecoder(Decoder):
    """Bernoulli pixels with mean y (Appendix C.1, eq. 11).

    Targets may be grey levels in [0, 1]: log p = sum of x log y + (1 - x) log(1 - y), which is
    then not a normalised density over images. Values compare with each other and with the
    paper's, not with those of normalised models.
    """

    noise_kind: ClassVar[NoiseKind] = "uniform"

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """Sum over pixels of x log y + (1 - x) log(1 - y), from logits."""
        return kernels.bernoulli_log_likelihood(self.output(self.hidden(z)), x.unsqueeze(1))

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """One matrix product: x . logit - sum of softplus(logit)."""
        logits = self.output(self.hidden(z))
        normaliser = functional.softplus(logits).sum(-1, keepdim=True)
        return kernels.product(logits, x.mT).sub_(normaliser)

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Binary images: 1 where the uniform noise lies below the mean."""
        return (noise < self.mean(z)).to(noise.dtype)


class GaussianDecoder(Decoder):
    """Gaussian pixels, mean and log variance linear in the hidden layer (Appendix C.2, eq. 12).

    The mean goes through a sigmoid (section 5), unlike the encoder's.
    """

    noise_kind: ClassVar[NoiseKind] = "normal"

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # Only the encoder's log-variance layer, of another role, starts with zero weights.
        self.log_variance = StackedLinear(*self.output.weight.shape, role="pixel_log_variance")

    def _moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(z)
        return kernels.sigmoid(self.output(hidden)), self.log_variance(hidden)

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log N(x; mean(z), diag exp(log_variance(z)))."""
        return normal_log_prob(x.unsqueeze(1), *self._moments(z))

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """log N(x; mean(z), diag exp(log_variance(z))), a datapoint at a time."""
        # Matrix products of x and x² would be faster, but where variances are small their
        # difference loses all digits.
        moments = self._moments(z)
        rows = [normal_log_prob(row.unsqueeze(1), *moments) for row in x.unbind(1)]
        return torch.stack(rows, -1)

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x = mean + std * noise, not clipped to [0, 1]."""
        mean, log_variance = self._moments(z)
        return torch.addcmul(mean, kernels.exp(0.5 * log_variance), noise)


class GaussianIdentityDecoder(Decoder):
    """Gaussian pixels with identity covariance: mean through a sigmoid, variance one."""

    noise_kind: ClassVar[NoiseKind] = "normal"

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log N(x; mean(z), I)."""
        squared = (x.unsqueeze(1) - self.mean(z)).square().sum(-1)
        return -0.5 * (squared + x.shape[-1] * LOG_2PI)

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """log N(x; mean(z), I)."""
        squared = torch.cdist(self.mean(z), x).square()
        return -0.5 * (squared + x.shape[-1] * LOG_2PI)

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x = mean + noise."""
        return self.mean(z) + noise
