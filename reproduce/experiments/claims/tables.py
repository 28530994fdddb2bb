"""Verdicts and evidence as Markdown tables."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reproduce.common.markdown import aligned
from reproduce.common.names import short_number
from reproduce.experiments.claims.evidence import Evidence, on_papers_data
from reproduce.experiments.claims.finding import Finding, about_seeds
from reproduce.experiments.claims.paper import judged
from reproduce.experiments.claims.places import STAND_IN

SOURCES = {
    "1": ("bounds", "reproduce figure figure=figure1"),
    "2": ("bounds", "reproduce figure figure=figure1"),
    "3": ("likelihoods", "reproduce figure figure=figure2"),
    "4": ("diagnostics", "reproduce diagnostics"),
    "5": ("estimators", "reproduce estimators"),
}
"""By a claim's first letter: its table of the evidence, and the command that makes that."""
LACKS = {
    "1a": "AEVB and Wake-Sleep in one panel, with a seed in common",
    "1b": "AEVB and Wake-Sleep in one panel, with a seed in common",
    "2a": "another N_z of the same data, with a seed in common",
    "2b": "another N_z of the same data, with a seed in common",
    "3a": "AEVB and Wake-Sleep at N = 1,000 or 50,000, with a seed in common",
    "3b": "MCEM and Wake-Sleep at N = 1,000, with a seed in common",
    "3c": "MCEM, AEVB and Wake-Sleep at N = 50,000, with a seed in common",
    "match": "a curve that the paper has, trained to its first point",
}
"""Where its figure is drawn, what a claim about which nothing was found would need there."""
LARGER = {
    "figure1": {"smoke": "laptop", "quick": "laptop", "laptop": "desktop", "desktop": "paper"},
    "figure2": {"smoke": "laptop", "laptop": "paper"},
}
"""The budget after a budget, by figure."""
SIGNS = {"holds": "✔", "does not hold": "✘", "undecided": "?"}


def summary_table(findings: Sequence[Finding], evidence: Evidence | None = None) -> str:
    """One row a claim, as Markdown: the verdict, in how many places, and what would decide it.

    `effect` is the lowest and the highest mean over places, whether or not they decide anything.
    With the evidence, a claim about which nothing was found says what that lacks.
    """
    header = "claim,what is claimed,verdict,holds,not,open,effect,what would decide it"
    rows: list[list[str]] = [list(header.split(","))]
    for claim in judged(findings):
        mine = claim.findings
        if not mine:
            lacks = missing(claim.key, evidence)
            rows.append([claim.key, claim.statement, "? no evidence", "", "", "", "", lacks])
            continue
        count = Counter(finding.judgement.verdict for finding in mine)
        rows.append(
            [
                claim.key,
                claim.statement,
                f"{SIGNS[claim.verdict]} {claim.verdict}",
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


def missing(claim: str, evidence: Evidence | None = None) -> str:
    """Say what a claim lacks: what its figure would have to show, or the command that makes it."""
    source, command = SOURCES.get(claim[0], SOURCES["1"])
    table = getattr(evidence, source, None)
    if table is None or table.empty:
        return f"`{command}`"
    return LACKS.get(claim, f"`{command}`") if on_papers_data(table) else STAND_IN


def next_steps(findings: Sequence[Finding], evidence: Evidence) -> list[str]:
    """Say which commands train further, or more seeds, where a claim of the paper needs that."""
    steps = []
    for figure, source, claims in (("figure1", "bounds", "12m"), ("figure2", "likelihoods", "3m")):
        if source not in evidence.sources:
            continue
        budget = Path(evidence.sources[source]).parent.name.partition("-")
        open_ones = [
            one.judgement
            for one in findings
            if one.claim[0] in claims and one.judgement.verdict == "undecided"
        ]
        needs = " ".join(one.needs for one in open_ones)
        further = LARGER[figure].get(budget[0])
        settings = f" settings={budget[2]}" if budget[2] else ""
        if further and (STAND_IN in needs or "training to" in needs):
            steps.append(
                f"More samples: `reproduce figure figure={figure} budget={further}{settings}`."
            )
        elif seeds := [one.seeds for one in open_ones if one.seeds]:
            command = (
                f"reproduce figure figure={figure} budget={budget[0]} seeds={min(seeds)}{settings}"
            )
            steps.append(f"More seeds: `{command}`, or up to {max(seeds)}.")
    return steps


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
