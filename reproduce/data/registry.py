"""The data sets by name."""

import functools
from collections.abc import Callable
from pathlib import Path

from reproduce.common.errors import UserError
from reproduce.data import digits, freyface, mnist
from reproduce.data.images import ImageData
from reproduce.data.sources import resolve_data_dir

DATASETS: dict[str, Callable[..., ImageData]] = {
    "mnist": mnist.load,
    "freyface": freyface.load,
    "digits": digits.load,
    "digits_continuous": digits.load_continuous,
}

N_PIXELS = {"mnist": 784, "freyface": 560, "digits": 64, "digits_continuous": 64}
"""Pixels of an image, for models that are loaded where the data set is not."""

SPLITS: dict[str, tuple[str, ...]] = {
    "mnist": tuple(mnist.SPLITS),
    "freyface": tuple(freyface.SPLITS),
}
"""Splits of the data sets that have several. The first is the one that the first results were made
with; which one runs use is in conf/settings."""


def load(name: str, data_dir: str | Path | None = None, split: str | None = None) -> ImageData:
    """Load a data set, once a process: a second call returns the same object.

    Parameters
    ----------
    name
        One of `DATASETS`.
    data_dir
        The user's data folder; None (or "") for the cache alone.
    split
        One of the data set's `SPLITS`; None for the first of them, or where there is but one.

    Raises
    ------
    UserError
        Where the name is unknown, `data_dir` is no folder or a file is damaged.
    DataUnavailable
        Where the data could be neither found nor fetched.
    """
    check_name(name)
    folder = resolve_data_dir(data_dir)
    return _load(name, folder, split) if split and name in SPLITS else _load(name, folder)


def check_name(name: str) -> None:
    """Raise `UserError` unless `name` is one of `DATASETS`."""
    if name not in DATASETS:
        raise UserError(f"There is no data set {name!r}; choose one of {', '.join(DATASETS)}.")


@functools.cache
def _load(name: str, data_dir: Path | None, *split: str) -> ImageData:
    return DATASETS[name](data_dir, *split)
