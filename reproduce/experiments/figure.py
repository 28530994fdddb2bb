"""Train what a figure needs and draw it: `reproduce figure figure=figure1`.

`make figure1`, `make figure2`, `make manifolds` and `make samples` call this. Results go to
results/<figure>/<budget>/. `reproduce figure --cfg job` prints the settings to override.
"""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from reproduce.common.checks import one_of
from reproduce.experiments import study
from reproduce.experiments.bound import run as bound_figure
from reproduce.experiments.images import run as image_figures
from reproduce.experiments.likelihood import run as likelihood_figure
from reproduce.experiments.plan import Plan, make_plan
from reproduce.experiments.study import Outcome
from reproduce.training.pool import Divergence

FINISH = {
    "figure1": bound_figure.finish,
    "figure2": likelihood_figure.finish,
    "manifolds": image_figures.finish_manifolds,
    "samples": image_figures.finish_samples,
}
"""What turns stored cells into each figure."""
CHECK = {"figure2": likelihood_figure.make_tasks}
"""What can be refused before anything is trained."""


def main(overrides: Sequence[str]) -> int:
    """Make the figure that the command line asks for; return the exit status."""
    return study.run(overrides, _checked_plan, _finish)


def _checked_plan(overrides: list[str], terminal: Console) -> Plan:
    plan = make_plan(overrides, terminal)
    one_of("figure.name", plan.name, FINISH)
    if plan.name in CHECK:
        CHECK[plan.name](plan)
    return plan


def _finish(plan: Plan, diverged: list[Divergence], terminal: Console) -> Outcome:
    outcome = FINISH[plan.name](plan, diverged, terminal)
    lost = {
        job.cell.title
        for job in plan.jobs
        if sum(d.job.cell == job.cell for d in diverged) == len(job.seeds)
    }
    lacks = f"The figure lacks {', '.join(sorted(lost))}: all their seeds diverged."
    about = {**plan.about, **outcome.about}
    written = f"{plan.name}.png"
    return replace(outcome, about=about, written=written, failure=lacks if lost else None)
