"""`make estimators`: its targets, how errors are summed up, and the command on the digits."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from reproduce.experiments.estimators import run as estimators
from reproduce.experiments.estimators.targets import missed, targets
from reproduce.likelihood.ais import Ais, simulate
from reproduce.likelihood.exact import LinearGaussian
from reproduce.likelihood.quadrature import Quadrature
from reproduce.likelihood.target import Estimate
from reproduce.likelihood.unfinished import Unfinished

COMMITTED = Path(__file__).parents[3] / "results" / "reference" / "estimators"


def committed():
    return pd.read_csv(COMMITTED / "errors.csv"), pd.read_csv(COMMITTED / "bdmc.csv")


def test_the_committed_validation_meets_every_target_but_one():
    rows = targets(*committed())
    assert len(rows) == 22
    assert missed(rows) == [("c", "hmc_kde", "99th percentile of an image's error")]
    printed = estimators.markdown(rows)
    assert (COMMITTED / "tables.md").read_text(encoding="utf-8").startswith(printed)


@pytest.mark.parametrize(
    ("model", "estimator", "column", "value"),
    [
        ("linear-Gaussian, N_z = 3", "quadrature", "largest", 0.011),
        ("linear-Gaussian, N_z = 5", "importance", "largest", 0.051),
        ("linear-Gaussian, N_z = 20", "ais", "rmse", 0.21),
        ("x = z² + noise", "importance", "largest", 0.11),
        ("N_train = 50,000, N_z = 3", "quadrature", "mean_error", -0.21),
        ("N_train = 1,000, N_z = 3", "importance", "missed_unflagged", 1),
    ],
)
def test_a_missed_target_is_said(model, estimator, column, value):
    errors, gaps = committed()
    chosen = (errors["model"] == model) & (errors["estimator"] == estimator)
    errors.loc[chosen, column] = value
    assert len(missed(targets(errors, gaps))) == 2
    assert estimator in [name for _, name, _ in missed(targets(errors, gaps))]


def test_a_wide_gap_is_said():
    errors, gaps = committed()
    gaps.loc[gaps["model"].str.endswith("50,000, N_z = 3"), "gap"] = 0.3
    assert ("d", "ais", "gap of the bounds") in missed(targets(errors, gaps))


def test_errors_are_estimate_minus_exact_and_unflagged_misses_are_counted():
    value, exact = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[1.0, 2.2, 3.6, 3.2]])
    trusted = torch.tensor([[True, True, True, False]])
    row = estimators.errors(Estimate(value, torch.zeros(1, 4), trusted), exact, 2.0)
    assert row["mean_error"] == pytest.approx(0.0, abs=1e-6)
    assert row["rmse"] == pytest.approx(0.51, abs=1e-3)  # of -0.2, -0.6, 0.8 and 0
    assert row["largest"] == pytest.approx(0.8)
    assert (row["n_points"], row["missed"], row["missed_unflagged"], row["flagged"]) == (4, 2, 1, 1)
    assert row["seconds_per_1000"] == 500


def test_an_estimate_that_is_done_is_not_made_again(tmp_path):
    """Of the same images, models, settings and version; another has its own."""
    model = LinearGaussian.random(1, 8, 0.25)
    _, x = simulate(model.target, 4, (0, 1))
    terminal, ais = Console(quiet=True), Ais(10, 4)

    def timed(estimator, images=x, what="a model"):
        place = Unfinished(tmp_path), terminal
        return estimators.timed(estimator, model.target, images, (0, 1), what, *place)

    first = timed(ais)
    again = timed(Ais(10, 4))
    assert again[1] == first[1]  # the seconds that it took
    assert torch.equal(again[0].value, first[0].value)
    assert len(list((tmp_path / "unfinished").iterdir())) == 1
    for another in ({"estimator": Ais(11, 4)}, {"images": x[:, :2]}, {"what": "another"}):
        timed(**{"estimator": ais, **another})
    assert len(list((tmp_path / "unfinished").iterdir())) == 4


@pytest.mark.parametrize("used", ["mnist", "digits"])
@pytest.mark.parametrize("results", ["results", "x"])
def test_only_the_suites_own_tables_go_to_the_committed_ones(used, results, monkeypatch):
    monkeypatch.setattr(estimators, "substitute_missing", lambda *_: {"mnist": used})
    made = estimators.make([f"results={results}"], Console(quiet=True))
    own = (used, results) == ("mnist", "results")
    assert made.folder == (estimators.FOLDER if own else Path(results) / "estimators")


@pytest.mark.slow
def test_the_command_on_the_digits_leaves_the_committed_tables_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimators, "LATENTS", (1,))
    monkeypatch.setattr(estimators, "Ais", partial(Ais, n_temperatures=10))
    monkeypatch.setattr(estimators, "REFERENCE", Quadrature(log2_grid=11, scramble=1))
    models = {name: (*sizes[:2], 3_000) for name, sizes in estimators.MODELS.items()}
    monkeypatch.setattr(estimators, "MODELS", models)
    assert estimators.main([f"results={tmp_path}", "tracking=off", "workers=1"]) == 0
    said = capsys.readouterr().out
    assert not (tmp_path / estimators.FOLDER).exists()
    written = tmp_path / "estimators"
    assert {p.name for p in written.iterdir()} == {
        "errors.csv", "bdmc.csv", "tables.md", "manifest.json"
    }  # fmt: skip
    errors = pd.read_csv(written / "errors.csv")
    assert set(errors["part"]) == {"a", "b", "c"}
    assert errors["model"][errors["part"] == "c"].str.startswith("digits").all()
    assert "| part | models" in said
