"""The Gaussian encoder q(z|x) (Kingma & Welling 2013, Appendix C.2)."""

from jaxtyping import Float
from torch import Tensor, nn

from reproduce.models.gaussian import DiagonalGaussian
from reproduce.models.layers import StackedLinear, TanhLayer


class GaussianEncoder(nn.Module):
    """One tanh hidden layer; mean and log variance of q(z|x) are linear in it."""

    def __init__(self, n_members: int, n_pixels: int, n_hidden: int, n_latent: int) -> None:
        super().__init__()
        self.hidden = TanhLayer(n_members, n_pixels, n_hidden)
        self.mean = StackedLinear(n_members, n_hidden, n_latent)
        self.log_variance = StackedLinear(n_members, n_hidden, n_latent, role="log_variance")

    def forward(self, x: Float[Tensor, "member batch pixel"]) -> DiagonalGaussian:
        """Return q(z|x) for each member and datapoint; its fields are (member, batch, latent)."""
        hidden = self.hidden(x)
        return DiagonalGaussian(self.mean(hidden), self.log_variance(hidden))
