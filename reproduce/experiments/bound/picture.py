"""Experiment 1 drawn as the paper's Figure 2: ours in front, the published curves behind."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reproduce.analysis import canvas, style
from reproduce.analysis.panel import (
    Panel,
    axis_for,
    draw_curves,
    draw_legend,
    lay_out,
    note,
    set_axes,
)

__all__ = ["PAPER_PANELS", "Panel", "build", "draw"]

PAPER_PANELS = (
    *(Panel("mnist", n_latent) for n_latent in (3, 5, 10, 20, 200)),
    *(Panel("freyface", n_latent) for n_latent in (2, 5, 10, 20)),
)


def draw(
    curves: pd.DataFrame,
    published: pd.DataFrame,
    panels: Sequence[Panel],
    path_stem: Path,
    *,
    title: str | None = None,
    footnote: str | None = None,
) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(curves, published, panels, title=title, footnote=footnote), path_stem)


@canvas.styled
def build(
    curves: pd.DataFrame,
    published: pd.DataFrame,
    panels: Sequence[Panel] = PAPER_PANELS,
    *,
    title: str | None = None,
    footnote: str | None = None,
) -> Figure:
    """Lay out one row of panels a dataset (one row in all where no dataset has two panels).

    Parameters
    ----------
    curves
        Ours, with columns `reproduce.common.names.CURVES`. May be empty: a panel without any says
        "not run".
    published
        The paper's, as `load_published("figure2")` gives them.
    panels
        What to draw. MNIST and Frey Face keep the paper's axes, others take theirs from the data.
    title
        Above everything, for instance the budget.
    footnote
        A sentence put before the built-in explanation of lines, band and shades.

    Returns
    -------
    Figure
        Its axes are labelled `<dataset>-<n_latent>` and `legend`; its lines have the ids
        `ours:<algorithm>:<split>`, `published:<algorithm>:<split>` and, for the marker where ours
        ends, `end:<algorithm>:<split>`.

    Raises
    ------
    ValueError
        Where there is no panel, or `curves` has two training-set sizes in one panel.
    """
    rows = _rows(panels)
    ours = {panel: panel.of(curves) for panel in panels}
    theirs = {panel: panel.of(published) for panel in panels}
    in_paper = {name for frame in theirs.values() for name in frame["algorithm"]}
    styles = style.algorithm_styles(
        in_paper.union(*(frame["algorithm"] for frame in ours.values()))
    )
    # A crowded grid has small panels, a grid of two or three may have larger ones.
    size = (2.45, 2.35) if max(map(len, rows)) > 3 else (3.4, 2.8)
    made, slots, legend = lay_out(rows, size, _footnote(footnote, bool(in_paper)), below=0.24)
    made.figure.supxlabel("# Training samples evaluated", y=made.above_foot(0.06), in_layout=False,
                          size=style.RC["axes.labelsize"])  # fmt: skip
    for row in rows:
        axes = {
            panel: axis_for(panel.dataset, [ours[p] for p in row if p.dataset == panel.dataset])
            for panel in row
        }
        notes = {
            panel: note(
                ours[panel], [*ours[panel]["algorithm"], *theirs[panel]["algorithm"]], axes[panel]
            )
            for panel in row
        }
        note_lines = max(text.count("\n") + 1 for text in notes.values())
        for position, panel in enumerate(row):
            # Panels of one dataset share their axis: the first of a row speaks for all.
            leads = position == 0 or row[position - 1].dataset != panel.dataset
            set_axes(slots[panel], panel, axes[panel], notes[panel], note_lines, leads)
            draw_curves(slots[panel], ours[panel], theirs[panel], styles)
    draw_legend(legend, styles, in_paper)
    if title:
        made.figure.suptitle(title, weight="bold")
    return made.figure


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    if not panels:
        raise ValueError("figure 1 needs at least one panel")
    rows: dict[str, list[Panel]] = {}
    for panel in panels:
        rows.setdefault(panel.dataset, []).append(panel)
    if all(len(row) == 1 for row in rows.values()):
        return [list(panels)]
    return list(rows.values())


def _footnote(first: str | None, published: bool) -> str:
    sentences = [
        first.strip() if first else "",
        "Lines: mean over seeds, and thin each seed; the marker is where ours ends.",
        "Band: from the lowest to the highest seed"
        + (" (95 % intervals are in comparison.csv)." if published else "."),
        "Under each title: training samples reached, and by how many seeds.",
        "Train lines are running means of the minibatch bounds since the previous mark"
        + (", as in the paper" if published else "")
        + ", so they lag at the left; test lines are the bound on the whole test set.",
        "Light lines behind: the curves published by Kingma & Welling (2013, Figure 2)."
        if published
        else "",
    ]
    return " ".join(filter(None, sentences))
