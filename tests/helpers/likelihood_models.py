"""Data of models whose log p(x) is known, and brute force where it is not."""

import torch

from building import autoencoder
from reproduce.likelihood.target import Target
from reproduce.models.random_streams import generator


def draw(model, n_points, n_pixels, seed=0):
    """Data of a model, each seed its own."""
    target = model.target
    source = generator("cpu", seed, "test data")
    shape = (target.n_seeds, n_points)
    z = torch.randn(*shape, target.n_latent, generator=source)
    draws = torch.rand if model.noise_kind == "uniform" else torch.randn
    return model.sample(z, draws(*shape, n_pixels, generator=source))


def small(decoder, latent, seeds=(0, 1), n_points=6, std=1.0, **sizes):
    """A small autoencoder as a target, with data of its own."""
    model = autoencoder(seeds, latent=latent, decoder=decoder, std=std, **sizes)
    model.requires_grad_(False)
    source = generator("cpu", 0, "small data")
    shape = (len(seeds), n_points)
    z = torch.randn(*shape, latent, generator=source)
    draws = torch.rand if decoder.noise_kind == "uniform" else torch.randn
    return Target.of(model), model.decoder.sample(z, draws(*shape, 12, generator=source))


def summed(target, x, points=401, reach=7.0):
    """log p(x) by summing over a regular grid of one or two dimensions."""
    line = torch.linspace(-reach, reach, points)
    grid = torch.cartesian_prod(*[line] * target.n_latent).view(-1, target.n_latent)
    z = grid.expand(target.n_seeds, -1, -1)
    log_likelihood = target.likelihood.shared_log_likelihood(x, z).double()
    log_prior = -0.5 * (grid.double().square() + torch.log(torch.tensor(2 * torch.pi))).sum(-1)
    cell = target.n_latent * torch.log(line[1] - line[0]).double()
    return torch.logsumexp(log_likelihood + log_prior.view(1, -1, 1), 1) + cell
