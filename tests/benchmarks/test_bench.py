"""The speed comparison: what is made of measurements, and how programs are run and measured."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import bench, command, ours, whole
from benchmarks.peers.workload import Clock, Measurement, grey_levels, images
from benchmarks.summary import judge, sentences, summarise
from benchmarks.variants import VARIANTS, Variant, run
from reproduce.algorithms.base import Algorithm
from reproduce.common.errors import UserError

SPEEDS = {
    "ours_1": 8.0, "ours_4": 20.0, "ours_8": 22.0, "ours_1_compiled": 10.0,
    "ours_4_compiled": 30.0, "figure1": 25.0, "pytorch": 11.0,
    "pytorch_compiled": 15.0, "lightning": 10.0, "lightning_processes": 12.0,
    "jax_processes": 22.0,
    "pyro": 5.0, "jax_1": 20.0, "jax_4": 24.0, "ceiling_threads": 40.0, "ceiling_processes": 50.0,
    "ceiling_onednn": 45.0,
}  # fmt: skip


def runs(**others):
    speeds = {name: speed for name, speed in {**SPEEDS, **others}.items() if speed is not None}
    return {name: [Measurement(speed, 100.0)] for name, speed in speeds.items()}


def test_a_variant_is_told_by_its_medians_and_ratios():
    found = runs() | {
        "ours_4_compiled": [Measurement(s, m) for s, m in ((60, 7), (20, 900), (30, 300))]
    }
    summary = summarise(found)
    ours = summary["ours_4_compiled"]
    assert (ours["samples_per_second"], ours["peak_memory_mib"]) == (30, 300)
    assert ours["runs"] == [60, 20, 30]
    assert (ours["over_lightning"], ours["of_ceiling"]) == (3.0, 0.6)
    assert summary["ceiling"]["samples_per_second"] == 50
    assert summary["ceiling"]["variant"] == "ceiling_processes"
    assert set(SPEEDS) == set(VARIANTS)


def test_bars_are_judged_by_the_faster_peer_and_met_at_equality():
    judged = judge(summarise(runs()))
    assert judged["over_lightning"] == {"at_least": 3.0, "reached": 3.0, "met": True}
    assert judged["over_jax"] == {"at_least": 1.3, "reached": 30 / 24, "met": False}
    assert judged["over_jax_processes"] == {"at_least": 1.3, "reached": 30 / 22, "met": True}
    assert judged["of_ceiling"] == {"at_least": 0.65, "reached": 0.6, "met": False}
    faster_alone = judge(summarise(runs(jax_1=25.0, ceiling_processes=20.0, ceiling_onednn=35.0)))
    assert faster_alone["over_jax"]["reached"] == 30 / 25
    assert faster_alone["of_ceiling"]["reached"] == 30 / 40


def test_what_is_not_installed_is_left_out_and_said():
    summary = summarise(runs(jax_1=None, jax_4=None, jax_processes=None, pyro=None))
    assert judge(summary)["over_jax"] == {"at_least": 1.3, "reached": None, "met": None}
    text = "\n".join(sentences(summary))
    assert "1.3 x the better JAX program: not measured" in text
    assert "3 x Lightning: 3.00, met" in text
    assert "0.65 x the ceiling: 0.60, not met" in text
    left_out = [line for line in text.splitlines() if line.startswith("Left out")]
    assert len(left_out) == 4
    assert all("pip install -c constraints.txt -e '.[bench]'" in line for line in left_out)


def test_only_variants_whose_packages_are_there_run(monkeypatch, tmp_path, capsys):
    absent = Variant("absent peer", "no.such.module", packages=("no_such_package_anywhere",))
    assert absent.missing == ["no_such_package_anywhere"]
    ran = []

    def recorded(name, variant, seconds):
        ran.append(name)
        return Measurement(SPEEDS[name], 100.0)

    monkeypatch.setattr(command, "run", recorded)
    monkeypatch.setitem(VARIANTS, "pyro", absent)
    monkeypatch.setitem(VARIANTS, "jax_1", Variant("jax", "json", packages=("json",)))
    monkeypatch.setitem(VARIANTS, "jax_4", Variant("vmap", "json", packages=("json",)))
    monkeypatch.setitem(VARIANTS, "jax_processes", Variant("two", "json", packages=("json",)))
    path = tmp_path / "bench.json"
    assert bench.main(["--repeats", "2", "--seconds", "1", "--output", str(path)]) == 0
    present = [name for name in VARIANTS if name != "pyro"]
    again = [name for name in present if name != "figure1"]  # which takes minutes
    assert ran == present + again  # interleaved
    found = json.loads(path.read_text())
    assert "pyro" not in found
    assert len(found["jax_4"]["runs"]) == 2
    assert {"ours_1", "ours_4", "pytorch", "lightning", "ceiling", "machine"} <= set(found)
    assert found["bars"]["over_jax"]["reached"] == 1.25
    assert found["settings"] == {"repeats": 2, "seconds": 1.0}
    printed = capsys.readouterr().out
    assert "absent peer, which needs no_such_package_anywhere" in printed
    assert "4 seeds, compiled >= 1.3 x the better JAX program: 1.25, not met" in printed


@pytest.mark.integration
@pytest.mark.parametrize("compiled", [False, True])
def test_steps_are_compiled_only_where_the_variant_says_so(monkeypatch, compiled):
    asked = []
    monkeypatch.setattr(Algorithm, "compile_steps", lambda self: asked.append(self))
    overrides = ["compile=true"] if compiled else []
    assert ours.measure(0.01, 1, 1, 1_000, overrides).samples_per_second > 0
    assert len(asked) == compiled


@pytest.mark.integration
def test_a_whole_run_counts_the_samples_of_two_cells_and_two_seeds():
    started = time.perf_counter()
    found = whole.measure(1.0, 2, samples=3_000)
    elapsed = time.perf_counter() - started
    assert 12_000 / elapsed <= found.samples_per_second < 1.5 * 12_000 / elapsed


@pytest.mark.integration
def test_a_program_that_fails_or_measures_nothing_ends_in_a_sentence():
    failing = Variant("", "benchmarks.peers.ceiling", ("--seeds", "3", "--processes", "2"))
    with pytest.raises(UserError, match=r"(?s)variant odd ended with exit status 1.*shared out"):
        run("odd", failing, 0.01)
    with pytest.raises(UserError, match="variant silent printed no line of JSON with samples_per"):
        run("silent", Variant("", "platform"), 0.01)


def test_no_program_inherits_what_this_suite_sets_for_itself(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")  # as `reproduce` does
    given = {}

    def recorded(arguments, env, **rest):
        given.update(env)
        measured = json.dumps(Measurement(1.0, 1.0)._asdict())
        return subprocess.CompletedProcess(arguments, 0, measured, "")

    monkeypatch.setattr(subprocess, "run", recorded)
    run("any", Variant("", "platform"), 0.01)
    assert "GOMP_SPINCOUNT" not in given
    assert given["OMP_NUM_THREADS"] == "2"


@pytest.mark.integration
def test_a_program_is_measured_in_a_process_of_its_own():
    found = run("ceiling", Variant("", "benchmarks.peers.ceiling", ("--seeds", "1")), 0.01)
    assert found.samples_per_second > 0
    assert found.peak_memory_mib > 50  # torch alone is more


PEAK = "from benchmarks.peers.workload import peak_memory_mib as peak; print(peak())"


def peak_of(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_peak_memory_counts_what_was_freed_and_not_what_started_the_process():
    base = peak_of(PEAK)
    hold = "import numpy; a = numpy.ones(2**25); del a; "  # 256 MiB
    assert peak_of(hold + PEAK) - base == pytest.approx(256, abs=20)
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PEAK!r}])"
    assert peak_of("import numpy; a = numpy.ones(2**25); " + child) == pytest.approx(base, abs=20)


def test_the_workload_brings_no_library_of_a_peer_with_it():
    code = "import sys, benchmarks.peers.workload; print(*({'torch', 'jax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_images_are_the_bytes_as_grey_levels():
    grey = images()
    assert (grey.shape, grey.dtype) == ((50_000, 784), np.float32)
    assert grey.min() == 0
    assert grey.max() == 255 / 256
    assert np.array_equal(grey[:100] * 256, grey_levels()[:100])


def test_the_clock_counts_only_what_comes_after_the_warm_up():
    clock = Clock(seconds=0.0, samples_per_step=7, warm_up=2)
    assert [clock.tick() for _ in range(3)] == [False, False, True]
    assert clock.measurement().samples_per_second == pytest.approx(7 / clock.elapsed)
