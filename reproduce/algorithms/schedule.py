"""Marks, at which curves are evaluated, and blocks, the pieces that training is cut into.

The horizontal axis everywhere is *samples*: training datapoints evaluated, a minibatch of 100
counting 100 (the paper's "# Training samples evaluated").
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BLOCK_STEPS = 10
"""Minibatch steps in a block, the unit of training: random streams, marks and checkpoints all
fall on block boundaries, so that a continued run repeats an uninterrupted one exactly."""

FIRST_MARK = 20_000
MARKS_IN_A_DECADE = (1.0, 1.3, 1.7, 2.0, 2.5, 3.5, 5.0, 7.0)
"""Eight log-spaced marks per decade, among them the 1, 2 and 5 of the comparison table and the
2.5 where the paper's MNIST curves end."""


def marks(limit: int, block_samples: int, extra: Iterable[int] = ()) -> list[int]:
    """Return the sample counts at which curves have a point, up to and including the last.

    Each is a nominal mark, or one of `extra`, rounded up to a whole block. The marks of a small
    limit are among those of every larger one, except the small limit itself where it is no
    nominal mark.
    """
    last = rounded(limit, block_samples)
    nominal = itertools.takewhile(lambda mark: mark < last, _nominal_marks())
    found = {rounded(mark, block_samples) for mark in (*nominal, *extra)}
    return sorted({mark for mark in found if mark < last} | {last})


@dataclass(frozen=True)
class Chunks:
    """Ranges of blocks from `start` to the last mark, none of which crosses a mark.

    This is what Lightning iterates over in place of a data loader.

    Attributes
    ----------
    start, block_samples
        In samples; `start` is a whole number of blocks.
    marks
        As `marks` returns them; the last is the end.
    longest
        The most blocks in one range: how often progress shows and an interruption is noticed.
    """

    start: int
    marks: Sequence[int]
    block_samples: int
    longest: int

    def __iter__(self) -> Iterator[range]:
        """Yield the ranges in order."""
        block = self.start // self.block_samples
        for mark in self.marks:
            end = mark // self.block_samples
            while block < end:
                stop = min(block + self.longest, end)
                yield range(block, stop)
                block = stop

    def __len__(self) -> int:
        """Count the ranges."""
        ends = [self.start // self.block_samples, *(m // self.block_samples for m in self.marks)]
        ends = [max(ends[0], end) for end in ends]
        return sum(-(-(b - a) // self.longest) for a, b in itertools.pairwise(ends))


def blocks_for(samples: int, block_samples: int) -> int:
    """Return how many whole blocks it takes to see at least `samples`."""
    return -(-samples // block_samples)


def rounded(samples: int, block_samples: int) -> int:
    """Round a sample count up to a whole number of blocks."""
    return blocks_for(samples, block_samples) * block_samples


def _nominal_marks() -> Iterator[int]:
    decade = 10_000
    while True:
        for factor in MARKS_IN_A_DECADE:
            mark = round(factor * decade)
            if mark >= FIRST_MARK:
                yield mark
        decade *= 10
