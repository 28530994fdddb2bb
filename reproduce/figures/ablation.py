"""Variants of the same cells side by side: one panel an algorithm, data set and N_z."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reproduce.figures import style
from reproduce.figures.panel import Axis, Panel, axis_for, draw_curves, set_axes

_COLOURS = ("#222222", "#e08214", "#1b78b5", "#8e44ad", "#2f8f4e")
_MARKERS = ("o", "s", "^", "D", "v")
_COLUMNS = 4
_FOOT = 0.61  # inches, for legend and footnote
_PUBLISHED = style.AlgorithmStyle("published", "#8a8a8a", "")


def draw(curves: pd.DataFrame, published: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return style.save(build(curves, published), path_stem)


def build(curves: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Lay out one panel for each (dataset, n_latent, algorithm), in rows of four.

    Parameters
    ----------
    curves
        As figure 1's, with a column `variant`.
    published
        The paper's, as `load_published("figure2")` gives them.
    """
    names = list(dict.fromkeys(curves["variant"]))
    looks = {
        name: style.AlgorithmStyle(name, _COLOURS[i % 5], _MARKERS[i % 5])
        for i, name in enumerate(names)
    }
    keys = ["dataset", "n_latent", "algorithm"]
    places = curves[keys].drop_duplicates().to_dict("records")
    with style.applied():
        columns = min(len(places), _COLUMNS)
        rows = -(-len(places) // columns)
        width, height = 2.7 * columns + 0.6, _FOOT + 2.99 * rows
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        foot_share = _FOOT / height
        figure.set_layout_engine("constrained", rect=(0, foot_share, 1, 1 - foot_share))
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for ax in grid[len(places) :]:
            ax.set_axis_off()
        for number, (place, ax) in enumerate(zip(places, grid, strict=False)):
            panel = Panel(place["dataset"], place["n_latent"])
            same = curves["algorithm"] == place["algorithm"]
            ours = panel.of(curves[same])
            ours = ours.assign(algorithm=ours["variant"])
            theirs = panel.of(published[published["algorithm"] == place["algorithm"]])
            axis = _reaching(axis_for(panel.dataset, [ours]), ours)
            set_axes(ax, panel, axis, style.algorithm_name(place["algorithm"]), 1, leads=True)
            if number % columns:
                ax.set_ylabel("")
            named = theirs.assign(algorithm="published")
            draw_curves(ax, ours, named, {"published": _PUBLISHED, **looks})
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, markersize=style.MARKER_SIZE)
            for look in looks.values()
        ]
        handles.append(Line2D([], [], color=_PUBLISHED.light, linewidth=style.PUBLISHED_WIDTH))
        figure.legend(
            handles, [*names, "published"], loc="lower center", ncol=len(handles),
            bbox_to_anchor=(0.5, 0.5 * foot_share),
        )  # fmt: skip
        foot = (
            "Variational bound; solid: training (running mean of minibatches), dashed: test. "
            "Lines: mean over seeds; band: from the lowest to the highest seed. Light grey: the "
            "published curve of that algorithm."
        )
        wrapped = "\n".join(textwrap.wrap(foot, int(width * 18)))
        figure.text(0.02, 0.44 * foot_share, wrapped, va="top", size=style.FOOTNOTE_SIZE,
                    color=style.MUTED)  # fmt: skip
        style.freeze_layout(figure)
    return figure


def _reaching(axis: Axis, ours: pd.DataFrame) -> Axis:
    """The paper's axis, its left end where our curves begin and its right where they end."""
    return axis._replace(x=(ours["samples"].min() / 1.15, ours["samples"].max() * 1.3))
