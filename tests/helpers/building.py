"""Small stacks for tests."""

import torch

from baselines.wake_sleep import WakeSleep
from reproduce.algorithms.aevb import AEVB
from reproduce.algorithms.full_vb import FullVB
from reproduce.models import kernels
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.decoders import BernoulliDecoder
from reproduce.models.encoder import GaussianEncoder
from reproduce.models.initialisation import initialise

ALGORITHMS = {"aevb": AEVB, "wake_sleep": WakeSleep, "full_vb": FullVB}


def autoencoder(seeds=(0, 1), pixels=12, hidden=7, latent=3, decoder=BernoulliDecoder, std=0.3):
    sizes = {"n_pixels": pixels, "n_hidden": hidden, "n_latent": latent}
    model = Autoencoder(GaussianEncoder(len(seeds), **sizes), decoder(len(seeds), **sizes), latent)
    initialise(model, seeds, "normal", std)
    return model


def algorithm(
    name, images, seeds=(0, 1), decoder=BernoulliDecoder, std=0.3, hidden=7, latent=3, **settings
):
    """An algorithm with its optimisers in place, as Lightning would hand them to it."""
    settings = {"step_size": 0.05, "warmup_steps": 5, "batch_size": 20, **settings}
    model = autoencoder(seeds, images.train.shape[1], hidden, latent, decoder, std)
    return ALGORITHMS[name](model, images, seeds, **settings).without_trainer()


def parameters(module, index=None):
    """All parameters as one vector, of one seed or of the stack."""
    values = [p if index is None else p[index] for p in module.parameters()]
    return torch.cat([value.detach().flatten() for value in values])


def has_onednn():
    """Tell whether this build of torch has oneDNN's operator for linear layers."""
    try:
        kernels.single_product(torch.ones(2, 2), torch.ones(2, 2))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
