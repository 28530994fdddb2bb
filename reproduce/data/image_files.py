"""Images in files: arrays (.npy, .npz), IDX files, and folders of image files.

Which it is, its contents tell.
"""

import math
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from reproduce.common.errors import UserError
from reproduce.data.mnist import gunzip
from reproduce.data.sources import LFS_POINTER, POINTS_TO_LFS, ContentError, instead

SCALE = 1 / 256
"""Of bytes, where none is stated: as the paper has it."""
GREY = ("1", "L", "I", "I;16", "I;16B", "F")
"""Pillow's names of images with one number a pixel, which is a grey level."""
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
ROUNDING = 1e-6
"""How far a value may lie outside [0, 1]: 255 times a scale that was typed in six digits."""


def images(
    path: Path, key: str, image_shape: tuple[int, int], scale: float | None
) -> Shaped[np.ndarray, "n pixels"]:
    """Return what a file or folder of images holds: bytes, or else 32-bit floats.

    Parameters
    ----------
    path, key
        Where it is; of an .npz, which array ("" where it has but one).
    image_shape
        Rows and columns.
    scale
        The value of a pixel, in [0, 1], is what is stored times this; None: bytes, over 256.

    Raises
    ------
    UserError
        Where it holds anything else, or cannot be read.
    """
    try:
        found = _folder(path, image_shape) if path.is_dir() else _array(path, key)
        return _checked(found, image_shape, scale)
    except ContentError as error:
        raise UserError(f"{path} cannot be used: {error}.") from error
    except OSError as error:
        raise UserError(f"{path} could not be read ({error.strerror or error}).") from error


def _checked(found: np.ndarray, image_shape: tuple[int, int], scale: float | None) -> np.ndarray:
    rows, columns = image_shape
    if found.shape[1:] not in ((rows, columns), (rows * columns,)):
        raise ContentError(
            f"it holds an array of shape {found.shape}, expected (n, {rows}, {columns}) or "
            f"(n, {rows * columns}) for data.image_shape=[{rows},{columns}]"
        )
    if found.dtype.kind not in "buif":
        raise ContentError(f"it holds {found.dtype}, which are no grey levels")
    if scale is None and found.dtype != np.uint8:
        raise ContentError(
            f"it holds {found.dtype} where bytes (uint8) are expected; state data.scale, by which "
            "a stored number becomes a value in [0, 1]"
        )
    if lost := int((~np.isfinite(found).reshape(len(found), -1).all(1)).sum()):
        raise ContentError(f"{lost:,} of its {len(found):,} images have pixels that are not finite")
    low, high = (float(end) for end in (found.min(initial=0), found.max(initial=0)))
    scale = SCALE if scale is None else scale
    if low < 0 or high * scale > 1 + ROUNDING:
        raise ContentError(
            f"its numbers lie from {low:g} to {high:g}, which data.scale={scale:g} takes from "
            f"{low * scale:g} to {high * scale:g}, and a pixel's value must lie in [0, 1]"
        )
    kind = np.uint8 if found.dtype in (np.uint8, np.bool_) else np.float32
    return np.array(found, dtype=kind).reshape(len(found), rows * columns)


def _array(path: Path, key: str) -> np.ndarray:
    raw = path.read_bytes()
    if raw.startswith(LFS_POINTER):
        raise ContentError(POINTS_TO_LFS)
    raw = gunzip(raw) if raw[:2] == b"\x1f\x8b" else raw
    if raw[:6] == b"\x93NUMPY" or raw[:2] == b"PK":
        return _numpy(raw, key)
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


def _folder(folder: Path, image_shape: tuple[int, int]) -> np.ndarray:
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
        if mode not in GREY or pixels.shape != image_shape:
            raise UserError(
                f"{path} is an image of mode {mode} and shape {pixels.shape}, expected grey levels "
                f"(Pillow's mode L) of shape {image_shape}."
            )
        if images and pixels.dtype != images[0].dtype:
            raise UserError(f"{path} holds {pixels.dtype}, the images before it {images[0].dtype}.")
        images.append(pixels)
    if not images:
        raise ContentError(f"it is a folder without image files{instead(folder)}")
    return np.stack(images)
