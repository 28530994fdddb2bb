"""Write the report: `reproduce report [results=FOLDER]`, or `make report`.

One HTML file, RESULTS/report/index.html, that needs no network: what RESULTS (default `results`;
the committed ones are in `results/reference`) holds, and what it lacks.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from reproduce.common import cli
from reproduce.common.files import write_text
from reproduce.common.provenance import provenance
from reproduce.experiments.claims.evidence import gather
from reproduce.report.sections import all_sections, missing_of

HERE = Path(__file__).parent


def render(results: Path) -> str:
    """Return the page on a results folder."""
    sections = all_sections(results, gather(results))
    environment = Environment(
        loader=PackageLoader("reproduce", "report"), autoescape=True, undefined=StrictUndefined
    )
    made = provenance()
    return environment.get_template("page.html.j2").render(
        sections=sections,
        missing=missing_of(sections),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=str(made["git"]["commit"])[:8],
        clean=not made["git"]["dirty"],
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )


def main(arguments: Sequence[str]) -> int:
    """Write the report on a results folder."""
    given = cli.parsed(arguments, "report [results=FOLDER]", results="results")
    results = Path(given["results"])
    path = results / "report" / "index.html"
    write_text(path, render(results))
    print(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0
