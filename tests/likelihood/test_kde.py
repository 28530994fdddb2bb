"""The density estimate against scipy's and against brute force."""

import numpy as np
import pytest
import torch
from scipy import stats

from reproduce.likelihood.kde import MULTIPLES, KernelDensity
from reproduce.models.random_streams import generator


def samples(n_latent, n=40, seeds=2, batch=3):
    source = generator("cpu", 0, "kde", n_latent)
    scale = torch.rand(seeds, 1, batch, n_latent, generator=source) + 0.1
    return scale * torch.randn(seeds, n, batch, n_latent, generator=source)


def test_one_dimension_is_scipys():
    data = samples(1)
    found = KernelDensity.fit(data)
    points = torch.linspace(-1, 1, 7).view(1, 7, 1, 1).expand(2, 7, 3, 1)
    value = found.log_prob(points)
    for index in range(2):
        for point in range(3):
            factor = 40 ** (-1 / 5) * float(found.multiple[index, point])
            theirs = stats.gaussian_kde(data[index, :, point, 0].numpy(), bw_method=factor)
            expected = theirs.logpdf(points[index, :, point, 0].numpy())
            assert value[index, :, point].numpy() == pytest.approx(expected, abs=1e-4)


def test_more_dimensions_are_scipys_where_it_has_a_diagonal_bandwidth():
    """scipy scales by the whole covariance: the same for samples made exactly uncorrelated."""
    data = samples(3, seeds=1, batch=1)
    flat = data[0, :, 0] - data[0, :, 0].mean(0)
    root = torch.linalg.cholesky(flat.mT @ flat / 39)
    white = torch.linalg.solve_triangular(root, flat.mT, upper=False).mT
    white = white * torch.tensor([0.5, 1.0, 3.0])
    found = KernelDensity.fit(white.view(1, 40, 1, 3))
    theirs = stats.gaussian_kde(white.numpy().T, bw_method=40 ** (-1 / 7) * float(found.multiple))
    points = white[:9] + 0.2
    value = found.log_prob(points.view(1, 9, 1, 3)).flatten().numpy()
    assert value == pytest.approx(theirs.logpdf(points.numpy().T), abs=1e-3)


def test_the_multiple_is_the_best_of_ten_by_leaving_one_out():
    data = samples(2, n=15)
    data[0, :8, 0] += 30.0  # two lumps far apart want narrower kernels than Scott's
    found = KernelDensity.fit(data)
    chosen = set()
    for index in range(2):
        for point in range(3):
            x = data[index, :, point].double().numpy()
            base = x.std(0, ddof=1) * 15 ** (-1 / 6)
            scores = []
            for multiple in MULTIPLES:
                h, total = base * multiple, 0.0
                for left in range(15):
                    others = np.delete(x, left, 0)
                    kernels = stats.norm.pdf(x[left], others, h).prod(1)
                    total += np.log(kernels.mean()) if kernels.mean() > 0 else -1e9
                scores.append(total)
            best = MULTIPLES[int(np.argmax(scores))]
            assert float(found.multiple[index, point]) == pytest.approx(best)
            chosen.add(round(best, 4))
    assert len(chosen) > 1
    assert len(MULTIPLES) == 10
    authors = np.exp((np.arange(10) - 5) / 2)  # of 2013
    assert list(MULTIPLES) == pytest.approx(list(authors))


def test_it_integrates_to_one():
    found = KernelDensity.fit(samples(1))
    line = torch.linspace(-15, 15, 6001).view(1, -1, 1, 1).expand(2, -1, 3, 1)
    total = found.log_prob(line).exp().sum(1) * (30 / 6000)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-3)


def test_samples_that_never_moved_give_a_finite_density():
    found = KernelDensity.fit(torch.ones(1, 10, 1, 2))
    assert found.log_prob(torch.ones(1, 1, 1, 2)).isfinite().all()
