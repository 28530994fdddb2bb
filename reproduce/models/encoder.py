"""The Gaussian encoder q(z|x) (Kingma & Welling 2013, Appendix C.2)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from reproduce.models.gaussian import DiagonalGaussian
from reproduce.models.layers import Activation, StackedLinear, hidden_layers, last_width


class GaussianEncoder(nn.Module):
    """Hidden layers, one in the paper; mean and log variance of q(z|x) are linear in the last.

    Parameters
    ----------
    n_seeds, n_pixels, n_hidden, n_latent
        Sizes; several hidden layers are given by their widths from x to z.
    log_variance_scale
        Factor on the last hidden layer's contribution to the log variance. The paper has none (1);
        the encoder of the published wake-sleep runs has 0.1, which slows the log variance down.
    activation
        Nonlinearity of the hidden layers.
    """

    def __init__(
        self,
        n_seeds: int,
        n_pixels: int,
        n_hidden: int | Sequence[int],
        n_latent: int,
        log_variance_scale: float = 1.0,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.hidden = hidden_layers(n_seeds, n_pixels, n_hidden, activation)
        width = last_width(n_hidden)
        self.mean = StackedLinear(n_seeds, width, n_latent)
        self.log_variance = StackedLinear(n_seeds, width, n_latent, role="log_variance")
        self.log_variance_scale = log_variance_scale

    def forward(self, x: Float[Tensor, "seed batch pixel"]) -> DiagonalGaussian:
        """Return q(z|x) for each seed and datapoint; its fields are (seed, batch, latent)."""
        # Eq. 12 with x and z swapped: h = tanh(W3 x + b3), mean = W4 h + b4, log std² = W5 h + b5.
        hidden = self.hidden(x)
        scale = self.log_variance_scale
        log_variance = self.log_variance(hidden if scale == 1 else scale * hidden)
        return DiagonalGaussian(self.mean(hidden), log_variance)
