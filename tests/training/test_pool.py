"""What a run says of its jobs when they are finished."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reproduce import config
from reproduce.common.errors import UserError
from reproduce.experiments.plan import make_plan
from reproduce.store.store import Store
from reproduce.training import pool


def run(folder, *overrides):
    """Train one cell of the digits; return its configuration's job and the line printed for it."""
    settings = [*overrides, "data=digits", "model.n_hidden=10", f"results={folder}", "tracking=off"]
    job = config.job_from(config.compose_config(settings))
    out = io.StringIO()
    pool.run([job], 1, Console(file=out, width=200), bar=False)
    (line,) = [one for one in out.getvalue().splitlines() if "nats" in one]
    return job, line


def test_a_finished_job_is_named_at_the_mark_it_stopped_at(tmp_path):
    """A block is ten minibatches, so 2,000 samples in minibatches of 2,000 are 20,000."""
    _, line = run(tmp_path, "samples=2000", "algorithm.batch_size=2000")
    assert "2.0e+04 samples" in line


def test_to_have_diverged_later_is_not_to_have_diverged(tmp_path):
    job, _ = run(tmp_path, "samples=20000", "seeds=1")
    store = Store(job.store)
    manifest = store.manifest(job.cell, 0)
    store.write_manifest(job.cell, 0, {**manifest, "samples": 40_000, "diverged_at": 40_000})
    assert pool.diverged([job]) == []
    (found,) = pool.diverged([replace(job, samples=50_000)])
    assert found.samples == 40_000


def test_a_job_that_went_farther_says_where_its_curves_are_read_to(tmp_path):
    job, _ = run(tmp_path, "samples=30000", "seeds=1")
    out = io.StringIO()
    pool.run([replace(job, samples=24_000)], 1, Console(file=out, width=200), bar=False)
    assert "further than 24,000 samples and has no mark there" in out.getvalue()
    assert "its curves are read up to 20,000" in out.getvalue()
    again = io.StringIO()
    pool.run([job], 1, Console(file=again, width=200), bar=False)
    assert "no mark" not in again.getvalue()


def test_a_seed_that_went_farther_counts_at_the_jobs_end(tmp_path):
    run(tmp_path, "samples=40000", "seeds=1")
    job, line = run(tmp_path, "samples=20000", "seeds=2")
    curves = Store(job.store).curves(job.cell, (0, 1), 40_000)
    ends = curves[(curves["split"] == "test") & (curves["samples"] == 20_000)]["value"]
    assert len(ends) == 2
    assert "2.0e+04 samples" in line
    printed = float(re.search(r"test +(-?\d+\.\d+)", line).group(1))
    assert printed == pytest.approx(ends.mean(), abs=0.005)


@pytest.mark.integration
@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 1), (16, 1), (1, 2), (4, 2)])
def test_a_figure_uses_every_core_once_however_many(monkeypatch, tmp_path, cores, threads):
    begun = []  # (processes, pieces of jobs)
    monkeypatch.setattr(pool, "available_cores", lambda: cores)
    monkeypatch.setattr(pool, "_run_pool", lambda jobs, workers, *_: begun.append((workers, jobs)))
    monkeypatch.setattr(pool, "_train", lambda job, report: begun.append((1, [job])))
    monkeypatch.setattr(pool._Board, "finished", lambda *_: None)
    arguments = ["budget=smoke", "seeds=3", f"threads={threads}", f"results={tmp_path}"]
    arguments.append("figure.panels.paper=[{data:digits,n_latent:2},{data:digits,n_latent:3}]")
    out = Console(file=io.StringIO())
    jobs = make_plan(arguments, out).jobs
    pool.run(jobs, None, out, bar=False)
    seeds = [(job.cell.id, seed) for job in jobs for seed in job.seeds]
    pieces = [job for _, some in begun for job in some]
    assert sorted((job.cell.id, seed) for job in pieces for seed in job.seeds) == sorted(seeds)
    processes = max(workers for workers, _ in begun)
    assert processes == max(1, min(cores // threads, len(seeds)))


@pytest.mark.parametrize(("samples", "here"), [(5_000, True), (5_100, False)])
def test_little_work_is_done_before_workers_would_have_started(
    monkeypatch, tmp_path, samples, here
):
    in_workers = []
    monkeypatch.setattr(pool, "available_cores", lambda: 2)
    monkeypatch.setattr(pool, "_run_pool", lambda jobs, *_: in_workers.append(jobs))
    monkeypatch.setattr(pool, "_train", lambda *_: None)
    monkeypatch.setattr(pool._Board, "finished", lambda *_: None)
    overrides = ["data=digits", "seeds=2", f"samples={samples}", f"results={tmp_path}"]
    job = config.job_from(config.compose_config(overrides))
    pool.run([job], None, Console(file=io.StringIO()), bar=False)
    assert (not in_workers) == here


def test_a_worker_that_cannot_start_is_not_blamed_on_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_start_worker", int)  # which takes no such arguments
    overrides = ["data=digits", "seeds=2", "samples=1000", f"results={tmp_path}", "tracking=off"]
    job = config.job_from(config.compose_config(overrides))
    with pytest.raises(UserError, match=r"ended by itself \(exit status 0"):
        pool.run([job], 2, Console(file=io.StringIO()), bar=False)
