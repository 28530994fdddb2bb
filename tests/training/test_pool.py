"""What a run says of its jobs when they are finished."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reproduce import config
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


def test_a_member_that_went_farther_counts_at_the_jobs_end(tmp_path):
    run(tmp_path, "samples=40000", "seeds=1")
    job, line = run(tmp_path, "samples=20000", "seeds=2")
    curves = Store(job.store).curves(job.cell, (0, 1), 40_000)
    ends = curves[(curves["split"] == "test") & (curves["samples"] == 20_000)]["value"]
    assert len(ends) == 2
    assert "2.0e+04 samples" in line
    printed = float(re.search(r"test +(-?\d+\.\d+)", line).group(1))
    assert printed == pytest.approx(ends.mean(), abs=0.005)
