"""Finding a data set's files: the user's folder, then the cache, then the mirrors in turn.

Every check is on a file's *decoded contents*, never on its packing: a recompressed file passes and
a damaged one does not, wherever it came from.

The environment variable ``AEVB_OFFLINE=1`` skips every download at once.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from tqdm import tqdm

from reproduce.common.errors import UserError
from reproduce.common.files import atomic_path

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 60.0  # seconds; the first is all that a dead network costs
LFS_POINTER = b"version https://git-lfs"
POINTS_TO_LFS = "it is a pointer of Git LFS, for which `git lfs pull` fetches the file"
SHOWN_NAMES = 8
"""How many names a message lists of what else a folder holds."""


class ContentError(Exception):
    """Bytes are not what they should be; the message is a clause that says what they are."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes
    ----------
    names
        The names it is known by; a download is stored under the first.
    urls
        Mirrors, tried in this order.
    decode
        From the file's bytes to its contents; raises `ContentError` unless they are exactly the
        expected ones.
    folders
        Where below a folder of data it may lie, as other software leaves it; "." is the folder.
    """

    names: tuple[str, ...]
    urls: tuple[str, ...]
    decode: Callable[[bytes], np.ndarray]
    folders: tuple[str, ...] = (".",)


@dataclass(frozen=True)
class Found:
    """The verified contents of a file and, in words, the place they came from."""

    contents: np.ndarray
    source: str


class DataUnavailable(UserError):
    """A data set could be neither found nor fetched.

    Attributes
    ----------
    title
        The data set's name in prose.
    files
        The files that are missing.
    tried
        The places and mirrors tried, each with the reason why it gave nothing.
    """

    def __init__(self, title: str, files: tuple[DataFile, ...], tried: tuple[str, ...]) -> None:
        # All arguments go to the base class so that the exception survives pickling.
        super().__init__(title, files, tried)
        self.title, self.files, self.tried = title, files, tried

    def __str__(self) -> str:
        """Return what is missing, what was tried and how to fix it."""
        return f"{self.account()}\n{ways_to_get([self])}"

    def account(self) -> str:
        """Return what is missing and what was tried, a line a place."""
        names = " and ".join(file.names[0] for file in self.files)
        places = "".join(f"\n  - {place}" for place in self.tried)
        return (
            f"{self.title} is not available. Looked for {names} in:{places}\n"
            f"File names that are understood: {', '.join(self._understood())}."
        )

    def _understood(self) -> list[str]:
        """The names of the missing files, the other names that each may have, and subfolders."""
        names = [name for file in self.files for name in file.names]
        below = dict.fromkeys(f for file in self.files for f in file.folders if f != ".")
        return names + [f"or the same in {folder}/ there" for folder in below]


def ways_to_get(missing: Iterable[DataUnavailable]) -> str:
    """Return the three ways to get data sets that could not be had."""
    files = [file for error in missing for file in error.files]
    addresses = "".join(f"\n       {file.urls[0]}" for file in files)
    again = " and without AEVB_OFFLINE" if is_offline() else ""
    return (
        "Three ways to get the real data:\n"
        f"  1. Run the same command again with a network{again}: it downloads what is missing.\n"
        f"  2. Download by hand, put the files in a folder and set DATA_DIR to it:{addresses}\n"
        "  3. Copy the same files from the cache of a machine that has them into the cache here:\n"
        f"       {cache_folder()}"
    )


def cache_folder() -> Path:
    """Return the folder that keeps downloads when the user gives none (it may not exist yet)."""
    import pooch  # not needed for files in a folder of the user's

    return Path(pooch.os_cache("aevb-reproduction")).expanduser()


def is_offline() -> bool:
    """Whether the environment variable AEVB_OFFLINE forbids downloads (anything but "" and "0")."""
    return os.environ.get("AEVB_OFFLINE", "") not in ("", "0")


def resolve_data_dir(data_dir: str | Path | None) -> Path | None:
    """Return the user's data folder as an absolute path; None where none (or "") is given."""
    if data_dir is None or str(data_dir) == "":  # an empty environment variable is no folder
        return None
    folder = Path(os.path.expanduser(str(data_dir))).resolve()
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(
            f"The data folder {folder} {wrong}; set DATA_DIR to an existing folder that holds the "
            "data or should receive them, or leave it unset to use the cache."
        )
    return folder


def locate(title: str, files: Sequence[DataFile], data_dir: Path | None) -> list[Found]:
    """Return the verified contents of all `files` of a data set, in order.

    Each is looked for in `data_dir`, where one is given, then in the cache; otherwise it is
    downloaded into `data_dir` where that is writable, else into the cache.

    Raises
    ------
    UserError
        Where a file is there but is not the expected one. It is never passed over in silence:
        whoever put it there believes it is being used.
    DataUnavailable
        Where a file could be neither found nor fetched.
    """
    places = [] if data_dir is None else [("DATA_DIR", data_dir)]
    own = [found for file in files if (found := _find(file, places)) is not None]
    if len(own) == len(files):
        return own
    cache = cache_folder()
    places.append(("cache", cache))
    # All local copies first, so that a damaged one is reported before any download starts.
    found = {file: _find(file, places) for file in files}
    tried = [f"{name} ({folder}): not there{instead(folder)}" for name, folder in places]
    target = data_dir if data_dir is not None and os.access(data_dir, os.W_OK) else cache
    complete = []
    for file in files:
        found[file] = there = found[file] or _fetch(file, target, tried)
        if there is None:
            missing = tuple(key for key, value in found.items() if value is None)
            raise DataUnavailable(title, missing, tuple(tried))
        complete.append(there)
    return complete


def instead(folder: Path) -> str:
    """Say what lies in a folder that lacks a file: often the same data in another format."""
    try:
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    except OSError:
        return ""
    more = [f"and {len(names) - SHOWN_NAMES} more"] if len(names) > SHOWN_NAMES else []
    listed = ", ".join([*names[:SHOWN_NAMES], *more])
    return f"; it holds {listed}" if names else "; it is empty"


def _find(file: DataFile, places: list[tuple[str, Path]]) -> Found | None:
    for source, place in places:
        for path in (place / folder / name for folder in file.folders for name in file.names):
            try:
                if path.is_file():
                    return Found(_decoded(file, path.read_bytes()), source)
                if path.exists() or path.is_symlink():
                    raise UserError(
                        f"{path} is a folder or leads nowhere; put the file itself there, or move "
                        "it away to have the file downloaded."
                    )
            except ContentError as error:
                raise UserError(
                    f"{path} is not the expected file: {error}; delete it to have it downloaded "
                    "again, or replace it with a good copy."
                ) from error
            except OSError as error:
                raise UserError(
                    f"{path} could not be read ({error.strerror or error}); make it readable, or "
                    "point DATA_DIR at another folder."
                ) from error
    return None


def _decoded(file: DataFile, raw: bytes) -> np.ndarray:
    if raw.startswith(LFS_POINTER):
        raise ContentError(POINTS_TO_LFS)
    return file.decode(raw)


def _fetch(file: DataFile, folder: Path, tried: list[str]) -> Found | None:
    """Download from the first mirror that gives the right contents; add the failures to `tried`."""
    if is_offline():
        tried.append("the network: not tried, because AEVB_OFFLINE is set")
        return None
    for url in file.urls:
        try:
            with atomic_path(folder / file.names[0]) as temporary:
                _download(url, temporary, file.names[0])
                contents = _decoded(file, temporary.read_bytes())
            return Found(contents, f"downloaded from {urlsplit(url).hostname}")
        except ContentError as error:
            tried.append(f"{url}: {error}")
        except UserError as error:  # the disk, not the mirror: the next mirror would fail alike
            tried.append(f"{url}: {error}")
            return None
    return None


def _download(url: str, path: Path, label: str) -> None:
    """Write the answer of `url` to `path`; raise `ContentError` where the network fails."""
    import pooch
    import requests

    # tqdm is silent where the output is no terminal (disable=None). Pooch ignores a bar whose
    # total is 0, so it starts at 1; the true size replaces it.
    with tqdm(total=1, desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        download = pooch.HTTPDownloader(
            progressbar=bar,  # pyright: ignore[reportArgumentType]  (annotated as a bool only)
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        )
        try:
            download(url, str(path), None)
        except requests.RequestException as error:
            # Caught here because requests' errors are OSErrors, which `atomic_path` would take
            # for a full disk.
            raise ContentError(_network_reason(error)) from error


def _network_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return f"the request failed ({type(error).__name__})"
