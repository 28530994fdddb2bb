"""Experiment 1 from stored curves: the variational bound, as in the paper's Figure 2."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from reproduce.analysis.comparison import compare, markdown_table
from reproduce.analysis.panel import Panel
from reproduce.analysis.published import load_published
from reproduce.common.errors import UserError
from reproduce.common.files import write_json, write_with
from reproduce.experiments.bound import picture as figure1
from reproduce.experiments.plan import NOTHING_TO_DRAW, Plan
from reproduce.experiments.plan_manifest import manifest
from reproduce.store.store import Store
from reproduce.training.loop import last_mark
from reproduce.training.pool import Divergence

PAPER = "Figure 2 of Kingma & Welling 2013 (arXiv 1312.6114v10)"


def finish(plan: Plan, diverged: Sequence[Divergence], terminal: Console) -> None:
    """Write figure, curves, comparison and manifest, and print the comparison."""
    curves = collect(plan)
    if curves.empty and not diverged:
        raise UserError(NOTHING_TO_DRAW)
    published = load_published("figure2")
    comparison = compare(curves, published)
    write_with(plan.path("curves.csv"), lambda path: curves.to_csv(path, index=False))
    write_with(plan.path("comparison.csv"), lambda path: comparison.to_csv(path, index=False))
    panels = list(dict.fromkeys(Panel(panel.dataset, panel.n_latent) for panel in plan.panels))
    figure1.draw(
        curves,
        published,
        panels,
        plan.path("figure1"),
        title=plan.title,
        footnote=" ".join(plan.remarks),
    )
    write_json(plan.path("manifest.json"), manifest(plan, PAPER, diverged))
    if not comparison.empty:
        terminal.print(markdown_table(comparison, None), highlight=False)


def collect(plan: Plan) -> pd.DataFrame:
    """Read the curves of the figure from the store, up to the budget."""
    frames = [Store(job.store).curves(job.cell, job.seeds, last_mark(job)) for job in plan.jobs]
    numbers = {"n_latent": int, "n_train": int, "seed": int, "samples": int, "value": float}
    # Without rows, as where all members diverged before the first mark, pandas knows no types.
    return pd.concat(frames, ignore_index=True).astype(numbers)
