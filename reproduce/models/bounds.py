"""The SGVB estimators of the variational lower bound (Kingma & Welling 2013, section 2.3)."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from reproduce.models.autoencoder import Autoencoder
from reproduce.models.gaussian import DiagonalGaussian, standard_normal_log_prob

Bound = Callable[[Autoencoder, Tensor, Tensor], Tensor]
"""A bound on log p(x), (seed, batch), in nats, from a model, x (seed, batch, pixel) and noise
~ N(0, I), (seed, sample, batch, latent); the number of samples L is the noise's second axis."""


def log_weights(
    model: Autoencoder,
    x: Float[Tensor, "seed batch pixel"],
    noise: Float[Tensor, "seed sample batch latent"],
) -> Float[Tensor, "seed sample batch"]:
    """log p(x, z) - log q(z|x) of each sample z ~ q(z|x), in nats."""
    # z = mean + std * noise is differentiable in the encoder's parameters, so the gradient of an
    # average over samples estimates the gradient of its expectation (eq. 5, section 2.4).
    posterior = model.encoder(x)
    z = posterior.sample(noise)
    log_joint = model.decoder.log_likelihood(x, z) + standard_normal_log_prob(z)
    return log_joint - posterior.log_prob(z)


def sgvb_a(
    model: Autoencoder,
    x: Float[Tensor, "seed batch pixel"],
    noise: Float[Tensor, "seed sample batch latent"],
) -> Float[Tensor, "seed batch"]:
    """Estimator A: mean over L samples of log p(x, z) - log q(z|x) (eq. 6), in nats."""
    return log_weights(model, x, noise).mean(1)


def sgvb_b(
    model: Autoencoder,
    x: Float[Tensor, "seed batch pixel"],
    noise: Float[Tensor, "seed sample batch latent"],
) -> Float[Tensor, "seed batch"]:
    """Estimator B: closed-form -KL(q || p) plus the mean over L samples of log p(x|z) (eq. 7)."""
    # Of eq. 3 only the reconstruction term is sampled; the KL of two Gaussians is exact (Appendix
    # B). Same expectation as A, typically with less variance.
    posterior = model.encoder(x)
    log_likelihood = model.decoder.log_likelihood(x, posterior.sample(noise))
    return log_likelihood.mean(1) - posterior.kl_to_standard_normal()


def kl_in(
    bound: Bound, posterior: DiagonalGaussian, z: Float[Tensor, "seed sample batch latent"]
) -> Float[Tensor, "seed batch"]:
    """KL(q(z|x) || p(z)) as `bound` has it, in nats: from samples z ~ q(z|x), or exact."""
    # Log p(x|z) minus this is `bound`, from a log p(x|z) that was computed already (wake-sleep).
    if bound is sgvb_a:
        return (posterior.log_prob(z) - standard_normal_log_prob(z)).mean(1)
    return posterior.kl_to_standard_normal()


BOUNDS: dict[str, Bound] = {"A": sgvb_a, "B": sgvb_b}
