"""Does a run repeat another? `reproduce repeat folder=results/figure1/laptop`.

Compares the curves of a drawn figure, point by point, with those of another: with the committed
result of the same name unless a second folder is given. Two runs of the same code on the same kind
of processor agree; other processors and versions of torch round otherwise, and where training is
unstable such differences grow as large as those between seeds.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from reproduce.analysis.curves import in_paper_order
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import read_table
from reproduce.common.names import CURVES, PANEL, algorithm_name, dataset_name
from reproduce.common.provenance import REPOSITORY

PAIR = [*PANEL, "algorithm"]
VALUES = ["value", "stderr"]


def differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Return how far each pair of curves is apart where both have a point.

    Parameters
    ----------
    ours, theirs
        As `curves.csv` of a figure.

    Returns
    -------
    pd.DataFrame
        Columns `dataset`, `n_latent`, `n_train`, `algorithm`; `points` in both; `largest`, the
        largest absolute difference in nats, and the `seed`, `split` and `samples` it is at;
        `at_end`, the largest at the last mark of both.
    """
    key = [column for column in ours.columns if column not in VALUES]
    if set(key) != {column for column in theirs.columns if column not in VALUES}:
        raise UserError("The two are not the same figure: their curves have different columns.")
    both = ours.merge(theirs, on=key, suffixes=("", "_theirs"), validate="one_to_one")
    if both.empty:
        raise UserError("The two have no point in common: other panels, seeds or marks.")
    both["apart"] = (both["value"] - both["value_theirs"]).abs()
    panels = both.groupby(PAIR)["apart"]
    farthest = both.loc[panels.idxmax(), [*PAIR, "seed", "split", "samples"]]
    last = both[both["samples"] == both.groupby(PAIR)["samples"].transform("max")]
    at_end = last.groupby(PAIR)["apart"].max().rename("at_end").reset_index()
    found = panels.agg(points="size", largest="max").reset_index()
    return in_paper_order(found.merge(farthest, on=PAIR).merge(at_end, on=PAIR))


def table(found: pd.DataFrame) -> Table:
    """Return the differences as a table, a pair of curves a row."""
    numbers = ("points", "at the end", "anywhere")
    result = cli.table(("curves", *numbers, "there"), numbers, "Largest differences in nats")
    for row in found.itertuples():
        result.add_row(
            f"{dataset_name(str(row.dataset))}, N_z = {row.n_latent}, N = {row.n_train:,}, "
            f"{algorithm_name(str(row.algorithm))}",
            f"{row.points:,}",
            f"{row.at_end:.1e}",
            f"{row.largest:.1e}",
            f"seed {row.seed}, {row.split}, {row.samples:.1e}",
        )
    return result


def read_curves(folder: Path) -> pd.DataFrame:
    """Read `curves.csv` of a drawn figure."""
    path = folder / "curves.csv"
    advice = "give the folder of a drawn figure, such as results/figure1/laptop"
    curves = read_table(path, CURVES, advice)
    if curves.duplicated([name for name in curves.columns if name not in VALUES]).any():
        raise UserError(f"{path} holds a point twice; {advice}.")
    return curves


def main(arguments: Sequence[str]) -> int:
    """Print the differences between the curves of two folders."""
    usage = "repeat folder=FOLDER [other=FOLDER]"
    given = cli.parsed(arguments, usage, folder=None, other="")
    mine = Path(given["folder"]).resolve()
    committed = REPOSITORY / "results" / "reference" / mine.parent.name / mine.name
    other = Path(given["other"]) if given["other"] else committed
    ours, theirs = read_curves(mine), read_curves(other)
    found = differences(ours, theirs)
    console = cli.console()
    console.print(table(found))
    points = found["points"].sum()
    console.print(
        f"{points:,} points in both, the farthest {found['largest'].max():.1e} nats apart; "
        f"{len(ours) - points:,} only in {given['folder']}, "
        f"{len(theirs) - points:,} only in {other}.",
        highlight=False,
    )
    return 0
