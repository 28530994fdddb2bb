"""The 2013 code's estimator: its errors are those of the code, and cost what theory says."""

import numpy as np
import pytest
import torch

from likelihood_models import draw
from reproduce.common.errors import UserError
from reproduce.likelihood.exact import LinearGaussian
from reproduce.likelihood.hmc_kde_2013 import HmcKde2013, published_layout, right_layout
from reproduce.likelihood.target import Target


def gaussian_posteriors(n_points, seed=0, n_samples=50, n_latent=3):
    """Independent samples of N(0, I), as of posteriors, with log joint densities: log p(x) = b
    for datapoint b.
    """
    z = np.random.default_rng(seed).standard_normal((n_samples, n_points, n_latent))
    log_density = -0.5 * ((z**2).sum(-1) + n_latent * np.log(2 * np.pi))
    return z, log_density + np.arange(n_points)


def test_one_datapoint_is_laid_out_right():
    z, log_joint = gaussian_posteriors(1)
    for found, expected in zip(
        published_layout(z, log_joint), right_layout(z, log_joint), strict=True
    ):
        assert np.array_equal(found, expected)


def test_only_the_last_half_of_the_datapoints_counts():
    z, log_joint = gaussian_posteriors(40)
    found, _ = published_layout(z, log_joint)
    changed = log_joint.copy()
    changed[:, :20] -= 1e6
    assert np.array_equal(published_layout(z, changed)[0], found)
    right, _ = right_layout(z, log_joint)
    assert np.abs(right - np.arange(40)).max() < 2
    assert right.mean() == pytest.approx(19.5, abs=0.3)
    assert 28 < found.mean() < 29.2  # of datapoints 20 to 39, whose mean is 29.5


def test_densities_are_fitted_across_datapoints():
    """Density 0 sees the first coordinate of datapoints 0, 1 and 2."""
    z, log_joint = gaussian_posteriors(40)
    found, _ = published_layout(z, log_joint)
    moved = z.copy()
    moved[:, :3, 0] *= 2  # log q falls by 3 log 2
    after, _ = published_layout(moved, log_joint)
    assert after[0] - found[0] == pytest.approx(3 * np.log(2), abs=1e-6)
    assert np.array_equal(after[1:], found[1:])


def test_a_chain_that_has_not_moved_gets_the_next_density():
    z, log_joint = gaussian_posteriors(6)
    z[:, 2] = 0
    found, _ = right_layout(z, log_joint)
    others, _ = right_layout(np.delete(z, 2, 1), np.delete(log_joint, 2, 1))
    assert np.array_equal(np.delete(found, 2), others)
    assert np.isfinite(found[2])
    z[:, 5] = 0
    with pytest.raises(UserError, match="has not moved"):
        right_layout(z, log_joint)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("step_sizes", "least", "most"), [("individual", -0.4, 0.4), ("global", -1.2, -0.3)]
)
def test_bias_on_a_model_whose_likelihood_is_known(step_sizes, least, most):
    model = LinearGaussian.random(3, 64, 0.25)
    x = draw(model, 60, 64)
    found = HmcKde2013(n_evaluations=3, step_sizes=step_sizes)(model.target, x, (0, 1))
    exact = model.exact(x)
    right = found.diagnostics["laid_out_right"] - exact
    published = found.value.mean(1) - exact[:, 30:].mean(1)
    assert ((right.mean(1) > 0) & (right.mean(1) < 1)).all()  # chains move too little in 25 samples
    assert ((published > least) & (published < most)).all()
    assert not found.trusted.any()


def test_estimates_repeat_and_seeds_have_chains_of_their_own():
    model = LinearGaussian.random(2, 64, 0.3, seeds=(0, 1))
    x = draw(model, 6, 64)
    estimate = HmcKde2013(n_evaluations=1)
    whole = estimate(model.target, x, (0, 1))
    assert torch.equal(whole.value, estimate(model.target, x, (0, 1)).value)
    assert not torch.equal(whole.value, estimate(model.target, x, (0, 5)).value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_samples": 7}, "n_samples must be at least 8"),
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"n_evaluations": 0}, "n_evaluations must be at least 1"),
        ({"step_sizes": "own"}, "'own'; choose one of: individual, global"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        HmcKde2013(**settings)


def test_too_many_dimensions_for_the_samples_are_refused():
    target = Target(LinearGaussian.random(7), 2, 7)
    with pytest.raises(UserError, match="at least 56 at N_z = 7, not 50"):
        HmcKde2013()(target, torch.zeros(2, 3, 64), (0, 1))
