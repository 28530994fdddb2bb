"""Monte Carlo EM: chains of the right posterior, full-batch Adagrad, the paper's counting."""

import numpy as np
import pytest
import torch
from scipy import stats

from baselines.mcem import MonteCarloEM
from building import autoencoder, parameters
from reproduce.data.images import ImageData
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder


def mcem(images, seeds=(0, 1), decoder=BernoulliDecoder, std=0.3, hidden=7, latent=3, **settings):
    model = autoencoder(seeds, images.train.shape[1], hidden, latent, decoder, std)
    settings = {"step_size": 0.05, **settings}
    return MonteCarloEM(model, images, seeds, **settings).without_trainer()


@pytest.mark.integration
@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
def test_chains_settle_on_the_posterior(decoder):
    """400 chains for one image, against p(z|x) summed on a grid."""
    source = torch.Generator().manual_seed(1)
    image = torch.randint(256, (1, 12), generator=source, dtype=torch.uint8)
    images = ImageData("one", image.expand(400, -1), image, 1 / 256, (3, 4), "", "")
    built = mcem(images, seeds=(3,), decoder=decoder, std=0.7, latent=1)
    for iteration in range(200):
        _, rate = built.sample_posterior(iteration)
    assert 0.7 < float(rate) < 1
    grid = torch.linspace(-6, 6, 4001)
    x = image.float().expand(4001, -1)[None] / 256
    with torch.no_grad():
        log_likelihood = built.model.decoder.log_likelihood(x, grid.view(1, 1, -1, 1))[0, 0]
    posterior = torch.softmax(log_likelihood - grid.square() / 2, 0)
    prior = torch.softmax(-grid.square() / 2, 0)
    assert float((posterior - prior).abs().sum() / 2) > 0.1  # or the test would prove little
    cumulative = posterior.cumsum(0).numpy()
    position = built.chain_position[0, :, 0].numpy()
    test = stats.kstest(position, lambda z: np.interp(z, grid.numpy(), cumulative))
    assert test.pvalue > 0.01


def test_chains_persist_and_start_from_the_prior(images):
    built = mcem(images, seeds=(0, 7))
    start = built.chain_position.clone()
    assert start.shape == (2, 300, 3)
    assert abs(float(start.mean())) < 4 / 1800**0.5
    assert abs(float(start.var()) - 1) < 4 * (2 / 1800) ** 0.5
    assert not torch.equal(start[0], start[1])
    built.sample_posterior(0)
    moved = (built.chain_position != start).any(-1).double().mean(1)
    assert (moved > 0.9).all()  # the initial step is small: nearly all proposals are accepted
    assert ((built.chain_position - start).abs() < 1.0).all()  # and go on from where chains were


def test_warmup_updates_accumulate_and_move_nothing(images):
    warm, cold = mcem(images, warmup_updates=7), mcem(images)
    start = parameters(warm.model)
    warm.train_block(0)  # five updates
    assert torch.equal(parameters(warm.model), start)
    sums = [state["sum"].clone() for state in warm._raw_optimizers()[0].state.values()]
    assert all(bool((one > 1e-8).any()) for one in sums)
    warm.train_block(1)  # two, and three that move
    assert not torch.equal(parameters(warm.model), start)
    cold.train_block(0)
    assert not torch.equal(parameters(cold.model), start)


def test_the_integrators_step_is_tuned_to_the_target(images):
    built = mcem(images, seeds=(0,))
    assert float(built.leapfrog_step) == pytest.approx(0.01)
    built.sample_posterior(0)
    assert float(built.leapfrog_step) == pytest.approx(0.0125)
    built.leapfrog_step.fill_(50.0)
    _, rate = built.sample_posterior(1)
    assert float(rate) < 0.9
    assert float(built.leapfrog_step) == pytest.approx(40.0)
    built.leapfrog_step.fill_(0.01)
    rates = [float(built.sample_posterior(iteration)[1]) for iteration in range(2, 62)]
    assert sum(rates[-30:]) / 30 == pytest.approx(0.9, abs=0.05)


def test_updates_are_adagrad_on_the_whole_training_set(images):
    """theta += eta g / sqrt(G + 1e-8), g of sum log p(x|z) + log N(theta; 0, I)."""
    built, reference = mcem(images, n_updates=2), mcem(images)
    decoder = reference.model.decoder
    x = (images.train.float() / 256).expand(2, -1, -1)
    accumulated = {name: torch.zeros_like(p) for name, p in decoder.named_parameters()}
    for _ in range(2):
        objective = decoder.log_likelihood(x, reference.chain_position.unsqueeze(1)).sum()
        for name, p in decoder.named_parameters():
            if name.endswith("weight"):
                objective = objective + torch.distributions.Normal(0, 1).log_prob(p).sum()
        gradients = torch.autograd.grad(objective, list(decoder.parameters()))
        with torch.no_grad():
            for (name, p), g in zip(decoder.named_parameters(), gradients, strict=True):
                accumulated[name] += g**2
                p += 0.05 * g / torch.sqrt(accumulated[name] + 1e-8)
    encoder = parameters(built.model.encoder)
    for _ in range(2):
        built.update_decoder()
    assert torch.allclose(parameters(built.model.decoder), parameters(decoder), atol=2e-6)
    assert torch.equal(parameters(built.model.encoder), encoder)


@pytest.mark.parametrize("chunk", [7, 100, 299])
def test_chunks_change_nothing_but_rounding(images, chunk, monkeypatch):
    whole, chunked = mcem(images), mcem(images)
    whole.training_step(range(0, 4), 0)
    monkeypatch.setattr("baselines.mcem.CHUNK", chunk)
    chunked.training_step(range(0, 4), 0)
    assert torch.allclose(whole.chain_position, chunked.chain_position, atol=1e-3)
    assert torch.allclose(parameters(whole), parameters(chunked), atol=1e-3)
    assert torch.allclose(whole.running_sum, chunked.running_sum, atol=1e-3)
    assert torch.equal(whole.accepted_sum, chunked.accepted_sum)


@pytest.mark.parametrize(
    ("decoder", "pixels", "hidden", "latent"),
    [(BernoulliDecoder, 784, 100, 3), (GaussianDecoder, 560, 200, 10)],
)
def test_a_seed_of_a_stack_equals_the_same_seed_alone(decoder, pixels, hidden, latent):
    source = torch.Generator().manual_seed(0)
    shape = (1000, pixels)
    bytes_ = torch.randint(256, shape, generator=source, dtype=torch.uint8)
    images = ImageData("made_up", bytes_, bytes_[:10], 1 / 256, (1, pixels), "", "")
    sizes = {"decoder": decoder, "hidden": hidden, "latent": latent, "std": 0.01}
    stack, alone = mcem(images, (5, 0, 9), **sizes), mcem(images, (0,), **sizes)
    for one in (stack, alone):
        one.training_step(range(0, 2), 0)
    assert torch.equal(parameters(stack, index=1), parameters(alone, index=0))
    assert torch.equal(stack.chain_position[1:2], alone.chain_position)
    assert torch.equal(stack.leapfrog_step[1:2], alone.leapfrog_step)


def test_an_iteration_counts_15_samples_a_training_point(images):
    built = mcem(images)
    assert built.block_samples == 15 * 300
    built.training_step(range(0, 3), 0)
    assert built.samples_seen.tolist() == [3 * 15 * 300] * 2
    assert built.facts() == {"chains": 300, "iterations": 3, "samples_an_iteration": 4500}
    settings = {"n_leapfrog": 10, "n_updates": 5}
    assert MonteCarloEM.block_samples_of(settings, 50_000) == 750_000


def test_curves_show_the_mean_log_joint_since_the_mark(images):
    built = mcem(images)
    seen = [built.sample_posterior(0) for _ in range(1)]
    again = mcem(images)
    again.train_block(0)
    for name, expected in zip(("train_log_joint", "acceptance_rate"), seen[0], strict=True):
        assert torch.equal(again.measure()[name], expected)
    again.start_new_mark()
    assert torch.equal(again.accepted_sum, torch.zeros(2, dtype=torch.float64))
    x = (images.train.float() / 256).expand(2, -1, -1)
    z = built.chain_position
    prior = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    log_joint = built.model.decoder.log_likelihood(x, z.unsqueeze(1)).squeeze(1) + prior
    assert torch.allclose(seen[0][0], log_joint.double().mean(1), atol=1e-4)
