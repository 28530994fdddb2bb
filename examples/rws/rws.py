"""Reweighted wake-sleep (Bornschein & Bengio 2015, arXiv 1406.2751), as an added method.

    make figure1 METHODS=examples/rws ARGS='figure.algorithms=[aevb,wake_sleep,rws]'

Wake-sleep draws one z from q(z|x) and takes it for one of the posterior. Here K are drawn, weighted
by how probable they are under the posterior, and the wake phase updates q(z|x), too.
"""

from jaxtyping import Float
from torch import Tensor

from baselines.wake_sleep import DECODER, ENCODER, WakeSleep, sleep_objective
from reproduce.algorithms.base import Noise
from reproduce.models.gaussian import standard_normal_log_prob


class ReweightedWakeSleep(WakeSleep):
    """Wake-sleep with K = `n_samples` weighted samples, and both phases' updates of q(z|x)."""

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """A wake step of the decoder, then one of the encoder on both phases' objectives.

        Returns the minibatch's ordinary bound (the mean log weight), so that the curves of all
        methods show the same quantity.
        """
        posterior = self.model.encoder(x)
        z = posterior.sample(noise["posterior"]).detach()  # data for both networks
        log_likelihood = self.model.decoder.log_likelihood(x, z)
        log_q = posterior.log_prob(z)
        log_weight = (log_likelihood + standard_normal_log_prob(z) - log_q).detach()
        weight = importance_weights(log_weight)
        self.adagrad_step(-(weight * log_likelihood).sum(), DECODER)

        # Both descend KL(p(z|x) || q(z|x)): over images, where it is estimated, and over dreams.
        wake = (weight * log_q).sum()
        sleep = sleep_objective(self.model.encoder, *self.dream(noise)).sum()
        self.adagrad_step(-(wake + sleep), ENCODER)
        return log_weight.mean((1, 2))


def importance_weights(
    log_weight: Float[Tensor, "seed sample batch"],
) -> Float[Tensor, "seed sample batch"]:
    """p(x, z) / q(z|x) of each sample, normalised to a sum of 1 over an image's samples."""
    return log_weight.softmax(1)
