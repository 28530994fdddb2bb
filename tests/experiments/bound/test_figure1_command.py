"""`make figure1`, end to end on the embedded digits."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from PIL import Image

from reproduce.experiments import figure
from reproduce.experiments.bound import picture as figure1

SMALL = ["figure=figure1", "budget=smoke", "samples=25000", "tracking=off", "workers=1"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    assert figure.main([*SMALL, f"results={results}"]) == 0
    return results


def test_the_output_contract(smoke):
    folder = smoke / "figure1" / "smoke"
    assert {path.name for path in folder.iterdir()} == {
        "figure1.png", "figure1.pdf", "curves.csv", "comparison.csv", "manifest.json"
    }  # fmt: skip
    curves = pd.read_csv(folder / "curves.csv")
    assert list(curves.columns) == [
        "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "value"
    ]  # fmt: skip
    assert set(curves["dataset"]) == {"digits", "digits_continuous"}
    assert set(curves["algorithm"]) == {"aevb", "wake_sleep"}
    assert set(curves["split"]) == {"train", "test", "train_running"}
    assert set(curves["seed"]) == {0, 1}
    assert set(curves["n_train"]) == {1500}
    groups = curves.groupby(["dataset", "algorithm", "seed", "split"])
    assert len(groups) == 24
    assert all(list(group["samples"]) == [20_000, 25_000] for _, group in groups)
    assert curves["value"].notna().all()
    with Image.open(folder / "figure1.png") as picture:
        assert picture.width > 800
    assert (folder / "figure1.pdf").read_bytes().startswith(b"%PDF")
    assert pd.read_csv(folder / "comparison.csv").empty  # the paper has no digits


def test_the_manifest_names_code_cells_and_data(smoke):
    manifest = json.loads((smoke / "figure1" / "smoke" / "manifest.json").read_text())
    assert manifest["figure"] == "figure1"
    assert manifest["budget"]["name"] == "smoke"
    assert manifest["datasets"] == ["digits", "digits_continuous"]
    assert manifest["replaced"] == {}
    assert len(manifest["cells"]) == 4
    for cell in manifest["cells"]:
        assert (smoke / "runs" / cell["id"]).is_dir()
        assert [record["seed"] for record in cell["members"]] == [0, 1]
        assert all(len(record["data"]["sha256"]) == 64 for record in cell["members"])


def test_run_again_trains_nothing_and_draws_the_same(smoke, capsys):
    folder = smoke / "figure1" / "smoke"
    names = ("curves.csv", "figure1.png", "figure1.pdf")
    before = {name: (folder / name).read_bytes() for name in names}
    checkpoints = {p: p.stat().st_mtime_ns for p in smoke.glob("runs/*/*/checkpoint.ckpt")}
    assert len(checkpoints) == 8
    assert figure.main([*SMALL, f"results={smoke}"]) == 0
    assert "4 of 4 cells are done already." in capsys.readouterr().out
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert {p: p.stat().st_mtime_ns for p in checkpoints} == checkpoints


@pytest.mark.slow
def test_other_settings_are_said_below_the_figure(tmp_path, monkeypatch):
    below = []
    draw = figure1.draw

    def listening(*arguments, footnote, **options):
        below.append(footnote)
        return draw(*arguments, footnote=footnote, **options)

    monkeypatch.setattr(figure1, "draw", listening)
    usual = [*SMALL, f"results={tmp_path}", "samples=2000", "seeds=1", "data.fallback=error"]
    assert figure.main(usual) == 0
    assert figure.main([*usual, "algorithm.step_size=0.05", "algorithm.warmup_steps=3"]) == 0
    plain, changed = below
    assert plain == ""
    assert changed == (
        "Not with the committed settings: algorithm.step_size=0.05, algorithm.warmup_steps=3."
    )
    manifest = json.loads((tmp_path / "figure1" / "smoke" / "manifest.json").read_text())
    assert manifest["changed_settings"] == [
        "algorithm.step_size=0.05", "algorithm.warmup_steps=3"
    ]  # fmt: skip


@pytest.mark.slow
def test_fewer_samples_and_seeds_show_only_those(smoke, capsys):
    assert figure.main([*SMALL, f"results={smoke}", "samples=20000", "seeds=1"]) == 0
    curves = pd.read_csv(smoke / "figure1" / "smoke" / "curves.csv")
    assert set(curves["seed"]) == {0}
    assert set(curves["samples"]) == {20_000}
    figure.main([*SMALL, f"results={smoke}"])


def command(results, *arguments):
    verb = [sys.executable, "-m", "reproduce", "figure"]
    return [*verb, *SMALL, f"results={results}", *arguments]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sigkill_of_the_command_at_any_moment(tmp_path, workers):
    """The finished curves.csv equals that of an uninterrupted run; drawing is killed too."""
    longer = ["samples=100000", f"workers={workers}"]
    subprocess.run(command(tmp_path / "whole", *longer), check=True)
    killed = tmp_path / "killed"
    curves = killed / "figure1" / "smoke" / "curves.csv"
    kills, while_drawing = 0, False
    for delay in (0.2, 1.5, 3.0, 5.0, None):
        process = subprocess.Popen(
            command(killed, *longer), stdout=subprocess.DEVNULL, start_new_session=True
        )
        before = _newest(killed)
        while process.poll() is None and not curves.exists() and _newest(killed) == before:
            time.sleep(0.02)
        if delay is None:  # kill while the figure is drawn, just after its first file
            while process.poll() is None and not curves.exists():
                time.sleep(0.002)
        else:
            time.sleep(delay)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)  # the command alone: its workers must follow
            kills += 1
            while_drawing |= curves.exists()
        process.wait()
    assert kills >= 2
    assert while_drawing
    subprocess.run(command(killed, *longer), check=True)
    for name in ("curves.csv", "figure1.png"):
        expected = (tmp_path / "whole" / "figure1" / "smoke" / name).read_bytes()
        assert (killed / "figure1" / "smoke" / name).read_bytes() == expected
    # Leftovers of a kill may stay, hidden.
    assert not [path for path in (killed / "figure1").rglob("*") if "tmp" in path.name
                and not path.name.startswith(".")]  # fmt: skip


def _newest(folder):
    return max((p.stat().st_mtime_ns for p in folder.rglob("checkpoint.ckpt")), default=0)
