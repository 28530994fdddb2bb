"""One panel of learning curves: its axes, the curves in it, and a note of how far ours goes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
)

from reproduce.analysis import style
from reproduce.analysis.canvas import Canvas, canvas
from reproduce.analysis.comparison import FIGURE2_SPLITS, matching
from reproduce.analysis.curves import over_seeds
from reproduce.analysis.style import AlgorithmStyle
from reproduce.common.names import algorithm_name, dataset_name, short_number

LEAST_RANGE = 5.0
"""Of the samples on an axis, last to first."""

DASHES = {"train": "-", "test": (0, (3.2, 1.6))}
"""Line style of a published split and of ours that is compared with it."""


@dataclass(frozen=True)
class Panel:
    """One panel: a dataset and a number of latent variables."""

    dataset: str
    n_latent: int

    @property
    def title(self) -> str:
        """Title as in the paper."""
        return f"{dataset_name(self.dataset)}, $N_z$={self.n_latent}"

    @property
    def label(self) -> str:
        """Label of its axes."""
        return f"{self.dataset}-{self.n_latent}"

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Those rows of `frame` (ours or published) that belong here."""
        return matching(frame, asdict(self))


AnyPanel = TypeVar("AnyPanel", bound=Panel)


class Axis(NamedTuple):
    """Range of a panel in samples and nats; `ticks` None leaves them to matplotlib."""

    x: tuple[float, float]
    y: tuple[float, float]
    ticks: range | None = None


PAPER_AXES = {
    "mnist": Axis((1e5, 1e8), (-150, -100), range(-150, -99, 10)),
    "freyface": Axis((1e5, 1e8), (0, 1600), range(0, 1601, 200)),
}


def axis_for(dataset: str, ours: Sequence[pd.DataFrame]) -> Axis:
    """The paper's axes where it has the dataset, otherwise what `ours` fills."""
    if dataset in PAPER_AXES:
        return PAPER_AXES[dataset]
    frame = pd.concat(ours)
    frame = frame[frame["split"].isin(FIGURE2_SPLITS.values()) & np.isfinite(frame["value"])]
    if frame.empty:
        return Axis((1e5, 1e8), (0, 1))
    first, last = frame["samples"].min(), frame["samples"].max()
    # A curve of one or two marks still gets room for two of the ticks 1, 2 and 5.
    room = max(1.15, (LEAST_RANGE * first / last) ** 0.5)
    x_low, x_high = first / room, last * room
    return Axis((x_low, x_high), filled(frame["value"]))


def filled(values: pd.Series) -> tuple[float, float]:
    """A range that finite `values` fill; without any, an empty one that can be drawn."""
    if values.empty:
        return (0.0, 1.0)
    # Tukey's outer fences: one diverging seed must not flatten every other curve.
    quarter, three_quarters = values.quantile([0.25, 0.75])
    fence = 3 * (three_quarters - quarter)
    low = max(values.min(), quarter - fence)
    high = min(values.max(), three_quarters + fence)
    margin = 0.06 * (high - low) or 1.0
    return (low - margin, high + margin)


def lay_out(
    rows: Sequence[Sequence[AnyPanel]], size: tuple[float, float], footnote: str, below: float = 0.0
) -> tuple[Canvas, dict[AnyPanel, Axes], Axes]:
    """Make a figure with its footnote, and empty axes for every panel and the legend.

    `size` is a panel's, `below` what is left free between panels and footnote, in inches.
    """
    width, height = size
    columns = max(map(len, rows))
    short = [r for r, row in enumerate(rows) if len(row) < columns]
    # The legend takes the free slot of the last short row, or else 1.8 inches of its own.
    widths = [width] * columns + ([] if short else [1.8])
    made = canvas(sum(widths) + 0.5, height * len(rows) + 0.4, footnote, below=below)
    grid = made.figure.add_gridspec(len(rows), len(widths), width_ratios=widths)
    slots = {
        panel: made.figure.add_subplot(grid[r, c], label=panel.label)
        for r, row in enumerate(rows)
        for c, panel in enumerate(row)
    }
    free = grid[short[-1], len(rows[short[-1]])] if short else grid[:, columns]
    return made, slots, made.figure.add_subplot(free, label="legend")


def set_axes(ax: Axes, panel: Panel, axis: Axis, note: str, note_lines: int, leads: bool) -> None:
    """Title, note, ranges and ticks; only the panel that `leads` its row labels the bound."""
    set_title(ax, panel.title, note, note_lines)
    ax.set_xscale("log")
    ax.set_xlim(*axis.x)
    ax.set_ylim(*axis.y)
    ax.yaxis.set_major_locator(
        FixedLocator(list(axis.ticks)) if axis.ticks else MaxNLocator(7, steps=[1, 2, 5, 10])
    )
    if axis.x[1] / axis.x[0] < 100:  # whole decades alone would leave one or two ticks
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(_one_two_five))
    else:
        ax.xaxis.set_major_locator(LogLocator())
        ax.xaxis.set_major_formatter(LogFormatterMathtext())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", labelleft=leads)
    if leads:
        ax.set_ylabel(r"variational lower bound $\mathcal{L}$ (nats)")


def set_title(ax: Axes, title: str, note: str, note_lines: int) -> None:
    """Put the title above the room for `note_lines`, and the note right above the frame.

    No curve can run through it there.
    """
    line = 1.3 * style.NOTE_SIZE
    ax.set_title(title, pad=7 + line * note_lines)
    ax.annotate(
        note, (0.5, 1), (0, 4 + line * (note_lines - 1 - note.count("\n"))), ha="center",
        va="bottom", xycoords="axes fraction", textcoords="offset points", linespacing=1.2,
        size=style.NOTE_SIZE, color=style.MUTED, gid="note",
    )  # fmt: skip


def draw_curves(
    ax: Axes,
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    styles: dict[str, AlgorithmStyle],
    splits: Mapping[str, str] = FIGURE2_SPLITS,
) -> None:
    """Published curves, light and behind; the mean over our seeds with its band in front.

    Each seed is a thin line in the band: where seeds part, no run is at their mean. `splits` says
    which of our splits stands for a published one.
    """
    for algorithm, look in styles.items():
        for split, dash in DASHES.items():
            paper = _curve(theirs, algorithm, split).sort_values("samples")
            if not paper.empty:
                ax.plot(paper["samples"], paper["value"], color=look.light, linestyle=dash,
                        linewidth=style.PUBLISHED_WIDTH, zorder=2,
                        gid=f"published:{algorithm}:{split}")  # fmt: skip
            mine = _curve(ours, algorithm, splits[split])
            mean = over_seeds(mine)
            if not mean["n_seeds"].any():
                continue
            x, face = mean["samples"], look.colour if split == "train" else "white"
            # The seeds' range, not the interval of their mean: with two seeds the latter is 12.7
            # standard errors wide and would hide the curves. Tables give it.
            seeds = mean[mean["n_seeds"] > 1]
            ax.fill_between(seeds["samples"], seeds["lowest"], seeds["highest"], color=look.colour,
                            alpha=0.22, linewidth=0, zorder=3)  # fmt: skip
            if mine["seed"].nunique() > 1:
                for seed, run in mine.groupby("seed"):
                    run = run.sort_values("samples")
                    ax.plot(run["samples"], run["value"], color=look.colour, linestyle=dash,
                            linewidth=style.SEED_WIDTH, alpha=0.7, zorder=3.5,
                            gid=f"seed:{algorithm}:{split}:{seed}")  # fmt: skip
            ax.plot(x, mean["mean"], color=look.colour, linestyle=dash, zorder=4,
                    gid=f"ours:{algorithm}:{split}")  # fmt: skip
            end = mean[mean["n_seeds"] > 0].iloc[-1]
            (x_low, x_high), (y_low, y_high) = ax.get_xlim(), ax.get_ylim()
            if x_low <= end["samples"] <= x_high and y_low <= end["mean"] <= y_high:
                # Apart from its line, so that the frame does not cut it in half.
                ax.plot(end["samples"], end["mean"], look.marker, color=look.colour, clip_on=False,
                        markerfacecolor=face, markersize=style.MARKER_SIZE, zorder=5,
                        gid=f"end:{algorithm}:{split}")  # fmt: skip


def draw_legend(ax: Axes, styles: dict[str, AlgorithmStyle], in_paper: set[str]) -> None:
    """Algorithms with the line of each split, and the shades of those in the paper."""
    ax.set_axis_off()
    entries: dict[str, Line2D | tuple[Line2D, ...]] = {}
    for look in styles.values():
        for split, dash in DASHES.items():
            face = look.colour if split == "train" else "white"
            entries[f"{look.name} ({split})"] = Line2D(
                [], [], color=look.colour, linestyle=dash, marker=look.marker,
                markersize=style.MARKER_SIZE, markerfacecolor=face,
            )  # fmt: skip
    if in_paper:
        entries["published (light)"] = tuple(
            Line2D([], [], color=look.light, linewidth=style.PUBLISHED_WIDTH)
            for algorithm, look in styles.items()
            if algorithm in in_paper
        )
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0.3)}
    ax.legend(list(entries.values()), list(entries), loc="center", handlelength=3.4,
              labelspacing=0.8, handler_map=side_by_side)  # fmt: skip


def note(
    ours: pd.DataFrame,
    algorithms: Iterable[str],
    axis: Axis,
    splits: Mapping[str, str] = FIGURE2_SPLITS,
    amount: Callable[[float], str] = short_number,
    unit: str = " samples",
) -> str:
    """Say how far ours goes and with how many seeds; one line per algorithm where they differ.

    `amount` writes a number of samples. Its `unit` is left out where there are several lines.
    """
    notes: dict[str, tuple[str, str]] = {}
    for algorithm in style.algorithm_styles(algorithms):
        mine = ours[(ours["algorithm"] == algorithm) & ours["split"].isin(splits.values())]
        notes[algorithm_name(algorithm)] = _reached(mine, axis, amount)
    distinct = set(notes.values())
    if distinct <= {("not run", "")}:
        return "not run"
    if len(distinct) == 1:
        reach, rest = distinct.pop()
        return f"ours: {reach}{unit}{rest}" if rest else f"ours: {reach}"
    return "\n".join(f"{name}: {reach}{rest}" for name, (reach, rest) in notes.items())


def _reached(mine: pd.DataFrame, axis: Axis, amount: Callable[[float], str]) -> tuple[str, str]:
    """Samples reached by one algorithm, and the rest of what there is to say."""
    if mine.empty:
        return "not run", ""
    means = [over_seeds(line) for _, line in mine.groupby("split")]
    ends = pd.DataFrame(
        [mean[mean["n_seeds"] > 0].iloc[-1] for mean in means if mean["n_seeds"].any()]
    )
    if ends.empty:
        return "diverged", ""
    started, finite = mine["seed"].nunique(), int(ends["n_seeds"].min())
    count = f"{finite} of {started}" if finite < started else str(started)
    rest = f", {count} seed" + ("" if started == 1 else "s")
    if ends["samples"].max() > axis.x[1]:
        rest += f", right of {short_number(axis.x[1])}"
    elif ends["samples"].max() < axis.x[0]:
        rest += f", left of {short_number(axis.x[0])}"
    elif lowest := _below(mine, axis.y[0]):
        rest += f", {lowest}"
    return amount(ends["samples"].max()), rest


def _below(mine: pd.DataFrame, low: float) -> str:
    """Say how many seeds end below `low`, where the axis begins; of its seeds all, some or none."""
    drawn = mine[np.isfinite(mine["value"])]
    ends = drawn.sort_values("samples").groupby(["split", "seed"])["value"].last()
    lost = int((ends.groupby("seed").max() < low).sum())
    seeds = ends.index.get_level_values("seed").nunique()
    where = f"below {low:.4g}".replace("-", "−")
    return "" if not lost else where if lost == seeds else f"{lost} {where}"


def _curve(frame: pd.DataFrame, algorithm: str, split: str) -> pd.DataFrame:
    return frame[(frame["algorithm"] == algorithm) & (frame["split"] == split)]


def _one_two_five(value: float, _position: int | None = None) -> str:
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = f"{value / 10**exponent:.3g}"
    return f"$10^{exponent}$" if mantissa == "1" else rf"${mantissa}{{\cdot}}10^{exponent}$"
