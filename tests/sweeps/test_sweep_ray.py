"""A sweep on a cluster of Ray that the test starts and stops, and on one that the sweep starts."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from reproduce import config
from reproduce.training.loop import train

SMALL = ["data=digits", "model.n_hidden=20", "seeds=2", "tracking=off"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("ray") and find_spec("hydra_plugins.hydra_ray_launcher")),
        reason="needs the extra ray",
    ),
]


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster of two cores on this machine."""
    import ray

    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    context = ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
    yield context.address_info["address"]
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


def start(results, *overrides):
    command = [sys.executable, "-m", "reproduce", "train", "--multirun", "hydra/launcher=ray",
               *SMALL, *overrides, f"results={results}"]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def curves(results):
    files = sorted(results.glob("runs/*/*/curve.csv"))
    return {f"{path.parts[-3]}/{path.parts[-2]}": path.read_text() for path in files}


def expected(results, *overrides):
    """The curves of a cell trained here."""
    train(
        config.job_from(config.compose_config([*SMALL, *overrides, f"results={results}"])),
        lambda *_: None,
    )
    return curves(results)


@pytest.mark.parametrize("running", [False, True])
def test_a_sweep_on_ray(tmp_path, request, running):
    results, address = tmp_path / "results", []
    if running:
        address = [f"hydra.launcher.ray.init.address={request.getfixturevalue('cluster')}"]
    sweep = start(results, "samples=2000", "model.n_latent=-1,2", *address)
    _, err = sweep.communicate()
    assert sweep.returncode == 2
    assert "  model.n_latent=-1: model.n_latent must be a whole number greater than zero" in err
    assert "Traceback" not in err
    assert curves(results) == expected(tmp_path / "here", "samples=2000", "model.n_latent=2")
    # One core each: one process trains both seeds.
    manifests = [json.loads(p.read_text()) for p in results.glob("runs/*/*/manifest.json")]
    assert [m["stacked_with"] for m in manifests] == [2, 2]
    again = start(results, "samples=2000", "model.n_latent=2", *address)
    out, _ = again.communicate()
    assert again.returncode == 0
    assert "1 of 1 cells are done already." in out


def test_ray_continues_the_cell_of_a_killed_worker(tmp_path, cluster):
    """It tries the task once more by itself."""
    asked = ["samples=300000", "model.n_latent=2", f"hydra.launcher.ray.init.address={cluster}"]
    sweep = start(tmp_path / "results", *asked)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("results/runs/*/*/checkpoint.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (worker,) = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (folder / "cmdline").exists()
        and (folder / "cmdline").read_bytes().startswith(b"ray::_run_job")
    ]
    os.kill(worker, signal.SIGKILL)
    _, err = sweep.communicate()
    assert (sweep.returncode, "did not finish" in err) == (0, False), err
    whole = expected(tmp_path / "here", "samples=300000", "model.n_latent=2")
    assert curves(tmp_path / "results") == whole
