"""The data sets by name; those of the user's own are in own.py."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reproduce.common.errors import UserError
from reproduce.common.own_files import VARIABLE
from reproduce.data import digits, freyface, mnist, own
from reproduce.data.images import ImageData
from reproduce.data.sources import resolve_data_dir

DATASETS: dict[str, Callable[..., ImageData]] = {
    "mnist": mnist.load,
    "freyface": freyface.load,
    "digits": digits.load,
    "digits_continuous": digits.load_continuous,
}

N_PIXELS = {"mnist": 784, "freyface": 560, "digits": 64, "digits_continuous": 64}

SPLITS: dict[str, tuple[str, ...]] = {
    "mnist": tuple(mnist.SPLITS),
    "freyface": tuple(freyface.SPLITS),
}
"""Splits of the data sets that have several. The first is the one that the first results were made
with; which one runs use is in conf/settings."""


def load(
    name: str, data_dir: str | Path | None = None, reading: str | Mapping[str, Any] | None = None
) -> ImageData:
    """Load a data set, once a process: a second call returns the same object.

    Parameters
    ----------
    name
        One of `DATASETS`, or the user's own.
    data_dir
        The user's data folder; None (or "") for the cache alone.
    reading
        One of the data set's `SPLITS`; None for the first of them, or where there is but one. Of
        the user's own, an `own.Reading` in plain containers. A cell has it.

    Raises
    ------
    UserError
        Where the name is unknown, `data_dir` is no folder or a file is damaged.
    DataUnavailable
        Where the data could be neither found nor fetched.
    """
    check_name(name)
    folder = resolve_data_dir(data_dir)
    if isinstance(reading, Mapping):
        return own.load(name, folder, reading)
    return _load(name, folder, reading) if reading and name in SPLITS else _load(name, folder)


def n_pixels(name: str, reading: str | Mapping[str, Any] | None) -> int:
    """Pixels of an image, for models that are loaded where the data set is not."""
    if isinstance(reading, Mapping):
        return math.prod(reading["image_shape"])
    check_name(name)
    return N_PIXELS[name]


def check_name(name: str) -> None:
    """Raise `UserError` unless `name` is one of `DATASETS` or the user's own."""
    known = [*DATASETS, *own.names()]
    if name not in known:
        raise UserError(
            f"There is no data set {name!r}; choose one of {', '.join(known)}. One of your own "
            f"needs {VARIABLE}=FOLDER, with data/{name}.yaml in the folder."
        )


@functools.cache
def _load(name: str, data_dir: Path | None, *split: str) -> ImageData:
    return DATASETS[name](data_dir, *split)
