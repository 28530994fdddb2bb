"""Markdown tables and numbers of nats."""

from collections.abc import Iterable

import numpy as np


def nats(value: object, sign: str = "", digits: int = 1) -> str:
    """Write a number of nats, with a minus sign rather than a hyphen."""
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def or_blank(value: float, sign: str = "", digits: int = 1) -> str:
    """Write a number of nats, or nothing where there is none."""
    return nats(value, sign, digits) if np.isfinite(value) else ""


def with_interval(mean: float, half_width: float, digits: int = 1) -> str:
    """Write a mean in nats and, where it is known, half the width of its interval."""
    half = f" ± {half_width:.{digits}f}" if np.isfinite(half_width) else ""
    return or_blank(mean, digits=digits) + half


def aligned(table: list[list[str]], right: Iterable[int]) -> str:
    """Lay out a Markdown table; `right` names the columns of numbers, header row first."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    numbers = set(right)
    lines = [
        [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
    rule = [
        "-" * (width - 1) + ":" if column in numbers else "-" * width
        for column, width in enumerate(widths)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
