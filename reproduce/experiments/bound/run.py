"""Experiment 1 from stored curves: the variational bound, as in the paper's Figure 2."""

from collections.abc import Sequence

from rich.console import Console

from reproduce.analysis.comparison import compare, markdown_table
from reproduce.analysis.panel import Panel
from reproduce.analysis.published import load_published
from reproduce.common.errors import UserError
from reproduce.experiments.bound import picture as figure1
from reproduce.experiments.plan import Plan
from reproduce.experiments.study import NOTHING_TO_DRAW, Outcome
from reproduce.training.pool import Divergence

PAPER = "Figure 2 of Kingma & Welling 2013 (arXiv 1312.6114v10)"


def finish(plan: Plan, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Collect the curves up to the budget, and compare them with the published ones."""
    curves = plan.curves()
    if curves.empty and not diverged:
        raise UserError(NOTHING_TO_DRAW)
    published = load_published("figure2")
    comparison = compare(curves, published)
    panels = list(dict.fromkeys(Panel(panel.dataset, panel.n_latent) for panel in plan.panels))
    return Outcome(
        tables={"curves.csv": curves, "comparison.csv": comparison},
        about={"paper": PAPER},
        draw=lambda: figure1.draw(
            curves,
            published,
            panels,
            plan.path("figure1"),
            title=plan.title,
            footnote=" ".join(plan.remarks),
        ),
        shown="" if comparison.empty else markdown_table(comparison, None),
    )
