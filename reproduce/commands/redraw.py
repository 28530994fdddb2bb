"""Draw figures and ablations again from their curves: `reproduce redraw folder=FOLDER...`.

Curves are committed where weights are not: after a change of the drawing or of the published curves
this is how what lies under results/reference/ follows it.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reproduce.analysis.comparison import compare
from reproduce.analysis.curves import by_place
from reproduce.analysis.panel import Panel
from reproduce.analysis.published import load_published
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import read_table, write_json, write_with
from reproduce.common.names import CURVES
from reproduce.common.provenance import drawn, provenance
from reproduce.experiments.ablation import picture as ablation
from reproduce.experiments.bound import picture as figure1
from reproduce.experiments.likelihood import picture as figure2
from reproduce.experiments.likelihood.comparison import compare_likelihoods
from reproduce.experiments.likelihood.picture import LikelihoodPanel
from reproduce.experiments.plan import remarks_on

EARLIER = "text"
"""The settings of manifests that name none."""


def redraw(folder: Path) -> Path:
    """Draw a picture again, and compare again with the published curves; the manifest says so.

    Parameters
    ----------
    folder
        Of an ablation or of a figure, with its `curves.csv` and `manifest.json`.

    Returns
    -------
    Path
        The picture, as PNG; a PDF lies beside it.
    """
    try:
        curves = pd.read_csv(folder / "curves.csv")
        about = json.loads((folder / "manifest.json").read_text())
        name = about["ablation"]["name"] if "ablation" in about else about["figure"]
        draw = _DRAW["ablation" if "ablation" in about else name]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder} holds no ablation and no figure: {error}") from error
    needed = {*CURVES, *(["variant"] if "ablation" in about else [])}
    if missing := needed.difference(curves.columns):
        raise UserError(f"{folder / 'curves.csv'} lacks columns {', '.join(sorted(missing))}.")
    if curves.empty:
        raise UserError(f"{folder / 'curves.csv'} has no rows.")
    picture = draw(folder, name, curves, about)
    write_json(folder / "manifest.json", {**about, "drawn": drawn()})
    return picture


def _ablation(folder: Path, name: str, curves: pd.DataFrame, about: dict[str, Any]) -> Path:
    return ablation.draw(curves, load_published("figure2"), folder / name)[0]


def _bound(folder: Path, name: str, curves: pd.DataFrame, about: dict[str, Any]) -> Path:
    published = load_published("figure2")
    _write(compare(curves, published), folder)
    panels = [Panel(*place) for place, _ in by_place(curves, ["dataset", "n_latent"])]
    return figure1.draw(curves, published, panels, folder / name, title=about["title"],
                        footnote=_footnote(about))[0]  # fmt: skip


def _likelihood(folder: Path, name: str, curves: pd.DataFrame, about: dict[str, Any]) -> Path:
    published = load_published("figure3")
    main = str(curves["estimator"].value_counts().idxmax())
    found = read_table(folder / "estimates.csv", {}, "draw the figure again")
    _write(compare_likelihoods(found, published, main), folder)
    panels = [LikelihoodPanel(*place) for place, _ in by_place(curves)]
    footnote = " ".join([_footnote(about), about.get("remarks") or ""]).strip()
    drawn = found[found["estimator"] == main]
    return figure2.draw(drawn, published, panels, folder / name, title=about["title"],
                        footnote=footnote)[0]  # fmt: skip


_DRAW: dict[str, Callable[[Path, str, pd.DataFrame, dict[str, Any]], Path]] = {
    "ablation": _ablation,
    "figure1": _bound,
    "figure2": _likelihood,
}


def _write(comparison: pd.DataFrame, folder: Path) -> None:
    write_with(folder / "comparison.csv", lambda path: comparison.to_csv(path, index=False))


def _footnote(about: dict[str, Any]) -> str:
    changed = [one for one in about.get("changed_settings", []) if one != "settings=text"]
    return " ".join(remarks_on(about.get("settings", EARLIER), changed))


def main(arguments: Sequence[str]) -> int:
    """Draw every folder named on the command line."""
    given = cli.parsed(arguments, "redraw folder=FOLDER[,FOLDER...]", folder=None)
    provenance()  # of the code that runs, before a picture changes the working tree
    for folder in given["folder"].split(","):
        cli.console().print(f"Written: {redraw(Path(os.path.expanduser(folder)))}", highlight=False)
    return 0
