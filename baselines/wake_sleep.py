"""The wake-sleep algorithm (Hinton et al. 1995), as the paper compares with it (section 4).

Wake: z ~ q(z|x), and the decoder ascends log p(x|z). Sleep: z ~ p(z) and x ~ p(x|z) are dreamt
with the decoder just updated, and the encoder ascends log q(z|x). One wake and one sleep batch
together count as one batch of samples.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.algorithms.adagrad import Adagrad
from reproduce.algorithms.base import Algorithm, Noise
from reproduce.models.bounds import kl_in
from reproduce.models.decoders import Decoder, NoiseKind
from reproduce.models.encoder import GaussianEncoder

DECODER, ENCODER = 0, 1


class WakeSleep(Algorithm):
    """Decoder and encoder in turn, each with Adagrad accumulators of its own.

    Parameters
    ----------
    clip_dreams
        Clip dreamt pixels to [0, 1], as the author's later code does. The default, as in his
        2013 code, does not.
    **settings
        As for `Algorithm`.
    """

    def __init__(self, *arguments: Any, clip_dreams: bool = False, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.clip_dreams = clip_dreams

    def configure_optimizers(self) -> list[Adagrad]:
        """Two optimisers: the wake phase's and the sleep phase's."""
        return [self.adagrad(self.model.decoder), self.adagrad(self.model.encoder)]

    def noise_shapes(self) -> dict[str, tuple[NoiseKind, tuple[int, ...]]]:
        """Add to the posterior's noise what dreams are made of."""
        latent = (1, self.batch_size, self.model.n_latent)
        pixel = (1, self.batch_size, self.train_images.shape[1])
        return {
            **super().noise_shapes(),
            "prior": ("normal", latent),
            "pixel": (self.model.decoder.noise_kind, pixel),
        }

    def step(
        self, x: Float[Tensor, "member batch pixel"], noise: Noise
    ) -> Float[Tensor, " member"]:
        """A wake step on `x`, then a sleep step on a dream; return the wake batch's bound."""
        with torch.no_grad():
            posterior = self.model.encoder(x)
            z = posterior.sample(noise["posterior"])
            divergence = kl_in(self.estimator, posterior, z)
        log_likelihood = wake_objective(self.model.decoder, x, z)
        self.descend(-log_likelihood.sum(), DECODER)

        with torch.no_grad():
            dreamt_z = noise["prior"]
            dreamt_x = self.model.decoder.sample(dreamt_z, noise["pixel"])
            if self.clip_dreams:
                dreamt_x.clamp_(0, 1)
        self.descend(-sleep_objective(self.model.encoder, dreamt_x, dreamt_z).sum(), ENCODER)
        return (log_likelihood.detach() - divergence).mean(1)


def wake_objective(
    decoder: Decoder,
    x: Float[Tensor, "member batch pixel"],
    z: Float[Tensor, "member sample batch latent"],
) -> Float[Tensor, "member batch"]:
    """log p(x|z) for z inferred awake, in nats, averaged over samples of z."""
    return decoder.log_likelihood(x, z).mean(1)


def sleep_objective(
    encoder: GaussianEncoder,
    x: Float[Tensor, "member 1 batch pixel"],
    z: Float[Tensor, "member 1 batch latent"],
) -> Float[Tensor, "member batch"]:
    """log q(z|x) for a dreamt pair (x, z), in nats."""
    return encoder(x.squeeze(1)).log_prob(z).squeeze(1)
