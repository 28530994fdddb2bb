"""Peer: stochastic variational inference by Pyro.

It follows Pyro's tutorial "Variational Autoencoders" (https://pyro.ai/examples/vae.html): networks
registered by `pyro.module`, a plate over the minibatch, `SVI.step` a minibatch from a DataLoader,
distributions' checks off. Two things are as in this suite: the decoder gives logits rather than
probabilities, and `TraceMeanField_ELBO` takes the divergence from the prior in closed form
(https://docs.pyro.ai/en/stable/inference_algos.html).
"""
# pyright: reportMissingImports=false
# (Pyro is an optional extra.)

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.optim import PyroOptim
from torch import Tensor

from benchmarks.peers.model import VAE, minibatches
from benchmarks.peers.workload import (
    BATCH_SIZE,
    LEARNING_RATE,
    N_LATENT,
    N_TRAIN,
    Clock,
    Measurement,
    parser,
    report,
)


class PyroVAE:
    """Model and guide over the networks of a `VAE`."""

    def __init__(self, vae: VAE) -> None:
        self.vae = vae

    def model(self, x: Tensor) -> None:
        """p(x, z): a standard normal z, and pixels that are Bernoulli given z."""
        pyro.module("decoder", self.vae.decoder)
        with pyro.plate("data", x.shape[0]):
            prior = dist.Normal(x.new_zeros(x.shape[0], N_LATENT), x.new_ones(()))
            z = pyro.sample("latent", prior.to_event(1))
            pixels = dist.Bernoulli(logits=self.vae.decoder(z), validate_args=False)
            pyro.sample("obs", pixels.to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """q(z|x): a diagonal normal."""
        for name in ("encoder", "mean", "log_variance"):
            pyro.module(name, getattr(self.vae, name))
        with pyro.plate("data", x.shape[0]):
            hidden = self.vae.encoder(x)
            mean, std = self.vae.mean(hidden), torch.exp(0.5 * self.vae.log_variance(hidden))
            pyro.sample("latent", dist.Normal(mean, std).to_event(1))


def adagrad_settings(name: str) -> dict[str, Any]:
    """Return the settings of `benchmarks.peers.model.adagrad` for the parameter of this name."""
    decay = BATCH_SIZE / N_TRAIN if name.endswith("weight") else 0
    return {
        "lr": LEARNING_RATE,
        "weight_decay": decay,
        "initial_accumulator_value": 1e-8,
        "eps": 0,
    }


def inference(vae: VAE) -> SVI:
    """Return what trains `vae`, a minibatch a step."""
    pyro.enable_validation(False)
    pyro.clear_param_store()
    peer = PyroVAE(vae)
    optimizer = PyroOptim(torch.optim.Adagrad, adagrad_settings)
    return SVI(peer.model, peer.guide, optimizer, loss=TraceMeanField_ELBO())


def measure(seconds: float, threads: int) -> Measurement:
    """Train for `seconds` after a warm-up and return the speed and the memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that PyTorch may use.
    """
    torch.set_num_threads(threads)
    pyro.set_rng_seed(0)
    loader = minibatches()
    svi = inference(VAE())
    clock = Clock(seconds)
    while True:
        for (x,) in loader:
            svi.step(x)
            if clock.tick():
                return clock.measurement()


if __name__ == "__main__":
    report(measure, parser(__doc__).parse_args())
