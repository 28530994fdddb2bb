# ruff: noqa: E501  (a table is compared as it is printed)
"""Log-likelihoods beside the paper's, on tables small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest

from reproduce.experiments.likelihood.comparison import (
    compare_likelihoods,
    markdown_likelihood_table,
)

COLUMNS = [
    "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "estimator",
    "value", "n_points",
]  # fmt: skip


def ours(*rows, algorithm="aevb", n_train=1000, split="test"):
    """Rows (seed, samples, estimator, value) of one curve."""
    full = [
        ("mnist", 3, n_train, algorithm, seed, split, samples, estimator, value, 100)
        for seed, samples, estimator, value in rows
    ]
    return pd.DataFrame(full, columns=COLUMNS)


PUBLISHED = pd.DataFrame(
    [("mnist", 3, 1000, "aevb", "test", 1_000_000, -150.0),
     ("mnist", 3, 1000, "aevb", "test", 3_000_000, -140.0)],
    columns=["dataset", "n_latent", "n_train", "algorithm", "split", "samples", "value"],
)  # fmt: skip


def test_the_published_curve_is_read_linearly_at_our_marks():
    table = compare_likelihoods(
        ours((0, 500_000, "quadrature", -160.0), (0, 2_000_000, "quadrature", -141.0),
             (1, 500_000, "quadrature", -162.0), (1, 2_000_000, "quadrature", -143.0)),
        PUBLISHED,
    )  # fmt: skip
    assert list(table["samples"]) == [2_000_000]
    row = table.iloc[0]
    assert row["published"] == -145.0
    assert row["quadrature"] == -142.0
    assert row["difference"] == 3.0
    assert row["quadrature_std"] == pytest.approx(2**0.5)
    assert row["quadrature_ci95_high"] + 142 == pytest.approx(12.706, abs=1e-3)  # t with 1 df
    assert (row["n_seeds"], row["n_points"]) == (2, 100)


def test_marks_of_monte_carlo_em_stand_for_round_ones_nearby():
    table = compare_likelihoods(
        ours(*[(0, 15_000 * k, "quadrature", -150.0 + k / 10) for k in (67, 134, 199)]), PUBLISHED
    )
    assert list(table["samples"]) == [1_005_000, 2_010_000, 2_985_000]


def test_the_published_end_serves_for_marks_a_little_later_and_no_further():
    late = ours((0, 3_050_000, "quadrature", -141.0))
    assert compare_likelihoods(late, PUBLISHED)["published"].tolist() == [-140.0]
    later = ours((0, 3_100_000, "quadrature", -141.0))
    assert np.isnan(compare_likelihoods(later, PUBLISHED)["published"]).all()
    early = ours((0, 960_000, "quadrature", -141.0))
    assert np.isnan(compare_likelihoods(early, PUBLISHED)["difference"]).all()


def test_two_estimators_stand_side_by_side_and_differ_seed_by_seed():
    table = compare_likelihoods(
        ours((0, 1_000_000, "hmc_kde", -151.0), (0, 1_000_000, "quadrature", -148.0),
             (1, 1_000_000, "quadrature", -140.0), (0, 3_000_000, "quadrature", -139.0)),
        PUBLISHED,
    )  # fmt: skip
    assert list(table["hmc_kde_minus_quadrature"].round(6)[:1]) == [-3.0]  # of seed 0 alone
    assert np.isnan(table["hmc_kde_minus_quadrature"].iloc[1])
    assert table["quadrature"].tolist() == [-144.0, -139.0]
    assert table["hmc_kde"].iloc[0] == -151.0
    assert np.isnan(table["hmc_kde_std"].iloc[0])
    assert table["difference"].tolist() == [6.0, 1.0]


@pytest.mark.parametrize("drawn", ["importance", "hmc_kde_2013"])
def test_the_drawn_estimator_is_the_one_compared(drawn):
    """Also where it has more marks than the one beside it, and a later name."""
    table = compare_likelihoods(
        ours((0, 1_000_000, drawn, -149.0), (0, 2_000_000, drawn, -147.0),
             (0, 2_000_000, "hmc_kde", -148.0)),
        PUBLISHED,
        drawn,
    )  # fmt: skip
    assert table["samples"].tolist() == [1_000_000, 2_000_000]
    assert table["difference"].tolist() == [1.0, -2.0]
    assert np.isnan(table["hmc_kde"].iloc[0])
    assert f"difference: {drawn} − published" in markdown_likelihood_table(table)


def test_another_estimator_alone_takes_the_main_ones_place():
    table = compare_likelihoods(ours((0, 1_000_000, "hmc_kde", -151.0)), PUBLISHED)
    assert table["difference"].tolist() == [-1.0]
    assert "hmc_kde_minus_quadrature" not in table
    assert "quadrature" not in table


def test_a_diverged_seed_leaves_no_value():
    table = compare_likelihoods(ours((0, 1_000_000, "quadrature", np.nan)), PUBLISHED)
    assert table["n_seeds"].tolist() == [0]
    assert table["quadrature"].isna().all()


def test_the_table_in_words():
    table = compare_likelihoods(
        ours((0, 1_000_000, "quadrature", -148.0), (1, 1_000_000, "quadrature", -148.2),
             (0, 1_000_000, "hmc_kde", -149.0), (0, 3_000_000, "quadrature", -139.0)),
        PUBLISHED,
    )  # fmt: skip
    assert markdown_likelihood_table(table).splitlines()[2:] == [
        "| dataset | N_train | algorithm | split | samples | published |   quadrature | hmc_kde | difference |",
        "| ------- | ------: | --------- | ----- | ------: | --------: | -----------: | ------: | ---------: |",
        "| MNIST   |   1,000 | AEVB      | test  |     1e6 |    −150.0 | −148.1 ± 1.3 |  −149.0 |       +1.9 |",
        "| MNIST   |   1,000 | AEVB      | test  |     3e6 |    −140.0 |       −139.0 |         |       +1.0 |",
    ]  # fmt: skip
    assert "mean over 1 to 2 seeds" in markdown_likelihood_table(table)
    assert len(markdown_likelihood_table(table, last_only=True).splitlines()) == 5
