"""Rows of `figure2.csv` and `figure3.csv`, from the paper's drawings."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_DOWN, Decimal

from reproduce.common.errors import UserError
from studies.published_curves.drawing import Drawing, Vertex

Row = tuple[str | int, ...]

FIGURE2_COLUMNS = (
    "dataset", "n_latent", "algorithm", "split", "run", "samples", "iterations", "value",
    "inside_axes", "kind",
)  # fmt: skip
FIGURE3_COLUMNS = (
    "dataset", "n_latent", "n_train", "algorithm", "split", "samples", "value", "inside_axes",
)  # fmt: skip
_DATASETS = {"MNIST": ("mnist", 100), "Frey Face": ("freyface", 500)}  # with the minibatch's size
_ALGORITHMS = {"Wake-Sleep": "wake_sleep", "MCEM": "mcem", "AEVB": "aevb"}
_FIRST = "first iteration, from the slope of the clipped segment"


def figure2_rows(drawing: Drawing) -> Iterator[Row]:
    """Yield a row for each vertex of Figure 2, in the order in which its lines were drawn."""
    for panel in drawing.panels:
        data, n_latent = panel.title.split(", Nz=")
        dataset, batch = _DATASETS[data]
        exponent = _scale({at: float(text[2:]) for at, text in panel.ticks["x"].items()})  # "10..."
        value = _scale({at: float(text) for at, text in panel.ticks["y"].items()})
        for style, pieces in panel.lines:
            line = (dataset, int(n_latent), *_names(drawing.legend[style]))
            cut, next_point = ((exponent(x), value(y)) for x, y in pieces[0][:2])
            start = _extended(cut, next_point, to=math.log10(batch))
            yield (*line, 0, batch, 1, f"{start:.4f}", 0, _FIRST)
            for run, piece in enumerate(pieces):
                for x, y in drawing.vertices(piece):
                    iterations = _whole(10 ** exponent(x) / batch)
                    point = (iterations * batch, iterations, _rounded(value(y)))
                    yield (*line, run, *point, int(panel.shows((x, y))), "exact")


def figure3_rows(drawing: Drawing) -> Iterator[Row]:
    """Yield a row for each vertex of Figure 3, in the order in which its lines were drawn."""
    for panel in drawing.panels:
        n_train = int(panel.title.removeprefix("Ntrain = "))
        millions = _scale({at: float(text) for at, text in panel.ticks["x"].items()})
        value = _scale({at: float(text) for at, text in panel.ticks["y"].items()})
        for style, pieces in panel.lines:
            line = ("mnist", 3, n_train, *_names(drawing.legend[style]))
            for x, y in (vertex for piece in pieces for vertex in drawing.vertices(piece)):
                samples = 100 * _whole(millions(x) * 1e4)  # all three count in hundreds
                yield (*line, samples, _rounded(value(y)), int(panel.shows((x, y))))


def table(columns: Row, rows: Iterable[Row]) -> str:
    """Return the text of a CSV file, whose lines end as RFC 4180 has it."""
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue()


def _scale(ticks: dict[float, float]) -> Callable[[float], float]:
    """Return what an axis says at a place on the page: linear through its outermost ticks."""
    start, *_, end = sorted(ticks)
    slope = (ticks[end] - ticks[start]) / (end - start)
    return lambda place: ticks[start] + (place - start) * slope


def _extended(begin: Vertex, end: Vertex, to: float) -> float:
    """Return the height at `to` of the straight line through two points."""
    return begin[1] + (end[1] - begin[1]) / (end[0] - begin[0]) * (to - begin[0])


def _names(label: str) -> tuple[str, str]:
    """Take a label of the legend apart, such as "AEVB (test)"."""
    algorithm, split = label.removesuffix(")").split(" (")
    return _ALGORITHMS[algorithm], split


def _whole(count: float) -> int:
    """Return the whole number that a count is; were it none, the axes would be read wrongly."""
    nearest = round(count)
    if abs(count - nearest) > 1e-4:
        raise UserError(f"A vertex lies at {count}, which should be a whole number.")
    return nearest


def _rounded(value: float) -> str:
    """Write a value with three decimals; halves go towards zero.

    First to eight, all that the drawing's ten decimals of a point can tell.
    """
    return str(Decimal(f"{value:.8f}").quantize(Decimal("0.001"), ROUND_HALF_DOWN))
