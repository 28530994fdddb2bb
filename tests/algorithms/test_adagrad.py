"""Adagrad beyond its arithmetic, which tests/algorithms/test_base.py holds against the formula."""

from copy import deepcopy

import pytest
import torch

from building import autoencoder
from reproduce.algorithms import adagrad
from reproduce.algorithms.adagrad import Adagrad


def test_a_weight_that_only_the_prior_pulls_at_shows_epsilon():
    """As on MNIST's always black pixels: g² is far below the 1e-8 that G begins with."""
    model, step_size, prior = autoencoder(), 0.1, 0.002
    made = Adagrad(model, step_size, prior)
    matrix = made.parameters[0]
    matrix.data.fill_(1e-3)
    made.update([torch.zeros_like(parameter) for parameter in made.parameters])
    gradient = prior * 1e-3
    expected = 1e-3 - step_size * gradient / (1e-8 + gradient**2) ** 0.5
    torch.testing.assert_close(matrix.data, torch.full_like(matrix, expected), rtol=1e-4, atol=0)
    assert expected < 0  # a step that epsilon alone limits


@pytest.mark.parametrize("fused_before", [True, False])
def test_a_checkpoint_does_not_bring_the_kernels_of_its_device(monkeypatch, fused_before):
    """One of a CPU, say, continued where torch has no fused kernel."""
    made = {}
    for fused in (True, False):
        monkeypatch.setattr(adagrad, "_fused_runs_on", lambda device, fused=fused: fused)
        made[fused] = Adagrad(autoencoder(), 0.1, 0.01)
    before, after = made[fused_before], made[not fused_before]

    def step(optimizer):  # the kernels may overwrite gradients
        optimizer.update([torch.ones_like(parameter) for parameter in optimizer.parameters])

    step(before)
    kernels = [(group["fused"], group["foreach"]) for group in after.param_groups]
    after.load_state_dict(deepcopy(before.state_dict()))
    assert [(group["fused"], group["foreach"]) for group in after.param_groups] == kernels
    for mine, theirs in zip(after.parameters, before.parameters, strict=True):
        assert torch.equal(after.state[mine]["sum"], before.state[theirs]["sum"])
        mine.data.copy_(theirs.data)
    for one in (before, after):
        step(one)
    for mine, theirs in zip(after.parameters, before.parameters, strict=True):
        torch.testing.assert_close(mine, theirs)
