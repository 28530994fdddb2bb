"""How much each latent dimension says of an image: KL by rank, a panel a data set, size and age."""

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.analysis import style
from reproduce.common.names import DATASET_NAMES, dataset_name, in_order, short_number

COLUMNS = 4


def draw(dimensions: pd.DataFrame, path_stem: Path) -> tuple[Path, Path]:
    """Draw the figure (see `build`) into `<path_stem>.png` and `<path_stem>.pdf`."""
    return style.save(build(dimensions), path_stem)


def build(dimensions: pd.DataFrame) -> Figure:
    """Lay out small panels, MNIST first.

    Parameters
    ----------
    dimensions
        Columns `dataset`, `n_latent`, `n_train`, `algorithm`, `seed`, `samples`, `id`, `rank`,
        `kl` (nats).
    """
    order = in_order(dimensions["dataset"], DATASET_NAMES)
    keys = ["dataset", "n_latent", "n_train", "samples"]
    places = sorted(
        dimensions[keys].drop_duplicates().itertuples(index=False, name=None),
        key=lambda place: (order.index(place[0]), *place[1:]),
    )
    styles = style.algorithm_styles(dimensions["algorithm"])
    n_columns = min(COLUMNS, len(places))
    n_rows = -(-len(places) // n_columns)
    with style.applied():
        figure = Figure(figsize=(2.4 * n_columns + 0.4, 2.0 * n_rows + 0.75))
        FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained")
        axes = figure.subplots(n_rows, n_columns, squeeze=False).flat
        for place, ax in zip(places, axes, strict=False):
            here = dimensions[(dimensions[keys] == pd.Series(place, keys)).all(axis=1)]
            for (name, _, _), mine in here.groupby(["algorithm", "id", "seed"]):
                look = styles[str(name)]
                ax.plot(mine["rank"], mine["kl"], look.marker, linestyle="-", color=look.colour,
                        markersize=2.6, linewidth=0.9, alpha=0.85)  # fmt: skip
            dataset, n_latent, n_train, samples = place
            ax.set_title(
                f"{dataset_name(dataset)}, $N_z$={n_latent}, N={n_train:,}\n"
                f"after {short_number(samples)} samples",
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
        style.freeze_layout(figure)
    return figure
