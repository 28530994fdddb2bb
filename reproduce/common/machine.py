"""How this process uses the machine: threads, memory and devices."""

import ctypes
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.common.errors import UserError

if TYPE_CHECKING:
    import torch  # loaded within functions: commands that only read start without it

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
MOST_THREADS = 1_000  # with many more the system kills the process
FAILED_ALLOCATIONS = ("can't allocate memory", "Storage size calculation overflowed")


def prepare(threads: int) -> None:
    """Set the number of threads of torch's operators and tune the allocator."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory instead of returning it to the system.

    Training frees and allocates the same megabytes at every step; without this each step pays
    for thousands of page faults. Linux with glibc only; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory did not suffice: for a failed allocation torch has no type of its own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(one in str(error) for one in FAILED_ALLOCATIONS)


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_cpp_compiler() -> bool:
    """Tell whether there is the C++ compiler that torch would call."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    return shutil.which(os.environ.get("CXX", usual)) is not None


def is_amd() -> bool:
    """Tell whether the processor is AMD's, as far as the system says."""
    described = Path("/proc/cpuinfo")
    text = described.read_text() if described.exists() else platform.processor()
    return "AuthenticAMD" in text


def choose_device(name: str) -> "torch.device":
    """Return the device named `auto`, `cpu` or `cuda`."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"Unknown device {name!r}; choose one of: auto, cpu, cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda was asked for, but torch sees no CUDA device here; use cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def device_name(device: "torch.device") -> str:
    """Return a readable name of the device that trained."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
