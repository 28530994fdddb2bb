"""What every program of the comparison shares: sizes, data, the clock and the command line.

It imports neither torch nor JAX, so that no program's memory holds another one's library.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reproduce.common.errors import UserError

N_TRAIN = 50_000
N_PIXELS = 784
N_HIDDEN = 500
N_LATENT = 20
BATCH_SIZE = 100
LEARNING_RATE = 0.01
WARM_UP_STEPS = 100


class Measurement(NamedTuple):
    """What one run of a program found."""

    samples_per_second: float
    """Training samples a second, summed over seeds and processes."""
    peak_memory_mib: float
    """The most memory that was resident in each of its processes, summed over them, in MiB."""


def grey_levels() -> NDArray[np.uint8]:
    """Return made-up images, always the same, as bytes: (image, pixel)."""
    return np.random.default_rng(0).integers(256, size=(N_TRAIN, N_PIXELS), dtype=np.uint8)


def images() -> NDArray[np.float32]:
    """Return the same images as grey levels in [0, 1): (image, pixel)."""
    return np.multiply(grey_levels(), np.float32(1 / 256), dtype=np.float32)


def peak_memory_mib() -> float:
    """Return the most memory that has been resident in this process, in MiB.

    Linux's own `ru_maxrss` would count what the process was before it started this program, which
    is the program that started it; VmHWM does not.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


class Clock:
    """Counts training steps, forgets the first `warm_up` of them, and times the rest.

    Parameters
    ----------
    seconds
        How long to measure after the warm-up.
    samples_per_step
        Training samples that one step consumes.
    warm_up
        Steps before the measurement starts; with 0 it starts at once.
    """

    def __init__(
        self, seconds: float, samples_per_step: int = BATCH_SIZE, warm_up: int = WARM_UP_STEPS
    ) -> None:
        self.seconds = seconds
        self.samples_per_step = samples_per_step
        self.steps = -warm_up
        self.started = time.perf_counter()
        self.elapsed = 0.0

    def tick(self) -> bool:
        """Count one finished step; return whether the measurement is over."""
        self.steps += 1
        if self.steps == 0:
            self.started = time.perf_counter()
        self.elapsed = time.perf_counter() - self.started
        return self.steps > 0 and self.elapsed >= self.seconds

    @property
    def samples_per_second(self) -> float:
        """The measured speed so far."""
        return self.steps * self.samples_per_step / self.elapsed

    def measurement(self) -> Measurement:
        """The measured speed, and the memory of this process alone."""
        return Measurement(self.samples_per_second, peak_memory_mib())


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text}")
    return value


def positive_seconds(text: str) -> float:
    """Parse a positive, finite number of seconds, for argparse."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, not {text}")
    return value


def together(shares: Iterable[Measurement]) -> Measurement:
    """Add up what worker processes measured at the same time, and the memory of this process."""
    speeds, peaks = zip(*shares, strict=True)
    return Measurement(sum(speeds), sum(peaks) + peak_memory_mib())


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every program has: `--seconds` and `--threads`."""
    result = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    result.add_argument(
        "--seconds", type=positive_seconds, default=3.0, help="time to measure, after a warm-up"
    )
    result.add_argument("--threads", type=positive_int, default=2, help="CPU threads in all")
    return result


def report(measure: Callable[..., Measurement], arguments: argparse.Namespace) -> None:
    """Call `measure` with the parsed arguments and print what it found as one line of JSON.

    A `UserError` ends the program with status 1 and its message on standard error.
    """
    try:
        print(json.dumps(measure(**vars(arguments))._asdict()))
    except UserError as error:
        sys.exit(str(error))
