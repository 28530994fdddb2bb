"""Bad input ends in one clear sentence and a non-zero exit, and nothing is lost."""

import errno
import fcntl
import gzip
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from processes import heed_ctrl_c
from reproduce import config
from reproduce.algorithms.aevb import AEVB
from reproduce.commands import train as cell_command
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.data import registry, sources
from reproduce.experiments import figure, step_sizes
from reproduce.experiments.ablation import run as ablation
from reproduce.report import dashboard
from reproduce.sweeps import sweep
from reproduce.training import pool

SHORT = ["samples=1000", "seeds=1", "tracking=off", "workers=1"]
COMMANDS = {
    "cell": (cell_command.main, SHORT),
    "figure": (
        figure.main,
        ["figure=figure1", "budget=smoke", "samples=1000", "seeds=1", "tracking=off", "workers=1"],
    ),
    "step sizes": (step_sizes.main, []),
    "ablation": (ablation.main, []),
    "dashboard": (dashboard.main, []),
    "sweep": (sweep.main, []),
}
NOISE = ("Traceback", "Error executing job", "HYDRA_FULL_ERROR", "Config search path")
TRAINED = ["model.n_latent=2", "seeds=2"]
LIMIT = 64_000  # bytes; less than a checkpoint


@dataclass
class Outcome:
    """What a command wrote and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in an empty folder, as from a shell."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it; this restores it
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "empty_cache")
    registry._load.cache_clear()

    def run(command, *arguments):
        main, usual = COMMANDS[command]
        options = [argument for argument in arguments if argument.startswith("--")]
        given = [argument for argument in arguments if not argument.startswith("--")]
        with pytest.raises(SystemExit) as stop:
            cli.command(lambda: main([*options, *usual, *given]))
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    yield run
    registry._load.cache_clear()


def refusal(outcome):
    """The sentence, once it is clear that it is one and nothing was begun."""
    assert outcome.status == 2
    assert outcome.out == ""
    assert not [noise for noise in NOISE if noise in outcome.err]
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


WRONG_ANYWHERE = {
    # A file of conf/ that is not there: the sentence lists those that are.
    "budget=lap": "Unknown budget 'lap'; choose one of: desktop, laptop, paper, quick, smoke.",
    "tracking=on": "Unknown tracking 'on'; choose one of: off, offline, online.",
    "tracking=false": "Unknown tracking false; choose one of: off, offline, online.",
    "model/decoder=bern": "choose one of: bernoulli, gaussian, gaussian_identity.",
    # A setting that is not there: the sentence names the nearest.
    "modle.n_latent=3": "'modle.n_latent' (did you mean model.n_latent?)",
    "model.n_latnet=3": "'model.n_latnet' (did you mean model.n_latent?)",
    "sedes=3": "'sedes' (did you mean seeds?)",
    "step_size=1": "did you mean algorithm.step_size?",
    "+modle.n_latent=3": "did you mean model.n_latent?",
    "+algorithm.momentum=3": "There is no setting 'algorithm.momentum'",
    "model.init={schem:fan_in}": "There is no setting 'model.init.schem'",
    "model.init=3": "model.init is a section, not a setting",
    "~seeds": "seeds cannot be removed",
    "data.name=mnist": "data.name is not for setting: it comes with data=NAME",
    # What is not key=value.
    "foo": "'foo' cannot be read as key=value",
    "seeds=[1": "'seeds=[1' cannot be read as key=value",
    "seeds=1,2": "'seeds=1,2' gives several values",
    # Values.
    "hydra/launcher=joblib": "hydra/launcher is for sweeps, and this is none",
    "hydra.launcher.n_jobs=2": "hydra.launcher.n_jobs is for sweeps",
    "seeds=0": "seeds must be a whole number greater than zero, not 0.",
    "seeds=-1": "not -1.",
    "seeds=two": "not 'two'.",
    "seeds=1e6": "seeds must be at most 1000",
    "samples=0": "samples must be a whole number greater than zero, not 0.",
    "threads=0": "threads must be a whole number greater than zero, not 0.",
    "workers=0": "workers must be a whole number greater than zero, not 0.",
    "device=tpu": "Unknown device 'tpu'; choose one of: auto, cpu, cuda.",
    "device=cuda": "torch sees no CUDA device",
    "tracking.mode=loud": "tracking.mode cannot be 'loud'; choose one of: online, offline, off.",
    "data.n_train=0": "data.n_train must be a whole number greater than zero, not 0.",
    "data.n_train=1501": "choose from 1 to 1500",
    "data.fallback=maybe": "data.fallback cannot be 'maybe'; choose one of digits, error.",
    "data.dir=nowhere": "nowhere does not exist",
    "data.dir=a_file": "a_file is not a folder",
    "results=a_file/x": "Not a directory",
    "results=": "results must be a folder, not ''.",
    "algorithm.step_size=0": "algorithm.step_size must be a number greater than zero, not 0.",
    "algorithm.step_size=-1": "not -1.",
    "algorithm.step_size=abc": "not 'abc'.",
    "algorithm.sgvb=C": "algorithm.sgvb cannot be 'C'; choose one of: A, B.",
    "model.init.scheme=xavier": "cannot be 'xavier'; choose one of: normal, fan_in.",
    "model.init.std=-1": "model.init.std must be a number of zero or more, not -1.",
}
WRONG_FOR_A_CELL = {
    "algorithm=aebv": "Unknown algorithm 'aebv'; choose one of: aevb, full_vb, mcem, wake_sleep.",
    "algorithm=[aevb,wake_sleep]": "choose one of: aevb, full_vb, mcem, wake_sleep.",
    "data=mnst": "choose one of: digits, digits_continuous, freyface, mnist.",
    "model.n_latent=0": "model.n_latent must be a whole number greater than zero, not 0.",
    "model.n_latent=-3": "not -3.",
    "model.n_latent=abc": "not 'abc'.",
    "model.n_latent=2.5": "not 2.5.",
    "model.n_latent=${nothing}": "Interpolation key 'nothing' not found (in model.n_latent).",
    "--frobnicate": "unrecognized arguments: --frobnicate",
    "--resolve": "--resolve",  # Hydra's own complaint, a ValueError
}
# One of each kind: the same code looks at them.
ALSO_WRONG_FOR_A_FIGURE = [
    "hydra/launcher=joblib", "budget=lap", "modle.n_latent=3", "+algorithm.momentum=3", "seeds=[1",
    "seeds=1,2", "seeds=0", "samples=0", "device=tpu", "device=cuda", "data.fallback=maybe",
    "data.dir=nowhere", "results=a_file/x", "algorithm.step_size=abc", "algorithm.sgvb=C",
]  # fmt: skip
PANELS = "figure.panels.digits="
WRONG_FOR_A_FIGURE = {
    "data=digits": "A figure sets data, algorithm and model.n_latent for each panel",
    "algorithm=aevb": "A figure sets data, algorithm and model.n_latent",
    "model.n_latent=3": "A figure sets data, algorithm and model.n_latent",
    "figure=figure9": "Unknown figure 'figure9'; choose one of: figure1, figure2, manifolds,",
    "figure.budgets.smoke.panels=mine": "figure.budgets.smoke.panels must be a list such as",
    "figure.algorithms=[aevb,aebv]": "Unknown algorithm 'aebv'; choose one of: aevb, full_vb,",
    "figure.algorithms=aevb": "figure.algorithms must be a list such as [aevb,wake_sleep]",
    f"{PANELS}[]": "must be a list such as",
    f"{PANELS}[{{data:digits}}]": "must be a list such as",
    f"{PANELS}[{{data:mnst,n_latent:2}}]": "Unknown data 'mnst'",
    f"{PANELS}[{{data:digits,n_latent:0}}]": "must be a whole number greater than zero, not 0.",
    "--multirun": "no options, so '--multirun' cannot be given",
}


@pytest.mark.parametrize(
    ("command", "override"),
    [
        *(("cell", override) for override in {**WRONG_ANYWHERE, **WRONG_FOR_A_CELL}),
        *(("figure", override) for override in [*ALSO_WRONG_FOR_A_FIGURE, *WRONG_FOR_A_FIGURE]),
    ],
)
def test_one_sentence_says_what_is_wrong(run, tmp_path, monkeypatch, command, override):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "a_file").touch()
    said = {**WRONG_ANYWHERE, **WRONG_FOR_A_CELL, **WRONG_FOR_A_FIGURE}[override]
    assert said in refusal(run(command, override))
    assert [path for path in files(tmp_path) if path.name != "a_file"] == []


def test_whole_numbers_may_be_written_as_floats(run, tmp_path):
    outcome = run("cell", "samples=1e3", "model.n_latent=2.0")
    assert outcome.status == 0
    assert "N_z=2 " in outcome.out
    (cell,) = (tmp_path / "results" / "runs").iterdir()
    assert json.loads((cell / "cell.json").read_text())["n_latent"] == 2


def test_overrides_may_interpolate(run, tmp_path):
    assert run("cell", "model.n_latent=${seeds}", "results=out/${data.name}").status == 0
    assert (tmp_path / "out" / "digits" / "runs").is_dir()


def test_nothing_but_results_is_left_behind(run, tmp_path):
    assert run("cell").status == 0
    assert run("cell", "--multirun", "model.n_latent=2,3").status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    assert not list(tmp_path.rglob("*.log"))
    assert not list(tmp_path.rglob(".hydra"))


# The data.


def test_a_damaged_data_file_is_named_and_never_replaced_by_a_stand_in(run, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"garbage"))
    whole = gzip.compress(bytes(10_000))
    for content in (gzip.compress(b"garbage"), b"not even gzip", whole[: len(whole) // 2]):
        (data / "train-images-idx3-ubyte.gz").write_bytes(content)
        said = refusal(run("cell", "data=mnist", f"data.dir={data}"))
        assert "train-images-idx3-ubyte.gz is not the expected file" in said
        registry._load.cache_clear()


def test_missing_data_are_an_error_where_asked_for(run, tmp_path):
    one_panel = ["budget=laptop", "figure.panels.paper=[{data:mnist,n_latent:2}]"]
    for command, asked in (("cell", ["data=mnist"]), ("figure", one_panel)):
        outcome = run(command, *asked, "data.fallback=error")
        assert outcome.status == 2
        assert outcome.out == ""
        assert outcome.err.startswith("error: MNIST is not available.")
        assert "Three ways to get the real data" in outcome.err
        assert not [noise for noise in NOISE if noise in outcome.err]
    assert files(tmp_path) == {}


def test_a_stand_in_for_a_cell_says_so_first(run, tmp_path):
    outcome = run("cell", "data=mnist")
    assert outcome.status == 0
    assert outcome.out.startswith("!!!!")
    assert "NOT MNIST" in outcome.out
    assert [path.name.split("-")[0] for path in (tmp_path / "results/runs").iterdir()] == ["digits"]


def test_a_stand_in_for_a_figure_says_so_everywhere(run, tmp_path):
    panels = "figure.panels.paper=[{data:mnist,n_latent:2},{data:freyface,n_latent:2}]"
    outcome = run("figure", "budget=laptop", panels)
    assert outcome.status == 0
    assert outcome.out.startswith("!!!!")
    assert "NOT MNIST AND NOT FREY FACE" in outcome.out
    folder = tmp_path / "results" / "figure1" / "laptop"
    assert {path.name for path in folder.iterdir()} == {
        "figure1-digits.png", "figure1-digits.pdf", "curves-digits.csv", "comparison-digits.csv",
        "manifest-digits.json",
    }  # fmt: skip
    manifest = json.loads((folder / "manifest-digits.json").read_text())
    assert manifest["replaced"] == {"mnist": "digits", "freyface": "digits_continuous"}
    assert manifest["datasets"] == ["digits", "digits_continuous"]
    assert "NOT the paper's data" in manifest["title"]


# Sweeps.


def test_a_sweep_names_the_bad_job_and_does_the_others(run, tmp_path):
    outcome = run("cell", "--multirun", "model.n_latent=0,2")
    assert outcome.status == 2
    assert "error: model.n_latent must be a whole number greater than zero, not 0." in outcome.err
    assert "1 of the sweep's jobs failed:" in outcome.err
    assert "model.n_latent=0" in outcome.err.splitlines()[-1]
    assert not [noise for noise in NOISE if noise in outcome.err]
    (curve,) = tmp_path.glob("results/runs/digits-aevb-z2-*/seed-0/curve.csv")
    assert len(pd.read_csv(curve)) == 3


@pytest.mark.parametrize("wrong", ["algorithm=aevb,aebv", "results=a_file/x", "results="])
def test_a_sweep_that_cannot_begin_says_so(run, tmp_path, wrong):
    (tmp_path / "a_file").touch()
    refusal(run("cell", "--multirun", "model.n_latent=2,3", wrong))
    assert {path.name for path in tmp_path.iterdir()} == {"a_file"}


@pytest.mark.parametrize("command", ["cell", "sweep"])
def test_a_sweep_over_folders_is_one_folder(run, tmp_path, command):
    options = ["--multirun"] if command == "cell" else SHORT
    assert run(command, *options, "model.n_latent=2", "results=1.10,007").status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"1.10,007"}


# Checkpoints.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with a cell of two seeds and a cell of another kind, both at 20,000 samples."""
    folder = tmp_path_factory.mktemp("trained")
    for overrides in (TRAINED, ["model.n_latent=3", "seeds=1"]):
        train("samples=20000", f"results={folder}", *overrides)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The curves of the two seeds at 25,000 samples."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train("samples=25000", f"results={folder}", *TRAINED)
    return curves(folder)


def train(*overrides):
    settings = config.compose_config([*overrides, "tracking=off"])
    pool.run([config.job_from(settings)], 1, cli.console())


def copied(trained, tmp_path):
    """The store again, to be spoilt: its folder of two seeds and the other cell's of one."""
    shutil.copytree(trained, tmp_path / "results")
    (two,) = tmp_path.glob("results/runs/digits-aevb-z2-*")
    (other,) = tmp_path.glob("results/runs/digits-aevb-z3-*")
    return two, other


def flip_a_bit(content):
    """In the middle of the largest tensor: between the parts of an archive it would not matter."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        part = max(archive.infolist(), key=lambda one: one.file_size)
    lengths = content[part.header_offset + 26 : part.header_offset + 30]  # of the name, and more
    head = 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    middle = part.header_offset + head + part.file_size // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut short"),
        pytest.param(lambda content: b"hello world", id="text"),
        pytest.param(lambda content: bytes(range(256)), id="garbage"),
        pytest.param(flip_a_bit, id="a flipped bit"),
    ],
)
def test_a_damaged_checkpoint_is_named(run, trained, tmp_path, damage):
    cell, _ = copied(trained, tmp_path)
    path = cell / "seed-1" / "checkpoint.ckpt"
    path.write_bytes(damage(path.read_bytes()))
    before = files(cell)
    said = refusal(run("cell", *TRAINED, "samples=25000"))
    assert "seed-1/checkpoint.ckpt is damaged" in said
    assert "Delete it to train this seed from the start" in said
    assert files(cell) == before


@pytest.mark.parametrize("source", ["another seed", "another cell"])
def test_a_checkpoint_from_elsewhere_is_named(run, trained, tmp_path, source):
    cell, other = copied(trained, tmp_path)
    wrong = cell / "seed-0" if source == "another seed" else other / "seed-0"
    shutil.copy(wrong / "checkpoint.ckpt", cell / "seed-1" / "checkpoint.ckpt")
    before = files(cell)
    said = refusal(run("cell", *TRAINED, "samples=25000"))
    assert "seed-1/checkpoint.ckpt belongs to" in said
    assert f"not to {cell.name} seed 1" in said
    assert files(cell) == before


# Full disks.


def curves(results):
    paths = sorted(results.glob("runs/digits-aevb-z2-*/seed-*/curve.csv"))
    return [path.read_text() for path in paths]


@pytest.mark.parametrize("writer", [(os, "fsync"), (Path, "write_bytes")])
def test_a_full_disk_loses_nothing(run, trained, uninterrupted, tmp_path, monkeypatch, writer):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cell, _ = copied(trained, tmp_path)
    before = files(cell)
    with monkeypatch.context() as disk:
        disk.setattr(*writer, full)
        outcome = run("cell", *TRAINED, "samples=25000")
    assert outcome.status == 2
    assert outcome.err.startswith("error: Could not write")
    assert "free some space" in outcome.err
    assert "run the same command again to continue" in outcome.err
    assert outcome.err.count("\n") == 1
    assert {path: content for path, content in files(cell).items() if path.name != ".lock"} == {
        path: content for path, content in before.items() if path.name != ".lock"
    }
    assert run("cell", *TRAINED, "samples=25000").status == 0
    assert curves(tmp_path / "results") == uninterrupted


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ESTALE, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(run, trained, tmp_path, monkeypatch, code):
    def fail(*_):
        raise OSError(code, os.strerror(code))  # as the system does: without a file's name

    cell, _ = copied(trained, tmp_path)
    before = files(cell)
    with monkeypatch.context() as nfs:
        nfs.setattr(fcntl, "flock", fail)
        outcome = run("cell", *TRAINED, "samples=25000")
    assert outcome.status == 2
    assert re.match(rf"error: The folder \S+/seed-0 .* \({os.strerror(code)}\)", outcome.err)
    assert "results=FOLDER" in outcome.err
    assert outcome.err.count("\n") == 1
    kept = {path: content for path, content in files(cell).items() if "lock" not in path.name}
    assert kept == {path: content for path, content in before.items() if "lock" not in path.name}


@pytest.mark.slow
def test_disks_that_fill_up_stop_all_workers(run, uninterrupted, tmp_path):
    """Files larger than a limit are refused, as by a full disk; the command ends and says so."""
    arguments = [*TRAINED, "samples=25000", "tracking=off"]
    outcome = subprocess.run(
        [sys.executable, "-m", "reproduce", "train", *arguments, "workers=2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )
    assert outcome.returncode == 2
    assert re.match(r"error: Could not write \S+checkpoint\.ckpt: File too large;", outcome.stderr)
    assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.tmp*"))
    assert run("cell", *arguments).status == 0
    assert curves(tmp_path / "results") == uninterrupted


def test_a_job_that_fails_is_noticed_while_others_report():
    class Busy:
        """A queue that is never empty."""

        def get(self, timeout):
            return 0, "advance", 1

    reports = 0

    def report(kind, payload):
        nonlocal reports
        reports += 1
        assert reports < 100

    failed, training = Future(), Future()
    failed.set_exception(UserError("It failed."))
    with pytest.raises(UserError, match="It failed"):
        pool._follow({failed: 1, training: 0}, Busy(), [report], lambda _, future: future.result())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_job_that_fails_stops_one_that_trains(tmp_path):
    """Lightning catches SIGTERM while it trains, so that a polite end would wait for ever."""
    usual = ["tracking=off", "compile=false", "seeds=1", f"results={tmp_path}"]
    sizes = (["model.n_hidden=100"], ["model.n_hidden=2", "samples=1e8"])  # 1e8 take hours
    jobs = [config.job_from(config.compose_config([*usual, *size])) for size in sizes]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        with pytest.raises(UserError, match=r"Could not write \S+checkpoint\.ckpt"):
            pool.run(jobs, 2, cli.console())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Faults of ours.


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("cell", ZeroDivisionError("x")),
        ("cell", ValueError("x")),
        ("cell", RuntimeError("x")),
        ("cell", FileNotFoundError(2, "x")),
        ("figure", ValueError("x")),
    ],
)
def test_a_fault_in_the_code_keeps_its_traceback(run, monkeypatch, command, fault):
    def step(self, x, noise):
        raise fault

    monkeypatch.setattr(AEVB, "step", step)
    main, usual = COMMANDS[command]
    with pytest.raises(type(fault), match="x"):
        cli.command(lambda: main(usual))


def test_wandb_without_an_account_says_what_to_do(run, monkeypatch):
    class UsageError(Exception):
        """Like W&B's."""

    UsageError.__module__ = "wandb.errors.errors"

    def fail(*arguments):
        raise UsageError("No API key configured.")

    monkeypatch.setattr(pool, "train", fail)
    outcome = run("cell", "tracking=online")
    assert outcome.status == 2
    assert "No API key configured" in outcome.err
    assert "tracking=offline" in outcome.err


def test_too_large_for_memory_is_a_sentence(run):
    outcome = run("cell", "model.n_latent=1e13")
    assert outcome.status == 2
    assert "does not fit into memory" in outcome.err


def test_anything_else_that_is_too_large_for_memory_is_a_sentence(run, monkeypatch):
    def allocate(arguments):
        torch.empty(2**50)

    monkeypatch.setitem(COMMANDS, "large", (allocate, []))
    assert "This does not fit into memory" in refusal(run("large"))


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("cell", ["samples=1e300"], "samples must be at most 1e+12"),
        (
            "cell",
            ["algorithm._target_=reproduce.algorithms.aevb.AEBV"],
            "reproduce.algorithms.aevb.AEBV",
        ),
        ("figure", ["train=false"], "There is no curve to draw"),
        ("cell", ["train=false"], "is for figures"),
        ("step sizes", ["selection.candidates=[]"], "nothing to choose from"),
        ("ablation", ["ablation.panels=[]"], "nothing to train"),
        ("dashboard", ["results=nowhere"], "There is no folder nowhere"),
        ("sweep", ["model.n_latent=glob(zz*)"], "no jobs"),
        ("sweep", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=few"], "n_jobs must be a"),
        ("cell", ["model.n_hidden=1e20"], "model.n_hidden must be at most 1e+18"),
        ("cell", ["algorithm.batch_size=1e20"], "algorithm.batch_size must be at most 1e+18"),
        ("cell", ["tracking.mode=offline"], "give tracking=offline instead"),
        ("cell", ["model.encoder._target_=null"], "model.encoder must name a class"),
        ("cell", ["model.decoder._target_=Decoder"], "as module.Class, not 'Decoder'"),
        ("cell", ["algorithm._target_=collections.Counter"], "Counter is no algorithm"),
        ("cell", ["algorithm=mcem", "algorithm.target_acceptance=x"], "target_acceptance must lie"),
        ("cell", ["tracking=offline", "tracking.folder="], "tracking.folder must be a folder"),
        (
            "cell",
            ["tracking=offline", "tracking.project="],
            "tracking.project must be a name, not ''",
        ),
        ("figure", ["budget=smoke", "budget.name=../evil"], "budget.name is not for setting"),
        (
            "sweep",
            ["model.n_latent=2,3", "hydra.sweeper.max_batch_size=0"],
            "max_batch_size must be",
        ),
        (
            "sweep",
            ["hydra/launcher=joblib", "hydra.launcher.batch_size=0"],
            "hydra.launcher.batch_size must be a whole number",
        ),
        (
            "sweep",
            ["hydra/launcher=slurm"],
            "There is no hydra/launcher/slurm; choose one of: basic",
        ),
        ("ablation", ["data=digits"], "so 'data=digits' cannot be given"),
        ("ablation", ["train=false"], "so 'train=false' cannot be given"),
        ("figure", ["figure.name=foo"], "figure.name cannot be 'foo'; choose one of: figure1"),
        (
            "figure",
            ["figure.panels.digits=[{data:digits,n_latent:2},{data:digits,n_latent:2,n_train:9}]"],
            "two curves digits N_z=2 aevb in one panel",
        ),
        ("figure", ["figure=figure2", "figure.budgets.smoke.beside_at=5"], "beside_at of a budget"),
        ("step sizes", ["selection.candidates=0.1"], "selection.candidates must be a list"),
        ("step sizes", ["selection.entries.digits.overrides=[1]"], "the overrides of digits must"),
        ("ablation", ["ablation.panels=5"], "ablation.panels must be a list such as"),
        ("ablation", ["ablation.panels=[{data:digits}]"], "ablation.panels must be a list such as"),
        ("ablation", ["ablation.variants.fan-in=5"], "ablation.variants.fan-in must be a list"),
        ("ablation", ["ablation=initial_scale_smoke", "ablation.name=../x"], "ablation.name may"),
    ],
)
def test_mistakes_that_a_new_user_made(run, command, arguments, said):
    outcome = run(command, *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert not [noise for noise in NOISE if noise in outcome.err]


def test_a_figure_that_was_drawn_is_not_replaced_by_an_empty_one(run):
    assert run("figure", "figure.algorithms=[aevb]").status == 0
    before = files(Path("results/figure1"))
    outcome = run("figure", "figure.algorithms=[aevb]", "train=false", "model.init.std=0.5")
    assert "There is no curve to draw" in outcome.err
    assert files(Path("results/figure1")) == before


def test_a_folder_may_be_named_like_markup(run):
    assert run("cell", "results='[/b][red]'", "data=digits").status == 0
    assert files(Path("[/b][red]/runs"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("curve.csv", "split,samples,value\ntrain,99999999999999999999999,-1.0\n"),
        ("manifest.json", "[" * 100_000),
        ("manifest.json", '{"samples": null}'),
    ],
)
def test_damaged_files_of_a_seed_are_named(run, name, text):
    assert run("cell", "data=digits").status == 0
    (path,) = Path("results/runs").glob(f"*/seed-0/{name}")
    path.write_text(text)
    said = refusal(run("cell", "data=digits", "samples=2000"))
    assert str(path) in said
    assert "delete" in said


def test_a_checkpoint_that_lacks_parts_is_named(run):
    assert run("cell", "data=digits").status == 0
    (path,) = Path("results/runs").glob("*/seed-0/checkpoint.ckpt")
    whole = torch.load(path, weights_only=True)
    for lacking in ({"members": []}, {"state_dict": {}}, {"optimizer_states": [{}]}):
        torch.save(whole | lacking, path)
        said = refusal(run("cell", "data=digits", "samples=2000"))
        assert f"{path} lacks parts" in said


def test_an_ablation_without_a_point_says_why(run):
    usual = ["ablation=initial_scale_smoke", "seeds=1", "tracking=off", "workers=1",
             "ablation.panels=[{data:digits,n_latent:2,algorithm:aevb}]"]  # fmt: skip
    assert run("ablation", *usual, "samples=2000").status == 0
    outcome = run("ablation", *usual, "samples=1000")
    assert "with marks beyond these samples" in outcome.err
    outcome = run("ablation", *usual, "samples=2000", "algorithm.warmup_steps=0",
                  "algorithm.step_size=1e30")  # fmt: skip
    assert "All seeds diverged" in outcome.err
    assert outcome.out.count("Diverged: digits N_z=2 aevb seed 0") == 3


# From a shell.


@pytest.mark.integration
@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("train", ["model.n_latnet=3"], "did you mean model.n_latent?"),
        ("figure", ["figure=figure1", "budget=lap"], "Unknown budget 'lap'"),
    ],
)
def test_from_a_shell(tmp_path, verb, arguments, said):
    outcome = subprocess.run(
        [sys.executable, "-m", "reproduce", verb, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said in refusal(Outcome(outcome.returncode, outcome.stdout, outcome.stderr))
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals are Linux's")
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_ctrl_c_while_libraries_load_is_one_sentence(tmp_path, seconds):
    command = [sys.executable, "-m", "reproduce", "train", "data=digits", "samples=1e8",
               "tracking=off"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    try:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert said == "Interrupted. Run the same command again to continue.\n"
    assert process.returncode in (130, -signal.SIGINT)  # a shell shows 130 for both


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals are Linux's")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_time_limit_is_told_from_success(tmp_path, workers):
    command = [sys.executable, "-m", "reproduce", "train", "data=digits", "model.n_hidden=2",
               "seeds=2", "samples=1e8", "compile=false", "tracking=off",
               f"workers={workers}"]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("results/runs/*/*/curve.csv"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert said == "Interrupted. Run the same command again to continue.\n"
