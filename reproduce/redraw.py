"""Draw ablations again from their curves alone: `python -m reproduce.redraw FOLDER...`.

Weights of ablations are not committed, their curves are: after a change of the drawing this is
how the pictures under results/reference/ablations/ follow it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reproduce import cli
from reproduce.errors import UserError
from reproduce.figures import ablation as drawing
from reproduce.files import write_json
from reproduce.provenance import provenance
from reproduce.published import load_published

NEEDED = {
    "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "value", "variant"
}  # fmt: skip


def redraw(folder: Path) -> Path:
    """Draw an ablation's picture anew; its manifest says by which code.

    Parameters
    ----------
    folder
        Of one ablation, with its `curves.csv` and `manifest.json`.

    Returns
    -------
    Path
        The picture, as PNG; a PDF lies beside it.

    Raises
    ------
    UserError
        Where a file is missing or is not an ablation's.
    """
    try:
        curves = pd.read_csv(folder / "curves.csv")
        about = json.loads((folder / "manifest.json").read_text())
        name = about["ablation"]["name"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder} holds no ablation: {error}") from error
    if missing := NEEDED.difference(curves.columns):
        raise UserError(f"{folder / 'curves.csv'} lacks columns {', '.join(sorted(missing))}.")
    if curves.empty:
        raise UserError(f"{folder / 'curves.csv'} has no rows.")
    picture, _ = drawing.draw(curves, load_published("figure2"), folder / name)
    write_json(folder / "manifest.json", {**about, "drawn": provenance()})
    return picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw every folder named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m reproduce.redraw", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    provenance()  # of the code that runs, before a picture changes the working tree
    for folder in parser.parse_args(arguments).folders:
        cli.console().print(f"Written: {redraw(folder)}", highlight=False)
    return 0


if __name__ == "__main__":
    cli.command(main)
