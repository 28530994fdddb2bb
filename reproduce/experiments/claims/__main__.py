"""Check the paper's claims: `python -m reproduce.experiments.claims [RESULTS]`, or `make claims`.

Reads the furthest drawing of each figure in RESULTS (default `results`; the committed ones are in
`results/reference`), prints a verdict for each claim and the evidence place by place, and writes
RESULTS/claims.json.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import write_json
from reproduce.common.provenance import provenance
from reproduce.experiments.claims.evidence import Evidence, gather
from reproduce.experiments.claims.finding import Finding, overall
from reproduce.experiments.claims.paper import CLAIMS, check_all
from reproduce.experiments.claims.tables import details_table, summary_table


def as_json(findings: Sequence[Finding], evidence: Evidence) -> dict[str, object]:
    """Return what is written to claims.json."""
    return {
        "sources": evidence.sources,
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the verdicts on a results folder."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 or any(argument.startswith("-") for argument in given):
        raise UserError("Usage: python -m reproduce.experiments.claims [RESULTS].")
    results = Path(given[0] if given else "results")
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


if __name__ == "__main__":
    cli.command(main)
