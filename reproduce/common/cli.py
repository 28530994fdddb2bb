"""Shared by all commands: one-line error messages, exit codes, the console."""

import contextlib
import errno
import math
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from reproduce.common.errors import UserError
from reproduce.common.machine import is_out_of_memory

USER_ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 141
FOLDER_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ESTALE,
)  # fmt: skip
"""What the system says of folders that cannot be used; other OSErrors may be ours."""

PLACES = ("results", "folder", "other", "data_dir")
"""Arguments of verbs that are folders."""
MEASURED, LONG = 5, 60
"""Seconds after which a speed is known, and that somebody would want to know of beforehand."""
WANDB_FAILS = (
    "Weights & Biases does not work ({}); set tracking=offline, which needs no account and no "
    "network, or tracking=off."
)


def command(main: Callable[[], int | None]) -> None:
    """Run `main` and exit with its status; a user's mistake ends in one sentence."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let Hydra's exceptions reach `as_sentences`
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit is as good as Ctrl-C
    with as_sentences():
        status = main()
        sys.stdout.flush()
        sys.exit(status)


def parsed(arguments: Iterable[str], usage: str, **defaults: str | None) -> dict[str, str]:
    """Return the `key=value` arguments of a verb that composes no configuration.

    Parameters
    ----------
    arguments
        As typed after the verb.
    usage
        The verb with its arguments, as an error message shows it.
    **defaults
        The keys there are, with their values where they are not given; None: must be given. A dot
        in a key is an underscore here.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        name = key.replace(".", "_")
        if not equals or name not in defaults or name in given or not value:
            raise UserError(f"{argument!r} cannot be given here. Usage: reproduce {usage}")
        given[name] = os.path.expanduser(value) if name in PLACES else value
    if missing := [name for name, value in defaults.items() if value is None and name not in given]:
        raise UserError(f"{' and '.join(missing)} must be given. Usage: reproduce {usage}")
    return {name: given.get(name) or value or "" for name, value in defaults.items()}


@contextlib.contextmanager
def as_sentences() -> Iterator[None]:
    """Turn errors that a user can fix into one sentence on stderr and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("Interrupted. Run the same command again to continue.", INTERRUPTED)
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is to be flushed yet
        sys.exit(PIPE_CLOSED)
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        _fail(said, USER_ERROR)


def _nobody_reads() -> bool:
    """Tell whether it is our output that broke: `head`, for one, reads no more than it wants."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in watch.poll(0))


def sentence(error: Exception) -> str | None:
    """Say an error that a user can fix in one sentence; None for one that needs its traceback."""
    if isinstance(error, UserError):
        return str(error)
    # By name: readers of results have no need of Hydra, which takes long to import.
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if "hydra.errors.InstantiationException" in kinds:
        return _instantiation_sentence(error)
    if kinds & {"hydra.errors.HydraException", "omegaconf.errors.OmegaConfBaseException"}:
        return hydra_sentence(error)
    if isinstance(error, OSError) and error.errno in FOLDER_ERRORS:
        return _folder_sentence(error)
    if isinstance(error, ValueError) and _raised_by_hydra(error):
        return hydra_sentence(error)
    if is_wandb(error):
        return WANDB_FAILS.format(error)
    if type(error).__module__.startswith("yaml.") or (
        isinstance(error, UnicodeDecodeError) and _passed_hydra(error)
    ):
        return f"A configuration file is no YAML: {' '.join(str(error).split())}."
    if is_out_of_memory(error):
        return "This does not fit into memory; choose smaller sizes, or fewer seeds or samples."
    return own_fault(error)


def own_fault(error: BaseException) -> str | None:
    """Say where code of the user's own failed; None where an error did not pass through any."""
    from reproduce.common import plugins  # with Hydra, which is slow to import

    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if plugins.is_own(Path(frame.filename))
    ]
    if not frames:
        return None
    last, said = frames[-1], " ".join(str(error).split())
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"{last.filename}, line {last.lineno}, in {last.name}: `{last.line}` fails ({reason})."


def is_wandb(error: Exception) -> bool:
    """Tell whether an error is of W&B, which is imported only where it is used."""
    return type(error).__module__.partition(".")[0] == "wandb"


def _instantiation_sentence(error: Exception) -> str | None:
    """Say what a configuration names that is not there; None for a fault in the code it names."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(error)
    not_found = text.startswith(("Error locating target", "Expected a callable target"))
    misfit = isinstance(cause, TypeError) and re.search(
        r"unexpected keyword|missing \d", str(cause)
    )
    if not (not_found or misfit):
        return None
    first = text.splitlines()[0].split(", set env var")[0].rstrip(":.")
    return f"{first} ({type(cause).__name__}: {cause})."


def _fail(sentence: str, status: int) -> None:
    print(f"error: {sentence}" if status == USER_ERROR else sentence, file=sys.stderr)
    sys.exit(status)


def _folder_sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror or error}; free some space or choose a folder you may write to "
        "(results=FOLDER, tracking.folder=FOLDER), then run the same command again to continue."
    )


def _raised_by_hydra(error: Exception) -> bool:
    """Tell Hydra's own complaints about a command line from ours and from torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "hydra" in Path(frames[-1].filename).parts


def _passed_hydra(error: Exception) -> bool:
    """Whether Hydra was at work, in whatever library it then called."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("hydra" in Path(frame.filename).parts for frame in frames)


def hydra_sentence(error: Exception) -> str:
    """Say in one sentence what Hydra and OmegaConf say in several lines."""
    text = str(error)
    lost = re.search(r"Could not find '(.+)'\s+Available options in .+:\n((?:\t\w+\n)+)", text)
    if lost:
        return f"There is no {lost[1]}; choose one of: {', '.join(lost[2].split())}."
    unknown = re.search(r"Key '[^']+' (?:is )?not in .*?full_key: (\S+)", text, re.S)
    if unknown:
        return (
            f"There is no setting {unknown.group(1)!r}; `reproduce train --cfg job` prints "
            "them all."
        )
    if error.__cause__ is not None and "not in struct" in str(error.__cause__):
        return hydra_sentence(Exception(str(error.__cause__)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = re.search(r"full_key: (\S+)", text)
    setting = f" (in {where.group(1)})" if where else ""
    return f"{lines[0].rstrip('.') if lines else type(error).__name__}{setting}."


def table(columns: Iterable[str], numbers: Collection[str], title: str | None = None) -> Table:
    """A table that keeps numbers whole and folds text where it is narrow; rich would cut both."""
    made = Table(title=title)
    for name in columns:
        whole = name in numbers
        side = "right" if whole else "left"
        made.add_column(name, justify=side, no_wrap=whole, overflow="fold")
    return made


@contextlib.contextmanager
def progress(terminal: Console, what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar with the time left; yields what advances it, by parts of `total`.

    A file, such as the log of a job, gets one line in its place, as soon as it can be told that
    this takes minutes.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("elapsed"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    # The speed is that since the beginning: a single step may take minutes.
    said = terminal.is_terminal
    bar = Progress(
        *columns, console=terminal, transient=True, disable=not said, speed_estimate_period=math.inf
    )
    with bar:
        row = bar.add_task(what, total=total)
        bar.advance(row, 0)

        def advance(done: float) -> None:
            nonlocal said
            bar.advance(row, done)
            (task,) = bar.tasks
            left = task.time_remaining or 0
            if not said and (task.elapsed or 0) >= MEASURED and left >= LONG:
                said = True
                terminal.print(f"{what}: about {left / 60:.0f} minutes left", highlight=False)

        yield advance


def console() -> Console:
    """The terminal that progress and tables go to; a file gets lines wide enough for tables.

    Without markup: a folder's name may hold brackets.
    """
    return Console(soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else 120)
