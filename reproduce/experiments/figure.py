"""Train what a figure needs and draw it: `reproduce figure figure=figure1`.

`make figure1`, `make figure2`, `make manifolds` and `make samples` call this. Results go to
results/<figure>/<budget>/. `reproduce train --cfg job` prints the settings to override.
"""

from collections.abc import Sequence

from reproduce import config
from reproduce.common import cli
from reproduce.common.checks import one_of, yes_or_no
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable
from reproduce.common.provenance import provenance
from reproduce.experiments.bound import run as bound_figure
from reproduce.experiments.images import run as image_figures
from reproduce.experiments.likelihood import run as likelihood_figure
from reproduce.experiments.plan import make_plan
from reproduce.training import pool
from reproduce.training.pool import report_divergence

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
    arguments = list(overrides)
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(
            f"A figure takes overrides such as budget=smoke and no options, so {options[0]!r} "
            "cannot be given."
        )
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    plan = make_plan(arguments, terminal)
    one_of("figure.name", plan.settings.figure.name, FINISH)
    if plan.name in CHECK:
        CHECK[plan.name](plan)
    ensure_writable(plan.folder)
    train = yes_or_no("train", plan.settings.train)
    workers = config.workers(plan.settings)
    diverged = pool.run(plan.jobs, workers, terminal) if train else pool.diverged(plan.jobs)
    FINISH[plan.name](plan, diverged, terminal)
    report_divergence(diverged, terminal)
    terminal.print(f"Figure: {plan.path(f'{plan.name}.png')}", highlight=False)
    lost = {
        job.cell.title
        for job in plan.jobs
        if sum(d.job.cell == job.cell for d in diverged) == len(job.seeds)
    }
    if lost:
        raise UserError(f"The figure lacks {', '.join(sorted(lost))}: all their members diverged.")
    return 0
