"""Latent diagnostics against models where the answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from building import autoencoder
from reproduce import config
from reproduce.common.errors import UserError
from reproduce.experiments.latent import picture as latent
from reproduce.experiments.latent import run as diagnostics
from reproduce.experiments.latent.run import diagnose
from reproduce.models.bounds import sgvb_a, sgvb_b
from reproduce.training.loop import train


@pytest.fixture
def x():
    return torch.rand(60, 12, generator=torch.Generator().manual_seed(1))


def test_a_posterior_equal_to_the_prior_says_nothing(x):
    model = autoencoder()
    for parameter in model.encoder.parameters():
        parameter.detach().zero_()
    found = diagnose(model, x)
    assert found.kl.abs().max() < 1e-6
    assert not found.active.any()


def test_kl_and_active_units_of_a_known_posterior(x):
    """Dimension 0 copies a hidden unit, dimension 1 is N(2, e), dimension 2 the prior."""
    model = autoencoder()
    with torch.no_grad():
        for layer in (model.encoder.mean, model.encoder.log_variance):
            for parameter in layer.parameters():
                parameter.zero_()
        model.encoder.mean.weight[:, 0, 0] = 5.0
        model.encoder.mean.bias[..., 1] = 2.0
        model.encoder.log_variance.bias[..., 1] = 1.0
    found = diagnose(model, x)
    assert found.active.tolist() == [[True, False, False]] * 2
    assert found.kl[:, 1] == pytest.approx([0.5 * (np.e + 4 - 1 - 1)] * 2, rel=1e-5)
    assert found.kl[:, 2].abs().max() < 1e-6
    total = model.encoder(x.expand(2, -1, -1)).kl_to_standard_normal().mean(1)
    torch.testing.assert_close(found.kl.sum(1), total)


def test_the_noise_is_that_of_the_bound_that_is_plotted(x):
    model = autoencoder()
    found = {bound: diagnose(model, x, bound=bound).variance_single for bound in (sgvb_a, sgvb_b)}
    assert (found[sgvb_a] > 1.5 * found[sgvb_b]).all()
    assert torch.equal(found[sgvb_b], diagnose(model, x).variance_single)


def test_the_variance_of_the_plotted_mean_is_that_of_the_images_over_their_number(x):
    model = autoencoder()
    found = diagnose(model, x, n_repeats=400)
    source = torch.Generator().manual_seed(5)
    stacked = x.expand(2, -1, -1)
    with torch.no_grad():
        means = torch.stack(
            [sgvb_b(model, stacked, torch.randn(2, 1, 60, 3, generator=source)).mean(1)
             for _ in range(2000)]
        )  # fmt: skip
    # A variance from 2,000 draws has a relative standard error of 3 %.
    torch.testing.assert_close(means.var(0), found.variance_single / 60, rtol=0.15, atol=0)


@pytest.mark.integration
def test_the_command_covers_every_cell_with_an_encoder(tmp_path, capsys, monkeypatch):
    bounds = []
    monkeypatch.setattr(
        diagnostics, "diagnose", lambda *its, bound: bounds.append(bound) or diagnose(*its)
    )
    for algorithm in ("aevb", "wake_sleep", "mcem"):
        job = config.job_from(
            config.compose_config(
                ["data=digits", "model.n_latent=2", "samples=25000", "seeds=2", "tracking=off",
                 f"results={tmp_path}", f"algorithm={algorithm}", "data.n_train=100"]
            )
        )  # fmt: skip
        train(job, lambda kind, payload: None)
    assert diagnostics.main([f"results={tmp_path}"]) == 0
    table = pd.read_csv(tmp_path / "diagnostics" / "diagnostics.csv")
    assert table["algorithm"].tolist() == ["aevb", "aevb", "wake_sleep", "wake_sleep"]
    assert bounds == [sgvb_b, sgvb_a]  # each the one that its curve shows
    assert (table["variance_plotted"] == table["variance_single"] / 297).all()
    kl = pd.read_csv(tmp_path / "diagnostics" / "kl.csv")
    total = kl.groupby(["algorithm", "seed"])["kl"].sum().to_numpy()
    np.testing.assert_allclose(total, table["kl"], rtol=1e-5)
    assert (tmp_path / "diagnostics" / "kl.png").stat().st_size > 5_000
    assert "active units" in capsys.readouterr().out


def test_sizes_are_in_order_and_each_number_of_samples_has_a_panel(tmp_path):
    for n_latent, samples in ((10, 2_000), (2, 2_000), (2, 4_000)):
        hidden = 20 if samples == 2_000 else 30
        job = config.job_from(
            config.compose_config(
                ["data=digits", f"model.n_latent={n_latent}", f"samples={samples}", "seeds=1",
                 f"model.n_hidden={hidden}", "tracking=off", f"results={tmp_path}"]
            )
        )  # fmt: skip
        train(job, lambda kind, payload: None)
    per_seed, dimensions = diagnostics.diagnose_store(tmp_path, None, Console(quiet=True))
    assert list(zip(per_seed["n_latent"], per_seed["samples"], strict=True)) == [
        (2, 2_000), (2, 4_000), (10, 2_000)
    ]  # fmt: skip
    titles = [ax.get_title() for ax in latent.build(dimensions).axes if ax.axison]
    assert [title.partition("after ")[2] for title in titles] == [
        "2e3 samples", "4e3 samples", "2e3 samples"
    ]  # fmt: skip


def test_nothing_trained_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="reproduce figure figure=figure1"):
        diagnostics.main([f"results={tmp_path}"])
    with pytest.raises(UserError, match="Usage"):
        diagnostics.main(["a", "b", "c"])


def test_the_longest_titles_fit_into_the_picture():
    dimensions = pd.DataFrame(
        {"dataset": ["digits", "digits_continuous"], "n_latent": 10, "n_train": 1_500,
         "algorithm": "aevb", "seed": 0, "samples": 200_000, "id": "one", "rank": 1, "kl": 1.0}
    )  # fmt: skip
    figure = latent.build(dimensions)
    assert len(figure.axes) == 2
    for ax in figure.axes:
        box = ax.title.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
