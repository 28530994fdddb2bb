"""`reproduce list` and `reproduce show` say what is in a store, and a shell completes its names."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reproduce import config
from reproduce.commands import completion
from reproduce.commands.runs import run as runs
from reproduce.common.errors import UserError
from reproduce.store import exchange
from reproduce.store.store import Store
from reproduce.training.loop import train

COMMITTED = Path(__file__).parents[2] / "results" / "reference" / "cells"
ROW = {
    "split": "test", "samples": 20_000, "estimator": "quadrature", "settings": "12345678",
    "n_points": 10, "value": -21.5, "stderr": float("nan"), "n_untrusted": 0, "seconds": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder with a run of two seeds, one of which went on, and that run restored."""
    folder = tmp_path_factory.mktemp("a") / "results"
    given = ["data=digits", "model.n_hidden=[7,5]", "algorithm=wake_sleep", f"results={folder}"]
    for seeds, samples in ((2, 20_000), (1, 30_000)):
        composed = config.compose_config([*given, f"seeds={seeds}", f"samples={samples}"])
        train(job := config.job_from(composed), lambda *_: None)
    store = Store(job.store)
    store.add_likelihood(job.cell, 0, ROW)
    exchange.export(store.root, folder.parent / "exported")
    exchange.restore(folder.parent / "exported", folder / "restored" / "runs")
    return folder, job.cell, store


def printed(capsys, command, *arguments):
    assert command([*arguments]) == 0
    return capsys.readouterr().out


def test_a_list_says_of_each_run_whose_it_is_and_how_far_it_came(trained, capsys):
    folder, cell, store = trained
    own, restored = json.loads(printed(capsys, runs.list_command, f"results={folder}", "--json"))
    assert (own["whose"], restored["whose"]) == ("own", "restored")
    assert own["id"] == restored["id"] == cell.id
    assert own["settings"] == ["model.n_hidden=[7,5]"]
    assert [record["samples"] for record in own["members"]] == [30_000, 20_000]
    for record in own["members"]:
        curve = store.curve(cell, record["seed"])
        for split in ("train", "test"):
            assert record[split] == curve[curve["split"] == split]["value"].iloc[-1]
    files = [path for path in store.folder(cell).rglob("*") if path.is_file()]
    assert own["bytes"] == sum(path.stat().st_size for path in files)
    said = printed(capsys, runs.list_command, f"results={folder}")
    assert "2 × 2e4…3e4" in said
    assert f"{own['members'][0]['test']:.1f}" in said  # of the seed that went furthest
    exported = printed(capsys, runs.list_command, f"results={folder.parent / 'exported'}")
    assert exported.startswith("Exported")


@pytest.mark.integration
def test_settings_are_told_as_train_takes_them(capsys):
    """What is printed of committed runs composes to the same cells, by their ids."""
    found = json.loads(printed(capsys, runs.list_command, f"results={COMMITTED}", "json=true"))
    assert len(found) == len(list(COMMITTED.glob("*/cell.json")))
    for run in found[::4]:
        dataset, algorithm, latent = run["id"].split("-")[:3]
        given = [f"data={dataset}", f"algorithm={algorithm}", f"model.n_latent={latent[1:]}"]
        cell = config.cell_from(config.compose_config([*given, *run["settings"]]))
        assert cell.id == run["id"]


def test_a_list_of_committed_runs_fits_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(runs.cli, "console", lambda: Console(width=80, markup=False))
    said = printed(capsys, runs.list_command, f"results={COMMITTED}").splitlines()
    assert max(map(len, said)) <= 80
    for path in COMMITTED.glob("*/cell.json"):
        assert any(line.startswith(f"{path.parent.name} ") for line in said)


def test_a_method_of_the_users_is_listed_without_its_folder(tmp_path, capsys):
    cell = config.cell_from(config.compose_config(["data=digits", "algorithm.n_samples=3"]))
    other = type(cell)(cell.dataset, "mine", 10, 1500, {**cell.settings})
    Store(tmp_path / "runs").write_cell(other)
    (run,) = json.loads(printed(capsys, runs.list_command, f"results={tmp_path}", "json=true"))
    assert "algorithm.n_samples=3" in run["settings"]
    assert not any(one.startswith("model.") for one in run["settings"])
    assert run["members"] == []


def test_data_of_the_users_are_listed_without_their_folder(tmp_path, capsys):
    composed = config.cell_from(config.compose_config(["data=digits", "algorithm=aevb"]))
    own = {"image_shape": [8, 8], "n_test": 100, "scale": None, "split_seed": 0}
    settings = {k: v for k, v in composed.settings.items() if k != "split"} | {"data": own}
    Store(tmp_path / "runs").write_cell(replace(composed, dataset="fashion", settings=settings))
    (row,) = json.loads(printed(capsys, runs.list_command, f"results={tmp_path}", "--json"))
    assert row["id"].startswith("fashion-aevb-")
    said = ["data.image_shape=[8,8]", "data.n_test=100", "data.split_seed=0"]
    assert set(said) <= set(row["settings"])


def test_one_damaged_run_leaves_the_others_listed(trained, tmp_path, capsys):
    folder, cell, _ = trained
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "cell.json").write_text("{")
    assert runs.list_command([f"results={tmp_path}"]) == 0
    captured = capsys.readouterr()
    assert cell.id in captured.out
    assert "damaged is left out" in captured.err
    assert "There is no run" in printed(capsys, runs.list_command, "results=nowhere")


def test_one_run_is_shown_with_sessions_marks_and_estimates(trained, capsys):
    folder, cell, _ = trained
    asked = ("digits-wake", f"results={folder}")
    about = json.loads(printed(capsys, runs.show_command, *asked, "json=true"))
    assert about["all_settings"]["model.n_hidden"] == [7, 5]
    first, second = about["members"]
    assert (first["marks"][-1], second["marks"][-1]) == (30_000, 20_000)
    assert (first["sessions"][0]["from"], first["sessions"][-1]["to"]) == (0, 30_000)
    assert [row["value"] for row in first["estimates"]] == [-21.5]
    assert second["estimates"] == []
    said = printed(capsys, runs.show_command, *asked)
    for text in (cell.id, "model.n_hidden=[7,5]", "30,000", "quadrature", "-21.5", "torch "):
        assert text in said
    assert said == printed(capsys, runs.show_command, f"run={cell.id}", f"results={folder}")
    with pytest.raises(UserError, match=f"There is no run 'mnist'.*{cell.id}"):
        runs.show_command(["mnist", f"results={folder}"])
    with pytest.raises(UserError, match="run must be given"):
        runs.show_command([f"results={folder}"])


CASES = {
    "reproduce sho": {"show"},
    "reproduce train mod": {"model=", "model/encoder=", "model/decoder="},
    "reproduce train data=mn": {"mnist"},
    "reproduce train data=mnist model/decoder=gaussian_": {"gaussian_identity"},
    "reproduce train settings=": {"published", "text"},
    "reproduce estimate run=digits": {"digits-aevb-z2"},
    "reproduce show dig": {"digits-aevb-z2"},
    "reproduce estimate results=other run=": {"mnist-aevb-z3"},
}


@pytest.mark.parametrize(("shell", "breaks"), [("bash", "="), ("bash", ""), ("zsh", "")])
def test_a_shell_completes_verbs_choices_and_ids(tmp_path, capsys, shell, breaks):
    """Also where it does not break words at the equals sign, as zsh does not."""
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    (tmp_path / "results" / "runs" / "digits-aevb-z2").mkdir(parents=True)
    (tmp_path / "other" / "mnist-aevb-z3").mkdir(parents=True)
    script = printed(capsys, completion.main, shell)
    ask = 'COMP_POINT=${#COMP_LINE}; _reproduce 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    plain = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"]}[shell]
    for line, expected in CASES.items():
        done = subprocess.run(
            [shell, *plain, f"{script}\nCOMP_WORDBREAKS='{breaks}'\nCOMP_LINE='{line}'\n{ask}"],
            capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        last = line.split()[-1]
        key, equals, _ = last.partition("=")
        before = "" if breaks or not equals else f"{key}="
        found = set(done.stdout.split())
        if shell == "zsh":  # which itself leaves out, later, what does not begin so
            found = {word for word in found if word.startswith(last)}
        assert found == {f"{before}{word}" for word in expected}


def test_completion_asks_for_a_shell_it_knows():
    with pytest.raises(UserError, match="bash or zsh"):
        completion.main(["fish"])


def test_the_commands_are_verbs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "reproduce", "show", "none"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no run 'none'")
