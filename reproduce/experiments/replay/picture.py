"""The picture of the evidence: how far replayed values are from the published ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproduce.analysis import canvas, style
from reproduce.common.names import PLACE, algorithm_name, dataset_name
from reproduce.experiments.replay.draws import FIGURE2
from reproduce.experiments.replay.first_hook import bar

ROUNDING = 5e-5
"""Nats by which a value of four decimals may differ from the exact one."""
COLOURS = ("#e08214", "#8e44ad", "#17a2b8", "#6b4a2b", "#d6559b")
MARKERS = ("D", "v", "P", "X", "<")


def draw(replayed: pd.DataFrame, misses: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(replayed, misses), path_stem)


@canvas.styled
def build(replayed: pd.DataFrame, misses: pd.DataFrame) -> Figure:
    """Draw a row per published run: iteration 1 on the left, the first hook on the right.

    Parameters
    ----------
    replayed, misses
        As in `replay.csv` and `misses.csv`.
    """
    figure = canvas.canvas(9.6, 5.6).figure
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    train = replayed[replayed["split"] == "train"]
    _iteration_one(left, train[train["part"] == "iteration_1"], misses)
    _first_hook(right, train[train["part"] == "first_hook"])
    names = [
        f"{dataset_name(run.dataset)}, $N_z$={run.n_latent}, {algorithm_name(run.algorithm)}"
        for run in FIGURE2
    ]
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return figure


def _rows(frame: pd.DataFrame) -> list[int]:
    places = {(run.dataset, run.n_latent, run.algorithm): at for at, run in enumerate(FIGURE2)}
    keys = frame[PLACE].itertuples(index=False, name=None)
    return [places[key] for key in keys]


def _distance(frame: pd.DataFrame) -> np.ndarray:
    return np.maximum((frame["replayed"] - frame["published"]).abs().to_numpy(), 1e-6)


def _iteration_one(ax: Axes, right: pd.DataFrame, misses: pd.DataFrame) -> None:
    ax.set_title("Iteration 1: training bound of the untrained network")
    ax.axvspan(1e-6, ROUNDING, color="#dff0e0", zorder=0, linewidth=0)
    wrong = misses.groupby("wrong", sort=False)
    for (name, mine), colour, marker in zip(wrong, COLOURS, MARKERS, strict=True):
        ax.plot(_distance(mine), _rows(mine), marker, color=colour, markersize=4, label=str(name),
                alpha=0.8, linestyle="none")  # fmt: skip
    ax.plot(_distance(right), _rows(right), "o", color="#1a7a2e", markersize=5.5,
            label="recovered settings", linestyle="none", zorder=5)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(1e-6, 1e3)
    ax.set_xlabel("|replayed − published| (nats); green: equal to four decimals")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.11), ncol=3, fontsize=7.5)


def _first_hook(ax: Axes, found: pd.DataFrame) -> None:
    ax.set_title("First hook: mean training bound up to there")
    for at, row in zip(_rows(found), found.itertuples(), strict=True):
        allowed = bar(str(row.dataset), int(row.n_latent), str(row.algorithm))  # pyright: ignore[reportArgumentType]
        ax.barh(at, 2 * allowed, 0.8, -allowed, color="#e9eef5", zorder=0)
        colour = style.ALGORITHMS[str(row.algorithm)].colour
        off = float(row.replayed) - float(row.published)  # pyright: ignore[reportArgumentType]
        ax.plot(off, at, "o", color=colour, markersize=4.5)
    ax.axvline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    ax.set_xlabel("replayed − published (nats)\ngrey: how far off was allowed beforehand")
