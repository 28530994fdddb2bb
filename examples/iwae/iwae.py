"""The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015), as an added method.

    make figure1 METHODS=examples/iwae ARGS='figure.algorithms=[aevb,wake_sleep,iwae]'

docs/add-a-method.md explains this file.
"""

import math

from jaxtyping import Float
from torch import Tensor

from reproduce.algorithms.base import Algorithm, Noise
from reproduce.models.bounds import log_weights


class IWAE(Algorithm):
    """Ascends the importance-weighted bound with K = `n_samples` samples per datapoint."""

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """One Adagrad step on the sum of the minibatch's bounds and the weight prior.

        Returns the minibatch's ordinary bound (the mean log weight), so that the curves of all
        methods show the same quantity.
        """
        log_weight = log_weights(self.model, x, noise["posterior"])
        self.adagrad_step(-importance_weighted_bound(log_weight).sum())
        return log_weight.detach().mean((1, 2))


def importance_weighted_bound(
    log_weight: Float[Tensor, "seed sample batch"],
) -> Float[Tensor, "seed batch"]:
    """log of the mean weight (Burda et al. 2015, eq. 8), in nats."""
    return log_weight.logsumexp(1) - math.log(log_weight.shape[1])
