"""Experiment 2's figure: what is drawn, where, and what it says of itself."""

import numpy as np
import pandas as pd
import pytest

from reproduce.analysis.published import load_published
from reproduce.experiments.likelihood.picture import LikelihoodPanel, build, draw

PAPER = [LikelihoodPanel("mnist", 3, 1_000), LikelihoodPanel("mnist", 3, 50_000)]
COLUMNS = [
    "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "estimator",
    "value", "n_points",
]  # fmt: skip


def estimates(marks, seeds=2, dataset="mnist", sizes=(1_000, 50_000), algorithms=("aevb", "mcem")):
    rows = [
        (dataset, 3, n, a, seed, split, mark, "quadrature", -120.0 - seed - 10 * (split == "test"),
         200)
        for n in sizes for a in algorithms for seed in range(seeds)
        for split in ("train", "test") for mark in marks
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def lines(ax):
    return {line.get_gid(): line for line in ax.get_lines() if line.get_gid()}


def axes(figure):
    return {ax.get_label(): ax for ax in figure.axes}


def test_the_papers_layout():
    figure = build(estimates([5_000_000, 60_000_000]), load_published("figure3"), PAPER)
    found = axes(figure)
    assert set(found) == {"mnist-1000", "mnist-50000", "legend"}
    for name in ("mnist-1000", "mnist-50000"):
        ax = found[name]
        assert ax.get_xscale() == "linear"
        assert ax.get_ylim() == (-160, -100)
        for split in ("train", "test"):
            assert f"ours:aevb:{split}" in lines(ax)
            assert f"published:wake_sleep:{split}" in lines(ax)
    assert found["mnist-1000"].get_xlim() == (0, 60)
    ours = lines(found["mnist-1000"])["ours:mcem:test"]
    assert list(ours.get_xdata()) == [5, 60]
    assert list(ours.get_ydata()) == [-130.5, -130.5]
    assert ours.get_linestyle() == "--"
    assert lines(found["mnist-1000"])["ours:mcem:train"].get_linestyle() == "-"


def test_published_curves_are_where_the_paper_has_them():
    published = load_published("figure3")
    figure = build(estimates([60_000_000]), published, PAPER)
    line = lines(axes(figure)["mnist-50000"])["published:aevb:test"]
    theirs = published[
        (published["n_train"] == 50_000)
        & (published["algorithm"] == "aevb")
        & (published["split"] == "test")
    ].sort_values("samples")
    assert np.allclose(line.get_xdata(), theirs["samples"] / 1e6)
    assert np.allclose(line.get_ydata(), theirs["value"])


def test_a_short_run_gets_an_axis_of_its_own_and_says_so():
    figure = build(estimates([500_000, 3_000_000]), load_published("figure3"), PAPER)
    ax = axes(figure)["mnist-1000"]
    assert ax.get_xlim()[1] == pytest.approx(3.15)
    note = next(text.get_text() for text in ax.texts if text.get_gid() == "note")
    assert "3 million samples, 2 seeds" in note
    assert "axis cut: published curves go to 60" in note


def notes(figure):
    return [
        next(text.get_text() for text in axes(figure)[name].texts if text.get_gid() == "note")
        for name in ("mnist-1000", "mnist-50000")
    ]


def test_missing_and_diverged_seeds():
    frame = estimates([60_000_000], sizes=(1_000,))
    frame.loc[(frame["seed"] == 1) & (frame["algorithm"] == "aevb"), "value"] = np.nan
    frame.loc[frame["algorithm"] == "mcem", "value"] = -np.inf
    found = notes(build(frame, load_published("figure3"), PAPER))
    assert found == ["AEVB: 60 million samples, 1 of 2 seeds\nMCEM: diverged", "not run"]


def test_curves_below_the_axis_are_said_to_be_there():
    frame = estimates([60_000_000], algorithms=("aevb",))
    low = frame["value"].mask(frame["n_train"] == 1_000, frame["value"] - 100)
    found = notes(build(frame.assign(value=low), load_published("figure3"), PAPER))
    assert found == [
        "ours: 60 million samples, 2 seeds, below −160",
        "ours: 60 million samples, 2 seeds",
    ]


def test_other_data_have_axes_of_their_own_and_their_name():
    panels = [LikelihoodPanel("digits", 3, 200)]
    figure = build(
        estimates([40_000, 80_000], dataset="digits", sizes=(200,)),
        load_published("figure3"),
        panels,
    )
    ax = axes(figure)["digits-200"]
    assert "scikit-learn digits" in ax.get_title()
    assert ax.get_ylim()[0] < -131
    assert ax.get_ylim()[1] > -120
    footnote = next(t.get_text() for t in figure.texts if t.get_gid() == "footnote")
    assert "published" not in footnote
    assert "comparison.csv" not in footnote


def test_the_footnote_names_estimator_and_points():
    figure = build(estimates([60_000_000]), load_published("figure3"), PAPER, footnote="Last.")
    footnote = next(t.get_text() for t in figure.texts if t.get_gid() == "footnote")
    plain = footnote.replace("\n", " ")
    assert plain.startswith("log p(x) estimated by quadrature on the first 200 images")
    assert plain.endswith(" Last.")


def test_the_footnote_says_where_seeds_lack_estimates():
    complete = estimates([20_000_000, 60_000_000])
    gap = complete[(complete["seed"] != 1) | (complete["samples"] != 20_000_000)]
    said = [
        "Some seeds have no estimate"
        in next(t.get_text() for t in build(ours, load_published("figure3"), PAPER).texts)
        for ours in (complete, gap)
    ]
    assert said == [False, True]


def test_two_estimators_at_once_are_refused():
    both = pd.concat([estimates([1]), estimates([1]).assign(estimator="hmc_kde")])
    with pytest.raises(ValueError, match="one estimator at a time"):
        build(both, load_published("figure3"), PAPER)
    with pytest.raises(ValueError, match="at least one panel"):
        build(estimates([1]), load_published("figure3"), [])


def test_the_same_data_give_the_same_files(tmp_path):
    for name in ("one", "two"):
        draw(estimates([60_000_000]), load_published("figure3"), PAPER, tmp_path / name)
    for suffix in ("png", "pdf"):
        one = (tmp_path / f"one.{suffix}").read_bytes()
        assert one == (tmp_path / f"two.{suffix}").read_bytes()
