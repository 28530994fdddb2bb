"""Full variational Bayes (Kingma & Welling 2013, Appendix F): a posterior over the decoder, too.

AEVB finds one theta, the decoder's parameters. Here theta is random like z: its prior is
p(theta) = N(0, I), its approximate posterior q(theta) = N(mean, diag exp(log_variance)), eq. 23,
and a draw is theta = mean + std * zeta with zeta ~ N(0, I), eq. 19. What is ascended is a bound on
the marginal likelihood of the whole data set, log p(X) >= L(phi; X) (eq. 13 to 16).

Where this differs from Appendix F:

- Theta is all of the decoder, biases as well. AEVB has a weight prior on matrices alone.
- Eq. 22 draws x anew for each of the L samples. Here each of the L samples of zeta, and of
  epsilon for each image, goes with the whole minibatch, whose mean stands for the image's term.
- `sgvb=B` has both KL divergences in closed form (eq. 24), `A` samples them (eq. 21 and 22).
  (Eq. 24 prints log p(x, z) without its bar: it is log p(x|z).)
- The objective is scaled by M/N, as AEVB's is, so that step sizes mean the same.
- The encoder's matrices keep the weight decay of AEVB. It is no part of L(phi; X), which is a
  bound whatever the encoder is.

With q(theta) shrunk to a point, a step is AEVB's with the weight prior on biases, too.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from reproduce.algorithms.adagrad import Adagrad
from reproduce.algorithms.base import Algorithm, Noise
from reproduce.models.bounds import Bound, kl_in
from reproduce.models.decoders import NoiseKind
from reproduce.models.gaussian import DiagonalGaussian

Weights = Mapping[str, Tensor]
"""A draw of theta: by a parameter's name in the model, its values (seed, 1, 1, value)."""
WeightPosterior = Mapping[str, DiagonalGaussian]
"""q(theta): by a parameter's name in the model, a Gaussian over its values (seed, 1, value)."""


class FullVB(Algorithm):
    """Ascends the SGVB estimate of the bound on log p(X) in encoder and q(theta) together.

    The decoder of `model` is at the mean of q(theta). So the curves `train` and `test`, and what
    is estimated of the trained model, are of that mean and compare with those of other methods.
    The curve `train_running` is of draws of theta, and `full_bound` is L(phi; X) / N.

    Parameters
    ----------
    initial_std
        Standard deviation of every parameter in q(theta) before training.
    **settings
        As for `Algorithm`. `n_samples` is L, of z and of theta.
    """

    def __init__(self, *arguments: Any, initial_std: float = 0.01, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.initial_std = initial_std
        start = 2 * math.log(initial_std)
        self.log_variances = nn.ParameterList(
            torch.full_like(_as_vector(mean), start) for mean in self.model.decoder.parameters()
        )
        self.sizes = [log_variance.shape[-1] for log_variance in self.log_variances]

    def posterior(self) -> WeightPosterior:
        """q(theta), of which the decoder's own parameters are the means."""
        means = self.model.decoder.named_parameters()
        return {
            f"decoder.{name}": DiagonalGaussian(_as_vector(mean), log_variance)
            for (name, mean), log_variance in zip(means, self.log_variances, strict=True)
        }

    def configure_optimizers(self) -> list[Adagrad]:
        """One Adagrad over phi: the encoder, and means and log variances of q(theta)."""
        # Theta's prior is in the objective. In a list no parameter is called `weight`, so that
        # Adagrad's weight decay is on the encoder's matrices alone.
        theta = nn.ParameterList([*self.model.decoder.parameters(), *self.log_variances])
        return [self.adagrad(nn.ModuleDict({"encoder": self.model.encoder, "theta": theta}))]

    def noise_shapes(self) -> dict[str, tuple[NoiseKind, tuple[int, ...]]]:
        """The posterior's noise (epsilon), and that of the weights (zeta)."""
        return {**super().noise_shapes(), "weights": ("normal", (self.n_samples, sum(self.sizes)))}

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """One Adagrad step on M/N times the estimate of L(phi; X) (eq. 22 or 24).

        Returns the minibatch's bound with weights drawn from q(theta), without KL(q(theta) ||
        p(theta)).
        """
        posterior = self.posterior()
        bounds, divergences = [], []
        for sample in range(self.n_samples):
            rows = slice(sample, sample + 1)
            weights = self.draw(posterior, noise["weights"][:, rows])
            bounds.append(self.bound_with(weights, x, noise["posterior"][:, rows]))
            divergences.append(weight_divergence(self.sgvb, posterior, weights))
        bound, divergence = torch.stack(bounds).mean(0), torch.stack(divergences).mean(0)
        objective = full_bound(bound, divergence, len(self.train_images))
        self.adagrad_step(-x.shape[1] * objective.sum())
        return bound.detach().mean(1)

    def draw(self, posterior: WeightPosterior, noise: Float[Tensor, "seed 1 weight"]) -> Weights:
        """Theta = mean + std * zeta (eq. 19 and section F.1), with zeta the given noise."""
        parts = noise.unsqueeze(2).split(self.sizes, -1)
        draws = zip(posterior.items(), parts, strict=True)
        return {name: gaussian.sample(part) for (name, gaussian), part in draws}

    def bound_with(
        self,
        weights: Weights,
        x: Float[Tensor, "seed batch pixel"],
        noise: Float[Tensor, "seed sample batch latent"],
    ) -> Float[Tensor, "seed batch"]:
        """SGVB estimate of L(theta, phi; x), the bound on log p(x) given theta (eq. 18), nats."""
        own = self.model.get_parameter
        given = {name: value.reshape(own(name).shape) for name, value in weights.items()}
        return functional_call(self.model, given, (self.sgvb, x, noise))

    def measure(self) -> dict[str, Float[Tensor, " seed"]]:
        """The curves of every method, and L(phi; X) / N."""
        return {**super().measure(), "full_bound": self.evaluate_full_bound()}

    @torch.no_grad()
    def evaluate_full_bound(self) -> Float[Tensor, " seed"]:
        """Estimate of L(phi; X) / N by all training images and one draw of theta, in nats."""
        posterior = self.posterior()
        key = ("evaluate", "weights", int(self.samples_seen[0]))
        shape = (1, sum(self.sizes))
        noise = torch.stack([self._random("normal", shape, seed, *key) for seed in self.seeds])
        weights = self.draw(posterior, noise)

        def bound(x: Tensor, noise: Tensor) -> Tensor:
            return self.bound_with(weights, x, noise)

        mean = self.mean_bound(self.train_images, "full", bound)
        divergence = weight_divergence(self.sgvb, posterior, weights)
        return full_bound(mean.unsqueeze(1), divergence, len(self.train_images))


def full_bound(
    bound: Float[Tensor, "seed batch"], divergence: Float[Tensor, " seed"], n_train: int
) -> Float[Tensor, " seed"]:
    """L(phi; X) / N, a lower bound on log p(X) / N (eq. 14), in nats per datapoint.

    Parameters
    ----------
    bound
        L(theta, phi; x) with theta ~ q(theta) of some datapoints (eq. 16), in nats; an estimate
        of it makes this one an estimate.
    divergence
        KL(q(theta) || p(theta)) of all weights together, in nats.
    n_train
        N, the number of datapoints in X.
    """
    # Eq. 14 and 21: N times the mean over datapoints, plus log p(theta) - log q(theta), once.
    return bound.mean(1) - divergence / n_train


def weight_divergence(
    bound: Bound, posterior: WeightPosterior, weights: Weights
) -> Float[Tensor, " seed"]:
    """KL(q(theta) || p(theta)) as `bound` has it, in nats: from a draw of theta, or exact."""
    parts = [kl_in(bound, posterior[name], drawn).sum(1) for name, drawn in weights.items()]
    return torch.stack(parts).sum(0)


def _as_vector(parameter: Tensor) -> Float[Tensor, "seed 1 value"]:
    return parameter.flatten(1).unsqueeze(1)
