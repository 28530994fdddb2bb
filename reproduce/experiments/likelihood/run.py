"""Experiment 2 from stored snapshots: the marginal log-likelihood, as in the paper's Figure 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from rich.console import Console

from reproduce import config
from reproduce.algorithms.schedule import rounded
from reproduce.analysis.published import load_published
from reproduce.common import cli
from reproduce.common.checks import numbers, whole_number
from reproduce.common.errors import UserError
from reproduce.common.machine import available_cores, choose_device, prepare
from reproduce.common.names import algorithm_name
from reproduce.experiments.likelihood import picture as figure2
from reproduce.experiments.likelihood.comparison import (
    NEAR_EXACT,
    compare_likelihoods,
    markdown_likelihood_table,
)
from reproduce.experiments.likelihood.picture import LikelihoodPanel
from reproduce.experiments.plan import Plan, marks_of
from reproduce.experiments.study import Outcome
from reproduce.likelihood import evaluate
from reproduce.likelihood.evaluate import ConfiguredEstimator, Question
from reproduce.store.load import snapshots_of
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import block_samples, last_mark
from reproduce.training.pool import Divergence

PAPER = "Figure 3 of Kingma & Welling 2013 (arXiv 1312.6114v10)"
FEW_ITERATIONS = 10
MANY_UNTRUSTED = 0.02
"""Of the images of a curve: a larger share is said under the figure."""
CURVE_COLUMNS = [
    "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "estimator",
    "value", "stderr",
]  # fmt: skip
COLUMNS = [*CURVE_COLUMNS, "n_points", "n_untrusted", "seconds"]


@dataclass(frozen=True)
class Task:
    """One estimate the figure needs: a question about seeds of a job."""

    job: Job
    question: Question
    estimator: ConfiguredEstimator

    @property
    def store(self) -> Store:
        """Where the seeds are."""
        return Store(self.job.store)

    def unanswered(self) -> list[int]:
        """Seeds without the estimate."""
        return [
            seed
            for seed in self.job.seeds
            if evaluate.kept(self.store, self.question, seed, self.estimator) is None
        ]

    def reachable(self, seeds: Sequence[int]) -> list[int]:
        """Those of `seeds` that have a snapshot."""
        have = snapshots_of(self.store, self.question.cell).get(self.question.samples, [])
        return [seed for seed in seeds if seed in have]


def finish(plan: Plan, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Estimate what is missing, and compare it with the published curves."""
    tasks = make_tasks(plan)
    missing = answer(tasks, plan, terminal)
    found = collect(tasks)
    published = load_published("figure3")
    drawn = tasks[0].estimator.name
    comparison = compare_likelihoods(found, published, drawn)
    curves = found[found["estimator"] == drawn]
    remarks = [*plan.remarks, *_few_iterations(plan.jobs), *_untrusted(curves, drawn)]
    for remark in remarks:
        terminal.print(remark, style="yellow", highlight=False)
    cells = [job.cell for job in plan.jobs]
    panels = dict.fromkeys(LikelihoodPanel(c.dataset, c.n_latent, c.n_train) for c in cells)
    used = {task.estimator.digest: task.estimator for task in tasks}
    return Outcome(
        tables={
            "curves.csv": found[CURVE_COLUMNS],
            "estimates.csv": found,
            "training.csv": plan.curves(),
            "comparison.csv": comparison,
        },
        about={
            "paper": PAPER,
            "estimators": {e.name: {"settings": e.settings, "digest": d} for d, e in used.items()},
            "missing_snapshots": missing,
            "remarks": " ".join(remarks) or None,
        },
        draw=lambda: figure2.draw(
            curves,
            published,
            list(panels),
            plan.path("figure2"),
            title=plan.title,
            footnote=" ".join(remarks),
        ),
        shown="" if comparison.empty else markdown_likelihood_table(comparison),
    )


def make_tasks(plan: Plan) -> list[Task]:
    """Name every estimate of the figure: the chosen estimator's first, at all marks.

    Beside it stands another at some of them; where that is the chosen one itself, the near-exact
    one, so that the published estimator is never alone.
    """
    chosen = ConfiguredEstimator.from_config(plan.settings.estimator)
    for job in plan.jobs:
        chosen.check(job.cell)
    tasks = [task for job in plan.jobs for task in _tasks(plan, job, chosen, None)]
    name = plan.settings.figure.beside
    name = NEAR_EXACT if name == chosen.name else name
    if name is not None and name != chosen.name:
        kept = [o for o in plan.overrides if not o.lstrip("+").startswith("estimator")]
        composed = config.compose_config(
            [*(o for o in kept if not o.startswith("+algorithm.")), f"estimator={name}"], "figure"
        )
        beside = ConfiguredEstimator.from_config(composed.estimator)
        given = numbers("beside_at of a budget", plan.budget.beside_at, "[1e6,3e6]")
        at = [whole_number("beside_at of a budget", mark) for mark in given]
        possible = [job for job in plan.jobs if _can_be_used(beside, job)]
        tasks += [task for job in possible for task in _tasks(plan, job, beside, at)]
    return tasks


def _can_be_used(estimator: ConfiguredEstimator, job: Job) -> bool:
    try:
        estimator.check(job.cell)
    except UserError:
        return False
    return True


def _tasks(
    plan: Plan, job: Job, estimator: ConfiguredEstimator, only: list[int] | None
) -> list[Task]:
    n_points = whole_number("n_points of a budget", plan.budget.n_points)
    nominal = marks_of(plan.budget, job.samples)
    if only is not None:
        nominal = [mark for mark in nominal if mark in only or mark == job.samples]
    block = block_samples(job.cell)
    marks = sorted({rounded(mark, block) for mark in nominal})
    return [
        Task(job, Question(job.cell, mark, split, n_points), estimator)
        for mark, split in product(marks, ("train", "test"))
    ]


def answer(tasks: Sequence[Task], plan: Plan, terminal: Console) -> list[dict[str, object]]:
    """Make the estimates that are missing, with a progress bar; return those without snapshots."""
    left = [(task, seeds) for task in tasks if (seeds := task.unanswered())]
    possible = [(task, seed) for task, seeds in left for seed in task.reachable(seeds)]
    prepare(available_cores())
    device = choose_device(str(plan.settings.device))
    sizes = [len(evaluate.points(task.question, task.job.data_dir)) for task, _ in possible]
    with cli.progress(terminal, "estimating log p(x)", sum(sizes)) as advance:
        # A seed at a time: none waits for another to be kept, and on a CPU a stack is no faster.
        for task, seed in possible:
            found, seconds = evaluate.estimate(
                task.store, task.question, [seed], task.estimator, task.job.data_dir, device,
                advance,
            )  # fmt: skip
            evaluate.keep(task.store, task.question, [seed], task.estimator, found, seconds)
    missing: list[dict[str, object]] = [
        {"cell": task.job.cell.id, "seed": seed, "samples": task.question.samples}
        for task, seeds in left
        for seed in seeds
        if seed not in task.reachable(seeds)
    ]
    missing = [one for index, one in enumerate(missing) if one not in missing[:index]]
    for cell, seed in dict.fromkeys((one["cell"], one["seed"]) for one in missing):
        lacking = [one for one in missing if (one["cell"], one["seed"]) == (cell, seed)]
        marks = ", ".join(f"{one['samples']:,}" for one in lacking)
        terminal.print(
            f"{cell} seed {seed} has no snapshot at {marks} samples, so the figure lacks "
            f"{'this point' if len(lacking) == 1 else 'these points'}; where training went "
            "further, delete the seed's folder to train it again.",
            style="yellow",
        )
    return missing


def collect(tasks: Sequence[Task]) -> pd.DataFrame:
    """Read the estimates that there are, labelled in full."""
    rows = []
    for task in tasks:
        cell, question = task.job.cell, task.question
        for seed in task.job.seeds:
            found = evaluate.kept(task.store, question, seed, task.estimator)
            if found is not None:
                rows.append(
                    {
                        "dataset": cell.dataset,
                        "n_latent": cell.n_latent,
                        "n_train": cell.n_train,
                        "algorithm": cell.algorithm,
                        "seed": seed,
                        **{name: found[name] for name in COLUMNS if name in found},
                    }
                )
    if not rows:
        raise UserError("There is no estimate to draw: no seed has a snapshot.")
    return pd.DataFrame(rows)[COLUMNS]


def _untrusted(evaluate: pd.DataFrame, estimator: str) -> list[str]:
    """Say of which curve the estimator's own diagnostic distrusts the most images, if many."""
    share = evaluate["n_untrusted"] / evaluate["n_points"]
    if not (share > MANY_UNTRUSTED).any():
        return []
    worst = evaluate.iloc[int(share.to_numpy().argmax())]
    return [
        f"Of the {worst['split']} images of {algorithm_name(worst['algorithm'])} at "
        f"N_train = {worst['n_train']:,} {estimator}'s own diagnostic distrusts up to "
        f"{100 * share.max():.0f} % (of no other curve more; n_untrusted in estimates.csv)."
    ]


def _few_iterations(jobs: Sequence[Job]) -> list[str]:
    """Say of which curves too few iterations were made to mean anything."""
    few = [
        (job.cell, last_mark(job) // block_samples(job.cell))
        for job in jobs
        if block_samples(job.cell) >= job.cell.n_train  # full-batch algorithms only
        and last_mark(job) // block_samples(job.cell) < FEW_ITERATIONS
    ]
    return [
        f"{algorithm_name(cell.algorithm)} at N_train = {cell.n_train:,} has made {iterations} "
        "iterations here, which proves nothing about it."
        for cell, iterations in few
    ]
