"""How training time grows, drawn: one panel each for seeds, N_z and N_train."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from reproduce.analysis import canvas, style

Rows = Sequence[Mapping[str, Any]]

_TITLES = {
    "members": "Seeds: 10,000 samples of each",
    "n_latent": "$N_z$: 10,000 samples",
    "n_train": "$N_\\mathrm{train}$: 10,000 samples, or an iteration",
}
_LABELS = {
    "members": "seeds",
    "n_latent": "latent variables, $N_z$",
    "n_train": "training images, $N_\\mathrm{train}$",
}
_LOOKS = {
    "one_thread": style.AlgorithmStyle("one process of one thread", "#c4161c", "o"),
    "two_processes": style.AlgorithmStyle("two such processes", "#e08214", "D"),
    **style.ALGORITHMS,
}
_FOOT = (
    "AEVB, one seed, one thread and 784-500-20 unless told otherwise; the right panel is "
    "784-100-3. Markers: median of the runs; bars: fastest to slowest. The power of x in the "
    "legends is fitted to all points of a line. Dashed: in proportion to x; in the middle, the "
    "straight line that fits best."
)


def draw(
    rows: Rows, exponents: Mapping[str, Mapping[str, float]], path_stem: Path
) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(rows, exponents), path_stem)


@canvas.styled
def build(rows: Rows, exponents: Mapping[str, Mapping[str, float]]) -> Figure:
    """Lay out the three panels in a row.

    Parameters
    ----------
    rows
        Points with `panel`, `series`, `x`, `seconds` (the median) and `runs`.
    exponents
        Of every series, by panel.
    """
    figure = canvas.canvas(10.2, 3.51, _FOOT).figure
    for panel, ax in zip(_TITLES, figure.subplots(1, len(_TITLES)), strict=True):
        _draw_panel(ax, panel, [row for row in rows if row["panel"] == panel], exponents[panel])
    return figure


def _draw_panel(ax: Axes, panel: str, rows: Rows, exponents: Mapping[str, float]) -> None:
    straight = panel == "n_latent"
    if not straight:
        ax.set_xscale("log")
        ax.set_yscale("log")
    for series, exponent in exponents.items():
        mine = [row for row in rows if row["series"] == series]
        x, y = (np.array([row[key] for row in mine], dtype=float) for key in ("x", "seconds"))
        spread = [
            [row["seconds"] - min(row["runs"]) for row in mine],
            [max(row["runs"]) - row["seconds"] for row in mine],
        ]
        look = _LOOKS[series]
        name = look.name + (" iteration" if series == "mcem" else "")
        ax.errorbar(
            x, y, yerr=spread, color=look.colour, marker=look.marker,
            markersize=style.MARKER_SIZE, elinewidth=0.8,
            label=f"{name}: $x^{{{round(exponent, 2) + 0.0:.2f}}}$",  # no minus zero
        )  # fmt: skip
        if straight:
            slope, offset = np.polyfit(x, y, 1)
            ax.plot(x, offset + slope * x, "--", color=look.light, linewidth=1.0, zorder=1)
        elif series in ("one_thread", "mcem"):
            ax.plot(x, y[0] * x / x[0], "--", color=look.light, linewidth=1.0, zorder=1)
    ax.set_title(_TITLES[panel])
    ax.set_xlabel(_LABELS[panel])
    ax.set_ylabel("seconds")
    ticks = sorted({row["x"] for row in rows} - ({10} if straight else set()))  # 10 is beside 2
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    if straight:
        ax.set_ylim(0, 1.2 * max(max(row["runs"]) for row in rows))
    else:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
