"""The programs that are compared, how each is run in a process of its own, and on what machine."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reproduce.errors import UserError

ROOT = Path(__file__).parents[1]
THREADS = 2  # for every variant alike
MARGIN = 300  # seconds a run may take to import, make its data and warm up
LAST_LINES = 8  # of standard error, shown when a variant fails


@dataclass(frozen=True)
class Variant:
    """One program of the comparison."""

    title: str
    module: str
    options: Sequence[str] = ()


_PEER_THREADS = ("--threads", str(THREADS))
_CEILING = (*_PEER_THREADS, "--members", "4")

VARIANTS = {
    "ours_1": Variant("this suite, 1 member", "benchmarks.ours", ("--members", "1")),
    "ours_4": Variant("this suite, 4 members", "benchmarks.ours", ("--members", "4")),
    "pytorch": Variant("PyTorch loop", "benchmarks.peers.pytorch", _PEER_THREADS),
    "lightning": Variant("Lightning", "benchmarks.peers.lightning", _PEER_THREADS),
    "ceiling_threads": Variant(
        "products alone, 1 process x 2 threads",
        "benchmarks.peers.ceiling",
        (*_CEILING, "--processes", "1"),
    ),
    "ceiling_processes": Variant(
        "products alone, 2 processes x 1 thread",
        "benchmarks.peers.ceiling",
        (*_CEILING, "--processes", "2"),
    ),
}


def run(name: str, seconds: float) -> float:
    """Run the variant in a fresh process and return its speed in samples/s.

    Raises
    ------
    UserError
        Where the process fails, hangs, or prints no speed.
    """
    variant = VARIANTS[name]
    arguments = ["-m", variant.module, *variant.options, "--seconds", f"{seconds:g}"]
    threads = {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
    try:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **threads},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + MARGIN,
        )
        if process.returncode:
            reason, errors = f"ended with exit status {process.returncode}", process.stderr
        else:
            try:
                return float(json.loads(process.stdout.splitlines()[-1])["samples_per_second"])
            except (IndexError, KeyError, TypeError, ValueError):
                reason, errors = "printed no line of JSON with samples_per_second", process.stderr
    except subprocess.TimeoutExpired:
        reason, errors = f"did not finish within {seconds + MARGIN:g} seconds", ""
    message = (
        f"The benchmark variant {name} {reason}; to see it alone, run "
        f"`python {' '.join(arguments)}` in the project's folder."
    )
    last = errors.strip().splitlines()[-LAST_LINES:]
    if last:
        message += "\nIts last error output:\n" + "\n".join(f"  {line}" for line in last)
    raise UserError(message)


def machine() -> dict[str, str | int]:
    """Return what the speeds depend on besides the programs."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": THREADS,
    }


def _cpu_model() -> str:
    """Return the processor's name; Python's own `platform` does not know it on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
