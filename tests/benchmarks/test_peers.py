"""The peers train the same model: the same losses from the same weights, batches and noise."""

import pytest
import torch

from benchmarks.peers.model import VAE, adagrad, negative_elbo
from benchmarks.peers.workload import BATCH_SIZE, N_LATENT, N_PIXELS

STEPS = 8
N_BLACK = 100


def batch(step):
    """Images whose first pixels are black: only the prior moves the encoder's weights there."""
    generator = torch.Generator().manual_seed(step)
    x = torch.rand(BATCH_SIZE, N_PIXELS, generator=generator)
    x[:, :N_BLACK] = 0
    return x


def noise(step):
    """What the PyTorch peer draws after `torch.manual_seed(step)`."""
    torch.manual_seed(step)
    return torch.randn(BATCH_SIZE, N_LATENT)


@pytest.fixture
def trained():
    """The PyTorch peer before training, its losses, and it after training."""
    torch.manual_seed(100)
    before, model = VAE(), VAE()
    model.load_state_dict(before.state_dict())
    optimizer, losses = adagrad(model), []
    for step in range(STEPS):
        torch.manual_seed(step)
        x = batch(step)
        loss = negative_elbo(*model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return before, losses, model


NAMES = {  # of the PyTorch peer's layers, in JAX's
    "encoder": "encoder.0", "mean": "mean", "log_variance": "log_variance", "hidden": "decoder.0",
    "logits": "decoder.2",
}  # fmt: skip


def in_jax(model):
    import jax.numpy as jnp

    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return {
        name: {"weight": jnp.array(weights[f"{there}.weight"].T),
               "bias": jnp.array(weights[f"{there}.bias"])}
        for name, there in NAMES.items()
    }  # fmt: skip


@pytest.mark.integration
def test_jax_trains_as_pytorch_does(trained):
    jax = pytest.importorskip("jax")
    from benchmarks.peers import jax_scan

    before, losses, after = trained
    params = in_jax(before)
    state = params, jax.tree.map(lambda p: 0 * p + jax_scan.ACCUMULATOR_START, params)
    loss_of, update = jax.jit(jax_scan.negative_elbo), jax.jit(jax_scan.update)
    found = []
    for step in range(STEPS):
        x, drawn = batch(step).numpy(), noise(step).numpy()
        found.append(float(loss_of(state[0], x, drawn)))
        state = update(state, x, drawn)
    assert found == pytest.approx(losses, rel=2e-4)
    expected = in_jax(after)
    for layer, parameters in state[0].items():
        for name, value in parameters.items():
            assert abs(expected[layer][name] - params[layer][name]).max() > 0.01
            assert abs(value - expected[layer][name]).max() < 5e-4, (layer, name)


@pytest.mark.integration
def test_jax_models_trained_together_are_those_trained_alone(monkeypatch):
    jax = pytest.importorskip("jax")
    from benchmarks.peers import jax_scan

    monkeypatch.setattr(jax_scan, "SCAN_STEPS", 4)

    x_train = jax.numpy.array(torch.randint(256, (300, N_PIXELS), dtype=torch.uint8).numpy())
    keys = jax.random.split(jax.random.key(3), 2)
    begin, chunk = jax_scan.compiled(2)
    together = chunk(begin(keys), keys, x_train)[0]
    begin, chunk = jax_scan.compiled(1)
    for index, key in enumerate(keys):
        start = begin(key)
        first = jax.numpy.array(start[0]["logits"]["bias"])
        alone = chunk(start, key, x_train)[0]
        assert abs(alone["logits"]["bias"] - first).max() > 0.01
        for layer in NAMES:
            difference = together[layer]["bias"][index] - alone[layer]["bias"]
            assert abs(difference).max() < 2e-3


def test_pyro_trains_as_pytorch_does(trained):
    pytest.importorskip("pyro")
    from benchmarks.peers.pyro_svi import inference

    model, losses, after = trained
    svi = inference(model)
    found = []
    for step in range(STEPS):
        torch.manual_seed(step)
        found.append(svi.step(batch(step)))
    assert found == pytest.approx(losses, rel=2e-4)
    for name, value in after.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, atol=5e-4), name
