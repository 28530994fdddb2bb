import math

import pandas as pd

from reproduce.experiments.step_sizes import choose


def scores(*rows):
    return pd.DataFrame(rows, columns=["entry", "algorithm", "step_size", "seed", "value"])


def test_the_best_mean_training_bound_wins():
    table = scores(
        ("mnist", "aevb", 0.01, 0, -130.0), ("mnist", "aevb", 0.01, 1, -132.0),
        ("mnist", "aevb", 0.02, 0, -120.0), ("mnist", "aevb", 0.02, 1, -141.0),
        ("mnist", "wake_sleep", 0.01, 0, -150.0), ("mnist", "wake_sleep", 0.02, 0, -140.0),
    )  # fmt: skip
    chosen = choose(table)
    assert list(zip(chosen["algorithm"], chosen["step_size"], strict=True)) == [
        ("aevb", 0.02), ("wake_sleep", 0.02)
    ]  # fmt: skip
    assert list(chosen["value"]) == [-130.5, -140.0]


def test_a_candidate_with_a_diverged_seed_loses_and_does_not_crash():
    table = scores(
        ("mnist", "aevb", 0.01, 0, -200.0), ("mnist", "aevb", 0.01, 1, -200.0),
        ("mnist", "aevb", 0.1, 0, -100.0), ("mnist", "aevb", 0.1, 1, math.nan),
    )  # fmt: skip
    assert list(choose(table)["step_size"]) == [0.01]


def test_where_all_diverge_nothing_is_chosen():
    assert choose(scores(("mnist", "aevb", 0.1, 0, math.nan))).empty
