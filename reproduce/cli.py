"""What the commands share: errors as sentences, the terminal, missing data."""

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from reproduce import data
from reproduce.errors import UserError
from reproduce.runner import Divergence
from reproduce.runtime import is_out_of_memory
from reproduce.training import Job

USER_ERROR, INTERRUPTED = 2, 130
FOLDER_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
)  # fmt: skip
"""What the system says of folders that cannot be used; other OSErrors may be ours."""


def command(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and exit with its status; a user's mistake ends in one sentence."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let Hydra's exceptions reach `as_sentences`
    with as_sentences():
        sys.exit(main())


@contextlib.contextmanager
def as_sentences() -> Iterator[None]:
    """Turn errors that a user can mend into one sentence on stderr and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("Interrupted. Run the same command again to continue.", INTERRUPTED)
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        _fail(said, USER_ERROR)


def sentence(error: Exception) -> str | None:
    """Say an error that a user can mend in one sentence; None for one that needs its traceback."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, InstantiationException):
        return None  # a fault in the code that a `_target_` names
    if isinstance(error, HydraException | OmegaConfBaseException):
        return hydra_sentence(error)
    if isinstance(error, OSError) and error.errno in FOLDER_ERRORS:
        return _folder_sentence(error)
    if isinstance(error, ValueError) and _raised_by_hydra(error):
        return hydra_sentence(error)
    if is_out_of_memory(error):
        return "This does not fit into memory; choose smaller sizes, or fewer seeds or samples."
    return None


def _fail(sentence: str, status: int) -> None:
    print(f"error: {sentence}" if status == USER_ERROR else sentence, file=sys.stderr)
    sys.exit(status)


def _folder_sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror or error}; free some space or choose a folder you may write to "
        "(results=FOLDER), then run the same command again to continue."
    )


def _raised_by_hydra(error: Exception) -> bool:
    """Tell Hydra's own complaints about a command line from ours and from torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "hydra" in Path(frames[-1].filename).parts


def hydra_sentence(error: Exception) -> str:
    """Say in one sentence what Hydra and OmegaConf say in several lines."""
    text = str(error)
    unknown = re.search(r"Key '[^']+' (?:is )?not in .*?full_key: (\S+)", text, re.S)
    if unknown:
        return (
            f"There is no setting {unknown.group(1)!r}; `python -m reproduce --cfg job` prints "
            "them all."
        )
    if error.__cause__ is not None and "not in struct" in str(error.__cause__):
        return hydra_sentence(Exception(str(error.__cause__)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = re.search(r"full_key: (\S+)", text)
    setting = f" (in {where.group(1)})" if where else ""
    return f"{lines[0].rstrip('.') if lines else type(error).__name__}{setting}."


def console() -> Console:
    """The terminal that progress and tables go to; a file gets lines wide enough for tables."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def substitute_missing(
    names: Iterable[str], data_dir: str | None, fallback: str, terminal: Console
) -> dict[str, str]:
    """Find every data set before anything else; map each to itself or to its stand-in."""
    found = data.resolve(names, data_dir, fallback)
    if found.missing:
        terminal.print(found.banner(), style="bold yellow", markup=False, highlight=False)
    return found.names


def check_sizes(jobs: Iterable[Job]) -> None:
    """Find out before training whether the data sets have as many images as are asked for.

    Raises
    ------
    UserError
        Where one has not.
    """
    for job in jobs:
        data.load(job.cell.dataset, job.data_dir).first(job.cell.n_train)


def ensure_writable(folder: Path) -> None:
    """Find out before training whether results can be written.

    Raises
    ------
    UserError
        Where they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write to the results folder {folder} ({error.strerror}); choose another with "
            "results=FOLDER."
        ) from error


def report_divergence(found: Iterable[Divergence], terminal: Console) -> None:
    """Name the members that diverged."""
    for member in found:
        terminal.print(
            f"Diverged: {member.job.cell.title} seed {member.seed}, before {member.samples:,} "
            "samples; its curve ends there.",
            style="yellow",
        )
