"""Parts of a figure that matplotlib wrote as a form of a PDF: panels, ticks, legend and lines."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

Vertex = tuple[float, float]
Style = tuple[tuple[float, ...], bool]
"""The colour of a line, and whether it is dashed."""

_TICK_LENGTH = 4.0  # a minor tick, 2 points long, has no label
_PAGE_MARGIN = 1.0  # matplotlib cuts lines this far beyond the edge of the page
_SAME_PLACE = 0.001  # points; nearer than that a vertex counts as on the edge of the axes


@dataclass
class Panel:
    """Axes: their rectangle (left, bottom, width, height), title, ticks and lines.

    A line is its style and its pieces: where it comes back to the page, a new piece begins.
    """

    rectangle: tuple[float, ...]
    title: str = ""
    ticks: dict[str, dict[float, str]] = field(default_factory=lambda: {"x": {}, "y": {}})
    lines: list[tuple[Style, list[list[Vertex]]]] = field(default_factory=list)

    def shows(self, vertex: Vertex) -> bool:
        """Tell whether a vertex lies inside the axes or on their edge."""
        corner, size = self.rectangle[:2], self.rectangle[2:]
        return all(
            -_SAME_PLACE <= place - start <= length + _SAME_PLACE
            for place, start, length in zip(vertex, corner, size, strict=True)
        )


class Drawing:
    """A figure: its panels, and what its legend calls each style of line.

    Parameters
    ----------
    operations
        The operators of the drawing; those that matplotlib's figures do not need are passed over.
    width
        Of its page.
    """

    def __init__(self, operations: Iterable[tuple[Any, bytes]], width: float) -> None:
        self.panels: list[Panel] = []
        self.legend: dict[Style, str] = {}
        self._width = width
        self._clipped = False  # of all that is drawn, only curves are clipped to the axes
        self._colour: tuple[float, ...] = ()
        self._dashed = False
        self._path: list[list[Vertex]] = []
        self._text = ""
        self._sample: Style = ((), False)  # the style of the last line that was not clipped
        self._tick = ("x", 0.0)  # the last tick: its axis and place
        for operands, operator in operations:
            self._follow(operands, operator)

    def is_cut(self, vertex: Vertex) -> bool:
        """Tell whether a vertex is none of the curve's, but where the page cuts the line."""
        x, y = vertex
        return y == -_PAGE_MARGIN or math.isclose(x, self._width + _PAGE_MARGIN, abs_tol=1e-8)

    def vertices(self, piece: list[Vertex]) -> list[Vertex]:
        """Return a piece's own vertices, each once: matplotlib wrote many of them twice."""
        return [vertex for vertex, _ in groupby(piece) if not self.is_cut(vertex)]

    def _follow(self, operands: Any, operator: bytes) -> None:
        match operator:
            case b"q":  # a new graphics state
                self._clipped = self._dashed = False
            case b"re":
                self._clip(tuple(map(float, operands)))
            case b"RG":
                self._colour = tuple(map(float, operands))
            case b"d":
                self._dashed = bool(operands[0])
            case b"m":
                self._path.append([(float(operands[0]), float(operands[1]))])
            case b"l":
                self._path[-1].append((float(operands[0]), float(operands[1])))
            case b"S" | b"B" | b"f":
                self._paint(operator)
                self._path = []
            case b"BT":
                self._text = ""
            case b"Tj":
                self._text += str(operands[0])
            case b"ET":
                self._write(self._text)
            case b"Do":  # the minus sign, drawn after the digits that it belongs to
                axis, place = self._tick
                self.panels[-1].ticks[axis][place] = f"-{self._text}"

    def _clip(self, rectangle: tuple[float, ...]) -> None:
        if not self.panels or self.panels[-1].rectangle != rectangle:
            self.panels.append(Panel(rectangle))
        self._clipped = True

    def _paint(self, operator: bytes) -> None:
        style = (self._colour, self._dashed)
        if operator == b"S" and self._clipped:
            self.panels[-1].lines.append((style, self._path))
        elif operator == b"S":
            self._sample = style
        elif operator == b"B" and len(self._path[0]) == 2:
            start, end = self._path[0]
            if math.isclose(math.dist(start, end), _TICK_LENGTH, abs_tol=1e-6):
                self._tick = ("x", start[0]) if start[0] == end[0] else ("y", start[1])

    def _write(self, text: str) -> None:
        """Tell by its form what a text is; digits label the last tick."""
        if re.fullmatch(r".+ \((train|test)\)", text):
            self.legend[self._sample] = text
        elif re.search(r"N(z|train) ?= ?\d+$", text):
            self.panels[-1].title = text
        elif text.isdigit():
            axis, place = self._tick
            self.panels[-1].ticks[axis][place] = text
