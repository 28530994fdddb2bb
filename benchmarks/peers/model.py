"""The model and the data of the PyTorch and the Lightning peer, as PyTorch's tutorials write them.

Its structure follows the variational auto-encoder of the official PyTorch examples
(https://github.com/pytorch/examples/tree/main/vae), with this suite's sizes, tanh units and
stochastic gradient; the bound is Kingma & Welling 2013, eq. 10, with L = 1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.workload import (
    BATCH_SIZE,
    LEARNING_RATE,
    N_HIDDEN,
    N_LATENT,
    N_PIXELS,
    N_TRAIN,
    images,
)


class VAE(nn.Module):
    """784-500-20-500-784 with tanh units and a Bernoulli decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(N_PIXELS, N_HIDDEN), nn.Tanh())
        self.mean = nn.Linear(N_HIDDEN, N_LATENT)
        self.log_variance = nn.Linear(N_HIDDEN, N_LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(N_LATENT, N_HIDDEN), nn.Tanh(), nn.Linear(N_HIDDEN, N_PIXELS)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (batch, pixel) to logits (batch, pixel), mean and log variance of z."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def negative_elbo(logits: Tensor, mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    """Return minus the bound, summed over the minibatch, in nats."""
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return reconstruction + kl


def minibatches() -> DataLoader[tuple[Tensor, ...]]:
    """Return a loader of shuffled minibatches, each [images (batch, pixel)].

    As in "Datasets & DataLoaders"
    (https://docs.pytorch.org/tutorials/beginner/basics/data_tutorial.html). Worker processes, off
    by default, would compete with the training for the same two cores.
    """
    data = TensorDataset(torch.from_numpy(images()))
    return DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, num_workers=0)


def adagrad(model: nn.Module) -> torch.optim.Adagrad:
    """Return PyTorch's Adagrad in its default implementation, for the parameters of `model`.

    The prior N(0, I) on the weight matrices, scaled by M/N, is their weight decay.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": BATCH_SIZE / N_TRAIN},
        {"params": [p for p in parameters if p.ndim < 2]},
    ]
    return torch.optim.Adagrad(groups, lr=LEARNING_RATE, initial_accumulator_value=1e-8, eps=0)
