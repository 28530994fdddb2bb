"""What all estimators share: log p(x, z) in pieces, and an image's estimate being its own."""

import pytest
import torch

from building import autoencoder
from likelihood_models import small
from reproduce.common.errors import UserError
from reproduce.likelihood import importance
from reproduce.likelihood.ais import Ais
from reproduce.likelihood.hmc_kde import HmcKde
from reproduce.likelihood.hmc_kde_2013 import HmcKde2013
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.quadrature import Quadrature
from reproduce.likelihood.target import Estimator, Target
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
@pytest.mark.parametrize("n_points", [1, 6, 700])
def test_pieces_are_the_whole(decoder, n_points):
    target, x = small(decoder, 2, n_points=n_points)
    source = torch.Generator().manual_seed(3)
    z = torch.randn(2, 1030 if n_points < 700 else 3, n_points, 2, generator=source)
    whole = target.log_joint(x, z)
    with torch.no_grad():
        pieces = target.log_joint(x, z)
    assert pieces.shape == z.shape[:3]
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-4)


ESTIMATORS = [
    Quadrature(log2_grid=11, n_local=64), Importance(2000), Ais(40, 4), HmcKde(n_warmup=20),
    HmcKde2013(n_evaluations=1),
]  # fmt: skip
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)


def own(found):
    """Values that each belong to one image, which the 2013 layout's do not."""
    return found.diagnostics.get("laid_out_right", found.value)


@pytest.mark.integration
@each_estimator
def test_an_images_estimate_does_not_depend_on_the_others(estimator, monkeypatch):
    """One image, all of them in other batches, and the list reversed give the same values."""
    target, x = small(BernoulliDecoder, 2, n_points=7)
    whole = own(estimator(target, x, (0, 1)))
    monkeypatch.setattr(importance, "BATCH", 3)
    assert torch.allclose(own(estimator(target, x.flip(1), (0, 1))).flip(1), whole, atol=1e-3)
    for point in (0, 6):
        alone = own(estimator(target, x[:, point : point + 1], (0, 1)))
        assert torch.allclose(alone, whole[:, point : point + 1], atol=1e-3)
    if estimator.name != "quadrature":
        assert not torch.allclose(own(estimator(target, x, (2, 3))), whole, atol=1e-3)


@pytest.mark.integration
@each_estimator
def test_progress_reaches_the_number_of_images_and_changes_no_value(estimator):
    target, x = small(BernoulliDecoder, 2, n_points=7)
    told = []
    watched = estimator(target, x, (0, 1), told.append)
    alone = estimator(target, x, (0, 1))
    assert sum(told) == 7
    assert min(told) > 0
    assert torch.equal(watched.value, alone.value)
    assert torch.equal(watched.stderr, alone.stderr)


def test_progress_is_told_while_images_are_on_the_way():
    """Chains of all images of a batch end together, after minutes."""
    target, x = small(BernoulliDecoder, 2, n_points=7)
    for estimator in ESTIMATORS[2:]:
        told = []
        estimator(target, x, (0, 1), told.append)
        assert len(told) == 7, estimator.name


class Another(Estimator):
    """One that a user adds, without a line about what it refuses."""

    name = "another"

    def estimate(self, target, x, seeds, progress):
        raise AssertionError("asked before what it is asked was checked")


@pytest.mark.parametrize("estimator", [*ESTIMATORS, Another()], ids=lambda e: e.name)
def test_double_precision_is_refused_in_a_sentence(estimator):
    target, x = small(BernoulliDecoder, 2)
    with pytest.raises(UserError, match=r"in float32, not float64; convert both by \.float\(\)"):
        estimator(target, x.double(), (0, 1))
    with pytest.raises(UserError, match="in float32, not float64"):
        Target.of(autoencoder((0, 1), latent=2).double())
