"""Full VB (Appendix F): its steps against direct derivations, and what is kept of training."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from building import algorithm, parameters
from reproduce import config, load_model
from reproduce.algorithms.full_vb import full_bound, weight_divergence
from reproduce.data.images import ImageData
from reproduce.models.bounds import BOUNDS
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.store import Store
from reproduce.training.loop import train

M, N = 20, 300  # `algorithm`'s minibatches, and the images of the fixture


def scattered(built):
    """Give every parameter a standard deviation of its own in q(theta), from 0.1 to 1."""
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for log_variance in built.log_variances:
            std = 0.1 + 0.9 * torch.rand(log_variance.shape, generator=source)
            log_variance.copy_(2 * std.log())
    return built


def one_step(built, noise):
    """Take a step with a step's noise; return its loss with a graph of its own, and the bound."""
    losses = []
    built.adagrad_step = losses.append
    x = built.pixels(noise["index"])
    bound = built.step(x, {name: value for name, value in noise.items() if name != "index"})
    del built.adagrad_step
    return losses[0], bound, x


def first_noise(built):
    return {name: value[:, 0] for name, value in built._draw(0).items()}


def test_the_divergence_of_the_weights_is_torchs_and_what_samples_of_it_average_to(images):
    built = scattered(algorithm("full_vb", images))
    posterior = built.posterior()
    assert list(posterior) == [
        f"decoder.{layer}.{part}" for layer in ("hidden", "output") for part in ("weight", "bias")
    ]
    expected = torch.zeros(2)
    for (name, gaussian), log_variance in zip(posterior.items(), built.log_variances, strict=True):
        mean, std = built.model.get_parameter(name), (log_variance / 2).exp()
        assert torch.equal(gaussian.mean.flatten(), mean.flatten())
        q = Independent(Normal(mean.flatten(1), std.flatten(1)), 1)
        prior = Independent(Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean)), 1)
        expected += kl_divergence(q, prior)
    exact = weight_divergence(BOUNDS["B"], posterior, built.draw(posterior, torch.zeros(2, 1, 124)))
    assert torch.allclose(exact, expected, rtol=1e-5)

    source = torch.Generator().manual_seed(0)
    draws = []
    for _ in range(400):
        weights = built.draw(posterior, torch.randn(2, 1, 124, generator=source))
        draws.append(weight_divergence(BOUNDS["A"], posterior, weights).detach())
    sampled = torch.stack(draws)
    assert ((sampled.mean(0) - exact).abs() < 4 * sampled.std(0) / math.sqrt(400)).all()


def by_the_paper(built, x, noise, closed_form):
    """M/N times (1/L) sum over l of f(x, z, theta), eq. 21 and 22 or 24, in torch.distributions."""
    total = torch.zeros(2)
    means = [p.flatten(1) for p in built.model.decoder.parameters()]
    stds = [(log_variance / 2).exp().flatten(1) for log_variance in built.log_variances]
    q_theta = Independent(Normal(torch.cat(means, 1), torch.cat(stds, 1)), 1)
    p_theta = Independent(Normal(torch.zeros_like(q_theta.mean), 1.0), 1)
    posterior = built.model.encoder(x)
    q_z = Independent(Normal(posterior.mean, (posterior.log_variance / 2).exp()), 1)
    p_z = Independent(Normal(torch.zeros_like(q_z.mean), 1.0), 1)
    n_samples = noise["weights"].shape[1]
    for sample in range(n_samples):
        theta = q_theta.mean + q_theta.stddev * noise["weights"][:, sample]
        first, a, second, b = (
            part.view(p.shape)
            for part, p in zip(
                theta.split([p[0].numel() for p in built.model.decoder.parameters()], 1),
                built.model.decoder.parameters(),
                strict=True,
            )
        )
        z = q_z.mean + q_z.stddev * noise["posterior"][:, sample]
        logits = torch.tanh(z @ first + a) @ second + b
        f = N * Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(2)
        f = f + N * (-kl_divergence(q_z, p_z) if closed_form else p_z.log_prob(z) - q_z.log_prob(z))
        if closed_form:
            f = f - kl_divergence(q_theta, p_theta)[:, None]
        else:
            f = f + (p_theta.log_prob(theta) - q_theta.log_prob(theta))[:, None]
        total = total + f.mean(1) / n_samples
    return M / N * total


@pytest.mark.parametrize("sgvb", ["A", "B"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_step_ascends_the_estimator_of_the_appendix(sgvb, n_samples, images):
    built = scattered(algorithm("full_vb", images, sgvb=sgvb, n_samples=n_samples))
    noise = first_noise(built)
    assert noise["weights"].shape == (2, n_samples, 124)
    loss, _, x = one_step(built, noise)
    expected = by_the_paper(built, x, noise, closed_form=sgvb == "B").sum()
    torch.testing.assert_close(-loss, expected, rtol=1e-5, atol=0)
    theirs, ours = (
        torch.autograd.grad(value, list(built.parameters())) for value in (expected, -loss)
    )
    assert len(ours) == 14  # six of the encoder's, four means, four log variances
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_what_a_step_returns_is_its_minibatchs_bound_at_the_drawn_weights(images):
    built = scattered(algorithm("full_vb", images))
    noise = first_noise(built)
    _, returned, x = one_step(built, noise)
    with torch.no_grad():
        start = 0
        for p, log_variance in zip(
            built.model.decoder.parameters(), built.log_variances, strict=True
        ):
            zeta = noise["weights"][:, 0, start : start + p[0].numel()]
            p.add_((log_variance / 2).exp().view_as(p) * zeta.view_as(p))
            start += p[0].numel()
    expected = built.bound(x, noise["posterior"]).mean(1)
    torch.testing.assert_close(returned, expected, rtol=1e-5, atol=0)


def aevb_objective(built, x, noise):
    """AEVB's objective with the weight prior on all of the decoder, also on its biases."""
    objective = built.bound(x, noise).sum()
    for p in built.model.decoder.parameters():
        objective = objective + M / N * Normal(0.0, 1.0).log_prob(p).sum()
    return objective


def test_without_variance_the_gradient_is_aevbs_with_the_weight_prior(images):
    built, aevb = algorithm("full_vb", images, initial_std=1e-12), algorithm("aevb", images)
    noise = first_noise(built)
    assert all(torch.equal(noise[name], value) for name, value in first_noise(aevb).items())
    loss, bound, x = one_step(built, noise)
    trained = list(built.model.parameters())
    ours = torch.autograd.grad(-loss, trained, retain_graph=True)
    objective = aevb_objective(aevb, x, noise["posterior"])
    theirs = torch.autograd.grad(objective, list(aevb.model.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(bound, aevb.bound(x, noise["posterior"]).mean(1), rtol=0, atol=0)
    # Of the bound nothing is left in the log variances, of their own prior M/N · 1/2.
    for gradient in torch.autograd.grad(-loss, list(built.log_variances)):
        torch.testing.assert_close(gradient, torch.full_like(gradient, M / N / 2))


def test_without_variance_it_goes_where_aevb_goes_with_the_prior_on_biases_too(images):
    """Also the encoder's weight decay is AEVB's, and no weight of the decoder decays twice."""
    built, aevb = algorithm("full_vb", images, initial_std=1e-12), algorithm("aevb", images)
    prior = M / N

    def step(x, noise):
        biases = [p for name, p in aevb.model.decoder.named_parameters() if "bias" in name]
        bound = aevb.bound(x, noise["posterior"])
        aevb.adagrad_step(-bound.sum() + prior / 2 * sum(b.square().sum() for b in biases))
        return bound.detach().mean(1)

    aevb.step = step
    start = parameters(aevb.model)
    for one in (built, aevb):
        one.training_step(range(3), 0)
    assert (parameters(aevb.model) - start).abs().max() > 0.1
    torch.testing.assert_close(parameters(built.model), parameters(aevb.model), rtol=0, atol=1e-4)
    torch.testing.assert_close(built.running_bound(), aevb.running_bound(), rtol=1e-5, atol=0)


def test_the_full_bound_is_of_all_training_images():
    source = torch.Generator().manual_seed(0)
    bytes_ = torch.randint(256, (10_100, 4), generator=source, dtype=torch.uint8)
    changed = bytes_.clone()
    changed[-1] = 255 - changed[-1]
    found = []
    for pixels in (bytes_, changed):
        images = ImageData("made_up", pixels, pixels, 1 / 256, (2, 2), "", "")
        found.append(algorithm("full_vb", images).evaluate_full_bound())
    assert not torch.equal(*found)
    assert set(algorithm("full_vb", images).measure()) == {
        "train_running", "train", "test", "full_bound"
    }  # fmt: skip


def test_a_trained_model_has_its_decoder_at_the_mean_and_the_variances_in_its_checkpoint(tmp_path):
    settings = ["algorithm=full_vb", "data=digits", "samples=12000", "seeds=2", "tracking=off"]
    job = config.job_from(
        config.compose_config([*settings, "model.n_latent=2", f"results={tmp_path}"])
    )
    train(job, lambda kind, payload: None)
    store = Store(job.store)
    model = load_model(job.cell.id, tmp_path)
    for seed in job.seeds:
        state = read_checkpoint(store, job.cell, seed)["state_dict"]
        weight = model.decoder.output.weight
        assert torch.equal(weight[seed], state["model.decoder.output.weight"][0])
        assert state["log_variances.2"].shape == (1, 1, weight[seed].numel())
        assert (state["log_variances.2"] != 2 * math.log(0.01)).any()
        curve = store.curve(job.cell, seed)
        assert set(curve["split"]) == {"train_running", "train", "test", "full_bound"}
        last = curve[curve["samples"] == 12_000].set_index("split")["value"]
        assert last["full_bound"] < last["train"]


def test_the_bound_is_scaled_to_a_datapoint():
    bound = torch.tensor([[-3.0, -5.0], [-1.0, -1.0]])
    divergence = torch.tensor([100.0, 50.0])
    assert full_bound(bound, divergence, 50).tolist() == [-6.0, -2.0]
