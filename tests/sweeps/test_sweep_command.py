"""`make sweep`: the plan, the sweep, its outcome."""

import shutil
import sys
from pathlib import Path

import pytest

from reproduce.common import cli
from reproduce.config.overrides import groups
from reproduce.sweeps import plan as sweep_plan
from reproduce.sweeps import sweep
from reproduce.sweeps.launchers import Division
from reproduce.sweeps.plan import Rate, durations, makespan, measure_rate, plan

ROOT = Path(__file__).parents[2]
SMALL = ["data=digits", "model.n_hidden=20", "samples=2000", "tracking=off", "workers=1"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder: its status, and its output line by line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(*overrides):
        with pytest.raises(SystemExit) as stop:
            cli.command(lambda: sweep.main([*SMALL, *overrides]))
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out.splitlines(), said.err

    return run


def rows(lines):
    """The cells of all tables, row by row."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "│" in line]


@pytest.mark.slow
def test_the_plan_comes_first_and_the_outcome_last(run):
    status, lines, err = run("algorithm=aevb,wake_sleep", "model.n_latent=2", "seeds=3")
    assert (status, err) == (0, "")
    found = rows(lines)
    ids = [path.name for path in sorted(Path("results/runs").iterdir())]
    assert [row[0] for row in found] == ids * 2
    assert [row[1:4] for row in found[:2]] == [["2,000", "3", "new"]] * 2
    assert all(row[4].endswith(" s") for row in found[:2])
    assert all(row[3] == "done" for row in found[2:])
    for row in found[2:]:
        for value in row[1:3]:
            mean, half = (float(n.replace("−", "-")) for n in value.split(" ± "))
            assert -60 < mean < -20
            assert 0 <= half < 20
    texts = "\n".join(lines)
    assert "0 of 2 cells are done already." in texts
    assert texts.index("The plan") < texts.index("0 of 2 cells") < texts.index("2.0e+03 samples")
    assert texts.index("2.0e+03 samples") < texts.index("Variational bound at the end")

    # Once more, with one cell more: what is done is skipped, and both tables say so.
    status, lines, err = run("algorithm=aevb", "model.n_latent=2,3", "seeds=3")
    assert (status, err) == (0, "")
    assert [row[3] for row in rows(lines)] == ["done", "new", "done before", "done"]
    assert "1 of 2 cells are done already." in "\n".join(lines)

    # And a longer one continues.
    _, lines, _ = run("algorithm=aevb", "model.n_latent=2", "seeds=3", "samples=3000")
    assert [row[3] for row in rows(lines)] == ["from 2,000", "done"]


@pytest.mark.slow
def test_a_folder_may_have_an_apostrophe(run, tmp_path, monkeypatch):
    folder = tmp_path / "o'brien"
    folder.mkdir()
    monkeypatch.chdir(folder)
    status, _, err = run("model.n_latent=2,3", "seeds=1")
    assert (status, err) == (0, "")
    assert len(list(folder.glob("results/runs/*/seed-0/curve.csv"))) == 2
    # And so may the folder of a method.
    shutil.copytree(ROOT / "examples" / "iwae", folder / "iwae")
    monkeypatch.setenv("METHODS", str(folder / "iwae"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    groups.cache_clear()
    try:
        status, _, err = run("model.n_latent=2,3", "seeds=1", "algorithm=iwae")
    finally:
        monkeypatch.delenv("METHODS")
        groups.cache_clear()
    assert (status, err) == (0, "")
    assert len(list(folder.glob("results/runs/digits-iwae-*/seed-0/curve.csv"))) == 2


def test_what_fails_and_what_diverges_is_said(run):
    diverging = [
        "data=digits_continuous",
        "algorithm.warmup_steps=0",
        "algorithm.step_size=0.1,1e9",
    ]
    status, lines, err = run("model.n_latent=-1,2", *diverging, "seeds=1")
    assert status == 2
    assert "3 of the sweep's jobs failed:" in err
    text = " ".join(" ".join(cell for row in rows(lines) for cell in row).split())
    assert "cannot be: model.n_latent must be" in text
    assert "failed: model.n_latent must be" in text
    assert "failed: All seeds of digits_continuous N_z=2 aevb diverged" in text
    assert [row[-1] for row in rows(lines)].count("done") == 1


def test_a_job_that_cannot_be_tried_does_not_keep_the_others_from_training(run):
    status, lines, err = run("model.n_latent=2,1e14", "seeds=1")
    assert status == 2
    assert "does not fit into memory" in err
    found = rows(lines)
    assert [row[4] for row in found[:2]][1] == "unknown"
    assert [row[-1] for row in found].count("done") == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("--multirun", "takes overrides and no options"),
        ("algorithm=aebv,aevb", "Unknown algorithm 'aebv'"),
        ("modle.n_latent=2,3", "did you mean model.n_latent?"),
    ],
)
def test_mistakes_are_one_sentence(run, tmp_path, override, said):
    status, lines, err = run(override)
    assert (status, lines) == (2, [])
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_measured_and_nothing_is_left_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("data=digits", "model.n_hidden=20", "tracking=off", "seeds=2")
    jobs = [(*small, f"samples={n}") for n in (100_000, 200_000)]
    planned = plan(jobs, cli.console())
    short, long = durations(planned, Division(1, 1))
    assert 0 < short < long < 3 * short
    assert list(tmp_path.iterdir()) == []
    rate = measure_rate(planned[0].job, stack=2)
    assert 1e3 < rate.samples_per_second < 1e8
    assert 0 < rate.seconds_per_mark < 10


def test_seeds_that_are_shared_by_two_processes_take_half_the_time(monkeypatch):
    stacks = []

    def measured(job, stack):
        stacks.append(stack)
        return Rate(1000.0, 0.0)

    monkeypatch.setattr(sweep_plan, "measure_rate", measured)
    given = ("data=digits", "model.n_hidden=20", "tracking=off", "seeds=4", "samples=100000")
    planned = plan([given], cli.console())
    alone, split = (durations(planned, Division(1, cores))[0] for cores in (1, 2))
    assert stacks == [4, 2]
    assert (alone, split) == (pytest.approx(400.0), pytest.approx(200.0))


def test_compiled_seeds_are_trained_one_by_one_and_the_first_compiled_in_full(
    monkeypatch,
):
    monkeypatch.setattr(
        sweep_plan, "measure_rate", lambda job, stack: Rate(1000.0 * stack, 0.0, 10.0)
    )
    given = ("data=digits", "device=cpu", "tracking=off", "seeds=4", "samples=100000")
    planned = plan(
        [(*given, f"compile={compiled}") for compiled in ("false", "true")], cli.console()
    )
    together, alone = durations(planned, Division(1, 2))
    assert together == pytest.approx(100.0 + 10.0)
    assert alone == pytest.approx(2 * 100.0 + 10.0)


def test_a_cell_that_is_lost_fails_again_when_the_sweep_is_repeated(run):
    lost = ["algorithm.warmup_steps=0", "algorithm.step_size=1e9", "data=digits_continuous"]
    for _ in range(2):
        status, _, err = run("model.n_latent=2", "seeds=1", *lost)
        assert status == cli.USER_ERROR
        assert "diverged; try a smaller step size" in err


def test_how_long_jobs_take_beside_each_other():
    assert makespan([3, 3, 2, 2], at_once=1) == 10
    assert makespan([3, 3, 2, 2], at_once=2) == 5
    assert makespan([9, 1, 1, 1], at_once=2) == 9
    assert makespan([0, 0], at_once=2) == 0
