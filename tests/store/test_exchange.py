"""Cells go to a folder that can be committed, and come back as done."""

import json
from pathlib import Path

import pytest
import torch

from reproduce import config, load_model
from reproduce.commands import estimate
from reproduce.common.errors import UserError
from reproduce.experiments.latent import run as diagnostics
from reproduce.store import exchange
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import train

COMMITTED = Path(__file__).parents[2] / "results" / "reference" / "cells"
ROW = {
    "split": "test", "samples": 20_000, "estimator": "quadrature", "settings": "12345678",
    "n_points": 10, "value": -1.5, "stderr": 0.1, "n_untrusted": 0, "seconds": 0.1,
}  # fmt: skip


def job(folder, samples):
    composed = config.job_from(
        config.compose_config([f"results={folder}", "model.n_hidden=5", "model.n_latent=2"])
    )
    return Job(composed.cell, (0, 1), samples, composed.store)


@pytest.fixture
def finished(tmp_path):
    this = job(tmp_path / "a", 20_000)
    train(this, lambda *_: None)
    Store(this.store).add_likelihood(this.cell, 0, ROW)
    return this


def test_a_restored_seed_is_done_and_nothing_else_is(finished, tmp_path):
    exported = exchange.export(finished.store, tmp_path / "reference")
    assert len(exported) == 2
    there = job(tmp_path / "b", 20_000)
    assert len(exchange.restore(tmp_path / "reference", there.store)) == 2
    store, reports = Store(there.store), []
    assert store.is_done(there.cell, 0, 20_000)
    assert not store.is_done(there.cell, 0, 30_000)
    assert store.likelihoods(there.cell, 0)["value"].tolist() == [-1.5]
    train(there, lambda *report: reports.append(report))
    assert reports == []
    before = store.curve(there.cell, 1)
    train(job(tmp_path / "b", 30_000), lambda *report: reports.append(report))
    assert ("advance", 40_000) in reports  # two seeds continue where they were
    after = store.curve(there.cell, 1)
    assert after[after["samples"] <= 20_000].reset_index(drop=True).equals(before)


def test_large_weights_stay_behind_and_training_further_starts_anew(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setattr(exchange, "MOST_BYTES", 5_000)
    exchange.export(finished.store, tmp_path / "reference")
    assert not list((tmp_path / "reference").rglob("checkpoint.ckpt"))
    there = job(tmp_path / "b", 30_000)
    exchange.restore(tmp_path / "reference", there.store)
    before = Store(there.store).curve(there.cell, 1)
    train(there, lambda *_: None)
    after = Store(there.store).curve(there.cell, 1)
    assert after[after["samples"] <= 20_000].reset_index(drop=True).equals(before)


def test_of_a_cell_too_large_seed_0_can_be_loaded_in_half_precision(
    finished, tmp_path, monkeypatch
):
    exact = load_model(finished.cell.id, tmp_path / "a").state_dict()
    monkeypatch.setattr(exchange, "MOST_BYTES", 10_000)
    folder = tmp_path / "reference"
    exchange.export(finished.store, folder)
    (file,) = folder.rglob("*.ckpt")
    assert file.relative_to(folder) == Path(finished.cell.id, "seed-0", "snapshots", "20000.ckpt")
    exchange.restore(folder, tmp_path / "b" / "runs")
    for there in (folder, tmp_path / "b"):
        found = load_model(finished.cell.id, there)
        for name, value in found.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, exact[name][:1].half().float())
    # And they do not outlive what they belong to.
    train(job(tmp_path / "a", 30_000), lambda *_: None)
    exchange.export(finished.store, folder)
    assert [path.name for path in folder.rglob("*.ckpt")] == ["30000.ckpt"]


def test_weights_are_added_to_what_was_exported_without(finished, tmp_path, monkeypatch):
    folder = tmp_path / "reference"
    with monkeypatch.context() as small:
        small.setattr(exchange, "MOST_BYTES", 5_000)
        exchange.export(finished.store, folder)
    exchange.export(finished.store, folder)
    assert len(list(folder.rglob("checkpoint.ckpt"))) == 2
    # And do not outlive what they belong to.
    train(job(tmp_path / "a", 30_000), lambda *_: None)
    monkeypatch.setattr(exchange, "MOST_BYTES", 5_000)
    assert len(exchange.export(finished.store, folder)) == 2
    assert not list(folder.rglob("checkpoint.ckpt"))


def test_nothing_that_goes_further_is_overwritten(finished, tmp_path):
    folder = tmp_path / "reference"
    exchange.export(finished.store, folder)
    path = Store(folder).seed_folder(finished.cell, 0) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "samples": 99_000}))
    assert exchange.export(finished.store, folder) == []
    assert json.loads(path.read_text())["samples"] == 99_000
    assert exchange.restore(folder, finished.store) == []


def test_estimates_are_added_and_never_taken_away(finished, tmp_path):
    folder, store = tmp_path / "reference", Store(finished.store)
    exchange.export(finished.store, folder)
    store.add_likelihood(finished.cell, 0, {**ROW, "samples": 10_000})
    exchange.export(finished.store, folder)
    assert len(Store(folder).likelihoods(finished.cell, 0)) == 2
    # Fewer, or of another run that is as long: what is there stays.
    path = store.seed_folder(finished.cell, 0)
    path.joinpath("likelihood.csv").unlink()
    store.add_likelihood(finished.cell, 0, ROW)
    exchange.export(finished.store, folder)
    for samples in (1_000, 2_000):
        store.add_likelihood(finished.cell, 0, {**ROW, "samples": samples})
    curve = path.joinpath("curve.csv").read_text().splitlines()
    path.joinpath("curve.csv").write_text("\n".join([*curve[:-1], "test,20000,-1.0", ""]))
    exchange.export(finished.store, folder)
    assert Store(folder).likelihoods(finished.cell, 0)["samples"].tolist() == [20_000, 10_000]


def test_a_seed_in_training_keeps_its_checkpoint(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "MOST_BYTES", 5_000)
    exchange.export(finished.store, tmp_path / "reference")
    store = Store(finished.store)
    (store.seed_folder(finished.cell, 0) / "curve.csv").unlink()
    assert exchange.restore(tmp_path / "reference", finished.store) == []
    assert store.checkpoint(finished.cell, 0).exists()


def test_a_folder_without_seeds_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no seeds"):
        exchange.restore(tmp_path, tmp_path / "runs")


def test_restored_seeds_do_not_become_the_users_own(finished, tmp_path, monkeypatch):
    exchange.export(finished.store, tmp_path / "reference")
    monkeypatch.chdir(tmp_path)
    assert exchange.restore_command(["folder=reference"]) == 0
    assert (tmp_path / "results" / "restored" / "runs" / finished.cell.id / "seed-0").is_dir()
    assert not (tmp_path / "results" / "runs").exists()


def test_readers_take_exported_cells_as_they_lie_and_leave_them_so(finished, tmp_path, monkeypatch):
    folder = tmp_path / "reference"
    exchange.export(finished.store, folder)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    own, theirs = (
        load_model(finished.cell.id, results).state_dict() for results in ("a", "reference")
    )
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    asked = [f"run={finished.cell.id}", "results=reference", "n_points=5", "threads=1"]
    assert estimate.main([*asked, "estimator=quadrature"]) == 0
    assert diagnostics.main(["results=reference"]) == 0
    assert (tmp_path / "results" / "restored" / "diagnostics" / "table.md").is_file()
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # A results folder is one, even where something was exported into it.
    exchange.export(finished.store, tmp_path / "a")
    assert load_model(finished.cell.id, "a").n_seeds == 2


def test_a_committed_cell_without_weights_says_so():
    assert load_model("mnist-aevb-z3-n1000", COMMITTED).n_latent == 3
    with pytest.raises(UserError, match=r"z200-n50000-1c099159.* holds no trained weights"):
        load_model("mnist-aevb-z200-n50000-1c099159", COMMITTED)
    with pytest.raises(UserError, match="holds no trained weights"):
        estimate.main(["run=mnist-aevb-z200-n50000-1c099159", f"results={COMMITTED}"])
