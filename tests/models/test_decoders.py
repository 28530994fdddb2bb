import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from building import autoencoder
from reproduce.models.decoders import (
    BernoulliDecoder,
    GaussianDecoder,
    GaussianIdentityDecoder,
)
from reproduce.models.gaussian import DiagonalGaussian, standard_normal_log_prob
from reproduce.models.layers import HiddenLayer, StackedLinear

DECODERS = [BernoulliDecoder, GaussianDecoder, GaussianIdentityDecoder]


@pytest.fixture
def z():
    return torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def moments(decoder, z):
    hidden = torch.tanh(z.flatten(1, 2) @ decoder.hidden.weight + decoder.hidden.bias)
    mean = torch.sigmoid(hidden @ decoder.output.weight + decoder.output.bias)
    return hidden, mean.unflatten(1, z.shape[1:3])


@pytest.mark.parametrize("kind", DECODERS)
def test_log_likelihood_is_that_of_torch_distributions(kind, z):
    decoder = autoencoder(decoder=kind, std=0.8).decoder.double()
    x = torch.rand(2, 5, 12, dtype=torch.float64)
    hidden, mean = moments(decoder, z)
    if kind is BernoulliDecoder:
        # Grey levels: the cross-entropy, which is the Bernoulli density at 0 and 1.
        assert torch.allclose(
            decoder.log_likelihood(x, z),
            (x.unsqueeze(1) * mean.log() + (1 - x.unsqueeze(1)) * (1 - mean).log()).sum(-1),
            rtol=1e-12,
        )
        x = (x > 0.5).double()
        expected = Independent(Bernoulli(mean), 1)
    elif kind is GaussianDecoder:
        layer = decoder.log_variance
        log_variance = (hidden @ layer.weight + layer.bias).unflatten(1, z.shape[1:3])
        expected = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    else:
        expected = Independent(Normal(mean, torch.ones_like(mean)), 1)
    actual = decoder.log_likelihood(x, z)
    assert actual.shape == (2, 4, 5)
    assert torch.allclose(actual, expected.log_prob(x.unsqueeze(1)), rtol=1e-12)
    assert torch.allclose(decoder.mean(z), mean, rtol=1e-12)


@pytest.mark.parametrize("kind", DECODERS)
def test_samples_have_the_moments_of_the_decoder(kind):
    decoder = autoencoder(decoder=kind, std=0.8).decoder
    source = torch.Generator().manual_seed(2)
    z = torch.randn(2, 1, 1, 3, generator=source).expand(2, 1, 40_000, 3)
    draw = torch.rand if decoder.noise_kind == "uniform" else torch.randn
    x = decoder.sample(z, draw(2, 1, 40_000, 12, generator=source))
    mean = decoder.mean(z)[:, 0, 0]
    if kind is BernoulliDecoder:
        assert set(x.unique().tolist()) == {0.0, 1.0}
        variance = mean * (1 - mean)
    elif kind is GaussianDecoder:
        variance = decoder.log_variance(decoder.hidden(z[:, 0, 0:1]))[:, 0].exp()
    else:
        variance = torch.ones_like(mean)
    error = (variance / 40_000).sqrt()
    assert ((x[:, 0].mean(1) - mean).abs() < 4.5 * error).all()
    if kind is not BernoulliDecoder:  # whose variance follows from its mean
        assert torch.allclose(x[:, 0].var(1), variance, rtol=0.05)


@pytest.mark.parametrize("kind", DECODERS)
def test_log_likelihood_passes_gradcheck(kind, z):
    decoder = autoencoder(decoder=kind, std=0.8).decoder.double()
    x = torch.rand(2, 5, 12, dtype=torch.float64)
    names = [name for name, _ in decoder.named_parameters()]

    def of_parameters(z, *values):
        arguments = dict(zip(names, values, strict=True))
        return torch.func.functional_call(_LogLikelihood(decoder), arguments, (x, z))

    values = [p.detach().requires_grad_() for p in decoder.parameters()]
    names = [f"decoder.{name}" for name in names]
    assert torch.autograd.gradcheck(of_parameters, (z.requires_grad_(), *values))


class _LogLikelihood(torch.nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, x, z):
        return self.decoder.log_likelihood(x, z)


def test_bernoulli_stays_finite_for_extreme_logits():
    decoder = autoencoder().decoder
    with torch.no_grad():
        decoder.output.bias[:, :, ::2] = 500.0
        decoder.output.bias[:, :, 1::2] = -500.0
    x = torch.zeros(2, 5, 12)
    x[..., ::2] = 1.0
    value = decoder.log_likelihood(x, torch.zeros(2, 1, 5, 3))
    assert value.abs().max() < 1e-3
    wrong = decoder.log_likelihood(1 - x, torch.zeros(2, 1, 5, 3))
    assert torch.allclose(wrong, torch.full_like(wrong, -6000.0), rtol=1e-3)
    wrong.sum().backward()
    assert decoder.output.bias.grad.isfinite().all()


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_a_hidden_layer_is_its_activation_and_passes_gradcheck(activation):
    layer = HiddenLayer(2, 4, 5, activation).double()
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    function = {"tanh": torch.tanh, "softplus": lambda a: torch.log1p(torch.exp(a))}[activation]
    assert torch.allclose(layer(x), function(x @ layer.weight + layer.bias), atol=1e-14)
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradgradcheck(layer, (x,))  # modes are searched with second derivatives


def test_large_pre_activations_stay_finite_in_a_softplus_layer():
    layer = HiddenLayer(1, 1, 1, "softplus")
    with torch.no_grad():
        layer.weight.fill_(1)
    x = torch.tensor([[[-1e4], [-90.0], [0.0], [90.0], [1e4]]], requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.flatten().tolist() == pytest.approx([0, 0, 0.693147, 90, 1e4])
    assert x.grad.flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_stacked_linear_applies_each_seeds_matrix():
    layer = StackedLinear(3, 4, 5)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x = torch.randn(3, 2, 6, 4)
    for index in range(3):
        expected = x[index] @ layer.weight[index] + layer.bias[index]
        assert torch.allclose(layer(x)[index], expected, atol=1e-5)


def test_gaussian_against_torch_distributions():
    mean, log_variance = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 3).double()
    ours = DiagonalGaussian(mean, log_variance)
    theirs = Normal(mean, (log_variance / 2).exp())
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert torch.allclose(
        ours.kl_to_standard_normal(), torch.distributions.kl_divergence(theirs, prior).sum(-1)
    )
    noise = torch.randn(2, 4, 5, 3).double()
    z = ours.sample(noise)
    assert torch.allclose(z, mean[:, None] + theirs.scale[:, None] * noise)
    expected = Normal(mean[:, None], theirs.scale[:, None]).log_prob(z).sum(-1)
    assert torch.allclose(ours.log_prob(z), expected)
    expected = Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(standard_normal_log_prob(z), expected)


def test_encoder_is_linear_in_its_hidden_layer_with_the_scale_on_the_log_variance():
    encoder = autoencoder(std=0.8).encoder.double()
    with torch.no_grad():
        encoder.log_variance.weight.normal_()
        encoder.log_variance.bias.normal_()
    x = torch.rand(2, 5, 12, dtype=torch.float64)
    hidden = torch.tanh(x @ encoder.hidden.weight + encoder.hidden.bias)
    for scale in (1.0, 0.1):
        encoder.log_variance_scale = scale
        q = encoder(x)
        assert torch.allclose(q.mean, hidden @ encoder.mean.weight + encoder.mean.bias)
        product = hidden @ encoder.log_variance.weight
        assert torch.allclose(q.log_variance, scale * product + encoder.log_variance.bias)
