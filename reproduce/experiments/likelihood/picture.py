"""Experiment 2 drawn as the paper's Figure 3: marginal log-likelihoods, ours and the published."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reproduce.analysis import canvas, style
from reproduce.analysis.panel import (
    Axis,
    Panel,
    draw_curves,
    draw_legend,
    filled,
    lay_out,
    note,
    set_title,
)
from reproduce.common.names import CURVE, dataset_name

PAPER_Y = (-160.0, -100.0)
SPLITS = {"train": "train", "test": "test"}
SHORT = 0.25  # of the published curves: below this, the axis follows ours
MILLION = 1e6


@dataclass(frozen=True)
class LikelihoodPanel(Panel):
    """One panel: a dataset, a number of latent variables and a training-set size."""

    n_train: int

    @property
    def title(self) -> str:
        """Title as in the paper, with the dataset where it is another."""
        size = rf"$N_{{\mathrm{{train}}}}$ = {self.n_train:,}"
        return size if self.dataset == "mnist" else f"{dataset_name(self.dataset)}, {size}"

    @property
    def label(self) -> str:
        """Label of its axes."""
        return f"{self.dataset}-{self.n_train}"


def draw(
    estimates: pd.DataFrame,
    published: pd.DataFrame,
    panels: Sequence[LikelihoodPanel],
    path_stem: Path,
    *,
    title: str | None = None,
    footnote: str | None = None,
) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    figure = build(estimates, published, panels, title=title, footnote=footnote)
    return canvas.save(figure, path_stem)


@canvas.styled
def build(
    estimates: pd.DataFrame,
    published: pd.DataFrame,
    panels: Sequence[LikelihoodPanel],
    *,
    title: str | None = None,
    footnote: str | None = None,
) -> Figure:
    """Lay out the panels side by side, as in the paper.

    Parameters
    ----------
    estimates
        Ours, of one estimator: columns `reproduce.common.names.CURVES`, `estimator` and
        `n_points`. A panel without any says "not run".
    published
        The paper's, as `load_published("figure3")` gives them.
    panels
        What to draw.
    title
        Above everything.
    footnote
        Sentences put after the built-in explanation.

    Returns
    -------
    Figure
        Its axes are labelled `<dataset>-<n_train>` and `legend`; its lines have the ids
        `ours:<algorithm>:<split>`, `published:<algorithm>:<split>` and `end:<algorithm>:<split>`.

    Raises
    ------
    ValueError
        Where there is no panel, or `estimates` holds several estimators.
    """
    if not panels:
        raise ValueError("figure 2 needs at least one panel")
    if estimates["estimator"].nunique() > 1:
        raise ValueError("figure 2 draws one estimator at a time")
    ours = {panel: _in_millions(panel.of(estimates)) for panel in panels}
    theirs = {panel: _in_millions(panel.of(published)) for panel in panels}
    in_paper = {name for frame in theirs.values() for name in frame["algorithm"]}
    named = in_paper.union(*(frame["algorithm"] for frame in ours.values()))
    styles = style.algorithm_styles(named)
    note_on = _footnote(footnote, estimates, bool(in_paper))
    made, slots, legend = lay_out([panels], (3.6, 3.5), note_on)
    notes = {
        panel: _set_axes(ax, ours[panel], theirs[panel], leads=panel == panels[0])
        for panel, ax in slots.items()
    }
    lines = max(text.count("\n") + 1 for text in notes.values())
    for panel, ax in slots.items():
        set_title(ax, panel.title, notes[panel], lines)
        draw_curves(ax, ours[panel], theirs[panel], styles, SPLITS)
    draw_legend(legend, styles, in_paper)
    if title:
        made.figure.suptitle(title, weight="bold")
    return made.figure


def _in_millions(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(samples=frame["samples"] / MILLION)


def _set_axes(ax: Axes, ours: pd.DataFrame, theirs: pd.DataFrame, *, leads: bool) -> str:
    """Set ranges, ticks and labels; return the note of how far ours goes."""
    finite = ours[np.isfinite(ours["value"])]
    reached = float(finite["samples"].max()) if len(finite) else 0.0
    published = float(theirs["samples"].max()) if len(theirs) else 0.0
    zoomed = 0 < reached < SHORT * published
    right = (reached * 1.05 if zoomed or not published else max(published, reached)) or 1
    axis = Axis((0, right), PAPER_Y if published else filled(finite["value"]))
    ax.set_xlim(*axis.x)
    ax.set_ylim(*axis.y)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("# Training samples evaluated (millions)")
    if leads:
        ax.set_ylabel("marginal log-likelihood (nats)")
    text = note(ours, ours["algorithm"], axis, SPLITS, _millions, unit="")
    return text + (f"\n(axis cut: published curves go to {published:.0f})" if zoomed else "")


def _millions(samples: float) -> str:
    return f"{f'{samples:.0f}' if samples >= 10 else f'{samples:.3g}'} million samples"


def _over_images(estimates: pd.DataFrame) -> str:
    """How far a mean over these images may be from that over all."""
    if "stderr" not in estimates or estimates.empty:
        return ""
    low, high = estimates["stderr"].quantile([0.05, 0.95])
    return f" (standard error over images {low:.1f} to {high:.1f} nats, common to all curves)"


def _has_gaps(estimates: pd.DataFrame) -> bool:
    """Whether a seed lacks an estimate at a mark where another seed of its curve has one."""
    marks = estimates.groupby([*CURVE, "seed"])["samples"].agg(frozenset)
    return bool((marks.groupby(CURVE).nunique() > 1).any())


def _footnote(remarks: str | None, estimates: pd.DataFrame, published: bool) -> str:
    estimator = str(estimates["estimator"].iloc[0]) if len(estimates) else "nothing"
    n_points = sorted(set(estimates["n_points"]))
    counts = " or ".join(f"{count:,}" for count in n_points) or "no"
    sentences = [
        f"log p(x) estimated by {estimator} on the first {counts} images of each split"
        f"{_over_images(estimates)}, from snapshots of the models.",
        "Lines: mean over seeds, and thin each seed, from mark to mark; the marker is where ours "
        "ends.",
        "Some seeds have no estimate at some marks: a seed is interpolated between its own "
        "estimates, and left out of mean and band outside them."
        if _has_gaps(estimates)
        else "",
        "Band: from the lowest to the highest seed"
        + (" (95 % intervals are in comparison.csv)." if published else "."),
        "Light lines behind: the curves published by Kingma & Welling (2013, Figure 3), which "
        "their own estimator (HMC and a density fitted to its samples) gave."
        if published
        else "",
        "Grey levels under a Bernoulli are no normalised density: values compare with each other "
        "and with the paper's only.",
        remarks.strip() if remarks else "",
    ]
    return " ".join(filter(None, sentences))
