"""Images that models make, as grids: the paper's Figures 4 and 5, and reconstructions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reproduce.analysis import canvas

Images = NDArray[np.floating]
"""Grey levels in [0, 1], (image, row, column)."""
SMALL = 16


@dataclass(frozen=True)
class Grid:
    """A panel of images, row by row.

    Attributes
    ----------
    title
        Above it.
    images
        (image, row, column), grey levels.
    n_columns
        How many stand beside each other.
    """

    title: str
    images: Images
    n_columns: int

    @property
    def mosaic(self) -> NDArray[np.floating]:
        """All images as one; small ones, which have no margin, with a line between them."""
        images = self.images
        if images.shape[1] < SMALL:
            images = np.pad(images, ((0, 0), (0, 1), (0, 1)), constant_values=0.5)
        n, height, width = images.shape
        rows = n // self.n_columns
        tiles = images.reshape(rows, self.n_columns, height, width)
        return tiles.transpose(0, 2, 1, 3).reshape(rows * height, self.n_columns * width)


def draw_grids(
    grids: Sequence[Grid], path_stem: Path, *, footnote: str, title: str | None = None
) -> tuple[Path, Path]:
    """Draw grids beside each other into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(_beside(grids, footnote, title), path_stem)


def draw_rows(
    rows: Sequence[Grid], path_stem: Path, *, footnote: str, title: str | None = None
) -> tuple[Path, Path]:
    """Draw grids of one row each below each other, their titles at the left."""
    return canvas.save(_below(rows, footnote, title), path_stem)


@canvas.styled
def _beside(grids: Sequence[Grid], footnote: str, title: str | None) -> Figure:
    widths = [3.2 * width / height for height, width in (grid.mosaic.shape for grid in grids)]
    figure = _canvas(sum(widths) + 0.25 * (len(grids) + 1), 3.65, footnote, title)
    slots = figure.subplots(1, len(grids), squeeze=False, width_ratios=widths)[0]
    for grid, ax in zip(grids, slots, strict=True):
        _show(ax, grid.mosaic)
        ax.set_title(grid.title)
    return figure


@canvas.styled
def _below(rows: Sequence[Grid], footnote: str, title: str | None) -> Figure:
    height, width = rows[0].images.shape[1:]
    each = 0.62
    across = each * rows[0].n_columns * width / height + 1.2
    figure = _canvas(across, each * len(rows) + 0.1, footnote, title)
    slots = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for row, ax in zip(rows, slots, strict=True):
        _show(ax, row.mosaic)
        ax.set_ylabel(row.title, rotation=0, ha="right", va="center")
    return figure


def _canvas(width: float, height: float, footnote: str, title: str | None) -> Figure:
    figure = canvas.canvas(width, height + (0.3 if title else 0.0), footnote).figure
    if title:
        figure.suptitle(title, weight="bold")
    return figure


def _show(ax: Axes, mosaic: NDArray[np.floating]) -> None:
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
