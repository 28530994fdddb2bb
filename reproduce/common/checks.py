"""Checks of single settings, each ending in one sentence that says what was expected."""

import math
import os
import re
from collections.abc import Collection, Sequence
from typing import Any

from omegaconf import ListConfig

from reproduce.common.errors import UserError

MOST = 10**18
"""Larger whole numbers overflow in files and in torch."""


def whole_number(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """Return `value` as an integer; 1e6 is one."""
    if not _is_number(value) or not math.isfinite(value) or value != value // 1 or value < least:
        bound = "greater than zero" if least else "of zero or more"
        raise UserError(f"{name} must be a whole number {bound}, not {shown(value)}.")
    if value > most:
        raise UserError(f"{name} must be at most {most:g}, not {shown(value)}.")
    return int(value)


def widths(name: str, value: Any) -> int | list[int]:
    """Return the width of one layer, [200] as 200, or those of several as a list."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return whole_number(name, value)
    found = [whole_number(name, width) for width in value]
    if not found:
        raise UserError(f"{name} must have the width of a layer, or of each: [200,200].")
    return found[0] if len(found) == 1 else found


def number(name: str, value: Any, *, zero: bool = False) -> float:
    """Return `value` as a float, 1 as 1.0: finite and above zero, or zero where it may be."""
    if not _is_number(value) or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = "of zero or more" if zero else "greater than zero"
        raise UserError(f"{name} must be a number {bound}, not {shown(value)}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """Return `value` as a float between 0 and 1, neither of them included."""
    if not _is_number(value) or not 0 < value < 1:
        raise UserError(f"{name} must lie between 0 and 1, not {shown(value)}.")
    return float(value)


def one_of(name: str, value: Any, options: Collection[str]) -> str:
    """Return `value` where it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise UserError(f"{name} cannot be {shown(value)}; choose one of: {', '.join(options)}.")
    return value


def folder_name(name: str, value: Any) -> str:
    """Return `value` as the name of a folder; not every shell makes a home of a leading ~."""
    if value == "" or not (isinstance(value, str) or _is_number(value)):
        raise UserError(f"{name} must be a folder, not {shown(value)}.")
    return os.path.expanduser(str(value))


def name_of(name: str, value: Any) -> str:
    """Return `value` where it is a text of at least one letter."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{name} must be a name, not {shown(value)}.")
    return value


def label(name: str, value: Any) -> str:
    """Return `value` where it is a line that pictures can show; between $ they would see maths."""
    if not isinstance(value, str) or not value or "$" in value or not value.isprintable():
        raise UserError(f"{name} must be a line of text without dollar signs, not {shown(value)}.")
    return value


def texts(name: str, value: Any, example: str) -> list[str]:
    """Return a list of texts from a configuration as one, or raise `UserError`."""
    found: list[Any] = list(value) if isinstance(value, ListConfig) else [None]
    if not all(isinstance(entry, str) for entry in found):
        raise UserError(f"{name} must be a list such as {example}, not {shown(value)}.")
    return found


def numbers(name: str, value: Any, example: str) -> list[float]:
    """Return a list of numbers from a configuration as one, or raise `UserError`."""
    found: list[Any] = list(value) if isinstance(value, ListConfig) else [None]
    if not all(map(_is_number, found)):
        raise UserError(f"{name} must be a list such as {example}, not {shown(value)}.")
    return found


def yes_or_no(name: str, value: Any) -> bool:
    """Return a switch from a configuration, or raise `UserError`."""
    if not isinstance(value, bool):
        raise UserError(f"{name} must be true or false, not {shown(value)}.")
    return value


def quoted(text: object) -> str:
    """Quote a value for Hydra's command line, where a backslash counts before quotes alone."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(text))
    return f"'{escaped}'"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Show a value as the user would have typed it."""
    words = {None: "null", True: "true", False: "false"}
    plain = value is None or isinstance(value, bool)
    return words[value] if plain else repr(value)
