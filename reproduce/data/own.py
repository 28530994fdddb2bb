"""Data sets of the user's own: images in files, described by data/NAME.yaml in a folder of METHODS.

The files are looked for in the user's data folder, then in that folder of METHODS. They are an
array (.npy, or .npz), an IDX file, plain or gzipped, or a folder of image files. Which it is, its
contents tell. Nothing stands in for them.
"""

import functools
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reproduce.common import own_files
from reproduce.common.checks import label, name_of, number, shown, whole_number
from reproduce.common.errors import UserError
from reproduce.data.images import ImageData, random_split, sha256
from reproduce.data.mnist import gunzip
from reproduce.data.sources import LFS_POINTER, POINTS_TO_LFS, ContentError, instead

SCALE = 1 / 256
"""Of bytes, where none is stated: as the paper has it."""
NEEDED = ("train", "image_shape", "n_train", "n_test")
OPTIONAL = ("label", "test", "split_seed", "scale")
COMMON = ("name", "dir", "fallback")
"""Settings of every data set, which are checked elsewhere."""
GREY = ("1", "L", "I", "I;16", "I;16B", "F")
"""Pillow's names of images with one number a pixel, which is a grey level."""
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
ROUNDING = 1e-6
"""How far a value may lie outside [0, 1]: 255 times a scale that was typed in six digits."""
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
    arrays = [_images(file, how) for file in files]
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


def _images(file: _File, how: Reading) -> np.ndarray:
    """Return what a file holds as (n, pixels): bytes, or else 32-bit floats."""
    try:
        found = _folder(file.path, how) if file.path.is_dir() else _array(file)
        return _checked(found, how)
    except ContentError as error:
        raise UserError(f"{file.path} cannot be used: {error}.") from error
    except OSError as error:
        raise UserError(f"{file.path} could not be read ({error.strerror or error}).") from error


def _checked(found: np.ndarray, how: Reading) -> np.ndarray:
    rows, columns = how.image_shape
    if found.shape[1:] not in ((rows, columns), (rows * columns,)):
        raise ContentError(
            f"it holds an array of shape {found.shape}, expected (n, {rows}, {columns}) or "
            f"(n, {rows * columns}) for data.image_shape=[{rows},{columns}]"
        )
    if found.dtype.kind not in "buif":
        raise ContentError(f"it holds {found.dtype}, which are no grey levels")
    if how.scale is None and found.dtype != np.uint8:
        raise ContentError(
            f"it holds {found.dtype} where bytes (uint8) are expected; state data.scale, by which "
            "a stored number becomes a value in [0, 1]"
        )
    if lost := int((~np.isfinite(found).reshape(len(found), -1).all(1)).sum()):
        raise ContentError(f"{lost:,} of its {len(found):,} images have pixels that are not finite")
    low, high = (float(end) for end in (found.min(initial=0), found.max(initial=0)))
    scale = SCALE if how.scale is None else how.scale
    if low < 0 or high * scale > 1 + ROUNDING:
        raise ContentError(
            f"its numbers lie from {low:g} to {high:g}, which data.scale={scale:g} takes from "
            f"{low * scale:g} to {high * scale:g}, and a pixel's value must lie in [0, 1]"
        )
    kind = np.uint8 if found.dtype in (np.uint8, np.bool_) else np.float32
    return np.array(found, dtype=kind).reshape(len(found), rows * columns)


def _array(file: _File) -> np.ndarray:
    raw = file.path.read_bytes()
    if raw.startswith(LFS_POINTER):
        raise ContentError(POINTS_TO_LFS)
    raw = gunzip(raw) if raw[:2] == b"\x1f\x8b" else raw
    if raw[:6] == b"\x93NUMPY" or raw[:2] == b"PK":
        return _numpy(raw, file.key)
    if raw[:2] == b"\0\0" and len(raw) >= 4:
        return _idx(raw)
    raise ContentError(
        f"it starts with {raw[:4]!r}, neither as .npy, .npz nor as IDX; of image files give the "
        "folder"
    )


def _numpy(raw: bytes, key: str) -> np.ndarray:
    try:
        found = np.load(BytesIO(raw), allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        if key in found.files or (len(found.files) == 1 and not key):
            return found[key or found.files[0]]
        known = ", ".join(found.files)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ContentError(f"it is damaged, or holds no plain array ({error})") from error
    raise ContentError(f"it holds the arrays {known}; name one of them, as in images.npz:NAME")


def _idx(raw: bytes) -> np.ndarray:
    kind, start = raw[2], 4 + 4 * raw[3]
    if kind not in IDX_TYPES or len(raw) < start:
        raise ContentError(f"it starts with {raw[:4]!r}, which no IDX file does")
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], dtype=">u4"))
    dtype = np.dtype(IDX_TYPES[kind])
    if len(raw) - start != math.prod(shape) * dtype.itemsize:
        raise ContentError(f"it should hold an array of shape {shape}, and has another length")
    return np.frombuffer(raw, dtype=dtype, offset=start).reshape(shape)


def _folder(folder: Path, how: Reading) -> np.ndarray:
    """Read all image files in a folder and below it, in the order of their paths."""
    from PIL import Image  # which matplotlib brings along

    known = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in known)
    images: list[np.ndarray] = []
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        try:
            with Image.open(path) as image:
                mode, pixels = image.mode, np.asarray(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(f"{path} cannot be read as an image ({error}).") from error
        if mode not in GREY or pixels.shape != how.image_shape:
            raise UserError(
                f"{path} is an image of mode {mode} and shape {pixels.shape}, expected grey levels "
                f"(Pillow's mode L) of shape {how.image_shape}."
            )
        if images and pixels.dtype != images[0].dtype:
            raise UserError(f"{path} holds {pixels.dtype}, the images before it {images[0].dtype}.")
        images.append(pixels)
    if not images:
        raise ContentError(f"it is a folder without image files{instead(folder)}")
    return np.stack(images)
