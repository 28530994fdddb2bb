"""Data sets of the user's own: images in files, described by data/NAME.yaml in a folder of METHODS.

The files are looked for in the user's data folder, then in that folder of METHODS. They are an
array (.npy, or .npz), an IDX file, plain or gzipped, or a folder of image files. Which it is, its
contents tell. Nothing stands in for them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reproduce.common import own_files
from reproduce.common.checks import label, name_of, number, shown, whole_number
from reproduce.common.errors import UserError
from reproduce.data.image_files import SCALE, images
from reproduce.data.images import ImageData, random_split, sha256
from reproduce.data.sources import instead

NEEDED = ("train", "image_shape", "n_train", "n_test")
OPTIONAL = ("label", "test", "split_seed", "scale")
COMMON = ("name", "dir", "fallback")
"""Settings of every data set, which are checked elsewhere."""
EXAMPLE = "docs/running.md has an example"


@dataclass(frozen=True)
class Reading:
    """How files become a data set: what a cell's identity holds of it.

    Attributes
    ----------
    image_shape
        Rows and columns.
    n_test
        How many images test.
    scale
        The value of a pixel is what is stored times this; None: bytes are stored, over 256.
    split_seed
        Of the shuffling that takes the test images from those of the one file; None: the first of
        a file of their own test.
    """

    image_shape: tuple[int, int]
    n_test: int
    scale: float | None
    split_seed: int | None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "Reading":
        """Read it from plain containers, as a cell has it."""
        return cls(**{**given, "image_shape": tuple(given["image_shape"])})


def names() -> list[str]:
    """Return the names of the user's data sets."""
    return [path.stem for path in own_files.described("data")]


def reading(section: Mapping[str, Any]) -> dict[str, Any]:
    """Check a data set's settings; return the `Reading` among them, in plain containers."""
    name = section.get("name")
    if name not in names():
        raise UserError(
            f"A data set's file needs data.name to be the file's own name, not {shown(name)}, and "
            f"the first line `# @package _global_`; {EXAMPLE}."
        )
    where = f"data/{name}.yaml"
    if lacking := [key for key in NEEDED if section.get(key) is None]:
        raise UserError(f"{where} lacks data.{' and data.'.join(lacking)}; {EXAMPLE}.")
    known = (*NEEDED, *OPTIONAL)
    if unknown := [key for key in section if key not in (*known, *COMMON)]:
        raise UserError(f"{where} has data.{unknown[0]}; choose from: {', '.join(known)}.")
    for key in ("train", "test"):
        if section.get(key) is not None:
            name_of(f"data.{key} in {where}", section[key])
    if section.get("label") is not None:
        label(f"data.label in {where}", section["label"])
    scale, seed, shape = section.get("scale"), section.get("split_seed"), section["image_shape"]
    if (section.get("test") is None) == (seed is None):
        raise UserError(
            f"{where} must say either data.test, the file of the test images, or data.split_seed, "
            "the seed by which they are drawn from those of data.train."
        )
    if not isinstance(shape, list) or len(shape) != 2:
        raise UserError(f"data.image_shape in {where} must be [rows, columns], not {shown(shape)}.")
    return {
        "image_shape": [whole_number(f"data.image_shape in {where}", size) for size in shape],
        "n_test": whole_number(f"data.n_test in {where}", section["n_test"]),
        "scale": None if scale is None else number(f"data.scale in {where}", scale),
        "split_seed": None
        if seed is None
        else whole_number(f"data.split_seed in {where}", seed, least=0),
    }


def load(name: str, data_dir: Path | None, given: Mapping[str, Any]) -> ImageData:
    """Load a data set of the user's own as a cell has it read, once a process.

    Raises
    ------
    UserError
        Where a file is missing or holds anything but images of that shape with values in [0, 1].
    """
    ((file, section),) = (
        entry for entry in own_files.described("data").items() if entry[0].stem == name
    )
    how = Reading.parse(given)
    wanted = [section.get("train")] + [section.get("test")] * (how.split_seed is None)
    if not all(isinstance(one, str) for one in wanted):
        raise UserError(f"{file} no longer says where the images lie that the cell was trained on.")
    places = [("DATA_DIR", data_dir)] if data_dir else []
    places.append((own_files.VARIABLE, file.parent.parent))
    found = tuple(_find(name, str(one), places) for one in wanted)
    return _load(name, found, how)


@dataclass(frozen=True)
class _File:
    """A file or folder of images: where it is, and which array of an .npz it is."""

    path: Path
    key: str
    source: str


def _find(name: str, wanted: str, places: list[tuple[str, Path]]) -> _File:
    file, dot, key = wanted.partition(".npz:")
    file += dot.rstrip(":")
    tried = []
    for source, folder in places:
        path = folder / Path(file).expanduser()
        if path.exists():
            return _File(path, key, source)
        there = next(parent for parent in path.parents if parent.is_dir())
        tried.append(f"It is not in {source} ({there}){instead(there)}.")
    raise UserError(f"The data set {name} needs {file}. {' '.join(tried)}")


@functools.cache
def _load(name: str, files: tuple[_File, ...], how: Reading) -> ImageData:
    arrays = [images(file.path, file.key, how.image_shape, how.scale) for file in files]
    first = arrays[0]
    if how.split_seed is None:
        first, held_out = arrays
        if len(held_out) < how.n_test:
            raise UserError(
                f"{files[1].path} holds {len(held_out):,} images, fewer than data.n_test="
                f"{how.n_test:,} of {name}."
            )
        train, test = torch.from_numpy(first), torch.from_numpy(held_out[: how.n_test])
    else:
        if len(first) <= how.n_test:
            raise UserError(
                f"{files[0].path} holds {len(first):,} images: data.n_test={how.n_test:,} of "
                f"{name} leaves none to train on."
            )
        train, test = random_split(first, len(first) - how.n_test, how.split_seed)
    return ImageData(
        name=name,
        train=train,
        test=test,
        scale=SCALE if how.scale is None else how.scale,
        image_shape=how.image_shape,
        checksum=sha256(*arrays),
        source=" and ".join(dict.fromkeys(file.source for file in files)),
    )
