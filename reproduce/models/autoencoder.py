"""The variational auto-encoder: an encoder and a decoder (Kingma & Welling 2013, section 3)."""

from torch import nn

from reproduce.models.decoders import Decoder
from reproduce.models.encoder import GaussianEncoder


class Autoencoder(nn.Module):
    """The recognition model q(z|x) and the generative model p(x|z), stacked over members."""

    def __init__(self, encoder: GaussianEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def n_members(self) -> int:
        """Number of models in the stack."""
        return next(self.parameters()).shape[0]

    @property
    def n_latent(self) -> int:
        """N_z, the number of latent dimensions."""
        return self.encoder.mean.weight.shape[-1]
