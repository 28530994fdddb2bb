"""Experiment 2 drawn as the paper's Figure 3: marginal log-likelihoods, ours and the published."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reproduce.analysis import style
from reproduce.analysis.curves import over_seeds
from reproduce.analysis.panel import draw_curves, draw_legend
from reproduce.common.names import algorithm_name, dataset_name

PAPER_Y = (-160.0, -100.0)
SPLITS = {"train": "train", "test": "test"}
SHORT = 0.25  # of the published curves: below this, the axis follows ours
MILLION = 1e6


@dataclass(frozen=True)
class LikelihoodPanel:
    """One panel: a dataset, a number of latent variables and a training-set size."""

    dataset: str
    n_latent: int
    n_train: int

    @property
    def title(self) -> str:
        """Title as in the paper, with the dataset where it is another."""
        size = rf"$N_{{\mathrm{{train}}}}$ = {self.n_train:,}"
        return size if self.dataset == "mnist" else f"{dataset_name(self.dataset)}, {size}"

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Those rows of `frame` (ours or published) that belong here."""
        return frame[
            (frame["dataset"] == self.dataset)
            & (frame["n_latent"] == self.n_latent)
            & (frame["n_train"] == self.n_train)
        ]


def draw(
    estimates: pd.DataFrame,
    published: pd.DataFrame,
    panels: Sequence[LikelihoodPanel],
    path_stem: Path,
    *,
    title: str | None = None,
    footnote: str | None = None,
) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`.

    Returns
    -------
    tuple[Path, Path]
        The PNG and the PDF. The same data give the same bytes.
    """
    figure = build(estimates, published, panels, title=title, footnote=footnote)
    return style.save(figure, path_stem)


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
        Ours, of one estimator: `dataset`, `n_latent`, `n_train`, `algorithm`, `seed`, `split`,
        `samples`, `estimator`, `value` (nats per datapoint), `n_points`. A panel without any says
        "not run".
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
    with style.applied():
        figure, slots, legend = _canvas(panels, _footnote(footnote, estimates, bool(in_paper)))
        notes = {
            panel: _set_axes(ax, ours[panel], theirs[panel], leads=panel == panels[0])
            for panel, ax in slots.items()
        }
        lines = max(note.count("\n") + 1 for note in notes.values())
        for panel, ax in slots.items():
            _set_titles(ax, panel.title, notes[panel], lines)
            draw_curves(ax, ours[panel], theirs[panel], styles, SPLITS)
        draw_legend(legend, styles, in_paper)
        if title:
            figure.suptitle(title, weight="bold")
        style.freeze_layout(figure)
    return figure


def _in_millions(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(samples=frame["samples"] / MILLION)


def _set_axes(ax: Axes, ours: pd.DataFrame, theirs: pd.DataFrame, *, leads: bool) -> str:
    """Set ranges, ticks and labels; return the note of how far ours goes."""
    finite = ours[np.isfinite(ours["value"])]
    reached = float(finite["samples"].max()) if len(finite) else 0.0
    published = float(theirs["samples"].max()) if len(theirs) else 0.0
    zoomed = 0 < reached < SHORT * published
    ax.set_xlim(0, (reached * 1.05 if zoomed or not published else max(published, reached)) or 1)
    ax.set_ylim(*(PAPER_Y if published else _filled(finite)))
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("# Training samples evaluated (millions)")
    if leads:
        ax.set_ylabel("marginal log-likelihood (nats)")
    return _note(ours, zoomed, published, ax.get_ylim()[0])


def _set_titles(ax: Axes, title: str, note: str, lines: int) -> None:
    """Put the title above the room for `lines` of notes, and the note right under it."""
    line = 1.3 * style.NOTE_SIZE
    ax.set_title(title, pad=9 + line * lines)
    ax.annotate(
        note, (0.5, 1), (0, 5 + line * (lines - 1 - note.count("\n"))), ha="center", va="bottom",
        xycoords="axes fraction", textcoords="offset points", linespacing=1.2,
        size=style.NOTE_SIZE, color=style.MUTED, gid="note",
    )  # fmt: skip


def _filled(finite: pd.DataFrame) -> tuple[float, float]:
    """A range that `finite` values fill; without any, an empty one that can be drawn."""
    if finite.empty:
        return (0.0, 1.0)
    low, high = float(finite["value"].min()), float(finite["value"].max())
    margin = 0.06 * (high - low) or 1.0
    return (low - margin, high + margin)


def _note(ours: pd.DataFrame, zoomed: bool, published: float, lowest: float) -> str:
    """How far ours goes and with how many seeds; a line an algorithm where they differ."""
    notes = {
        algorithm_name(name): _reached(ours[ours["algorithm"] == name], lowest)
        for name in style.algorithm_styles(ours["algorithm"])
    }
    if not notes:
        return "not run"
    distinct = set(notes.values())
    text = (
        f"ours: {distinct.pop()}"
        if len(distinct) == 1
        else "\n".join(f"{name}: {note}" for name, note in notes.items())
    )
    return text + (f"\n(axis cut: published curves go to {published:.0f})" if zoomed else "")


def _reached(mine: pd.DataFrame, lowest: float) -> str:
    """What there is to say of one algorithm in a panel whose axis begins at `lowest`."""
    means = {split: over_seeds(line) for split, line in mine.groupby("split")}
    found = pd.concat(means.values())
    found = found[found["n_seeds"] > 0]
    if found.empty:
        return "diverged"
    seeds = int(mine["seed"].nunique())
    few = int(means["test"]["n_seeds"].iloc[-1]) if "test" in means else seeds
    count = f"{few} of {seeds}" if few < seeds else str(seeds)
    plural = "" if seeds == 1 else "s"
    below = f", below {lowest:.4g}".replace("-", "−") if (found["mean"] < lowest).all() else ""
    reached = float(found["samples"].max())
    amount = f"{reached:.0f}" if reached >= 10 else f"{reached:.3g}"
    return f"{amount} million samples, {count} seed{plural}{below}"


def _canvas(
    panels: Sequence[LikelihoodPanel], footnote: str
) -> tuple[Figure, dict[LikelihoodPanel, Axes], Axes]:
    """Figure with its footnote, and empty axes for every panel and the legend."""
    total = 3.6 * len(panels) + 1.8 + 0.5
    lines = textwrap.wrap(footnote, int((total - 0.3) / (style.FOOTNOTE_SIZE * 0.54 / 72)))
    foot = (len(lines) * style.FOOTNOTE_SIZE * 1.26 + 10) / 72
    high = 3.9 + foot
    figure = Figure(figsize=(total, high))
    FigureCanvasAgg(figure)
    inside = (0.04 / total, foot / high, 1 - 0.08 / total, 1 - foot / high)
    figure.set_layout_engine("constrained", rect=inside)
    figure.text(0.15 / total, (foot - 0.04) / high, "\n".join(lines), va="top", linespacing=1.25,
                size=style.FOOTNOTE_SIZE, color=style.MUTED, gid="footnote")  # fmt: skip
    grid = figure.add_gridspec(1, len(panels) + 1, width_ratios=[3.6] * len(panels) + [1.8])
    slots = {
        panel: figure.add_subplot(grid[0, column], label=f"{panel.dataset}-{panel.n_train}")
        for column, panel in enumerate(panels)
    }
    return figure, slots, figure.add_subplot(grid[0, len(panels)], label="legend")


def _over_images(estimates: pd.DataFrame) -> str:
    """How far a mean over these images may be from that over all."""
    if "stderr" not in estimates or estimates.empty:
        return ""
    low, high = estimates["stderr"].quantile([0.05, 0.95])
    return f" (standard error over images {low:.1f} to {high:.1f} nats, common to all curves)"


def _has_gaps(estimates: pd.DataFrame) -> bool:
    """Whether a seed lacks an estimate at a mark where another seed of its curve has one."""
    curve = ["dataset", "n_latent", "n_train", "algorithm", "split"]
    marks = estimates.groupby([*curve, "seed"])["samples"].agg(frozenset)
    return bool((marks.groupby(curve).nunique() > 1).any())


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
