"""Exact values and the 2013 code's, drawn as distances from the published ones."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reproduce.analysis import canvas, style
from reproduce.common.names import in_order, short_number

EXACT, AS_PUBLISHED = "quadrature", "as_published"
_FOOT = (
    "Each line is one cell of experiment 2: the mean over its seeds of log p(x), by quadrature and "
    "by the 2013 code's estimator, minus the value published at as many training samples."
)
_TITLES = {"train": "Training images", "test": "Test images"}
_LOOKS = {
    EXACT: (dict(markerfacecolor="white"), "the same models by quadrature, near exact"),
    AS_PUBLISHED: ({}, "the same models by the 2013 code's estimator"),
}  # fmt: skip


def draw(table: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(table), path_stem)


@canvas.styled
def build(table: pd.DataFrame) -> Figure:
    """Lay out a panel for each split, a line for each cell.

    Parameters
    ----------
    table
        With the cell's identity, `step_size`, `samples`, `split`, and mean log p(x) in nats:
        `published`, `quadrature`, `as_published`.
    """
    splits = in_order(table["split"], _TITLES)
    height = 1.08 + 0.3 * table.groupby("split").size().max()
    made = canvas.canvas(9.0, height, _FOOT, below=0.42)
    panels = made.figure.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
    for split, ax in zip(splits, panels, strict=True):
        _draw_panel(ax, table[table["split"] == split])
        ax.set_title(_TITLES.get(split, split))
    panels[0].invert_yaxis()
    handles = [
        Line2D([], [], color=style.MUTED, marker="o", linestyle="", label=label, **look)
        for look, label in _LOOKS.values()
    ]
    made.figure.legend(handles=handles, loc="lower center", ncol=2,
                       bbox_to_anchor=(0.5, made.above_foot(0.04)))  # fmt: skip
    return made.figure


def _draw_panel(ax: Axes, rows: pd.DataFrame) -> None:
    looks = style.algorithm_styles(rows["algorithm"])
    names = []
    for place, row in enumerate(rows.to_dict("records")):
        colour = looks[row["algorithm"]].colour
        ends = [row[name] - row["published"] for name in (EXACT, AS_PUBLISHED)]
        ax.plot(ends, [place, place], color=looks[row["algorithm"]].light, linewidth=3, zorder=2)
        for end, (look, _) in zip(ends, _LOOKS.values(), strict=True):
            ax.plot(end, place, "o", color=colour, zorder=3, **look)
        names.append(
            f"{looks[row['algorithm']].name}, $N$ = {row['n_train']:,}, "
            f"{short_number(row['samples'])} samples, $\\eta$ = {row['step_size']:g}"
        )
    ax.axvline(0, color=style.TEXT, linewidth=1, zorder=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("log p(x) − published, nats")
