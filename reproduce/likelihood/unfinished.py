"""Estimates of a command that has not finished: kept until it has, so that it can be continued.

`reproduce estimate` and `reproduce estimators` write no estimate down, so without these an
interrupted one would begin anew. Those of figures are kept for good, in `likelihood.csv`.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from reproduce.common import identity
from reproduce.common.errors import UserError
from reproduce.common.files import write_with
from reproduce.store.store import RESTORED, is_export

T = TypeVar("T")


class Unfinished:
    """Estimates in a folder, a file each; they go when the command that made them has finished.

    Parameters
    ----------
    results
        The results folder; of exported cells, which may be committed, nothing is written there.
    """

    def __init__(self, results: Path) -> None:
        self.folder = (RESTORED if is_export(results) else results) / "unfinished"
        self._asked: set[Path] = set()

    def path(self, key: Mapping[str, Any]) -> Path:
        """Where the estimate with this key lies, if it has been made.

        `key` names all that an estimate depends on, in plain containers.
        """
        return self.folder / f"{identity.digest(key)}.pt"

    def made(self, key: Mapping[str, Any], make: Callable[[], T]) -> T:
        """Return what has been made, plain containers and tensors; make it if it is not there."""
        path = self.path(key)
        self._asked.add(path)
        # Torch names no kind for a damaged file; what it held is made again.
        with contextlib.suppress(Exception):
            return torch.load(path, weights_only=True)
        made = make()
        # Where nothing can be written the estimate is to be had all the same.
        with contextlib.suppress(UserError):
            write_with(path, lambda temporary: torch.save(made, temporary))
        return made

    def finish(self) -> None:
        """Remove what has been asked for, which is not needed any more."""
        with contextlib.suppress(OSError):
            for path in self._asked:
                path.unlink(missing_ok=True)
            os.removedirs(self.folder)  # unless another command is at work


def checksum(*parts: Tensor) -> str:
    """SHA-256 of tensors, as models and images are named in keys."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
