"""Check the paper's claims: `reproduce claims [results=FOLDER]`, or `make claims`.

Reads the furthest drawing of each figure in RESULTS (default `results`; the committed ones are in
`results/reference`), prints a verdict for each claim and the evidence place by place, and writes
RESULTS/claims.json.
"""

from collections.abc import Sequence
from pathlib import Path

from reproduce.common import cli
from reproduce.common.files import write_json
from reproduce.common.provenance import REPOSITORY, provenance
from reproduce.experiments.claims.evidence import Evidence, gather
from reproduce.experiments.claims.finding import Finding, overall
from reproduce.experiments.claims.paper import CLAIMS, check_all
from reproduce.experiments.claims.tables import details_table, summary_table


def as_json(findings: Sequence[Finding], evidence: Evidence) -> dict[str, object]:
    """Return what is written to claims.json."""
    return {
        "sources": {k: v.removeprefix(f"{REPOSITORY}/") for k, v in evidence.sources.items()},
        "remark": evidence.remark,
        "made": provenance(),
        "claims": [
            {
                "claim": claim,
                "statement": about.statement,
                "definition": about.definition,
                "verdict": overall([f for f in findings if f.claim == claim]),
                "findings": [f.as_dict() for f in findings if f.claim == claim],
            }
            for claim, about in CLAIMS.items()
            if any(f.claim == claim for f in findings)
        ],
    }


def main(arguments: Sequence[str]) -> int:
    """Print and write the verdicts on a results folder."""
    given = cli.parsed(arguments, "claims [results=FOLDER]", results="results")
    results = Path(given["results"])
    evidence = gather(results)
    findings = check_all(evidence)
    print(f"{details_table(findings)}\n\n{summary_table(findings)}\n")
    if evidence.remark:
        print(evidence.remark)
    for source in evidence.sources.values():
        print(f"from {source}")
    path = results / "claims.json"
    write_json(path, as_json(findings, evidence))
    print(f"Written: {path}")
    return 0
