import numpy as np
import pandas as pd
import pytest

from reproduce.analysis.curves import value_at
from reproduce.analysis.published import PUBLISHED_FOLDER, UNTRAINED, load_published, load_vertices
from reproduce.common.errors import UserError


@pytest.mark.parametrize(("figure", "rows"), [("figure2", 24_486), ("figure3", 1_673)])
def test_the_committed_curves_load_with_their_types(figure, rows):
    frame = load_published(figure)
    assert len(frame) == rows
    assert ("n_train" in frame) == (figure == "figure3")
    assert frame["samples"].dtype == np.int64
    assert frame["n_latent"].dtype == np.int64
    assert frame["value"].dtype == np.float64
    assert set(frame["split"]) == {"train", "test"}


def test_values_read_off_the_paper():
    frame = load_published("figure2").query(
        "dataset == 'mnist' and n_latent == 10 and split == 'train'"
    )
    aevb, wake_sleep = (frame[frame["algorithm"] == name] for name in ("aevb", "wake_sleep"))
    assert value_at(aevb, 1e7) == pytest.approx(-107.7, abs=0.1)
    assert value_at(wake_sleep, 1e7) == pytest.approx(-113.6, abs=0.1)


def test_aborted_runs_and_untrained_models_are_vertices_but_not_of_curves():
    vertices, curves = load_vertices("figure2"), load_published("figure2")
    mine = (vertices["n_latent"] == 20) & (vertices["algorithm"] == "wake_sleep")
    mine &= (vertices["dataset"] == "mnist") & (vertices["split"] == "train")
    assert vertices[mine & (vertices["run"] == 0)]["iterations"].tolist() == [1, 2410]
    assert vertices["kind"].value_counts().tolist() == [16_160, 36]
    assert curves["value"].min() > -300
    assert set(vertices.loc[vertices["iterations"] == 1, "run"]) == {0}
    untrained = load_vertices("figure3")["value"] < UNTRAINED
    assert untrained.sum() == 8
    assert load_published("figure3")["value"].min() > -200


def test_both_splits_of_a_run_have_points_at_the_same_hooks():
    curves = load_published("figure2").query("dataset == 'mnist' and n_latent == 200")
    wake_sleep = curves[curves["algorithm"] == "wake_sleep"]
    train, test = (wake_sleep[wake_sleep["split"] == split] for split in ("train", "test"))
    assert train["samples"].tolist() == test["samples"].tolist()
    # Only the test curve has a vertex there; the training curve is straight in log10(samples).
    (value,) = train.loc[train["samples"] == 565_900, "value"]
    x = np.log10([373_000, 565_900, 947_200])
    share = (x[1] - x[0]) / (x[2] - x[0])
    assert value == pytest.approx(-167.374 + share * (-134.803 + 167.374))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"figure2\.csv"):
        load_published("figure2", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="split"), "lacks the column.*split"),
        (lambda frame: frame.assign(split="valid"), "split other than"),
        (lambda frame: frame.assign(samples=0), "not positive"),
        (lambda frame: frame.assign(value=np.inf), "not a finite"),
        (lambda frame: frame.assign(value="high"), "cannot be read"),
        (lambda frame: frame.assign(n_latent=2.5), "cannot be read"),
        (lambda frame: pd.concat([frame, frame.tail(1)]), r"twice \(line 12\)"),
    ],
)
def test_a_spoilt_file_is_refused(tmp_path, change, message):
    frame = pd.read_csv(PUBLISHED_FOLDER / "figure2.csv").head(10)
    change(frame).to_csv(tmp_path / "figure2.csv", index=False)
    with pytest.raises(UserError, match=message):
        load_published("figure2", tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "figure2.csv").touch()
    with pytest.raises(UserError, match="cannot be read"):
        load_published("figure2", tmp_path)


def curve(samples, value):
    return pd.DataFrame({"samples": samples, "value": value})


def test_interpolation_is_linear_in_log_samples():
    # A straight line in log10(samples) is met exactly, wherever the marks lie and in any order.
    marks = np.array([10**7, 20_000, 300_000])
    line = curve(marks, 5 * np.log10(marks) - 100)
    at = np.array([[2e4, 1e5], [3e6, 1e7]])
    np.testing.assert_allclose(value_at(line, at), 5 * np.log10(at) - 100, rtol=1e-12)
    middle = value_at(curve([10**4, 10**6], [0.0, 1.0]), 1e5)
    assert isinstance(middle, float)
    assert middle == pytest.approx(0.5)


def test_a_mark_is_returned_exactly():
    values = np.random.default_rng(0).normal(size=5)
    marks = [20_000, 33_300, 100_000, 1_000_000, 2_500_000]
    np.testing.assert_array_equal(value_at(curve(marks, values), marks), values)


def test_there_is_no_extrapolation():
    line = curve([10**5, 10**6], [1.0, 2.0])
    assert np.isnan(value_at(line, [99_999, 1_000_001, 0])).all()
    assert np.isnan(value_at(line[:0], 1e5))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_value_beside_a_mark_that_is_not_finite(bad):
    line = curve([10**4, 10**5, 10**6, 10**7], [1.0, 2.0, bad, 4.0])
    values = value_at(line, [1e5, 3e5, 1e6, 3e6, 1e7])
    np.testing.assert_array_equal(np.isfinite(values), [True, False, False, False, True])


def test_two_curves_at_once_are_refused():
    with pytest.raises(ValueError, match="one curve"):
        value_at(curve([10**5, 10**5], [1.0, 2.0]), 1e5)
