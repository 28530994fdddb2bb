"""Reweighted wake-sleep, the second method that lies outside the package."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from baselines.wake_sleep import ENCODER, sleep_objective
from building import algorithm, autoencoder, parameters
from reproduce.models.bounds import log_weights
from reproduce.models.gaussian import standard_normal_log_prob

EXAMPLE = Path(__file__).parents[2] / "examples" / "rws"


@pytest.fixture
def rws(monkeypatch):
    """The example's module, found as a user's would be, and its class where tests build one."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import rws

    monkeypatch.setitem(algorithm.__globals__["ALGORITHMS"], "rws", rws.ReweightedWakeSleep)
    return rws


def reproduce(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "reproduce", *arguments],
        env={**os.environ, "METHODS": str(EXAMPLE)}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_example_is_short():
    assert len((EXAMPLE / "rws.py").read_text().splitlines()) <= 60


@pytest.mark.usefixtures("rws")
def test_with_one_sample_its_decoder_takes_the_steps_of_wake_sleep(images):
    one, other = (algorithm(name, images, warmup_steps=0) for name in ("rws", "wake_sleep"))
    before = parameters(other.model.decoder)
    for trained in (one, other):
        trained.train_block(0)
    # From the second step on encoders differ, and with them what decoders see.
    assert not torch.allclose(parameters(one.model.encoder), parameters(other.model.encoder))
    one, other = (algorithm(name, images, warmup_steps=0) for name in ("rws", "wake_sleep"))
    drawn = one._draw(0)
    for trained in (one, other):
        trained.one_step({name: values[:, 0] for name, values in drawn.items()})
    torch.testing.assert_close(parameters(one.model.decoder), parameters(other.model.decoder))
    assert not torch.allclose(parameters(other.model.decoder), before)


@pytest.mark.usefixtures("rws")
def test_the_encoder_ascends_both_phases_objectives(images, monkeypatch):
    """Its gradient is that of the weighted log q and of the dreams, by hand."""
    trained = algorithm("rws", images, n_samples=4, warmup_steps=0)
    noise = {name: values[:, 0] for name, values in trained._draw(0).items()}
    x, model = trained.pixels(noise.pop("index")), trained.model
    with torch.no_grad():
        z = model.encoder(x).sample(noise["posterior"])
        log_weight = log_weights(model, x, noise["posterior"])
        weight = log_weight.exp() / log_weight.exp().sum(1, keepdim=True)
    losses = {}
    take = trained.adagrad_step

    def recorded(loss, index=0):
        if index == ENCODER:
            ascended = (weight * model.encoder(x).log_prob(z)).sum()
            ascended = ascended + sleep_objective(model.encoder, *trained.dream(noise)).sum()
            losses["expected"] = torch.autograd.grad(-ascended, [*model.encoder.parameters()])
            found = torch.autograd.grad(loss, [*model.encoder.parameters()], retain_graph=True)
            losses["found"] = found
        take(loss, index)

    monkeypatch.setattr(trained, "adagrad_step", recorded)
    returned = trained.step(x, noise)
    torch.testing.assert_close(losses["found"], losses["expected"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(returned, log_weight.mean((1, 2)))


def test_weighted_samples_have_the_mean_of_the_posterior(rws):
    """With one latent dimension that mean is known from a fine grid."""
    model = autoencoder(latent=1, std=0.7).double()
    source = torch.Generator().manual_seed(0)
    x = torch.rand(2, 20, 12, generator=source, dtype=torch.float64)
    noise = torch.randn(2, 50_000, 20, 1, generator=source, dtype=torch.float64)
    grid = torch.linspace(-8, 8, 4_001, dtype=torch.float64).reshape(1, -1, 1, 1)
    with torch.no_grad():
        z = grid.expand(2, -1, 20, 1)
        density = model.decoder.log_likelihood(x, z) + standard_normal_log_prob(z)
        exact = (density.softmax(1).unsqueeze(-1) * z).sum(1)
        weight = rws.importance_weights(log_weights(model, x, noise)).unsqueeze(-1)
        samples = model.encoder(x).sample(noise)
    torch.testing.assert_close(weight.sum(1), torch.ones_like(exact))
    found = (weight * samples).sum(1)
    stderr = (weight * (samples - found.unsqueeze(1))).square().sum(1).sqrt()
    assert ((found - exact).abs() < 5 * stderr).all()
    assert stderr.max() < 0.1
    assert ((samples.mean(1) - exact).abs() > 5 * stderr).any()  # without weights it is another


@pytest.mark.integration
def test_it_trains_by_its_name_and_gets_better(tmp_path):
    done = reproduce("train", "algorithm=rws", "data=digits", "samples=30000", "seeds=1",
                     "tracking=off", "workers=1", f"results={tmp_path}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (cell,) = tmp_path.glob("runs/digits-rws-*/cell.json")
    assert json.loads(cell.read_text())["settings"]["algorithm"]["n_samples"] == 5
    rows = (cell.parent / "seed-0" / "curve.csv").read_text().splitlines()[1:]
    test = [float(row.split(",")[2]) for row in rows if row.startswith("test,")]
    assert len(test) > 1
    assert test[-1] > test[0] > -64 * math.log(2)  # of a decoder that says 1/2 of every pixel


@pytest.mark.slow  # as all of check-method: a minute and a half
def test_check_method_finds_nothing_wrong(tmp_path):
    done = reproduce("check-method", f"METHODS={EXAMPLE}")
    assert done.returncode == 0, done.stdout + done.stderr
