import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reproduce.analysis.comparison import (
    COLUMNS,
    compare,
    markdown_table,
    published_value,
    summarise,
)
from reproduce.analysis.curves import mean_over, over_seeds
from reproduce.analysis.published import load_published

MARKS = np.array([20_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000])


def ours(values, samples=MARKS, **identity):
    """Curves of as many seeds as `values` has rows (seed, mark)."""
    identity = {
        "dataset": "mnist",
        "n_latent": 10,
        "n_train": 50_000,
        "algorithm": "aevb",
        "split": "test",
    } | identity
    return pd.concat(
        pd.DataFrame({**identity, "seed": seed, "samples": samples, "value": row})
        for seed, row in enumerate(np.atleast_2d(values))
    )


def theirs(samples, values, **identity):
    identity = {"dataset": "mnist", "n_latent": 10, "algorithm": "aevb", "split": "test"} | identity
    return pd.DataFrame({**identity, "samples": samples, "value": values})


STRAIGHT = np.log10(MARKS) * 10 - 190


def test_a_mean_over_an_interval_weighs_each_point_by_the_samples_it_covers():
    running = pd.DataFrame({"samples": [100, 400, 1000], "value": [-500.0, -200.0, 300.0]})
    assert mean_over(running, 0, 1000) == pytest.approx((-500 * 100 - 200 * 300 + 300 * 600) / 1000)
    assert mean_over(running.iloc[::-1], 0, 500) == pytest.approx(
        (-500 * 100 - 200 * 300 + 300 * 100) / 500
    )
    assert mean_over(running, 0, 50) == -500
    assert mean_over(running, 400, 1000) == 300
    assert mean_over(running, 300, 500) == pytest.approx(50)
    assert np.isnan(mean_over(running, 0, 1001))
    assert np.isnan(mean_over(running.iloc[:0], 0, 1))


def test_published_running_means_are_averaged_over_the_samples_that_ours_average():
    theirs = pd.DataFrame({"samples": [100, 400, 1000], "value": [-500.0, -200.0, 300.0]})
    marks = [50, 100, 300, 500, 1000]
    assert published_value(theirs, "train_running", marks, 500) == pytest.approx(50)
    assert published_value(theirs, "train_running", marks, 1000) == 300
    assert np.isnan(published_value(theirs, "train_running", marks, 100))  # from the start on
    assert published_value(theirs, "test", marks, 400) == -200
    assert np.isnan(published_value(theirs, "test", marks, 50))


def test_difference_at_round_numbers_where_both_have_a_value():
    published = theirs([150_000, 1_500_000], np.log10([150_000, 1_500_000]) * 10 - 200)
    table = compare(ours(STRAIGHT), published)
    assert tuple(table.columns) == COLUMNS
    # The paper starts at 1.5e5 and ends at 1.5e6: 1e5 and 2e6 would be extrapolations.
    assert table["samples"].tolist() == [200_000, 500_000, 1_000_000]
    np.testing.assert_allclose(table["difference"], 10.0)
    np.testing.assert_allclose(table["published"], np.log10(table["samples"]) * 10 - 200)


def test_ours_is_interpolated_but_not_beyond_its_end():
    published = theirs([100_000, 100_000_000], [-200.0, -100.0])
    marks = np.array([30_000, 3_000_000])
    table = compare(ours(np.log10(marks), samples=marks), published)
    assert table["samples"].tolist() == [100_000, 200_000, 500_000, 1_000_000, 2_000_000]
    np.testing.assert_allclose(table["ours"], np.log10(table["samples"]))


def test_interval_is_scipys():
    values = STRAIGHT + np.random.default_rng(0).normal(size=(4, 1))
    row = compare(ours(values), theirs([10_000, 10**7], [0.0, 1.0])).iloc[-1]
    last = values[:, -1]
    low, high = stats.t.interval(0.95, 3, loc=last.mean(), scale=stats.sem(last))
    assert row["n_seeds"] == 4
    assert row["std"] == pytest.approx(last.std(ddof=1))
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((low, high))


def test_one_seed_has_a_value_but_no_interval():
    table = compare(ours(STRAIGHT), theirs([10_000, 10**7], [0.0, 1.0]))
    assert (table["n_seeds"] == 1).all()
    assert table["ours"].notna().all()
    assert table[["std", "ci95_low", "ci95_high"]].isna().all(axis=None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_diverged_seed_is_left_out_from_there_on(bad):
    values = np.stack([STRAIGHT, STRAIGHT + 1, STRAIGHT + 2])
    values[1, -2:] = bad
    table = compare(ours(values), theirs([10_000, 10**7], [0.0, 1.0])).set_index("samples")
    assert table["n_seeds"].tolist() == [3, 3, 3, 2, 2]
    assert table.loc[2_000_000, "ours"] == pytest.approx(STRAIGHT[-1] + 1)
    assert np.isfinite(table["ci95_high"]).all()


def test_no_row_where_every_seed_diverged():
    values = np.where(MARKS < 10**6, STRAIGHT, np.nan)
    table = compare(ours(values), theirs([10_000, 10**7], [0.0, 1.0]))
    assert table["samples"].max() == 500_000


def test_published_train_is_compared_with_the_running_mean():
    curves = pd.concat([ours(STRAIGHT + 5, split="train"), ours(STRAIGHT, split="train_running")])
    table = compare(curves, theirs(MARKS, STRAIGHT, split="train"))
    assert set(table["split"]) == {"train"}
    assert set(table["our_split"]) == {"train_running"}
    np.testing.assert_allclose(table["difference"], 0, atol=1e-12)


def test_panels_that_the_paper_lacks_are_left_out():
    curves = pd.concat([ours(STRAIGHT), ours(STRAIGHT, n_latent=7)])
    table = compare(curves, theirs(MARKS, STRAIGHT))
    assert set(table["n_latent"]) == {10}


def test_an_algorithm_of_ones_own_stands_beside_the_papers():
    curves = pd.concat([ours(STRAIGHT), ours(STRAIGHT + 1, algorithm="mine")])
    table = compare(curves, theirs(MARKS, STRAIGHT))
    mine = table[table["algorithm"] == "mine"]
    aevb = table[table["algorithm"] == "aevb"]
    assert mine["samples"].tolist() == aevb["samples"].tolist()
    np.testing.assert_allclose(mine["ours"], aevb["ours"].to_numpy() + 1)
    assert mine[["published", "difference"]].isna().all(axis=None)
    line = next(line for line in markdown_table(table).splitlines() if "mine" in line)
    assert "nan" not in line


def test_training_set_sizes_are_kept_apart():
    curves = pd.concat([ours(STRAIGHT, n_train=1_000), ours(STRAIGHT + 3)])
    published = pd.concat(
        [
            theirs(MARKS, STRAIGHT).assign(n_train=1_000),
            theirs(MARKS, STRAIGHT).assign(n_train=50_000),
        ]
    )
    table = compare(curves, published)
    means = table.groupby("n_train")["difference"].mean()
    assert means.to_dict() == pytest.approx({1_000: 0, 50_000: 3})
    with pytest.raises(ValueError, match="n_train differs"):
        over_seeds(curves)


def test_nothing_to_compare_still_has_the_columns():
    published = load_published("figure2")
    for curves in (ours(STRAIGHT)[:0], ours(STRAIGHT, dataset="digits")):
        table = compare(curves, published)
        assert table.empty
        assert tuple(table.columns) == COLUMNS
        assert summarise(table).empty
        assert "1e6 samples" in markdown_table(table)


def real():
    """Every curve of the paper, as if it were ours, one nat above it."""
    published = load_published("figure2")
    split = published["split"].map({"train": "train_running", "test": "test"})
    curves = published.assign(value=published["value"] + 1, split=split, n_train=50_000, seed=0)
    return compare(curves.sample(frac=1, random_state=0), published)


def test_the_paper_against_itself_in_the_papers_order():
    table = real()
    np.testing.assert_allclose(table["difference"], 1)
    names = table[["dataset", "n_latent"]].drop_duplicates().values.tolist()
    assert names == [*(["mnist", n] for n in (3, 5, 10, 20, 200)),
                     *(["freyface", n] for n in (2, 5, 10, 20))]  # fmt: skip
    first = table[table["n_latent"] == 5].drop_duplicates(["algorithm", "split"])
    assert first["algorithm"].tolist()[:4] == ["aevb", "aevb", "wake_sleep", "wake_sleep"]
    assert first["split"].tolist()[:4] == ["train", "test", "train", "test"]
    curves = table.groupby(["dataset", "n_latent", "algorithm", "split"])["samples"]
    assert curves.is_monotonic_increasing.all()
    assert table["samples"].max() == 500_000_000


def test_summary_counts_and_measures_each_panel():
    published = theirs(MARKS, STRAIGHT)
    values = STRAIGHT + np.array([0, 1, -3, 1, 1, -1])
    (row,) = summarise(compare(ours(values), published)).to_dict("records")
    assert row["n_points"] == 5
    assert row["mean_absolute_difference"] == pytest.approx(7 / 5)
    assert row["worst_absolute_difference"] == pytest.approx(3)
    assert len(summarise(real())) == 9  # panels


def test_markdown_table_says_units_and_lines_up():
    values = np.stack([STRAIGHT - 0.5, STRAIGHT + 0.5])
    curves = pd.concat([ours(values), ours(values, algorithm="wake_sleep")])
    published = pd.concat(
        [theirs(MARKS, STRAIGHT + 2), theirs(MARKS, STRAIGHT, algorithm="wake_sleep")]
    )
    caption, blank, *lines = markdown_table(compare(curves, published)).split("\n")
    assert "nats" in caption
    assert "1e6" in caption
    assert "2 seeds" in caption
    assert not blank
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["dataset", "N_z", "algorithm", "split", "published", "ours", "difference"]
    half = stats.t.ppf(0.975, 1) * np.std([-0.5, 0.5], ddof=1) / np.sqrt(2)
    assert cells[2] == ["MNIST", "10", "AEVB", "test", "−128.0", f"−130.0 ± {half:.1f}", "−2.0"]
    assert cells[3][2] == "Wake-Sleep"


def test_markdown_table_of_curves_that_end_apart_has_the_last_of_each():
    curves = pd.concat([ours(STRAIGHT), ours(STRAIGHT[:4], MARKS[:4], dataset="freyface")])
    published = pd.concat([theirs(MARKS, STRAIGHT), theirs(MARKS, STRAIGHT, dataset="freyface")])
    compared = compare(curves, published)
    lines = markdown_table(compared, None).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0][4] == "samples"
    assert [(row[0], row[4]) for row in cells[2:]] == [("MNIST", "2e6"), ("Frey Face", "5e5")]
    alike = compared[compared["dataset"] == "mnist"]
    assert markdown_table(alike, None) == markdown_table(alike, 2e6)


def test_markdown_table_of_one_seed_claims_no_interval():
    text = markdown_table(compare(ours(STRAIGHT), theirs(MARKS, STRAIGHT)), at=200_000)
    assert "±" not in text
    assert "1 seed;" in text
    assert "2e5" in text
