import pandas as pd
import pytest

from studies.full_vb import __main__ as study


def test_differences_are_taken_within_a_seed():
    values = {"aevb": [-100.0, -110.0, -120.0], "full_vb": [-98.0, -108.0, -118.0]}
    table = pd.DataFrame(
        [
            (name, seed, 100_000, "test", value)
            for name, mine in values.items()
            for seed, value in enumerate(mine)
        ]
        + [("full_vb", seed, 100_000, "full_bound", -300.0) for seed in range(3)],
        columns=study.COLUMNS,
    )
    test, full = (line.split("|")[2:-1] for line in study.markdown(table).splitlines()[2:])
    assert [cell.strip() for cell in test] == ["1e5", "−110.0 ± 24.8", "−108.0 ± 24.8", "2.0 ± 0.0"]
    assert [cell.strip() for cell in full] == ["1e5", "", "−300.0 ± 0.0", ""]


def test_the_page_has_the_table_of_the_committed_results():
    table = pd.read_csv(study.RESULTS)
    assert study.markdown(table) in study.RESULTS.with_name("README.md").read_text("utf-8")


@pytest.mark.parametrize("given", [[], ["seeds=2", "samples=20000"]])
def test_both_algorithms_have_the_same_settings(given):
    one, other = study.jobs(given)
    assert (one.cell.algorithm, other.cell.algorithm) == study.ALGORITHMS
    assert (one.samples, one.seeds, one.snapshots) == (other.samples, other.seeds, other.snapshots)
    assert one.cell.settings["model"] == other.cell.settings["model"]
    theirs = dict(other.cell.settings["algorithm"])
    assert theirs.pop("initial_std") == 0.01
    assert theirs | {"_target_": None} == {**one.cell.settings["algorithm"], "_target_": None}
