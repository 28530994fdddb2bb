"""Verdicts and evidence as Markdown tables."""

from collections import Counter
from collections.abc import Sequence

from reproduce.common.markdown import aligned
from reproduce.common.names import short_number
from reproduce.experiments.claims.finding import Finding, about_seeds, overall
from reproduce.experiments.claims.paper import CLAIMS

SIGNS = {"holds": "✔", "does not hold": "✘", "undecided": "?"}


def summary_table(findings: Sequence[Finding]) -> str:
    """One row a claim, as Markdown: the verdict, in how many places, and what would decide it.

    `effect` is the lowest and the highest mean over places, whether or not they decide anything.
    """
    header = "claim,what is claimed,verdict,holds,not,open,effect,what would decide it"
    rows: list[list[str]] = [list(header.split(","))]
    for claim, about in CLAIMS.items():
        mine = [finding for finding in findings if finding.claim == claim]
        if not mine:
            if not claim.startswith("own"):
                rows.append(
                    [claim, about.statement, "? no evidence", "", "", "", "", missing(claim)]
                )
            continue
        count = Counter(finding.judgement.verdict for finding in mine)
        verdict = overall(mine)
        rows.append(
            [
                claim,
                about.statement,
                f"{SIGNS[verdict]} {verdict}",
                str(count["holds"]),
                str(count["does not hold"]),
                str(count["undecided"]),
                _range(mine),
                _what_would_decide(mine),
            ]
        )
    return aligned(rows, right=(3, 4, 5))


def _range(findings: Sequence[Finding]) -> str:
    effects = [one.effect.value for one in findings if one.effect.value == one.effect.value]
    if not effects:
        return ""
    low, high = _number(min(effects)), _number(max(effects))
    return f"{low if low == high else f'{low} to {high}'} {findings[0].unit}"


def _what_would_decide(findings: Sequence[Finding]) -> str:
    """The most frequent answer, and of how many undecided places it is where not of all.

    Answers that differ in a number of seeds only are one, with the fewest and the most.
    """
    judgements = [finding.judgement for finding in findings]
    seeds = [one.seeds for one in judgements if one.seeds]
    merged = about_seeds(min(seeds, default=0), max(seeds, default=0))
    answers = Counter(merged if one.seeds else one.needs for one in judgements if one.would_decide)
    if not answers:
        return ""
    ((answer, count),) = answers.most_common(1)
    return answer if count == answers.total() else f"{answer} ({count} of {answers.total()})"


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
        effect, (verdict, _, _) = one.effect, one.judgement
        known = effect.low == effect.low
        would = one.judgement.would_decide
        rows.append(
            [
                one.claim,
                one.place.where,
                "" if one.samples is None else short_number(one.samples),
                _number(effect.value),
                f"[{_number(effect.low)}, {_number(effect.high)}]" if known else "",
                one.unit,
                str(effect.n_seeds or ""),
                "" if one.stderr_images is None else f"± {one.stderr_images:.1f}",
                f"{SIGNS[verdict]} {verdict}" + (f": {would}" if would else ""),
            ]
        )
    return aligned(rows, right=(2, 3, 4, 6, 7))


def _number(value: float) -> str:
    if value != value:
        return ""
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    return f"{value:.{digits}f}".replace("-", "−") if size < 1e5 else f"{value:.0e}"
