import pytest
import torch

from building import autoencoder
from reproduce.models.decoders import GaussianDecoder
from reproduce.models.initialisation import initialise


def wide(seeds=(0, 1)):
    return autoencoder(seeds, pixels=300, hidden=200, latent=50)


@pytest.mark.parametrize("std", [0.01, 0.1])
def test_normal_scheme(std):
    model = wide()
    initialise(model, (0, 1), "normal", std)
    for layer in (model.encoder.hidden, model.encoder.mean, model.decoder.hidden):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert layer.bias.std().item() == pytest.approx(std, rel=0.25)
    assert not model.encoder.log_variance.weight.any()
    assert not model.encoder.log_variance.bias.any()


@pytest.mark.parametrize(
    ("output_bias", "mean", "log_variance"),
    [("normal", True, True), ("mean", True, False), ("zero", False, False)],
)
def test_which_output_biases_are_drawn(output_bias, mean, log_variance):
    model = autoencoder((0, 1), pixels=300, hidden=200, latent=50, decoder=GaussianDecoder)
    initialise(model, (0, 1), "normal", 0.01, output_bias)
    assert bool(model.decoder.output.bias.any()) == mean
    assert bool(model.decoder.log_variance.bias.any()) == log_variance
    assert model.decoder.log_variance.weight.all()
    assert model.encoder.mean.bias.all()
    assert model.decoder.hidden.bias.all()


def test_fan_in_scheme():
    model = wide()
    initialise(model, (0, 1), "fan_in", 0.01)
    assert model.encoder.hidden.weight.std().item() == pytest.approx(300**-0.5, rel=0.02)
    assert model.decoder.output.weight.std().item() == pytest.approx(200**-0.5, rel=0.02)
    assert model.decoder.hidden.bias.std().item() == pytest.approx(0.01, rel=0.25)
    assert not model.decoder.output.bias.any()
    assert not model.encoder.log_variance.weight.any()


def test_a_seed_starts_alike_in_any_company():
    together, alone = wide((4, 7)), wide((7,))
    for stacked, single in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(stacked[1:], single)
        assert not stacked.any() or not torch.equal(stacked[0], stacked[1])
