"""What the report says, section by section; each from files, and each may be missing."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from reproduce.analysis.comparison import FIGURE2_SPLITS
from reproduce.analysis.published import load_published
from reproduce.commands.tables import tables
from reproduce.common.errors import UserError
from reproduce.common.files import read_json, read_table, read_text
from reproduce.common.markdown import aligned
from reproduce.common.names import algorithm_name, dataset_name, short_number
from reproduce.experiments.claims.evidence import Evidence, or_committed
from reproduce.experiments.claims.paper import CLAIMS, check_all
from reproduce.experiments.claims.tables import details_table, summary_table
from reproduce.report.panels import InteractivePanel, Kind, algorithms_of, panels

DRAW = "reproduce figure figure="
BOUND = Kind("figure1", FIGURE2_SPLITS, "variational bound (nats)", log_x=True)
LIKELIHOOD = Kind(
    "figure2", {"train": "train", "test": "test"}, "marginal log-likelihood (nats)", log_x=False
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name, title
        Anchor and heading.
    html
        Its contents.
    panels, algorithms, log_x
        Interactive plots, the algorithms in them, and whether their x-axis is logarithmic.
    missing
        The command that makes what is not there; empty where all is.
    """

    name: str
    title: str
    html: str = ""
    panels: list[InteractivePanel] = field(default_factory=list)
    algorithms: list[tuple[str, str, str]] = field(default_factory=list)
    log_x: bool = True
    missing: str = ""


def all_sections(results: Path, evidence: Evidence) -> list[Section]:
    """Return the page's sections in order."""
    parts: list[Callable[[Path, Evidence], Section]] = [
        claims, figure1, figure2, comparison, manifolds, samples, diagnostics, estimators,
        ablations, step_sizes, provenance,
    ]  # fmt: skip
    return [part(results, evidence) for part in parts]


def claims(results: Path, evidence: Evidence) -> Section:
    """The verdicts, and the evidence place by place."""
    findings = check_all(evidence)
    definitions = "".join(
        f"<dt>{key}</dt><dd>{escape(claim.statement)}: {escape(claim.definition)}.</dd>"
        for key, claim in CLAIMS.items()
    )
    remark = f'<p class="missing">{escape(evidence.remark)}</p>' if evidence.remark else ""
    html = (
        remark
        + _markdown(summary_table(findings, evidence))
        + _details("What exactly is checked", f"<dl>{definitions}</dl>")
        + _details("The evidence, place by place", _markdown(details_table(findings)))
    )
    return Section("claims", "Does it reproduce?", html)


def figure1(results: Path, evidence: Evidence) -> Section:
    """Experiment 1, interactive."""
    title = "Experiment 1: the paper’s Figure 2"
    return _curves("figure1", title, BOUND, evidence.bounds, "figure2", f"{DRAW}figure1")


def figure2(results: Path, evidence: Evidence) -> Section:
    """Experiment 2, interactive."""
    title = "Experiment 2: the paper’s Figure 3"
    return _curves(
        "figure2",
        title,
        LIKELIHOOD,
        evidence.likelihoods,
        "figure3",
        f"{DRAW}figure2",
    )


def _curves(
    name: str, title: str, kind: Kind, curves: pd.DataFrame, published: Any, command: str
) -> Section:
    if curves.empty:
        return Section(name, title, missing=command)
    shown = panels(kind, curves, load_published(published))
    return Section(name, title, "", shown, algorithms_of(shown), kind.log_x)


def comparison(results: Path, evidence: Evidence) -> Section:
    """Ours against the paper, number by number."""
    html = ""
    for source in ("bounds", "likelihoods"):
        path = Path(evidence.sources.get(source, "nothing")).with_name("comparison.csv")
        if source in evidence.sources and path.is_file():
            table = read_table(path, {"samples": float}, "draw the figure again")
            html += _markdown(tables(path.parent, None)) if len(table) else ""
    return _section("comparison", "Ours against the paper", html, f"{DRAW}figure1")


def manifolds(results: Path, evidence: Evidence) -> Section:
    """The paper's Figure 4."""
    alt = "Grids of images decoded from two-dimensional latent spaces, as in the paper's Figure 4"
    html = _picture(_latest(results / "manifolds", "manifolds.png") / "manifolds.png", alt)
    return _section("manifolds", "Manifolds: the paper’s Figure 4", html, f"{DRAW}manifolds")


def samples(results: Path, evidence: Evidence) -> Section:
    """The paper's Figure 5, and reconstructions."""
    folder = _latest(results / "samples", "samples.png")
    alt = "Random samples of models with latent spaces of several sizes"
    html = _picture(folder / "samples.png", alt)
    alt = "Test images, and their reconstructions by each model"
    html += _picture(folder / "reconstructions.png", alt) if html else ""
    title = "Samples: the paper’s Figure 5, and reconstructions"
    return _section("samples", title, html, f"{DRAW}samples")


def diagnostics(results: Path, evidence: Evidence) -> Section:
    """KL per latent dimension, active units, collapse."""
    folder = results / "diagnostics"
    alt = "KL divergence of each latent dimension, by rank"
    html = _picture_and_table(folder / "kl.png", alt)
    return _section(
        "diagnostics", "What the latent space is used for", html, "reproduce diagnostics"
    )


def estimators(results: Path, evidence: Evidence) -> Section:
    """Validation of the estimators of log p(x)."""
    path = or_committed(results / "estimators" / "tables.md")
    html = _committed(results, path) + _markdown_in(path) if path.is_file() else ""
    return _section(
        "estimators", "Are the estimators of log p(x) right?", html, "reproduce estimators"
    )


def ablations(results: Path, evidence: Evidence) -> Section:
    """Each ablation's picture and table."""
    html = ""
    for folder in sorted((results / "ablations").glob("*")):
        alt = f"Curves of the variants of the ablation {folder.name}; the table has the values"
        if found := _picture_and_table(folder / f"{folder.name}.png", alt):
            html += f"<h3>{escape(folder.name.replace('_', ' '))}</h3>{found}"
    return _section("ablations", "Ablations", html, "reproduce ablation")


def step_sizes(results: Path, evidence: Evidence) -> Section:
    """How Adagrad's step sizes were chosen."""
    title = "How the step sizes were chosen"
    folders = (results / name for name in ("step_sizes", "step_sizes_figure2"))
    paths = [or_committed(folder / "step_sizes.csv") for folder in folders]
    if not all(path.is_file() for path in paths):
        return Section("step-sizes", title, missing="reproduce step-sizes")
    from reproduce.experiments.step_sizes import SCORES, choose

    rows = [["entry", "algorithm", "step size", "mean over seeds", "chosen"]]
    for path in paths:
        scores = read_table(path, SCORES, "restore it, or choose again with `reproduce step-sizes`")
        chosen = {
            (row["entry"], row["algorithm"], row["step_size"])
            for row in choose(scores).to_dict("records")
        }
        for key, mine in scores.groupby(["entry", "algorithm", "step_size"], sort=False):
            entry, algorithm, step_size = key  # type: ignore[misc]
            mean = mine["value"].mean(skipna=False)
            rows.append(
                [
                    str(entry),
                    algorithm_name(str(algorithm)),
                    f"{step_size}",
                    "diverged" if mean != mean else f"{mean:.5g}",
                    "chosen" if key in chosen else "",
                ]
            )
    html = _committed(results, paths[0]) + _markdown(aligned(rows, right=(2, 3)))
    return Section("step-sizes", title, html)


def provenance(results: Path, evidence: Evidence) -> Section:
    """Where every curve comes from."""
    rows = [["figure", "cell", "seed", "samples", "commit", "clean", "device", "minutes", "data"]]
    for source, figure in (("bounds", "1"), ("likelihoods", "2")):
        if source not in evidence.sources:
            continue
        path = Path(evidence.sources[source]).with_name("manifest.json")
        if not path.is_file():
            continue
        manifest = read_json(path, "draw the figure again")
        try:
            rows += [
                _made(figure, cell["id"], record)
                for cell in manifest["cells"]
                for record in cell["members"]
                if record
            ]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no manifest of a figure ({error}); draw the figure again."
            ) from error
    files = "".join(f"<li><code>{escape(path)}</code></li>" for path in evidence.sources.values())
    html = f"<p>Read from:</p><ul>{files}</ul>"
    if len(rows) > 1:
        html += _details("Every curve", _markdown(aligned(rows, right=(2, 3, 7))))
    return Section("provenance", "Where every curve comes from", html)


def _committed(results: Path, path: Path) -> str:
    """Say where what is shown does not come from the results folder."""
    return "" if path.is_relative_to(results) else "<p>The committed ones:</p>"


def _made(figure: str, name: str, record: dict[str, Any]) -> list[str]:
    cell, git = record["cell"], record["git"]
    named = dataset_name(cell["dataset"]), algorithm_name(cell["algorithm"])
    title = f"{named[0]} N_z = {cell['n_latent']} {named[1]}"
    return [
        figure,
        f"{title} ({name.rpartition('-')[2]})",
        str(record["seed"]),
        short_number(record["samples"]),
        str(git["commit"])[:8],
        {True: "no", False: "yes"}.get(git["dirty"], "unknown"),
        str(record["device"]),
        f"{record['wall_seconds'] / 60:.1f}",
        str(record["data"]["sha256"])[:8],
    ]


def _section(name: str, title: str, html: str, command: str) -> Section:
    """A section of `html`; where that is empty, one that `command` would make."""
    return Section(name, title, html, missing="" if html else command)


def _latest(folder: Path, name: str) -> Path:
    """The folder of the furthest budget whose picture `name` is there."""
    drawn = [folder / name for name in ("paper", "desktop", "laptop", "quick", "smoke")]
    return next((path for path in drawn if (path / name).is_file()), folder)


def _markdown(text: str) -> str:
    """Markdown as HTML, its tables in boxes that scroll on narrow screens."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    opened = '<div class="table" tabindex="0" role="region" aria-label="table"><table>'
    return html.replace("<table>", opened).replace("</table>", "</table></div>")


def _markdown_in(path: Path) -> str:
    return _markdown(read_text(path, "make it again, or remove its folder"))


def _picture_and_table(picture: Path, alt: str) -> str:
    """A picture and the table next to it; nothing where there is no table."""
    table = picture.with_name("table.md")
    return _picture(picture, alt) + _markdown_in(table) if table.is_file() else ""


def _details(summary: str, html: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def _picture(path: Path, alt: str) -> str:
    if not path.is_file():
        return ""
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img src="data:image/png;base64,{encoded}" alt="{escape(alt)}">'


def missing_of(sections: Iterable[Section]) -> list[tuple[str, str]]:
    """What is not there: titles, and the commands that make it."""
    return [(section.title, section.missing) for section in sections if section.missing]
