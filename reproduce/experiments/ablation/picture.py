"""Variants of the same cells side by side: one panel an algorithm, data set and N_z."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reproduce.analysis import canvas, style
from reproduce.analysis.comparison import FIGURE2_SPLITS
from reproduce.analysis.panel import Axis, Panel, axis_for, draw_curves, set_axes
from reproduce.common.names import PLACE, algorithm_name

_COLOURS = ("#222222", "#e08214", "#1b78b5", "#8e44ad", "#2f8f4e")
_MARKERS = ("o", "s", "^", "D", "v")
_MOST_COLUMNS = 4
_NARROWEST, _PANEL_WIDTH, _PANEL_HEIGHT = 4.6, 2.7, 2.99  # inches
_LETTER, _KEY = 0.062, 0.75  # of a legend's entry: a letter's width, and that of line and gaps
_LEGEND_LINE = 0.21
_FOOT = "Variational bound; solid: training (running mean of minibatches), dashed: test. {seeds}"
_GREY = " Light grey: the published curve of that algorithm."
_ONE_SEED = "Each line is one seed."
_SEEDS = (
    "Thick lines: mean over seeds, thin ones each seed; band: from the lowest to the highest seed."
)
_PUBLISHED = style.AlgorithmStyle("published", "#8a8a8a", "")


def draw(curves: pd.DataFrame, published: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(curves, published), path_stem)


@canvas.styled
def build(curves: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Lay out one panel for each (dataset, n_latent, algorithm), in rows of up to four.

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
    places = _places(curves, published)
    note_lines = max(place.note.count("\n") + 1 for place in places)
    rows = -(-len(places) // _MOST_COLUMNS)
    columns = -(-len(places) // rows)
    width = max(_PANEL_WIDTH * columns + 0.6, _NARROWEST)
    compared = any(not place.theirs.empty for place in places)
    entries = [*names, *(["published"] if compared else [])]
    fitting = int(width / (_KEY + _LETTER * max(map(len, entries))))
    legend_columns = min(max(fitting, 1), len(entries))
    legend_height = _LEGEND_LINE * -(-len(entries) // legend_columns)
    several = curves.groupby([*PLACE, "variant"])["seed"].nunique().max() > 1
    foot = _FOOT.format(seeds=_SEEDS if several else _ONE_SEED) + _GREY * compared
    made = canvas.canvas(width, _PANEL_HEIGHT * rows, foot, below=legend_height)
    grid = made.figure.subplots(rows, columns, squeeze=False).flatten()
    for ax in grid[len(places) :]:
        ax.set_axis_off()
    for number, (place, ax) in enumerate(zip(places, grid, strict=False)):
        set_axes(ax, place.panel, place.axis, place.note, note_lines, leads=True)
        if number % columns:
            ax.set_ylabel("")
        if number + columns >= len(places):  # nothing is below
            ax.set_xlabel("# Training samples evaluated")
        draw_curves(ax, place.ours, place.theirs, {"published": _PUBLISHED, **looks})
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=style.MARKER_SIZE)
        for look in looks.values()
    ]
    if compared:
        handles.append(Line2D([], [], color=_PUBLISHED.light, linewidth=style.PUBLISHED_WIDTH))
    made.figure.legend(handles, entries, loc="lower center", ncol=legend_columns,
                       bbox_to_anchor=(0.5, made.above_foot(-0.06)))  # fmt: skip
    return made.figure


class _Place(NamedTuple):
    """A panel, and what is drawn in it; variants and the published curve count as algorithms."""

    panel: Panel
    ours: pd.DataFrame
    theirs: pd.DataFrame
    axis: Axis
    note: str


def _places(curves: pd.DataFrame, published: pd.DataFrame) -> list[_Place]:
    found = []
    for place in curves[PLACE].drop_duplicates().to_dict("records"):
        algorithm, panel = place["algorithm"], Panel(place["dataset"], place["n_latent"])
        ours = panel.of(curves[curves["algorithm"] == algorithm])
        ours = ours.assign(algorithm=ours["variant"])
        theirs = panel.of(published[published["algorithm"] == algorithm])
        axis = _reaching(axis_for(panel.dataset, [ours]), ours)
        note = "\n".join([algorithm_name(algorithm), *_below(ours, axis)])
        found.append(_Place(panel, ours, theirs.assign(algorithm="published"), axis, note))
    return found


def _below(ours: pd.DataFrame, axis: Axis) -> list[str]:
    """Say which variants cannot be seen, a line each; one line where none can."""
    drawn = ours[ours["split"].isin(FIGURE2_SPLITS.values())]
    highest = drawn.groupby("variant", sort=False)["value"].max()
    unseen = highest[highest < axis.y[0]].index
    names = ["all"] if 1 < len(unseen) == len(highest) else list(unseen)
    return [f"{name}: below {axis.y[0]:.4g}".replace("-", "−") for name in names]


def _reaching(axis: Axis, ours: pd.DataFrame) -> Axis:
    """The paper's axis, its left end where our curves begin and its right where they end."""
    return axis._replace(x=(ours["samples"].min() / 1.15, ours["samples"].max() * 1.3))
