"""Comparing two runs of a figure point by point."""

import io
import subprocess
import sys

import pandas as pd
import pytest
from rich.console import Console

from reproduce.commands.repeat import differences, table
from reproduce.common.errors import UserError
from reproduce.common.provenance import REPOSITORY

REFERENCE = REPOSITORY / "results" / "reference" / "figure1" / "smoke"


def curve(values, **others):
    identity = {"dataset": "mnist", "n_latent": 3, "n_train": 50_000, "algorithm": "aevb"}
    samples = [1_000 * (n + 1) for n in range(len(values))]
    return pd.DataFrame(
        {**identity, "seed": 0, "split": "test", "samples": samples, "value": values} | others
    )


def test_the_farthest_point_of_each_pair_of_curves_is_found():
    ours = pd.concat([curve([-9.0, -8.0, -7.0]), curve([-5.0, -4.0], algorithm="wake_sleep")])
    theirs = pd.concat([curve([-9.0, -8.5, -7.1]), curve([-5.0], algorithm="wake_sleep")])
    found = differences(ours, theirs)
    assert found["algorithm"].tolist() == ["aevb", "wake_sleep"]
    assert found["points"].tolist() == [3, 1]
    assert found["largest"].tolist() == [0.5, 0.0]
    assert found["samples"].tolist() == [2_000, 1_000]
    assert found["at_end"].tolist() == pytest.approx([0.1, 0.0])


def test_the_table_fits_the_terminal():
    found = differences(curve([-9.0], dataset="freyface"), curve([-8.5], dataset="freyface"))
    file = io.StringIO()
    Console(file=file, width=60, soft_wrap=True).print(table(found))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert "5.0e-01" in file.getvalue()
    assert "…" not in file.getvalue()


def test_curves_that_do_not_meet_are_refused():
    with pytest.raises(UserError, match="no point in common"):
        differences(curve([-9.0]), curve([-9.0], seed=1))
    with pytest.raises(UserError, match="not the same figure"):
        differences(curve([-9.0]), curve([-9.0], estimator="ais"))


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "reproduce", "repeat", *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_reader_that_has_seen_enough_is_no_error():
    folder = f"{REPOSITORY}/results/reference/text/figure2/paper"
    command = f"{sys.executable} -m reproduce tables folder={folder}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_the_command_compares_with_the_committed_figure_of_the_same_name(tmp_path):
    mine = tmp_path / "figure1" / "smoke"
    mine.mkdir(parents=True)
    curves = pd.read_csv(REFERENCE / "curves.csv")
    curves.loc[3, "value"] += 0.25
    curves.iloc[:-1].to_csv(mine / "curves.csv", index=False)
    done = run(f"folder={mine}")
    assert done.returncode == 0, done.stderr
    summary = done.stdout.splitlines()[-1]
    expected = f"{len(curves) - 1:,} points in both, the farthest 2.5e-01 nats apart; 0 only in"
    assert summary.startswith(expected)
    assert f"1 only in {REFERENCE}." in summary


def test_a_folder_without_curves_ends_in_a_sentence(tmp_path):
    done = run(f"folder={tmp_path}")
    assert done.returncode == 2
    assert "There is no " in done.stderr
    assert "curves.csv; give the folder of a drawn figure" in done.stderr
    assert "Traceback" not in done.stderr
