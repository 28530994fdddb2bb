"""The variational auto-encoder: an encoder and a decoder (Kingma & Welling 2013, section 3)."""

from collections.abc import Callable

from torch import Tensor, nn

from reproduce.models.decoders import Decoder
from reproduce.models.encoder import GaussianEncoder


class Autoencoder(nn.Module):
    """The recognition model q(z|x) and the generative model p(x|z), stacked over seeds.

    Parameters
    ----------
    encoder, decoder
        The networks, or others with the same interface: `encoder(x)` is q(z|x). Every parameter
        has a leading seed axis.
    n_latent
        N_z, the number of latent dimensions.
    """

    def __init__(self, encoder: GaussianEncoder, decoder: Decoder, n_latent: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_latent = n_latent

    def forward(self, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """Return `function(self, *arguments)`; `functional_call` does so with other weights."""
        return function(self, *arguments)

    @property
    def n_seeds(self) -> int:
        """Number of models in the stack."""
        return next(self.parameters()).shape[0]
