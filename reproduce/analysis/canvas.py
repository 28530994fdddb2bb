"""Figures before and after drawing: empty ones with a footnote, finished ones as files."""

import functools
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reproduce.analysis import style
from reproduce.common.files import write_with

P = ParamSpec("P")
_LETTER = 0.54 * style.FOOTNOTE_SIZE / 72  # mean width, inches
_LINE = 1.26 * style.FOOTNOTE_SIZE / 72


@dataclass(frozen=True)
class Canvas:
    """A figure without axes, laid out above its footnote.

    Attributes
    ----------
    figure
        To draw on.
    foot
        Height of the footnote, inches.
    """

    figure: Figure
    foot: float

    def above_foot(self, inches: float) -> float:
        """Height so many inches above the footnote, as a share of the figure's."""
        return (self.foot + inches) / self.figure.get_figheight()


def canvas(width: float, height: float, footnote: str = "", *, below: float = 0.0) -> Canvas:
    """Make a figure with room for a footnote, wrapped to its width.

    Parameters
    ----------
    width, height
        Of what constrained layout has for axes and titles, inches; `width` is the figure's.
    footnote
        Plain text.
    below
        Inches left free between the axes and the footnote, for a legend or a label.
    """
    lines = textwrap.wrap(footnote, max(40, int((width - 0.3) / _LETTER)))
    foot = len(lines) * _LINE + 8 / 72 if lines else 0.0
    total = height + below + foot
    figure = Figure(figsize=(width, total))
    FigureCanvasAgg(figure)
    # Constrained layout knows nothing of a footnote: the axes are kept to the part above it.
    low = (below + foot) / total
    figure.set_layout_engine("constrained", rect=(0.04 / width, low, 1 - 0.08 / width, 1 - low))
    figure.text(0.15 / width, (foot - 0.04) / total, "\n".join(lines), va="top", linespacing=1.25,
                size=style.FOOTNOTE_SIZE, color=style.MUTED, gid="footnote")  # fmt: skip
    return Canvas(figure, foot)


def styled(build: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let `build` draw in the project's style, and lay out its figure once and for all.

    The solver behind constrained layout differs in the last digit from run to run, which a PDF
    would show: the result is kept to a millionth of the figure's size.
    """

    @functools.wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style.applied():
            figure = build(*args, **kwargs)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for ax in figure.axes:
                left, bottom, width, height = (round(float(x), 6) for x in ax.get_position().bounds)
                ax.set_position((left, bottom, width, height))
        return figure

    return built


def save(figure: Figure, path_stem: Path) -> tuple[Path, Path]:
    """Write `<path_stem>.png` (150 dpi) and `.pdf` atomically; the same figure, the same bytes.

    Returns
    -------
    tuple[Path, Path]
        The PNG and the PDF.
    """
    # Not with_suffix: a stem may hold a dot of its own.
    png, pdf = (path_stem.with_name(path_stem.name + suffix) for suffix in (".png", ".pdf"))
    with style.applied():
        # Software versions and the time of drawing are left out: they are not in the data.
        write_with(png, lambda path: figure.savefig(path, dpi=150, metadata={"Software": None}))
        dateless = {"CreationDate": None, "Creator": None, "Producer": None}
        write_with(pdf, lambda path: figure.savefig(path, metadata=dateless))
    return png, pdf
