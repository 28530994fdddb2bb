"""Compiled steps: the numbers of eager ones, alone or stacked, interrupted or not.

Through the command, in processes of their own: torch cannot compile what checks shapes at run time,
as functions do in the other tests.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from building import has_onednn
from reproduce import config
from reproduce.algorithms.compiled import CompiledStep
from reproduce.common.errors import UserError
from reproduce.common.machine import has_cpp_compiler
from reproduce.config.overrides import groups
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.store import Store
from reproduce.training import loop
from reproduce.training.loop import compiles

ROOT = Path(__file__).parents[2]
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
needs_compiler = pytest.mark.skipif(not has_cpp_compiler(), reason="needs a C++ compiler")
needs_onednn = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_onednn(), reason="needs oneDNN's operator for linear layers"),
]
WARM_UP = "algorithm.warmup_steps=15"  # ends within a block
WAITS = """
        bound = super().step(x, noise)
        return -bound if bound.sum().item() > 0 else bound
"""
CHANGES = """
        self.taken = getattr(self, "taken", 0) + 1
        return super().step(x, noise) * min(1.0, self.taken / 100)
"""


def command(folder, *overrides, **environment):
    """Train digits with `overrides`; return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "reproduce", "train", *arguments(folder, *overrides)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def arguments(folder, *overrides):
    return ["tracking=off", "workers=1", f"results={folder}", WARM_UP, *overrides]


def trained(folder, *overrides):
    """Train; return the store, the cell and all curves."""
    done = command(folder, *overrides)
    assert done.returncode == 0, done.stderr
    job = config.job_from(config.compose_config(arguments(folder, *overrides)))
    store = Store(job.store)
    curves = [store.curve(job.cell, seed).assign(seed=seed) for seed in job.seeds]
    return store, job.cell, pd.concat(curves)


def weights(store, cell, seed):
    state = read_checkpoint(store, cell, seed)["state_dict"]
    return {name: value for name, value in state.items() if name.startswith("model.")}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("name", "decoder", "library"),
    [
        ("aevb", "BernoulliDecoder", "mkl"),
        pytest.param("aevb", "GaussianDecoder", "onednn", marks=needs_onednn),
        pytest.param("wake_sleep", "GaussianDecoder", "mkl", marks=pytest.mark.slow),
        pytest.param("wake_sleep", "BernoulliDecoder", "onednn", marks=needs_onednn),
    ],
)
def test_compiled_steps_are_as_near_to_float64_as_eager_ones(name, decoder, library):
    program = [
        sys.executable,
        str(ROOT / "tests" / "helpers" / "compiled_steps.py"),
        name,
        decoder,
        library,
    ]
    done = subprocess.run(program, capture_output=True, text=True, env=PATHS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for what, most in {"weight": 1e-3, "bound": 1e-3}.items():
        assert found["eager"][what] < most
        assert found["compiled"][what] < 2 * found["eager"][what] + 1e-5
    assert found["second stack"]["weight"] < 1e-3


@pytest.mark.integration
@needs_compiler
def test_steps_that_are_not_always_the_same_are_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "small_compiled_steps.py")],
        capture_output=True,
        text=True,
        env={**PATHS, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("options") == {
        "cpp_wrapper": True,
        "cpp.threads": 1,
        "compile_threads": 1,
        "cpp_cache_precompile_headers": False,
        "cpp.vec_isa_ok": True,
    }
    assert found.pop("twelve stacks") == ["the same"] * 12
    assert found.pop("Tensors") == "the same"
    assert set(found) == {"Number", "Length", "Attribute", "Choice", "WaitsLater"}
    for said in found.values():
        assert "these steps depend on a Python value that changes" in said
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("algorithm", "data"),
    [
        ("aevb", "digits"),
        pytest.param("wake_sleep", "digits_continuous", marks=pytest.mark.slow),
    ],
)
def test_a_seed_is_the_same_whole_or_in_pieces_and_whatever_is_trained_beside_it(
    algorithm, data, tmp_path
):
    cell = (f"algorithm={algorithm}", f"data={data}", "model.n_latent=3", "samples=6000")
    compiled = (*cell, "compile=true")
    whole = trained(tmp_path / "whole", *compiled, "seeds=2")
    # Seed 0 is ahead, so that one process compiles for seeds that are not equally far.
    trained(tmp_path / "pieces", *compiled, "seeds=1", "samples=3000")
    pieces = trained(tmp_path / "pieces", *compiled, "seeds=2")
    for seed in (0, 1):
        found, expected = weights(*pieces[:2], seed), weights(*whole[:2], seed)
        assert all(found[name].equal(value) for name, value in expected.items())
    ends = [
        curves[(curves["samples"] == 6000) & (curves["split"] != "train_running")]["value"].tolist()
        for curves in (whole[2], pieces[2])
    ]
    assert ends[0] == ends[1]
    assert len(set(ends[0])) == 4

    eager = trained(tmp_path / "eager", *cell, "seeds=2")
    off = abs(eager[2]["value"] - whole[2]["value"]).max()
    assert off > 0  # other rounding, which training amplifies where pixels are Gaussian
    assert data != "digits" or off < 0.05  # nats
    said = [store.manifest(name, 0) for store, name, _ in (whole, eager)]
    assert [manifest["sessions"][0]["compiled"] for manifest in said] == [True, False]
    assert [manifest["stacked_with"] for manifest in said] == [1, 2]


@pytest.mark.integration
def test_without_a_compiler_one_sentence_says_what_to_do(tmp_path):
    done = command(tmp_path, "samples=2000", "seeds=1", "compile=true", CXX="/no/such/c++")
    assert done.returncode
    assert "compile=true, but torch could not compile the steps of AEVB." in done.stderr
    assert "needs a C++ compiler (CXX names it)" in done.stderr
    assert "InvalidCxxCompiler: No working C++ compiler found" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("overrides", "cxx", "expected"),
    [
        ([], sys.executable, True),
        (["samples=999999"], sys.executable, False),
        (["samples=999999", "compile=true"], "/no/such/c++", True),
        (["compile=false"], sys.executable, False),
        ([], "/no/such/c++", False),
        (["algorithm=wake_sleep", "data=mnist"], sys.executable, True),
        (["algorithm=mcem", "data.n_train=300"], sys.executable, False),
        (["algorithm=mcem", "data.n_train=300", "compile=true"], sys.executable, False),
        (["algorithm=iwae"], sys.executable, False),
        (["algorithm=iwae", "compile=true"], sys.executable, True),
    ],
)
def test_where_it_pays_steps_are_compiled(overrides, cxx, expected, monkeypatch):
    monkeypatch.setenv("CXX", cxx)
    monkeypatch.setenv("METHODS", str(ROOT / "examples" / "iwae"))
    groups.cache_clear()
    composed = config.compose_config(["model.n_latent=3", "samples=1000000", *overrides])
    groups.cache_clear()
    assert compiles(config.job_from(composed)) is expected


@pytest.mark.integration
def test_a_compiler_that_fails_is_done_without_unless_it_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "COMPILING_PAYS", 0)
    monkeypatch.setattr(CompiledStep, "_generate", lambda *_: 1 / 0)
    curves = []
    for compiling in ("auto", "false", "true"):
        given = arguments(tmp_path / compiling, "samples=6000", "seeds=1", f"compile={compiling}")
        job = config.job_from(config.compose_config(["model.n_latent=3", *given]))
        if compiling == "true":
            with pytest.raises(UserError, match="torch could not compile the steps of AEVB"):
                loop.train(job, lambda *_: None)
            continue
        loop.train(job, lambda *_: None)
        curves.append(Store(job.store).curve(job.cell, 0))
        (session,) = Store(job.store).manifest(job.cell, 0)["sessions"]
        assert session["compiled"] is False
    pd.testing.assert_frame_equal(*curves, check_exact=True)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (WAITS, "steps that never wait for a number"),
        (CHANGES, "depend on a Python value that changes from step to step"),
    ],
    ids=["waits", "changes"],
)
def test_steps_that_cannot_be_compiled_are_refused_or_left_as_they_are(body, said, tmp_path):
    (tmp_path / "algorithm").mkdir()
    own = (ROOT / "conf" / "algorithm" / "aevb.yaml").read_text()
    own = own.replace("reproduce.algorithms.aevb.AEVB", "method.Own").replace(
        "name: aevb", "name: own"
    )
    (tmp_path / "algorithm" / "own.yaml").write_text(own)
    for allowed in (True, False):
        code = "from reproduce.algorithms.aevb import AEVB\n\nclass Own(AEVB):\n"
        code += f"    static_step = {allowed}\n"
        (tmp_path / "method.py").write_text(f"{code}\n    def step(self, x, noise):{body}")
        given = ("algorithm=own", "samples=3000", "seeds=1", "compile=true")
        done = command(tmp_path / str(allowed), *given, METHODS=str(tmp_path))
        assert "Traceback" not in done.stderr
        assert (said in done.stderr) is allowed
        assert bool(done.returncode) is allowed, done.stderr


@pytest.mark.integration
@needs_compiler
def test_what_a_killed_process_left_of_a_compilation_is_never_loaded(tmp_path):
    """torch would load a library that a killed linker left empty for ever after."""
    cell = ("samples=3000", "seeds=1", "compile=true")
    begun = subprocess.Popen(
        [sys.executable, "-m", "reproduce", "train", *arguments(tmp_path / "results", *cell)],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("aevb-compiled-*/*/*.cpp")):
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    (left,) = tmp_path.glob("aevb-compiled-*")
    for source in left.glob("*/*.cpp"):
        source.with_suffix(".so").write_bytes(b"")
        source.with_suffix(".main.so").write_bytes(b"")
    done = command(tmp_path / "results", *cell, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("aevb-compiled-*"))
    left_over = [path for path in tmp_path.glob("[!r]*/**/*") if not path.is_dir()]
    assert left_over == []  # of torch's own folder neither


@pytest.mark.integration
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_compiled_steps_in_cuda_graphs_train_as_eager_ones_do(algorithm, tmp_path):
    cell = (f"algorithm={algorithm}", "data=digits", "model.n_latent=3", "samples=30000", "seeds=2")
    eager, compiled = (
        trained(tmp_path / name, *cell, "device=cuda", f"compile={name}")[2]["value"]
        for name in ("false", "true")
    )
    assert abs(eager - compiled).max() < 1  # nats
