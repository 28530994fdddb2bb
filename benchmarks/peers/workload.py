"""What every program of the comparison shares: sizes, data, the clock and the command line."""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from reproduce.errors import UserError

N_TRAIN = 50_000
N_PIXELS = 784
N_HIDDEN = 500
N_LATENT = 20
BATCH_SIZE = 100
LEARNING_RATE = 0.01
WARM_UP_STEPS = 100


def images() -> Tensor:
    """Return made-up grey-level images in [0, 1), always the same: (image, pixel), float32."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(256, (N_TRAIN, N_PIXELS), generator=generator, dtype=torch.uint8)
    return grey / 256


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


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every program has: `--seconds` and `--threads`."""
    result = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    result.add_argument(
        "--seconds", type=positive_seconds, default=3.0, help="time to measure, after a warm-up"
    )
    result.add_argument("--threads", type=positive_int, default=2, help="CPU threads in all")
    return result


def report(measure: Callable[..., float], arguments: argparse.Namespace) -> None:
    """Call `measure` with the parsed arguments and print its samples/s as one line of JSON.

    A `UserError` ends the program with status 1 and its message on standard error.
    """
    try:
        print(json.dumps({"samples_per_second": measure(**vars(arguments))}))
    except UserError as error:
        sys.exit(str(error))
