"""Where a result comes from: code, packages, machine."""

import os
import platform
import runpy
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent
INSTALLED = (PACKAGE / "_conf").is_dir()
"""Whether this is a package made of the repository, which has copies of some of its folders."""
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "wandb", "pandas", "scipy", "numpy")

ROUNDING = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Variables with which the same code rounds differently: they choose instructions of a processor.
Libraries read them when they are loaded."""


def shipped(folder: str) -> Path:
    """Where a folder of the repository lies, `conf` or `results/published`, or its copy."""
    return PACKAGE / f"_{Path(folder).name}" if INSTALLED else REPOSITORY / folder


@cache
def provenance() -> dict[str, Any]:
    """Return git commit and dirty flag, package versions and machine, as plain containers.

    Commit and flag are None where git cannot tell.
    """
    # Finished cells are exported to results/reference while others train: they are no edits.
    edits = _git("status", "--porcelain", "--", ".", ":(exclude)results/reference")
    return {
        "git": {
            "commit": _git("rev-parse", "HEAD"),
            "dirty": None if edits is None else edits != "",
        },
        # torch's own version tells the build, as in 2.13.0+cu130; its package's may not.
        "packages": {name: _version(name) for name in PACKAGES} | {"torch": _torch_version()},
        "python": platform.python_version(),
        "machine": {
            "processor": _processor(),
            "system": platform.system(),
            "rounding": {name: os.environ[name] for name in ROUNDING if os.environ.get(name)},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # one that training does without, such as wandb
        return None


def _torch_version() -> str:
    """Return torch's version without loading torch, which takes seconds."""
    file = distribution("torch").locate_file("torch/version.py")
    return str(runpy.run_path(str(file))["__version__"])


def _git(*arguments: str) -> str | None:
    if INSTALLED:
        return None  # what repository there is around the package is not this suite's
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def drawn() -> dict[str, Any]:
    """When, and by what code on what machine, something is drawn: now."""
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance()}
