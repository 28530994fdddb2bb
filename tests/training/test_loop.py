"""Training through the store: resuming, continuing, diverging, two at once."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from filelock import FileLock

from reproduce import config
from reproduce.algorithms.aevb import AEVB
from reproduce.common.errors import UserError
from reproduce.common.provenance import provenance
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.load import load_model, load_snapshots, snapshots_of
from reproduce.store.store import Store
from reproduce.training import loop as training
from reproduce.training.job import Job
from reproduce.training.loop import train

SAMPLES = 35_000
SNAPSHOTS = (12_500, 30_000)
MARKS = {  # nominal ones, Monte Carlo EM's rounded up to its iterations of 15 x 300 samples
    "aevb": [12_500, 20_000, 25_000, 30_000, 35_000],
    "wake_sleep": [12_500, 20_000, 25_000, 30_000, 35_000],
    "mcem": [13_500, 22_500, 27_000, 31_500, 36_000],
}

FEW_STEPS = ["algorithm.batch_size=250", "algorithm.warmup_steps=20"]


class Crash(BaseException):
    """Like a kill: nothing in the suite may catch it and tidy up."""


def job(folder, algorithm="aevb", seeds=(0, 1), samples=SAMPLES, data="digits", **settings):
    overrides = [
        f"data={data}",
        f"algorithm={algorithm}",
        "model.n_latent=3",
        "model.n_hidden=20",
        "tracking=off",
        f"results={folder}",
        *(["data.n_train=300"] if algorithm == "mcem" else FEW_STEPS),
        *(f"{key}={value}" for key, value in settings.items()),
    ]
    composed = config.job_from(config.compose_config(overrides))
    return Job(composed.cell, seeds, samples, composed.store, snapshots=SNAPSHOTS)


def silent(kind, payload):
    pass


def curves(job):
    store = Store(job.store)
    return pd.concat([store.curve(job.cell, s).assign(seed=s) for s in job.seeds])


def finished(job):
    train(job, silent)
    return curves(job)


@pytest.fixture(
    scope="module",
    params=[
        "aevb",  # what is stored, and in which order, does not depend on the algorithm
        pytest.param("wake_sleep", marks=pytest.mark.slow),
        pytest.param("mcem", marks=pytest.mark.integration),
    ],
)
def uninterrupted(request, tmp_path_factory):
    return request.param, finished(job(tmp_path_factory.mktemp("whole"), request.param))


def test_curves_have_all_splits_at_all_marks(uninterrupted):
    algorithm, curve = uninterrupted
    bounds = {"train", "test", "train_running"}
    chains = {"train_log_joint", "acceptance_rate", "leapfrog_step"}
    assert set(curve["split"]) == (chains if algorithm == "mcem" else bounds)
    for _, one in curve.groupby(["seed", "split"]):
        assert list(one["samples"]) == MARKS[algorithm]
    nats = curve[curve["split"].isin(bounds | {"train_log_joint"})]
    assert nats["value"].between(-150, -20).all()


def test_seeds_alone_or_together_give_the_same_curves(uninterrupted, tmp_path):
    algorithm, expected = uninterrupted
    for seed in (1, 0):
        train(job(tmp_path, algorithm, (seed,)), silent)
    pd.testing.assert_frame_equal(curves(job(tmp_path, algorithm)), expected, check_exact=True)


@pytest.mark.parametrize("reports", [2, 3, 4, 5])
def test_interrupted_training_continues_to_the_same_numbers(
    uninterrupted, tmp_path, monkeypatch, reports
):
    algorithm, expected = uninterrupted
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)  # also between marks
    this = job(tmp_path, algorithm)
    left = reports

    def crash(kind, payload):
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash

    with pytest.raises(Crash):
        train(this, crash)
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)
    assert list(snapshots_of(Store(this.store), this.cell).values()) == [[0, 1]] * 3


def test_training_that_stops_in_time_continues_to_the_same_numbers(
    uninterrupted, tmp_path, monkeypatch
):
    algorithm, expected = uninterrupted
    this = job(tmp_path, algorithm)
    store = Store(this.store)
    monkeypatch.setattr(training, "LONGEST_CHUNK", {"cpu": 5_000})  # so that it stops off a mark
    train(this, silent, until=time.monotonic() - 1)
    assert store.trained_seeds(this.cell) == []
    clock = iter([0.0] * 4 + [2.0] * 100)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    train(this, silent, until=1.0)
    monkeypatch.undo()
    reached = [store.manifest(this.cell, seed)["samples"] for seed in this.seeds]
    assert set(reached) <= set(range(1, SAMPLES)) - set(MARKS[algorithm])
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)


@pytest.mark.parametrize("write", [0, 1, 2, 3])
@pytest.mark.parametrize("half_written", [pytest.param(False, marks=pytest.mark.slow), True])
def test_killed_while_writing_checkpoints(
    uninterrupted, tmp_path, monkeypatch, write, half_written
):
    """Also between the files of two seeds, which are then at different points."""
    algorithm, expected = uninterrupted
    monkeypatch.setitem(training.LONGEST_CHUNK, "cpu", 5)
    this = job(tmp_path, algorithm)
    write_bytes, calls = Path.write_bytes, 0

    def killed(path, content):
        nonlocal calls
        calls += 1
        if calls == write + 1:
            if half_written:
                write_bytes(path, b"half a checkpoint")
            raise Crash
        write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", killed)
        with pytest.raises(Crash):
            train(this, silent)
    assert calls == write + 1
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)


@pytest.mark.parametrize("function", ["write_curve", "write_manifest"])
def test_killed_between_checkpoint_and_curve(uninterrupted, tmp_path, monkeypatch, function):
    algorithm, expected = uninterrupted
    this = job(tmp_path, algorithm)
    original, calls = getattr(Store, function), 0

    def killed(*arguments):
        nonlocal calls
        calls += 1
        if calls == 5:  # the third mark's, of seed 0: the checkpoint is complete
            raise Crash
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, function, killed)
        with pytest.raises(Crash):
            train(this, silent)
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)


def test_killed_between_the_last_checkpoint_and_its_curve(uninterrupted, tmp_path):
    algorithm, expected = uninterrupted
    this = job(tmp_path, algorithm)
    train(this, silent)
    folder = Store(this.store).seed_folder(this.cell, 0)
    whole = Store(this.store).manifest(this.cell, 0)
    for name in ("manifest.json", "curve.csv"):
        (folder / name).unlink()
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)
    again = Store(this.store).manifest(this.cell, 0)
    same = set(whole) - {"stacked_with", "wall_seconds"}
    assert {key: again[key] for key in same} == {key: whole[key] for key in same}
    assert again["samples"] == MARKS[algorithm][-1]


def test_a_larger_budget_continues_a_smaller_one(uninterrupted, tmp_path):
    algorithm, expected = uninterrupted
    train(job(tmp_path, algorithm, seeds=(0,), samples=20_000), silent)
    before = (
        Store(tmp_path / "runs").checkpoint(job(tmp_path, algorithm).cell, 0).stat().st_mtime_ns
    )
    advances = []
    train(
        job(tmp_path, algorithm),
        lambda kind, payload: advances.append(payload) if kind == "advance" else None,
    )
    pd.testing.assert_frame_equal(curves(job(tmp_path, algorithm)), expected, check_exact=True)
    assert advances[0] == 0  # seed 1, which starts from nothing, comes first
    assert advances[1] == (9_000 if algorithm == "mcem" else 10_000)
    assert MARKS[algorithm][1] in advances  # where seed 0 was
    assert sum(advances) == 2 * MARKS[algorithm][-1]
    after = Store(tmp_path / "runs").checkpoint(job(tmp_path, algorithm).cell, 0).stat().st_mtime_ns
    assert after > before


def test_snapshots_are_the_seeds_as_they_were(tmp_path):
    """Also where training went on, and whatever else was stacked."""
    this = job(tmp_path)
    train(this, silent)
    store = Store(this.store)
    assert snapshots_of(store, this.cell) == {m: [0, 1] for m in (12_500, 30_000, 35_000)}
    for seed, samples in ((1, 30_000), (0, 12_500)):
        shorter = job(tmp_path / str(samples), seeds=(seed,), samples=samples)
        train(shorter, silent)
        expected = load_model(shorter.cell.id, tmp_path / str(samples)).state_dict()
        found = load_snapshots(store, this.cell, [seed], samples).state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    last = load_snapshots(store, this.cell, [0, 1], 35_000).state_dict()  # from the checkpoints
    final = load_model(this.cell.id, tmp_path).state_dict()
    assert all(torch.equal(last[name], final[name]) for name in final)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "belongs to .* seed 1, not to .* seed 0"),
        ({"samples": 5}, "was taken at 5 samples, not at 12,500"),
        ({"format": 0}, "is not a snapshot of this suite"),
    ],
)
def test_a_foreign_snapshot_is_refused(tmp_path, change, said):
    this = job(tmp_path, seeds=(0,), samples=12_500)
    train(this, silent)
    path = Store(this.store).snapshot(this.cell, 0, 12_500)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(UserError, match=said):
        load_snapshots(Store(this.store), this.cell, [0], 12_500)
    path.write_bytes(b"half a snapshot")
    with pytest.raises(UserError, match="is damaged"):
        load_snapshots(Store(this.store), this.cell, [0], 12_500)
    path.unlink()
    with pytest.raises(UserError, match="There is no snapshot"):
        load_snapshots(Store(this.store), this.cell, [0], 500)


def test_done_means_skipped(tmp_path):
    this = job(tmp_path, samples=20_000)
    train(this, silent)
    path = Store(this.store).checkpoint(this.cell, 0)
    stamp, reports = path.stat().st_mtime_ns, []
    train(this, lambda *report: reports.append(report))
    assert reports == []
    assert path.stat().st_mtime_ns == stamp


def test_a_diverging_seed_is_stopped_and_named_and_the_others_go_on(tmp_path, monkeypatch):
    build = training.build

    def poisoned(cell, images, seeds, device="cpu"):
        algorithm = build(cell, images, seeds, device)
        if 1 in seeds:
            with torch.no_grad():
                algorithm.model.decoder.output.weight[seeds.index(1)].fill_(float("nan"))
        return algorithm

    monkeypatch.setattr(training, "build", poisoned)
    this, messages = job(tmp_path, seeds=(0, 1, 2)), []
    where = train(this, lambda kind, payload: messages.append((kind, payload)))
    assert where == {1: 10_000}
    assert [text for kind, text in messages if kind == "message"] == [
        "digits N_z=3 aevb seed 1 diverged before 10,000 samples and was stopped; the other "
        "seeds go on."
    ]
    store = Store(this.store)
    assert store.curve(this.cell, 1).empty
    assert store.curve(this.cell, 0)["samples"].max() == SAMPLES
    assert store.manifest(this.cell, 1)["diverged_at"] == 10_000
    monkeypatch.setattr(training, "build", build)
    alone = job(tmp_path / "alone", seeds=(2,))
    pd.testing.assert_frame_equal(store.curve(this.cell, 2), finished(alone).drop(columns="seed"))
    assert train(this, silent) == {1: 10_000}  # not tried again


@pytest.mark.parametrize(("bound", "lost"), [(-1e12, True), (-1e5, False)])
def test_a_finite_bound_can_be_lost_too(tmp_path, monkeypatch, bound, lost):
    step = AEVB.step

    def sunken(self, x, noise):
        found = step(self, x, noise)
        found[self.seeds.index(1)] = bound
        return found

    monkeypatch.setattr(AEVB, "step", sunken)
    messages = []
    where = train(job(tmp_path, seeds=(0, 1)), lambda *report: messages.append(report))
    assert where == ({1: 10_000} if lost else {})
    assert any("seed 1 diverged" in str(payload) for _, payload in messages) == lost


def test_who_holds_the_lock_clears_up_after_killed_processes(tmp_path):
    this = job(tmp_path, samples=20_000)
    folder = Store(this.store).seed_folder(this.cell, 0)
    (folder / "snapshots").mkdir(parents=True)
    left = [folder / ".abc.tmp.ckpt", folder / "snapshots" / ".abc.tmp.ckpt"]
    another = folder / ".abc.tmp.csv"  # an estimate that is being written beside us
    for path in (*left, another):
        path.touch()
    train(this, silent)
    assert not any(path.exists() for path in left)
    assert another.exists()


def test_weights_of_a_seed_that_diverged_are_no_snapshot(tmp_path, monkeypatch):
    build = training.build

    def poisoned(cell, images, seeds, device="cpu"):
        algorithm = build(cell, images, seeds, device)
        with torch.no_grad():
            algorithm.model.decoder.output.weight[0].fill_(float("nan"))
        return algorithm

    monkeypatch.setattr(training, "build", poisoned)
    this = job(tmp_path, samples=20_000)
    train(this, silent)
    store = Store(this.store)
    assert snapshots_of(store, this.cell) == {12_500: [1], 20_000: [1]}
    with pytest.raises(UserError, match="no snapshot"):
        load_snapshots(store, this.cell, (0, 1), 20_000)


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_seed_that_diverged_nothing_is_lost_by_a_kill(tmp_path, monkeypatch, first):
    """What means "done" is its manifest: its curve is there before it."""
    diverging = {"algorithm.step_size": 1e6, "algorithm.warmup_steps": 50}
    whole = job(tmp_path / "whole", data="digits_continuous", seeds=(0,), **diverging)
    train(whole, silent)
    expected = Store(whole.store).curve(whole.cell, 0)
    assert len(expected) == 3  # of one mark

    written = []
    write_manifest = Store.write_manifest

    def crashing(self, cell, seed, manifest):
        if manifest["diverged_at"] is not None:
            written.append(self.curve(cell, seed))
            if first == 0:
                raise Crash
        write_manifest(self, cell, seed, manifest)
        if manifest["diverged_at"] is not None:
            raise Crash

    monkeypatch.setattr(Store, "write_manifest", crashing)
    this = job(tmp_path / "killed", data="digits_continuous", seeds=(0,), **diverging)
    with pytest.raises(Crash):
        train(this, silent)
    pd.testing.assert_frame_equal(written[0], expected)
    monkeypatch.setattr(Store, "write_manifest", write_manifest)
    assert train(this, silent) == train(whole, silent) != {}
    pd.testing.assert_frame_equal(Store(this.store).curve(this.cell, 0), expected)


def test_seeds_that_are_done_count_as_progress(tmp_path):
    train(job(tmp_path, samples=20_000, seeds=(0,)), silent)
    reports = []
    both = job(tmp_path, samples=20_000)
    train(both, lambda *report: reports.append(report))
    assert sum(amount for kind, amount in reports if kind == "advance") == 2 * 20_000


@pytest.mark.parametrize("chunk", [2_500, 10_000])
def test_training_stops_when_all_seeds_have_diverged(tmp_path, monkeypatch, chunk):
    """At a mark or between two: that they have is written down, and nothing is tried again."""
    monkeypatch.setitem(training.LONGEST_CHUNK, "cpu", chunk)
    diverging = {"algorithm.step_size": 1e6, "algorithm.warmup_steps": 50}
    this = job(tmp_path, data="digits_continuous", **diverging)
    where = train(this, silent)
    assert where == {seed: -(-12_501 // chunk) * chunk for seed in this.seeds}
    store = Store(this.store)
    assert [store.manifest(this.cell, seed)["diverged_at"] for seed in this.seeds] == list(
        where.values()
    )
    assert store.curve(this.cell, 0)["samples"].max() == 12_500
    messages = []
    again = train(this, lambda kind, payload: messages.append(kind))
    assert again == where
    assert "message" not in messages


def test_the_manifest_says_where_a_curve_comes_from(tmp_path):
    this = job(tmp_path, samples=20_000)
    train(this, silent)
    manifest = Store(this.store).manifest(this.cell, 1)
    assert manifest["cell"] == this.cell.as_dict()
    assert (manifest["seed"], manifest["samples"], manifest["diverged_at"]) == (1, 20_000, None)
    assert set(manifest["git"]) == {"commit", "dirty"}
    assert manifest["packages"]["torch"] == torch.__version__
    assert manifest["data"]["source"] == "bundled with scikit-learn"
    assert manifest["wall_seconds"] > 0


def _train_in_process(this):
    train(this, silent)


def test_a_seed_that_another_process_trains_is_waited_for(tmp_path):
    this, said = job(tmp_path, samples=20_000), []
    folder = Store(this.store).seed_folder(this.cell, 0)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        waiting = threading.Thread(target=train, args=(this, lambda *told: said.append(told)))
        waiting.start()
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said[0][0] == "message"
        assert "seed 0: another process is training it; waiting" in said[0][1]
        waiting.join(0.5)
        assert waiting.is_alive()
        assert curves(this).empty
    waiting.join(120)
    assert not curves(this).empty


def test_checkpoints_are_written_between_marks_too(tmp_path, monkeypatch):
    """At the paper's budget marks lie hours apart."""
    this, stored = job(tmp_path, samples=60_000), []
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def report(kind, payload):
        path = Store(this.store).checkpoint(this.cell, 0)
        if path.exists():
            found = read_checkpoint(Store(this.store), this.cell, 0)
            stored.append(int(found["state_dict"]["samples_seen"][0]))

    train(this, report)
    assert set(stored) - set(curves(this)["samples"])


def test_every_session_of_a_seed_keeps_its_own_provenance(tmp_path, monkeypatch):
    """So that training on edited code cannot hide behind a clean end."""
    made = provenance()
    for dirty, samples in ((True, 20_000), (False, 30_000), (False, 40_000)):
        git = {"commit": "0" * 40, "dirty": dirty}
        monkeypatch.setattr(training, "provenance", lambda git=git: {**made, "git": git})
        this = job(tmp_path, samples=samples)
        train(this, lambda *told: None)
    manifest = Store(this.store).manifest(this.cell, 0)
    assert manifest["git"]["dirty"] is False
    found = [(s["from"], s["to"], s["git"]["dirty"]) for s in manifest["sessions"]]
    assert found == [(0, 20_000, True), (20_000, 40_000, False)]


@pytest.mark.integration
def test_training_that_goes_on_with_another_rounding_is_a_session_of_its_own(tmp_path):
    this = job(tmp_path, samples=20_000)
    train(this, silent)
    train(replace(this, samples=30_000), silent)
    continued = "import pickle, sys; from reproduce.training.loop import train; " + (
        "train(pickle.load(sys.stdin.buffer), lambda *_: None)"
    )
    subprocess.run(
        [sys.executable, "-c", continued],
        input=pickle.dumps(replace(this, samples=40_000)),
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
        check=True,
    )
    first, second = Store(this.store).manifest(this.cell, 0)["sessions"]
    assert (first["from"], first["to"], second["from"], second["to"]) == (0, 30_000, 30_000, 40_000)
    assert first["rounding"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    changed = {
        "instructions": "DEFAULT", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE",
    }  # fmt: skip
    assert second["rounding"] == {**first["rounding"], **changed}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_two_processes_at_once_do_not_corrupt_the_store(tmp_path, algorithm):
    expected = finished(job(tmp_path / "alone", algorithm))
    this = job(tmp_path / "both", algorithm)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_train_in_process, args=(this,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    pd.testing.assert_frame_equal(curves(this), expected, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_sigkill_at_any_moment(tmp_path, algorithm):
    expected = finished(job(tmp_path / "whole", algorithm, samples=200_000))
    this = job(tmp_path / "killed", algorithm, samples=200_000)
    context = multiprocessing.get_context("spawn")
    kills = 0
    for delay in (0.3, 0.9, 1.3, 0.5, 1.7, 0.7, 2.1):
        process = context.Process(target=_train_in_process, args=(this,))
        process.start()
        checkpoint = Store(this.store).checkpoint(this.cell, 0)
        stamp = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.is_alive():
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != stamp:
                break  # under way
            time.sleep(0.01)
        process.join(delay)
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    assert kills >= 2
    pd.testing.assert_frame_equal(finished(this), expected, check_exact=True)
