"""A sweep: Hydra's multirun with any of its launchers, and how each of its jobs ended.

A job may run in this process, in another one or on another machine. So it neither exits nor
raises: it writes how it ended into a folder of its own below `<results>/sweeps/`, from where the
command that started the sweep reads it.
"""

import contextlib
import datetime
import json
import os
import sys
import threading
import time
import traceback
from _thread import interrupt_main
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf.errors import OmegaConfBaseException

from reproduce import config
from reproduce.common import cli, plugins
from reproduce.common.checks import quoted
from reproduce.common.errors import UserError
from reproduce.common.files import write_json
from reproduce.common.provenance import REPOSITORY
from reproduce.config.overrides import CONF, compose_unchecked
from reproduce.sweeps import launchers
from reproduce.training import pool

OUTCOME = "outcome.json"
SWEEP = "AEVB_SWEEP"
"""The variable that tells the jobs of a sweep on this machine which process started it."""
GRACE = 2 * pool.GRACE
OURS = ("hydra.sweep.dir", "hydra.sweep.subdir")
NO_OUTCOME = "it did not finish: its process ended, or never began"
WHOLE = {
    "hydra.launcher": "hydra.launcher.n_jobs=2",
    "hydra.sweeper": "hydra.sweeper.params.KEY=1,2",
}
"""Groups of Hydra's settings that a sweep cannot do without, with an example of setting a part."""


@dataclass(frozen=True)
class Outcome:
    """How a job of a sweep ended.

    Attributes
    ----------
    overrides
        What the job was: one value of each setting.
    error
        Why it failed, in a sentence; None where it did what it should.
    fault
        The traceback, where the code is to blame.
    """

    overrides: tuple[str, ...]
    error: str | None = None
    fault: str | None = None


def names(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Name each job by what tells it from the others."""
    common = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [" ".join(one for one in job if one not in common) for job in jobs]


def is_asked_for(given: Namespace) -> bool:
    """Tell whether the parsed command line starts a sweep."""
    other = given.cfg or given.info or given.help or given.hydra_help or given.shell_completion
    return not other and (given.multirun or "hydra.mode=MULTIRUN" in given.overrides)


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the overrides of each job, in the order of Hydra's basic sweeper.

    Raises
    ------
    hydra.errors.HydraException
        For what that sweeper does not know, such as an interval.
    UserError
        Where there is no job.
    """
    parsed = [one for one in _parse(overrides) if not one.is_hydra_override()]
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    if not jobs:
        raise UserError("The sweep has no jobs: something in it, such as a glob, matches nothing.")
    return [tuple(job) for job in jobs]


def hydra_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the overrides of Hydra's own settings, with their values."""
    return {one.key_or_group: one.value() for one in _parse(overrides) if one.is_hydra_override()}


def launcher_of(given: Mapping[str, Any]) -> str:
    """Return the name of the launcher that the given settings choose, or else conf/train.yaml."""
    if "hydra/launcher" not in given:
        choices = compose_unchecked([], with_hydra=True).hydra.runtime.choices
        return str(choices["hydra/launcher"])
    name = given["hydra/launcher"]
    if not isinstance(name, str):
        raise UserError("hydra/launcher must be one launcher's name, such as joblib.")
    return name


def launch(
    application: Callable[[], None],
    overrides: Sequence[str],
    options: Sequence[str] = ("--multirun",),
) -> list[Outcome]:
    """Run every job of a sweep and say how each ended.

    Parameters
    ----------
    application
        Hydra's application, which reads the command line in `sys.argv`.
    overrides
        As typed, with several values separated by commas.
    options
        Hydra's options on its command line.
    """
    given = hydra_settings(overrides)
    for key, example in WHOLE.items():
        if key in given:
            raise UserError(f"{key} cannot be replaced as a whole; set a part of it ({example}).")
    launcher = launcher_of(given)
    launchers.check_installed(launcher)
    launchers.check_counts(given)
    if wrong := [key for key in OURS if key in given]:
        raise UserError(f"{wrong[0]} is not for setting: a sweep's records go below its results.")
    jobs = expand(overrides)
    folder = _folder(jobs[0])
    divided = launchers.division(launcher, len(jobs), given)
    settings = launchers.fitting(launcher, divided, given)
    added = [f"{key}={value}" for key, value in settings.items()]
    added += [f"hydra.sweep.dir={quoted(folder)}", "hydra.sweep.subdir=${hydra.job.num}"]
    if launcher != launchers.BASIC:
        added += [f"hydra.job.env_copy=[{','.join(launchers.passed_on())}]"]
        how = f", {divided}" if divided else ""
        print(f"{len(jobs)} jobs with the launcher {launcher}{how}. Records: {folder}")
        sys.stdout.flush()  # before what other processes print
    with command_line([*options, *plugins.search_path(), *added, *overrides]), _environment():
        if launcher in launchers.ON_THIS_MACHINE:
            os.environ[SWEEP] = str(os.getpid())
        try:
            application()
        except Exception as error:
            # Jobs keep their errors to themselves (`record`): this is the launcher's, or Hydra's.
            if cli.sentence(error) is not None:
                raise
            said = f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")
            print(f"The sweep was cut short ({said}).", file=sys.stderr)
            _wait_for_submitit(folder)
    return [_read(folder / str(number) / OUTCOME, job) for number, job in enumerate(jobs)]


@cache
def end_with_sweep() -> None:
    """In a job's process on the sweep's machine: see to it that it ends when the sweep does.

    As by Ctrl-C, so that W&B's runs are closed; by force where that takes too long.
    """
    if SWEEP not in os.environ or os.environ[SWEEP] == str(os.getpid()):
        return
    try:
        sweep = os.pidfd_open(int(os.environ[SWEEP]))
    except ProcessLookupError:
        raise KeyboardInterrupt from None  # it has ended already
    except (AttributeError, OSError):  # not Linux
        return

    def follow() -> None:
        wait([sweep])
        interrupt_main()
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def record(folder: Path, overrides: Sequence[str], work: Callable[[], None]) -> None:
    """In a job: do `work` and write how it ended into `folder`; only Ctrl-C goes any further."""
    outcome = Outcome(tuple(overrides))
    try:
        work()
    except Exception as error:
        outcome = failed(overrides, error)
    write_json(folder / OUTCOME, asdict(outcome))


def failed(overrides: Sequence[str], error: Exception) -> Outcome:
    """Print why a job failed, with the traceback where the code is to blame."""
    sentence, fault = cli.sentence(error), None
    if sentence is None:
        sentence, fault = f"{type(error).__name__}: {_first_line(error)}", _trace(error)
    print(fault or f"error: {sentence}", file=sys.stderr, flush=True)
    return Outcome(tuple(overrides), sentence, fault)


def report(outcomes: Sequence[Outcome]) -> int:
    """Name the jobs that failed; return the exit status."""
    named = zip(names([outcome.overrides for outcome in outcomes]), outcomes, strict=True)
    lost = [f"{name}: {outcome.error}" for name, outcome in named if outcome.error]
    if lost:
        print(f"{len(lost)} of the sweep's jobs failed:", *lost, sep="\n  ", file=sys.stderr)
    if any(outcome.error == NO_OUTCOME for outcome in outcomes):
        print("Run the same command again to continue from the checkpoints.", file=sys.stderr)
    if not lost:
        print(f"All {len(outcomes)} jobs of the sweep are done.")
    return cli.USER_ERROR if lost else 0


def _parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides as Hydra's sweeper does, with the files of conf/ for a glob."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        parser = OverridesParser.create(config_loader=hydra.config_loader)
        return parser.parse_overrides(list(overrides))


def _folder(job: Sequence[str]) -> Path:
    """A new folder for the records of a sweep, absolute: jobs may begin elsewhere."""
    try:
        results = config.results_folder(compose_unchecked(job))
    except OmegaConfBaseException as error:
        raise UserError(cli.hydra_sentence(error)) from error
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S")
    return (results / "sweeps" / f"{now}-{os.getpid()}").absolute()


def _read(path: Path, overrides: tuple[str, ...]) -> Outcome:
    if not path.exists():
        return Outcome(overrides, NO_OUTCOME)
    written = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(tuple(written["overrides"]), written["error"], written["fault"])


def _wait_for_submitit(folder: Path) -> None:
    """Wait for the local jobs that outlive another one: submitit raises when the first is lost.

    It names the folder of a job's logs by the process that looks after the job, our child.
    """
    for logs in folder.glob(".submitit/*"):
        if logs.name.isdigit():
            with contextlib.suppress(ChildProcessError):  # not ours, such as a job of Slurm
                os.waitpid(int(logs.name), 0)


@contextlib.contextmanager
def command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Show Hydra's application `arguments` as what was typed."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Let jobs in other processes find this very code, and Ray report to us alone, and all."""
    before = dict(os.environ)
    path = [str(REPOSITORY), *(p for p in before.get("PYTHONPATH", "").split(os.pathsep) if p)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # it takes the lines of two jobs for one
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
