"""Files that are either complete or absent, and what is read checked.

Writing goes to a temporary name, which is then renamed; a damaged file ends in one sentence that
names it.
"""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from reproduce.common.errors import UserError

LOCKS_FAIL = (errno.ENOLCK, errno.ESTALE, errno.EOPNOTSUPP, errno.EIO)
"""What the system says of a lock where a file system, such as NFS, has none that works."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to it.

    The temporary name keeps the suffix, which tells writers such as matplotlib the format.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"Could not write {path}: {error.strerror or error}; free some space or choose a "
            "folder you may write to, then run the same command again to continue."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically (see `atomic_path`)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` produce a file under a temporary name and rename it to `path`."""
    with atomic_path(path) as temporary:
        write(temporary)


def read_text(path: Path, advice: str) -> str:
    """Read a text file in UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise UserError(f"{path} is not text in UTF-8 ({error}); {advice}.") from error


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        found = json.loads(read_text(path, advice))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); {advice}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__} and no object; {advice}.")
    return found


def read_table(
    path: Path, kinds: Mapping[str, type], advice: str, once: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a CSV file.

    Parameters
    ----------
    path
        The file.
    kinds
        Columns that it must have, with the types of their values; it may have more.
    advice
        What to do about a damaged file.
    once
        Columns whose values may occur together in one row only.
    """
    if not path.is_file():
        raise UserError(f"There is no {path}; {advice}.")
    try:
        lacking = [name for name in kinds if name not in pd.read_csv(path, nrows=0).columns]
        if lacking:
            raise UserError(f"{path} lacks the column(s) {', '.join(lacking)}; {advice}.")
        frame = pd.read_csv(path, float_precision="round_trip", dtype=dict(kinds))
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is not such a table ({error}); {advice}.") from error
    if once and frame.duplicated(list(once)).any():
        raise UserError(f"{path} holds a point twice; {advice}.")
    return frame


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock `path`; the system releases it when a process dies, however it dies.

    `on_wait` is called where another process holds it.
    """
    lock = FileLock(path)
    with _lock_errors(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
    try:
        yield
    finally:
        with _lock_errors(path):
            lock.release()


@contextlib.contextmanager
def _lock_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in LOCKS_FAIL:
            raise
        raise UserError(
            f"The folder {path.parent} lies on a file system whose locks do not work "
            f"({error.strerror}), as NFS without its lock service; choose a folder on another "
            "disk with results=FOLDER, then run the same command again."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def ensure_writable(folder: Path, setting: str = "results") -> None:
    """Find out before training whether results can be written; `setting` chooses the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write to the folder {folder} ({error.strerror}); choose another with "
            f"{setting}=FOLDER."
        ) from error
