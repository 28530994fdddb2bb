"""Look of every figure: names, colours and markers of the algorithms, fonts.

Red, green and blue are the paper's colours. Their shades are chosen so that they also differ in
lightness (CIE L* near 26, 42 and 63 for blue, red and green), and every algorithm has a marker of
its own, so that a colour-blind reader or a grey-scale print can still tell them apart.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.colors import to_hex, to_rgb

from reproduce.common.names import ALGORITHM_NAMES, algorithm_name, in_order


@dataclass(frozen=True)
class AlgorithmStyle:
    """Name in the legend, colour and marker of one algorithm."""

    name: str
    colour: str
    marker: str

    @property
    def light(self) -> str:
        """The shade of the same colour that the paper's published curves have."""
        red, green, blue = (0.42 * channel + 0.58 for channel in to_rgb(self.colour))
        return to_hex((red, green, blue))


ALGORITHMS = {
    "aevb": AlgorithmStyle(ALGORITHM_NAMES["aevb"], "#c4161c", "o"),
    "wake_sleep": AlgorithmStyle(ALGORITHM_NAMES["wake_sleep"], "#45ab4f", "s"),
    "mcem": AlgorithmStyle(ALGORITHM_NAMES["mcem"], "#123a94", "^"),
}
_OTHER_COLOURS = ("#8e44ad", "#e08214", "#6b4a2b", "#17a2b8", "#d6559b", "#5f6368")
_OTHER_MARKERS = ("D", "v", "P", "X", "<")  # 5 and 6 share no factor: 30 distinct pairs

TEXT = "#222222"
MUTED = "#5c5c5c"
FOOTNOTE_SIZE = 7.0
NOTE_SIZE = 6.8
MARKER_SIZE = 4.2
PUBLISHED_WIDTH = 2.0
SEED_WIDTH = 0.5
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.5,
    "axes.edgecolor": "#8a8a8a",
    "axes.linewidth": 0.7,
    "axes.labelcolor": TEXT,
    "axes.titlepad": 5.0,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.6,
    "xtick.color": "#8a8a8a",
    "ytick.color": "#8a8a8a",
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.direction": "out",
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 1.6,
    "text.color": TEXT,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.titlesize": 11.5,
    "lines.linewidth": 1.4,
    "lines.dash_joinstyle": "round",
}


def algorithm_styles(algorithms: Iterable[str]) -> dict[str, AlgorithmStyle]:
    """Style of every algorithm, in legend order; the same set always gets the same styles."""
    styles: dict[str, AlgorithmStyle] = {}
    others = 0
    for algorithm in in_order(algorithms, ALGORITHMS):
        if algorithm in ALGORITHMS:
            styles[algorithm] = ALGORITHMS[algorithm]
            continue
        styles[algorithm] = AlgorithmStyle(
            algorithm_name(algorithm),
            _OTHER_COLOURS[others % len(_OTHER_COLOURS)],
            _OTHER_MARKERS[others % len(_OTHER_MARKERS)],
        )
        others += 1
    return styles


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Draw in this style whatever the user's own matplotlib settings are, then restore them."""
    with matplotlib.style.context(["default", RC]):
        yield
