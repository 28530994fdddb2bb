"""Show what a sweep will do, do it, and show what came of it: `reproduce sweep`.

`make sweep` calls this: `reproduce sweep algorithm=aevb,wake_sleep model.n_latent=3,5,10`. The
jobs are those of `reproduce train --multirun`. They share the cores of this machine like a
figure's; with a launcher named, as in hydra/launcher=submitit_slurm, Hydra starts them.
"""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from reproduce.analysis.curves import spread
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.markdown import with_interval
from reproduce.common.provenance import provenance
from reproduce.config.overrides import as_typed, check_overrides
from reproduce.store.store import Store
from reproduce.sweeps import application, launchers, multirun
from reproduce.sweeps.multirun import Outcome, failed
from reproduce.sweeps.plan import Planned, durations, makespan, plan
from reproduce.training.loop import last_mark
from reproduce.training.pool import all_lost, diverged, run


def main(arguments: Sequence[str]) -> int:
    """Run the sweep that the command line asks for; return the exit status."""
    overrides = as_typed(arguments)
    options = [argument for argument in overrides if argument.startswith("-")]
    if options:
        raise UserError(
            f"A sweep takes overrides and no options, so {options[0]!r} cannot be given."
        )
    check_overrides(overrides, sweep=True)
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    jobs = multirun.expand(overrides)
    given = multirun.hydra_settings(overrides)
    launcher = multirun.launcher_of(given)
    if not given and launcher == launchers.BASIC:
        launcher = launchers.POOL
    launchers.check_installed(launcher)
    planned = plan(jobs, terminal)
    divided = launchers.division(launcher, len(jobs), given)
    seconds = durations(planned, divided)
    names = _names(planned)
    terminal.print(_plan_table(planned, seconds, names))
    terminal.print(_time_needed(planned, seconds, launcher, divided), highlight=False)
    if all(one.is_done for one in planned):
        outcomes = [Outcome(one.overrides, one.job and all_lost(one.job)) for one in planned]
    elif launcher != launchers.POOL:
        outcomes = multirun.launch(application.run, overrides)
    else:
        outcomes = _in_pool(planned, terminal)
    terminal.print(_result_table(planned, outcomes, names))
    return multirun.report(outcomes)


def _in_pool(planned: Sequence[Planned], terminal: Console) -> list[Outcome]:
    """Train in processes of this machine; one that fails stops no other."""
    jobs = [one.job for one in planned if one.job]
    for job in jobs:
        application.check_folders(job)
    failures: dict[str, Exception] = {}
    if jobs:
        run(jobs, next(one.workers for one in planned if one.job), terminal, failures=failures)
    outcomes = []
    for one in planned:
        error = failures.get(one.job.cell.id) if one.job else UserError(one.problem)
        if one.job and not error and (lost := all_lost(one.job)):
            error = UserError(lost)
        outcomes.append(failed(one.overrides, error) if error else Outcome(one.overrides))
    return outcomes


def _names(planned: Sequence[Planned]) -> list[str]:
    """The id of each cell; where a job is no cell, what tells it from the others."""
    others = multirun.names([one.overrides for one in planned])
    return [
        one.job.cell.id if one.job else other for one, other in zip(planned, others, strict=True)
    ]


def _plan_table(
    planned: Sequence[Planned], seconds: Sequence[float], names: Sequence[str]
) -> Table:
    columns = ("cell", "samples", "seeds", "state", "time")
    table = cli.table(columns, ("samples", "seeds", "time"), "The plan")
    for one, duration, name in zip(planned, seconds, names, strict=True):
        if one.job is None:
            table.add_row(name, "", "", f"cannot be: {one.problem}", "")
            continue
        seen = min(one.seen)
        state = "done" if one.is_done else f"from {seen:,}" if seen else "new"
        time = "" if one.is_done else _duration(duration)
        table.add_row(name, f"{one.job.samples:,}", str(len(one.job.seeds)), state, time)
    return table


def _time_needed(
    planned: Sequence[Planned],
    seconds: Sequence[float],
    launcher: str,
    divided: launchers.Division | None,
) -> str:
    done = f"{sum(one.is_done for one in planned)} of {len(planned)} cells are done already."
    seconds = [duration for duration in seconds if not math.isnan(duration)]
    if not any(seconds):
        return done
    if divided is None:
        return (
            f"{done} The others take about {_duration(sum(seconds))} at the speed of this machine, "
            "measured just now, if one runs after another."
        )
    how = "our processes" if launcher == launchers.POOL else f"the launcher {launcher}"
    return (
        f"{done} The others take about {_duration(makespan(seconds, divided.at_once))} with "
        f"{how}, {divided}: an estimate from speeds measured here just now, "
        "without what it takes to start processes."
    )


def _result_table(
    planned: Sequence[Planned], outcomes: Sequence[Outcome], names: Sequence[str]
) -> Table:
    """The bound at the end of each cell; what was done is told by `planned`, made before."""
    title = "Variational bound at the end, nats a datapoint (± 95 % over seeds)"
    table = cli.table(("cell", "train", "test", "status"), ("train", "test"), title)
    for one, outcome, name in zip(planned, outcomes, names, strict=True):
        values = (_bound(one, split) for split in ("train", "test"))
        table.add_row(name, *values, _status(one, outcome))
    return table


def _bound(one: Planned, split: str) -> str:
    if one.job is None:
        return ""
    curves = Store(one.job.store).curves(one.job.cell, one.job.seeds, last_mark(one.job))
    curves = curves[curves["split"] == split]
    if curves.empty:
        return ""
    last = curves[curves["samples"] == curves["samples"].max()]
    found = spread(last["value"].to_numpy(float)[:, None])
    return with_interval(found.mean[0], found.half_width[0])


def _status(one: Planned, outcome: Outcome) -> str:
    lost = diverged([one.job]) if one.job else []
    if outcome.error:
        return f"failed: {outcome.error}"
    where = ", ".join(f"seed {one.seed} before {one.samples:,} samples" for one in lost)
    state = "done before" if one.is_done else "done"
    return f"{state}; diverged: {where}" if lost else state


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "unknown"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
