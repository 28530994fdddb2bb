"""What a figure was made from, in plain containers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from omegaconf import OmegaConf

from reproduce.common.provenance import provenance
from reproduce.experiments.plan import Plan
from reproduce.store.store import Store
from reproduce.training.pool import Divergence


def manifest(plan: Plan, paper: str, diverged: Sequence[Divergence]) -> dict[str, Any]:
    """Name budget, data, code and cells; `paper` is the figure of the paper's."""
    budget = OmegaConf.to_container(plan.budget, resolve=True)
    assert isinstance(budget, dict)
    return {
        "figure": plan.name,
        "title": plan.title,
        "paper": paper,
        "budget": {"name": str(plan.settings.budget.name), **budget},
        "datasets": sorted({panel.dataset for panel in plan.panels}),
        "replaced": plan.replaced,
        "settings": str(plan.settings.settings.name),
        "changed_settings": plan.changed,
        "drawn": {"at": datetime.now(UTC).isoformat(timespec="seconds"), **provenance()},
        "diverged": [
            {"cell": d.job.cell.id, "seed": d.seed, "samples": d.samples} for d in diverged
        ],
        "cells": [
            {
                "id": job.cell.id,
                "samples": job.samples,
                "members": [Store(job.store).manifest(job.cell, seed) for seed in job.seeds],
            }
            for job in plan.jobs
        ],
    }
