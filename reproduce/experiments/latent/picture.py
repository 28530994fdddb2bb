"""How much each latent dimension says of an image: KL by rank, a panel a data set, size and age."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.analysis import canvas, style
from reproduce.analysis.curves import by_place
from reproduce.common.names import PANEL, dataset_name, short_number

COLUMNS = 4


def draw(dimensions: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return canvas.save(build(dimensions), path_stem)


@canvas.styled
def build(dimensions: pd.DataFrame) -> Figure:
    """Lay out small panels, MNIST first.

    Parameters
    ----------
    dimensions
        Columns `dataset`, `n_latent`, `n_train`, `algorithm`, `seed`, `samples`, `id`, `rank`,
        `kl` (nats).
    """
    places = by_place(dimensions, [*PANEL, "samples"])
    styles = style.algorithm_styles(dimensions["algorithm"])
    n_columns = min(COLUMNS, len(places))
    n_rows = -(-len(places) // n_columns)
    figure = canvas.canvas(2.4 * n_columns + 0.4, 2.0 * n_rows + 0.75).figure
    axes = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for ((dataset, n_latent, n_train, samples), here), ax in zip(places, axes, strict=False):
        for (name, _, _), mine in here.groupby(["algorithm", "id", "seed"]):
            look = styles[str(name)]
            ax.plot(mine["rank"], mine["kl"], look.marker, linestyle="-", color=look.colour,
                    markersize=2.6, linewidth=0.9, alpha=0.85)  # fmt: skip
        ax.set_title(
            f"{dataset_name(dataset)}, $N_z$={n_latent}\n"
            f"N={n_train:,}, after {short_number(samples)} samples",
            size=7.5,
        )
        ax.set_ylim(bottom=min(0.0, -0.03 * float(here["kl"].max())))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.spines[["top", "right"]].set_visible(False)
    for ax in list(figure.axes)[len(places) :]:
        ax.set_axis_off()
    figure.supxlabel("latent dimension, by rank", size=8.5)
    figure.supylabel("KL (nats)", size=8.5)
    handles = [
        figure.axes[0].plot([], [], look.marker, linestyle="-", color=look.colour)[0]
        for look in styles.values()
    ]
    figure.legend(handles, [look.name for look in styles.values()], loc="outside upper center",
                  ncol=len(handles))  # fmt: skip
    return figure
