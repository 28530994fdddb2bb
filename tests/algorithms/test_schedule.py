import itertools
import math

import pytest

from reproduce.algorithms.schedule import FIRST_MARK, MARKS_IN_A_DECADE, Chunks, blocks_for, marks


def test_marks_are_log_spaced_at_least_eight_a_decade():
    for decade in (1e5, 1e6, 1e7):
        inside = [m for m in marks(10**9, 1000) if decade <= m < 10 * decade]
        assert len(inside) >= 8
        steps = [math.log10(b / a) for a, b in itertools.pairwise([*inside, 10 * decade])]
        assert max(steps) < 0.16


@pytest.mark.parametrize("limit", [1_000_000, 10_000_000, 100_000_000, 250_000_000])
def test_the_marks_of_a_budget_are_among_those_of_every_larger_one(limit):
    all_marks = set(marks(10**9, 1000))
    mine = list(marks(limit, 1000))
    assert set(mine) <= all_marks
    assert mine[-1] == limit
    assert mine[0] == FIRST_MARK
    for k in (1, 2, 5):
        assert k * 10**5 in mine  # where the comparison table looks


def test_marks_are_whole_blocks():
    for batch in (1, 7, 64, 100, 128):
        found = list(marks(100_000, 10 * batch))
        assert all(mark % (10 * batch) == 0 for mark in found)
        assert found == sorted(set(found))
        assert 100_000 <= found[-1] < 100_000 + 10 * batch


@pytest.mark.parametrize("start", [0, 3_000, 25_000, 99_000, 100_000])
def test_chunks_cover_what_is_left_and_cross_no_mark(start):
    chunks = Chunks(start, marks(100_000, 1000), 1000, longest=10)
    ranges = list(chunks)
    assert [b for r in ranges for b in r] == list(range(start // 1000, 100))
    assert len(ranges) == len(chunks)
    assert max(map(len, ranges), default=0) <= 10
    for mark in marks(100_000, 1000):
        assert not any(r.start < mark // 1000 < r.stop for r in ranges)


def test_blocks_are_counted_up():
    assert [blocks_for(n, 1000) for n in (1, 1000, 1001)] == [1, 1, 2]


def test_factors_start_a_decade():
    assert MARKS_IN_A_DECADE[0] == 1
    assert list(MARKS_IN_A_DECADE) == sorted(MARKS_IN_A_DECADE)
    assert MARKS_IN_A_DECADE[-1] < 10
