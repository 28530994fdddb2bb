"""Full VB on a linear-Gaussian model, whose marginal likelihood and whose full bound are known."""

import math

import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from reproduce.algorithms.full_vb import FullVB
from reproduce.data.images import ImageData
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.gaussian import DiagonalGaussian, normal_log_prob
from reproduce.models.initialisation import initialise
from reproduce.models.layers import StackedLinear

STD, OFFSET, SCALE = 0.5, 4.0, 8 / 256
"""Of a pixel given z, of bytes as grey levels."""
N_POINTS = 50


class LinearDecoder(nn.Module):
    """x = z w + b + STD · noise - that is, N(z w + b, STD² I), with one z and two pixels."""

    def __init__(self, n_seeds):
        super().__init__()
        self.layer = StackedLinear(n_seeds, 1, 2)

    def log_likelihood(self, x, z):
        log_variance = torch.full((2,), 2 * math.log(STD))
        return normal_log_prob(x.unsqueeze(1) - OFFSET, self.layer(z), log_variance)


class LinearEncoder(nn.Module):
    """N(x a + c, exp(log_variance)): the true posterior is one of them for every w and b."""

    def __init__(self, n_seeds):
        super().__init__()
        self.mean = StackedLinear(n_seeds, 2, 1)
        self.log_variance = nn.Parameter(torch.zeros(n_seeds, 1, 1))

    def initialise_seed(self, index, draw):
        self.log_variance[index] = 0.0

    def forward(self, x):
        mean = self.mean(x - OFFSET)
        return DiagonalGaussian(mean, self.log_variance.expand_as(mean))


def linear(step_size=0.1, initial_std=0.1):
    """Full VB on 50 points of a linear-Gaussian model, two seeds, whole data set a step."""
    source = torch.Generator().manual_seed(0)
    z, noise = (torch.randn(N_POINTS, n, generator=source) for n in (1, 2))
    x = z * torch.tensor([1.0, -0.6]) + torch.tensor([0.3, -0.2]) + STD * noise
    bytes_ = ((x + OFFSET) / SCALE).round().to(torch.uint8)
    images = ImageData("made_up", bytes_, bytes_, SCALE, (1, 2), "", "")
    model = Autoencoder(LinearEncoder(2), LinearDecoder(2), 1)
    initialise(model, (0, 1), "normal", 0.3)
    settings = {"step_size": step_size, "initial_std": initial_std}
    return FullVB(
        model, images, (0, 1), warmup_steps=0, batch_size=N_POINTS, **settings
    ).without_trainer()


def points(built):
    return built.train_images.double() * SCALE - OFFSET


def exact_log_marginal(x):
    """log p(X) / N: z and b integrated in closed form, w by quadrature."""
    n, edge = len(x), torch.linspace(-4, 4, 201, dtype=torch.float64)
    w = torch.cartesian_prod(edge, edge)
    eye, zero = torch.eye(2, dtype=torch.float64), torch.zeros_like(w)
    covariance = w[:, :, None] * w[:, None, :] + STD**2 * eye  # of x given w and b
    mean = x.mean(0)
    # prod of N(x; b, C) = prod of N(x; mean, C) · N(b; mean, C/n) / N(0; 0, C/n), and b ~ N(0, I).
    log_p = MultivariateNormal(mean.expand_as(w), covariance).log_prob(x[:, None]).sum(0)
    log_p -= MultivariateNormal(zero, covariance / n).log_prob(zero)
    log_p += MultivariateNormal(zero, covariance / n + eye).log_prob(mean.expand_as(w))
    log_p += Normal(0.0, 1.0).log_prob(w).sum(1)
    return float(log_p.logsumexp(0) + 2 * math.log(8 / 200)) / n


def exact_full_bound(x, w, b, w_variance, b_variance, a, c, z_variance):
    """L(phi; X) / N in closed form: every expectation is of a square.

    Shapes (2,) of the decoder's, (2,), (), () of the encoder's parameters.
    """
    z = x @ a + c  # (n,)
    squared = (x - z[:, None] * w - b).square() + b_variance
    squared = squared + w_variance * (z.square() + z_variance)[:, None] + w.square() * z_variance
    log_likelihood = -0.5 * (squared / STD**2 + math.log(2 * math.pi * STD**2)).sum(1)
    kl_z = 0.5 * (z.square() + z_variance - 1 - z_variance.log())
    kl_theta = sum(
        0.5 * (mean.square() + variance - 1 - variance.log()).sum()
        for mean, variance in ((w, w_variance), (b, b_variance))
    )
    return (log_likelihood - kl_z).mean() - kl_theta / len(x)


def phi(built, index):
    """The arguments of `exact_full_bound` after x."""
    decoder, encoder = built.model.decoder.layer, built.model.encoder
    values = (
        decoder.weight[index, 0], decoder.bias[index, 0],
        *(log_variance[index, 0].exp() for log_variance in built.log_variances),
        encoder.mean.weight[index, :, 0], encoder.mean.bias[index, 0, 0],
        encoder.log_variance[index, 0, 0].exp(),
    )  # fmt: skip
    return [value.detach().double() for value in values]


def best_full_bound(x, start):
    """The highest bound near `start` that any encoder and any q(theta) of these forms reach."""
    positive = (False, False, True, True, False, False, True)
    free = [
        (value.log() if logged else value).clone().requires_grad_()
        for value, logged in zip(start, positive, strict=True)
    ]

    def bound():
        given = [v.exp() if logged else v for v, logged in zip(free, positive, strict=True)]
        return exact_full_bound(x, *given)

    optimizer = torch.optim.LBFGS(free, max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -bound()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(bound().detach())


def test_the_full_bound_has_the_value_of_the_closed_form():
    built = linear()
    with torch.no_grad():
        for value in built.log_variances:
            value.copy_(torch.linspace(-4, -1, 4).view(2, 1, 2))
    draws = []
    for number in range(1000):
        built.samples_seen.fill_(number)  # which names the noise of an evaluation
        draws.append(built.evaluate_full_bound())
    found = torch.stack(draws)
    for index in (0, 1):
        expected = exact_full_bound(points(built), *phi(built, index))
        error = found[:, index].std() / math.sqrt(1000)
        assert error < 0.1
        assert abs(found[:, index].mean() - expected) < 4 * error


def test_the_full_bound_stays_below_the_marginal_likelihood_and_comes_near_it():
    built = linear()
    x = points(built)
    exact = exact_log_marginal(x)
    for blocks in (range(0, 1), range(1, 10), range(10, 100)):
        built.training_step(blocks, 0)
        bounds = [float(exact_full_bound(x, *phi(built, index))) for index in (0, 1)]
        assert max(bounds) < exact
    best = best_full_bound(x, phi(built, 0))
    assert best < exact
    for bound in bounds:
        assert exact - bound < 0.06  # nats per datapoint, of -2.66
        assert best - bound < 0.01  # the rest is what a factorised posterior cannot reach
    # Of that rest, log 2 in all is the mirrored posterior, -w and -z, which q(theta) leaves out.
    assert exact - best > math.log(2) / N_POINTS
