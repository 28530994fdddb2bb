"""The decoders p(x|z): Bernoulli, Gaussian, and Gaussian with identity covariance.

Kingma & Welling 2013, Appendix C. All share one interface:

- `log_likelihood(x, z)`: log p(x|z) in nats, (member, sample, batch), from
  x (member, batch, pixel) and z (member, sample, batch, latent);
- `shared_log_likelihood(x, z)`: the same, (member, sample, batch), for every datapoint under
  every one of the samples z (member, sample, latent), each decoded once;
- `mean(z)`: the expected image, (member, ..., pixel);
- `sample(z, noise)`: an image drawn from p(x|z), from noise of the kind named by `noise_kind`.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reproduce.models.gaussian import LOG_2PI, normal_log_prob
from reproduce.models.kernels import product
from reproduce.models.layers import (
    Activation,
    HiddenLayer,
    StackedLinear,
    alike_parts,
    memberwise,
)

NoiseKind = Literal["uniform", "normal"]
FOLDS = 3


class Decoder(nn.Module):
    """What every decoder shares: one hidden layer and a linear output."""

    noise_kind: ClassVar[NoiseKind]

    def __init__(
        self,
        n_members: int,
        n_latent: int,
        n_hidden: int,
        n_pixels: int,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.hidden = HiddenLayer(n_members, n_latent, n_hidden, activation)
        self.output = StackedLinear(n_members, n_hidden, n_pixels, role="pixel")

    def log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample batch latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log p(x|z) in nats for each member, sample and datapoint."""
        raise NotImplementedError

    def shared_log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log p(x|z) in nats of every datapoint under every sample, each decoded once."""
        raise NotImplementedError

    def mean(
        self, z: Float[Tensor, "member *batch latent"]
    ) -> Float[Tensor, "member *batch pixel"]:
        """E[x|z], each pixel in (0, 1)."""
        return memberwise(torch.sigmoid, self.output(self.hidden(z)))

    def sample(
        self,
        z: Float[Tensor, "member *batch latent"],
        noise: Float[Tensor, "member *batch pixel"],
    ) -> Float[Tensor, "member *batch pixel"]:
        """Draw x ~ p(x|z), given noise of the kind `noise_kind`."""
        raise NotImplementedError


class BernoulliDecoder(Decoder):
    """Bernoulli pixels (Appendix C.1).

    Targets may be grey levels in [0, 1]: log p = sum of x log y + (1 - x) log(1 - y), which is
    then not a normalised density over images. Values compare with each other and with the
    paper's, not with those of normalised models.
    """

    noise_kind: ClassVar[NoiseKind] = "uniform"

    def log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample batch latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """Sum over pixels of x log y + (1 - x) log(1 - y), from logits."""
        logits = self.output(self.hidden(z))
        return _BernoulliLogLikelihood.apply(logits, x.unsqueeze(1))  # type: ignore[no-any-return]

    def shared_log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """One matrix product: x . logit - sum of softplus(logit)."""
        logits = self.output(self.hidden(z))
        normaliser = functional.softplus(logits).sum(-1, keepdim=True)
        return product(logits, x.mT).sub_(normaliser)

    def sample(
        self,
        z: Float[Tensor, "member *batch latent"],
        noise: Float[Tensor, "member *batch pixel"],
    ) -> Float[Tensor, "member *batch pixel"]:
        """Binary images: 1 where the uniform noise lies below the mean."""
        return (noise < self.mean(z)).to(noise.dtype)


class GaussianDecoder(Decoder):
    """Gaussian pixels: mean through a sigmoid, log variance linear in the hidden layer (C.2)."""

    noise_kind: ClassVar[NoiseKind] = "normal"

    def __init__(
        self,
        n_members: int,
        n_latent: int,
        n_hidden: int,
        n_pixels: int,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__(n_members, n_latent, n_hidden, n_pixels, activation)
        # Only the encoder's log-variance layer, of another role, starts with zero weights.
        self.log_variance = StackedLinear(n_members, n_hidden, n_pixels, role="pixel_log_variance")

    def _moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(z)
        mean = memberwise(torch.sigmoid, self.output(hidden))
        return mean, self.log_variance(hidden)

    def log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample batch latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log N(x; mean(z), diag exp(log_variance(z)))."""
        mean, log_variance = self._moments(z)
        return normal_log_prob(x.unsqueeze(1), mean, log_variance)

    def shared_log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log N(x; mean(z), diag exp(log_variance(z))), a datapoint at a time.

        Not as matrix products of x and x²: where variances are small their difference would lose
        all digits.
        """
        mean, log_variance = self._moments(z)
        rows = [normal_log_prob(row.unsqueeze(1), mean, log_variance) for row in x.unbind(1)]
        return torch.stack(rows, -1)

    def sample(
        self,
        z: Float[Tensor, "member *batch latent"],
        noise: Float[Tensor, "member *batch pixel"],
    ) -> Float[Tensor, "member *batch pixel"]:
        """Draw x = mean + std * noise, not clipped to [0, 1]."""
        mean, log_variance = self._moments(z)
        return torch.addcmul(mean, memberwise(torch.exp, 0.5 * log_variance), noise)


class GaussianIdentityDecoder(Decoder):
    """Gaussian pixels with identity covariance: mean through a sigmoid, variance one."""

    noise_kind: ClassVar[NoiseKind] = "normal"

    def log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample batch latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log N(x; mean(z), I)."""
        squared = (x.unsqueeze(1) - self.mean(z)).square().sum(-1)
        return -0.5 * (squared + x.shape[-1] * LOG_2PI)

    def shared_log_likelihood(
        self,
        x: Float[Tensor, "member batch pixel"],
        z: Float[Tensor, "member sample latent"],
    ) -> Float[Tensor, "member sample batch"]:
        """log N(x; mean(z), I)."""
        squared = torch.cdist(self.mean(z), x).square()
        return -0.5 * (squared + x.shape[-1] * LOG_2PI)

    def sample(
        self,
        z: Float[Tensor, "member *batch latent"],
        noise: Float[Tensor, "member *batch pixel"],
    ) -> Float[Tensor, "member *batch pixel"]:
        """Draw x = mean + noise."""
        return self.mean(z) + noise


def _softplus_sum(logits: Tensor, probability: Tensor, work: Tensor) -> Tensor:
    """Sum over the last axis of softplus(l) = max(l, 0) - log max(s, 1 - s), s = sigmoid(l).

    `work`, of the same shape, is overwritten. The arguments of the logarithm lie between one half
    and one, so up to 2^FOLDS of them are multiplied first: logarithms are what takes the time.
    """
    positive_part = torch.clamp_min(logits, 0, out=work).sum(-1)
    torch.sub(probability, 0.5, out=work).abs_().add_(0.5)
    for _ in range(FOLDS):
        if work.shape[-1] % 2:
            break
        left, right = work.chunk(2, -1)
        work = left * right
    for part in alike_parts(work):
        part.log_()
    return positive_part - work.sum(-1)


class _BernoulliLogLikelihood(torch.autograd.Function):
    """sum over pixels of x * logit - softplus(logit), with its gradient x - sigmoid(logit).

    One sigmoid serves value and gradient.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        probability = memberwise(torch.sigmoid, logits)
        ctx.save_for_backward(probability, x)
        # One buffer for all terms: fresh ones of this size would leave the caches.
        work = x * logits
        linear = work.sum(-1)
        return linear - _softplus_sum(logits, probability, work)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probability, x = ctx.saved_tensors
        return (x - probability).mul_(gradients[0].unsqueeze(-1)), None
