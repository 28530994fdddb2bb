"""Verdicts and evidence as Markdown tables."""

import re
from collections import Counter
from collections.abc import Sequence

from reproduce.common.markdown import aligned
from reproduce.common.names import short_number
from reproduce.experiments.claims.finding import Finding, overall
from reproduce.experiments.claims.paper import CLAIMS

SEEDS = re.compile(r"about (\d+) seeds at this spread")  # as `finding.judge` says it
SIGNS = {"holds": "✔", "does not hold": "✘", "cannot be told": "?"}


def summary_table(findings: Sequence[Finding]) -> str:
    """One row a claim, as Markdown: the verdict, in how many places, and what would tell.

    `effect` is the lowest and the highest mean over places, whether or not they decide anything.
    """
    header = "claim,what is claimed,verdict,holds,not,open,effect,what would tell"
    rows: list[list[str]] = [list(header.split(","))]
    for claim, about in CLAIMS.items():
        mine = [finding for finding in findings if finding.claim == claim]
        if not mine:
            if not claim.startswith("own"):
                rows.append(
                    [claim, about.statement, "? no evidence", "", "", "", "", missing(claim)]
                )
            continue
        count = Counter(finding.verdict for finding in mine)
        verdict = overall(mine)
        rows.append(
            [
                claim,
                about.statement,
                f"{SIGNS[verdict]} {verdict}",
                str(count["holds"]),
                str(count["does not hold"]),
                str(count["cannot be told"]),
                _range(mine),
                _what_would_tell(mine),
            ]
        )
    return aligned(rows, right=(3, 4, 5))


def _range(findings: Sequence[Finding]) -> str:
    effects = [one.effect for one in findings if one.effect == one.effect]
    if not effects:
        return ""
    low, high = _number(min(effects)), _number(max(effects))
    return f"{low if low == high else f'{low} to {high}'} {findings[0].unit}"


def _what_would_tell(findings: Sequence[Finding]) -> str:
    """The most frequent answer, and of how many open places it is where not of all.

    Answers that differ in a number of seeds only are one, with the fewest and the most.
    """
    open_places = [finding.tell for finding in findings if finding.tell]
    counts = [int(found[1]) for tell in open_places if (found := SEEDS.fullmatch(tell))]
    fewest, most = min(counts, default=0), max(counts, default=0)
    merged = f"about {fewest if fewest == most else f'{fewest} to {most}'} seeds at this spread"
    tells = Counter(merged if SEEDS.fullmatch(tell) else tell for tell in open_places)
    if not tells:
        return ""
    ((tell, count),) = tells.most_common(1)
    return tell if count == tells.total() else f"{tell} ({count} of {tells.total()})"


def missing(claim: str) -> str:
    """Say which command makes the evidence that a claim lacks."""
    commands = {"1": "make figure1", "2": "make figure1", "3": "make figure2",
                "4": "make diagnostics", "5": "make estimators"}  # fmt: skip
    return f"`{commands.get(claim[0], 'make figure1')}`"


def details_table(findings: Sequence[Finding]) -> str:
    """One row a finding, as Markdown."""
    rows = [
        ["claim", "where", "samples", "effect", "95 %", "unit", "seeds", "over images", "verdict"]
    ]
    for one in findings:
        interval = f"[{_number(one.low)}, {_number(one.high)}]" if one.low == one.low else ""
        rows.append(
            [
                one.claim,
                one.where,
                "" if one.samples is None else short_number(one.samples),
                _number(one.effect),
                interval,
                one.unit,
                str(one.n_seeds or ""),
                "" if one.stderr_images is None else f"± {one.stderr_images:.1f}",
                f"{SIGNS[one.verdict]} {one.verdict}" + (f": {one.tell}" if one.tell else ""),
            ]
        )
    return aligned(rows, right=(2, 3, 4, 6, 7))


def _number(value: float) -> str:
    if value != value:
        return ""
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    return f"{value:.{digits}f}".replace("-", "−") if size < 1e5 else f"{value:.0e}"
