"""The programs that are compared, how each is run in a process of its own, and on what machine."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.workload import Measurement
from reproduce.common.errors import UserError
from reproduce.common.machine import available_cores

ROOT = Path(__file__).parents[1]
THREADS = 2  # for every variant alike
MARGIN = 600  # seconds a run may take besides those measured, or in all where it runs once
PACKAGES = ("pytorch-lightning", "numpy", "jax", "jaxlib", "pyro-ppl")
LAST_LINES = 8  # of standard error, shown when a variant fails


@dataclass(frozen=True)
class Variant:
    """One program of the comparison."""

    title: str
    module: str
    options: Sequence[str] = ()
    packages: Sequence[str] = ()
    """What it imports that may not be installed."""
    once: bool = False
    """Whether it takes minutes, and is run only once."""

    @property
    def missing(self) -> list[str]:
        """Those of its packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


_PEER_THREADS = ("--threads", str(THREADS))
_CEILING = (*_PEER_THREADS, "--seeds", "4")
_JAX = ("jax",)


_COMPILED = ("compile=true", "algorithm.warmup_steps=0")  # before the clock starts


def _ours(seeds: int, compiled: bool = False) -> Variant:
    title = f"this suite, {seeds} seed{'s' if seeds > 1 else ''}"
    options = (*_PEER_THREADS, "--seeds", str(seeds))
    if compiled:
        return Variant(f"{title}, compiled", "benchmarks.ours", (*options, *_COMPILED))
    return Variant(title, "benchmarks.ours", options)


VARIANTS = {
    "ours_1": _ours(1),
    "ours_4": _ours(4),
    "ours_8": _ours(8),
    "ours_1_compiled": _ours(1, compiled=True),
    "ours_4_compiled": _ours(4, compiled=True),
    "figure1": Variant(
        "this suite, make figure1 with all it does", "benchmarks.whole", _PEER_THREADS, once=True
    ),
    "pytorch": Variant("PyTorch loop", "benchmarks.peers.pytorch", _PEER_THREADS),
    "pytorch_compiled": Variant(
        "PyTorch loop, torch.compile",
        "benchmarks.peers.pytorch",
        (*_PEER_THREADS, "--compile"),
    ),
    "lightning": Variant("Lightning", "benchmarks.peers.lightning", _PEER_THREADS),
    "lightning_processes": Variant(
        "Lightning, 2 processes x 1 thread",
        "benchmarks.peers.side_by_side",
        (*_PEER_THREADS, "lightning"),
    ),
    "pyro": Variant("Pyro SVI", "benchmarks.peers.pyro_svi", _PEER_THREADS, ("pyro",)),
    "jax_1": Variant("JAX, jit + scan", "benchmarks.peers.jax_scan", _PEER_THREADS, _JAX),
    "jax_4": Variant(
        "JAX, jit + scan, vmap over 4",
        "benchmarks.peers.jax_scan",
        (*_PEER_THREADS, "--seeds", "4"),
        _JAX,
    ),
    "jax_processes": Variant(
        "JAX, jit + scan, 2 processes x 1 thread",
        "benchmarks.peers.side_by_side",
        (*_PEER_THREADS, "jax_scan"),
        _JAX,
    ),
    "ceiling_threads": Variant(
        "products (MKL), 1 process x 2 threads",
        "benchmarks.peers.ceiling",
        (*_CEILING, "--processes", "1"),
    ),
    "ceiling_processes": Variant(
        "products (MKL), 2 processes x 1 thread",
        "benchmarks.peers.ceiling",
        (*_CEILING, "--processes", "2"),
    ),
    "ceiling_onednn": Variant(
        "products (oneDNN), 2 processes x 1 thread",
        "benchmarks.peers.ceiling",
        (*_CEILING, "--processes", "2", "--library", "onednn"),
    ),
}


def run(name: str, variant: Variant, seconds: float) -> Measurement:
    """Run the variant, called `name` in errors, in a fresh process; return what it measured."""
    arguments = ["-m", variant.module, *variant.options, "--seconds", f"{seconds:g}"]
    # What this suite sets for itself is no business of its peers: it costs some 40 % of theirs.
    inherited = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    threads = {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
    try:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=inherited | threads,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + MARGIN,
        )
        if process.returncode:
            reason, errors = f"ended with exit status {process.returncode}", process.stderr
        else:
            try:
                found = json.loads(process.stdout.splitlines()[-1])
                return Measurement(**{field: float(found[field]) for field in Measurement._fields})
            except (IndexError, KeyError, TypeError, ValueError):
                fields = " and ".join(Measurement._fields)
                reason, errors = f"printed no line of JSON with {fields}", process.stderr
    except subprocess.TimeoutExpired:
        reason, errors = f"did not finish within {seconds + MARGIN:g} seconds", ""
    message = (
        f"The benchmark variant {name} {reason}; to see it alone, run "
        f"`python {shlex.join(arguments)}` in the project's folder."
    )
    last = errors.strip().splitlines()[-LAST_LINES:]
    if last:
        message += "\nIts last error output:\n" + "\n".join(f"  {line}" for line in last)
    raise UserError(message)


def machine() -> dict[str, Any]:
    """Return what the speeds depend on besides the programs."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "cores_available": available_cores(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": THREADS,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def _cpu_model() -> str:
    """Return the processor's name; Python's own `platform` does not know it on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
