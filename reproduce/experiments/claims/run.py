"""Check the paper's claims: `reproduce claims [results=FOLDER] [budget=NAME] [places=true]`.

Reads a drawing of each figure in RESULTS (default `results`; the committed ones are in
`results/reference`): that of the budget, or the one that went furthest on the paper's data. Prints
a verdict for each claim and, with places=true, the evidence place by place. Writes
RESULTS/claims.json, or beside it where that is of another drawing.
"""

from collections.abc import Sequence
from pathlib import Path

from reproduce.common import cli
from reproduce.common.checks import one_of
from reproduce.common.files import read_json, write_json
from reproduce.common.provenance import REPOSITORY, drawn
from reproduce.experiments.claims.evidence import Evidence, budgets, gather
from reproduce.experiments.claims.finding import Finding
from reproduce.experiments.claims.paper import CLAIMS, check_all, judged
from reproduce.experiments.claims.tables import details_table, next_steps, summary_table

DRAWN = ("bounds", "likelihoods")
"""The sources that are drawings of figures."""


def as_json(findings: Sequence[Finding], evidence: Evidence) -> dict[str, object]:
    """Return what is written to claims.json."""
    return {
        "sources": _as_stored(evidence),
        "remark": evidence.remark,
        "drawn": drawn(),
        "claims": [
            {
                "claim": claim.key,
                "statement": claim.statement,
                "definition": CLAIMS[claim.key].definition,
                "verdict": claim.verdict,
                "findings": [finding.as_dict() for finding in claim.findings],
            }
            for claim in judged(findings)
            if claim.findings
        ],
    }


def main(arguments: Sequence[str]) -> int:
    """Print and write the verdicts on a results folder."""
    usage = "claims [results=FOLDER] [budget=NAME] [places=true]"
    given = cli.parsed(arguments, usage, results="results", budget="", places="false")
    places = one_of("places", given["places"], ("true", "false")) == "true"
    results, budget = Path(given["results"]), given["budget"] or None
    evidence = gather(results, budget)
    findings = check_all(evidence)
    for source in _as_stored(evidence).values():
        print(f"from {source}")
    chosen = {
        Path(evidence.sources[name]).parent.name for name in DRAWN if name in evidence.sources
    }
    if others := [name for name in budgets(results) if name not in chosen]:
        print(f"drawn as well: {', '.join(others)}; budget=NAME chooses")
    if evidence.remark:
        print(evidence.remark)
    print(f"\n{summary_table(findings, evidence)}\n")
    if places:
        print(f"{details_table(findings)}\n")
    for step in next_steps(findings, evidence):
        print(step)
    if not places:
        print("Place by place, with intervals: places=true.")
    path = _unlike(results, budget, evidence)
    write_json(path, as_json(findings, evidence))
    print(f"Written: {path}")
    return 0


def _unlike(results: Path, budget: str | None, evidence: Evidence) -> Path:
    """Where to write: claims.json is left alone where its figures are other drawings."""
    if budget:
        return results / f"claims-{budget}.json"
    path = results / "claims.json"
    ours = _within(evidence.sources)
    known = _within(read_json(path, "delete it")["sources"]) if path.exists() else {}
    if all(known.get(name, ours.get(name)) == ours.get(name, known.get(name)) for name in DRAWN):
        return path
    names = (Path(ours[name]).parent.name for name in DRAWN if name in ours)
    print(f"{path} is of other drawings and stays as it is.")
    return results / f"claims-{'-'.join(dict.fromkeys(names))}.json"


def _within(sources: dict[str, str]) -> dict[str, str]:
    """The sources within their results folder, which may have been copied or moved since."""
    return {name: "/".join(Path(source).parts[-3:]) for name, source in sources.items()}


def _as_stored(evidence: Evidence) -> dict[str, str]:
    return {k: v.removeprefix(f"{REPOSITORY}/") for k, v in evidence.sources.items()}
