"""What the comparison found: medians, ratios, and the bars that this suite sets itself."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.peers.workload import Measurement
from benchmarks.variants import THREADS, VARIANTS

CEILINGS = ("ceiling_threads", "ceiling_processes", "ceiling_onednn")
OURS = "ours_4_compiled"
INSTALL = "pip install -c constraints.txt -e '.[bench]'"

Summary = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Bar:
    """A ratio that this suite with four seeds is meant to reach on two cores, compiled."""

    title: str
    over: Sequence[str]
    """The variants it is measured against; the fastest of them counts."""
    at_least: float

    def reached(self, summary: Summary) -> float | None:
        """Return the ratio of the medians, or None where a peer was not measured."""
        if any(name not in summary for name in self.over):
            return None
        fastest = max(summary[name]["samples_per_second"] for name in self.over)
        return summary[OURS]["samples_per_second"] / fastest


BARS = {
    "over_lightning": Bar("Lightning", ("lightning",), 3.0),
    "over_jax": Bar("the better JAX program", ("jax_1", "jax_4"), 1.3),
    "over_jax_processes": Bar("two JAX processes", ("jax_processes",), 1.3),
    "of_ceiling": Bar("the ceiling", CEILINGS, 0.65),
}


def summarise(runs: Mapping[str, Sequence[Measurement]]) -> Summary:
    """Return each variant's median speed, its ratios and its median peak memory.

    `ceiling` repeats the fastest of the ceilings.
    """
    summary: Summary = {
        name: {
            "samples_per_second": statistics.median(run.samples_per_second for run in found),
            "runs": [run.samples_per_second for run in found],
            "peak_memory_mib": statistics.median(run.peak_memory_mib for run in found),
        }
        for name, found in runs.items()
    }
    best = max(CEILINGS, key=lambda name: summary[name]["samples_per_second"])
    lightning, ceiling = (summary[name]["samples_per_second"] for name in ("lightning", best))
    for found in summary.values():
        found["over_lightning"] = found["samples_per_second"] / lightning
        found["of_ceiling"] = found["samples_per_second"] / ceiling
    return summary | {"ceiling": {**summary[best], "variant": best}}


def judge(summary: Summary) -> dict[str, dict[str, Any]]:
    """Return of each bar what it asks, what was reached (None: not measured), and if it is met."""
    judged = {}
    for name, bar in BARS.items():
        reached = bar.reached(summary)
        met = None if reached is None else reached >= bar.at_least
        judged[name] = {"at_least": bar.at_least, "reached": reached, "met": met}
    return judged


def table(summary: Summary) -> Table:
    """Return the comparison as a table, one measured variant a row."""
    result = Table(title=f"Training speed, 784-500-20, minibatch 100, {THREADS} CPU threads")
    result.add_column("program", no_wrap=True)
    for header in ("samples/s", "slowest - fastest", "x Lightning", "of ceiling", "peak memory"):
        result.add_column(header, justify="right", no_wrap=True, min_width=len(header))
    for name, variant in VARIANTS.items():
        if name not in summary:
            continue
        found = summary[name]
        result.add_row(
            variant.title,
            f"{found['samples_per_second']:,.0f}",
            f"{min(found['runs']):,.0f} - {max(found['runs']):,.0f}",
            f"{found['over_lightning']:.2f}",
            f"{found['of_ceiling']:.0%}",
            f"{found['peak_memory_mib']:,.0f} MiB",
        )
    return result


def sentences(summary: Summary) -> list[str]:
    """Return the lines below the table: the bars, and how to install what was left out."""
    lines = []
    for name, judged in judge(summary).items():
        asked = f"4 seeds, compiled >= {judged['at_least']:g} x {BARS[name].title}: "
        if judged["reached"] is None:
            lines.append(asked + "not measured")
        else:
            verdict = "met" if judged["met"] else "not met"
            lines.append(asked + f"{judged['reached']:.2f}, {verdict}")
    for variant in (v for name, v in VARIANTS.items() if name not in summary):
        lines.append(
            f"Left out: {variant.title}, which needs {' and '.join(variant.missing)}; "
            f"to install: {INSTALL}"
        )
    return lines
