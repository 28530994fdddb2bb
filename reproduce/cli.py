"""What the commands share: errors as sentences, the terminal, missing data."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from reproduce import data
from reproduce.errors import UserError
from reproduce.runner import Divergence

USER_ERROR, INTERRUPTED = 2, 130


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
    except UserError as error:
        _fail(str(error), USER_ERROR)
    except InstantiationException:
        raise  # a fault in the code that a `_target_` names, which needs its traceback
    except (HydraException, OmegaConfBaseException) as error:
        _fail(hydra_sentence(error), USER_ERROR)


def _fail(sentence: str, status: int) -> None:
    print(f"error: {sentence}" if status == USER_ERROR else sentence, file=sys.stderr)
    sys.exit(status)


def hydra_sentence(error: Exception) -> str:
    """Say in one sentence what Hydra says in several lines."""
    text = str(error)
    missing = re.search(r"Could not find '([\w/]+)/([^'/]+)'", text)
    options = re.search(r"Available options in '[^']*':\s*((?:\n\s*\S+)+)", text)
    if missing and options:
        valid = ", ".join(options.group(1).split())
        return f"Unknown {missing.group(1)} {missing.group(2)!r}; choose one of: {valid}."
    unknown = re.search(r"Key '([^']+)' is not in struct(?:.*?full_key: ([\w./]+))?", text, re.S)
    if unknown:
        name = unknown.group(2) or unknown.group(1)
        return f"There is no setting {name!r}; `python -m reproduce --cfg job` prints all of them."
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    cause = error.__cause__ or error.__context__
    if cause is not None and "not in struct" in str(cause):
        return hydra_sentence(Exception(str(cause)))
    return first.rstrip(".") + "."


def console() -> Console:
    """The terminal that progress and tables go to."""
    return Console(stderr=False, soft_wrap=True)


def substitute_missing(
    names: Iterable[str], data_dir: str | None, fallback: str, terminal: Console
) -> dict[str, str]:
    """Find every data set before anything else; map each to itself or to its stand-in."""
    found = data.resolve(names, data_dir, fallback)
    if found.missing:
        terminal.print(found.banner(), style="bold yellow", markup=False, highlight=False)
    return found.names


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
