"""Auto-Encoding Variational Bayes (Kingma & Welling 2013, algorithm 1)."""

from jaxtyping import Float
from torch import Tensor

from reproduce.algorithms.base import Algorithm, Noise


class AEVB(Algorithm):
    """Ascends the SGVB estimate of the bound in encoder and decoder together."""

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """One Adagrad step on the sum of the minibatch's bounds and the weight prior."""
        bound = self.bound(x, noise["posterior"])  # eq. 6 or 7, of each datapoint
        self.checked("bound", bound, image=x.shape[1])
        # One loss for the whole stack: seeds share nothing, so the gradient of the sum is each
        # seed's own. It reaches the encoder through z = mean + std * noise (eq. 10).
        self.adagrad_step(-bound.sum())
        return bound.detach().mean(1)
