"""Auto-Encoding Variational Bayes (Kingma & Welling 2013, algorithm 1)."""

from jaxtyping import Float
from torch import Tensor

from reproduce.algorithms.base import Algorithm, Noise


class AEVB(Algorithm):
    """Ascends the SGVB estimate of the bound in encoder and decoder together."""

    def step(
        self, x: Float[Tensor, "member batch pixel"], noise: Noise
    ) -> Float[Tensor, " member"]:
        """One Adagrad step on the sum of the minibatch's bounds and the weight prior."""
        bound = self.bound(x, noise["posterior"])
        self.descend(-bound.sum())
        return bound.detach().mean(1)
