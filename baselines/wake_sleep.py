"""The wake-sleep algorithm (Hinton, Dayan, Frey & Neal 1995), the paper's baseline (section 4).

Wake: z ~ q(z|x) for a minibatch of images x, and the decoder ascends log p(x|z). Sleep: z ~ p(z)
and x ~ p(x|z) are dreamt by the decoder just updated, and the encoder ascends log q(z|x). A wake
and a sleep batch together count as one batch of samples.
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
        Clip dreamt pixels to [0, 1], as the author's later code does. His 2013 code, like the
        default, does not.
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
        """The posterior's noise, and the prior's and the pixels' for one dream per datapoint."""
        latent = (1, self.batch_size, self.model.n_latent)
        pixel = (1, self.batch_size, self.train_images.shape[1])
        return {
            **super().noise_shapes(),
            "prior": ("normal", latent),
            "pixel": (self.model.decoder.noise_kind, pixel),
        }

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """A wake step on `x`, then a sleep step on a dream; return the wake batch's bound."""
        # Wake. No gradient flows into the encoder: z is data for the decoder, where AEVB would
        # differentiate through z = mean + std * noise (eq. 10).
        with torch.no_grad():
            posterior = self.model.encoder(x)
            z = posterior.sample(noise["posterior"])
            divergence = kl_in(self.sgvb, posterior, z)
        log_likelihood = wake_objective(self.model.decoder, x, z)
        self.adagrad_step(-log_likelihood.sum(), DECODER)

        # Sleep. The encoder learns to invert dreams: it descends KL(p(z|x) || q(z|x)) on average
        # over x ~ p(x), not the KL(q || p) of the bound (eq. 1). So the two phases together
        # optimise no single objective (section 4).
        self.adagrad_step(-sleep_objective(self.model.encoder, *self.dream(noise)).sum(), ENCODER)
        # The wake batch's variational bound (eq. 3): no phase ascends it, but curves show it.
        return (log_likelihood.detach() - divergence).mean(1)

    @torch.no_grad()
    def dream(
        self, noise: Noise
    ) -> tuple[Float[Tensor, "seed 1 batch pixel"], Float[Tensor, "seed 1 batch latent"]]:
        """Draw z ~ p(z) and x ~ p(x|z); return x and z."""
        dreamt_x = self.model.decoder.sample(noise["prior"], noise["pixel"])
        if self.clip_dreams:
            dreamt_x.clamp_(0, 1)
        return dreamt_x, noise["prior"]


def wake_objective(
    decoder: Decoder,
    x: Float[Tensor, "seed batch pixel"],
    z: Float[Tensor, "seed sample batch latent"],
) -> Float[Tensor, "seed batch"]:
    """log p(x|z) in nats, averaged over the samples z ~ q(z|x) of an image x."""
    return decoder.log_likelihood(x, z).mean(1)


def sleep_objective(
    encoder: GaussianEncoder,
    x: Float[Tensor, "seed 1 batch pixel"],
    z: Float[Tensor, "seed 1 batch latent"],
) -> Float[Tensor, "seed batch"]:
    """log q(z|x) for a dreamt pair (x, z), in nats."""
    return encoder(x.squeeze(1)).log_prob(z).squeeze(1)
