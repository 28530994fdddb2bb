"""What a method may return: refused in a sentence where it is not that.

A scalar would be broadcast over seeds, and curves would be wrong without anybody noticing.
"""

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.models.decoders import NoiseKind

KINDS = get_args(NoiseKind)


def floats(method: str, value: Any, device: torch.device, **sizes: int) -> Tensor:
    """Return what `method` returned: floats on `device`, with an axis of each of these `sizes`."""
    shape = tuple(sizes.values())
    fits = isinstance(value, Tensor) and value.shape == shape and value.device == device
    if fits and value.is_floating_point():
        return value
    axes = f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
    raise UserError(
        f"{method} must return a tensor of floats on {device}, of the shape {axes} = {shape}, not "
        f"{_described(value)}; see docs/add-a-method.md."
    )


def points(method: str, value: Any, device: torch.device, n_seeds: int) -> dict[str, Tensor]:
    """Return what `method` returned: by a curve's name, its point for each seed."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UserError(
            f"{method} must return a dictionary from the names of curves to their points, not "
            f"{_described(value)}; see docs/add-a-method.md."
        )
    return {
        name: floats(f"{method}, for {name!r},", point, device, seed=n_seeds)
        for name, point in value.items()
    }


def noise_shapes(method: str, value: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what `method` returned: by name, the kind of random numbers, and their shape."""
    if isinstance(value, Mapping) and all(map(_is_noise, value.values())) and "index" not in value:
        return dict(value)
    raise UserError(
        f"{method} must return a dictionary from names, but not `index`, to a kind "
        f"({' or '.join(KINDS)}) and a shape without the seed axis, such as "
        f"{{'posterior': ('normal', (1, 100, 10))}}, not {value!r}; see docs/add-a-method.md."
    )


def _is_noise(entry: Any) -> bool:
    if not isinstance(entry, tuple) or len(entry) != 2:
        return False
    kind, shape = entry
    sizes = isinstance(shape, tuple) and all(isinstance(n, int) and n > 0 for n in shape)
    return kind in KINDS and sizes


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"{type(value).__name__} {value!r}" if value is not None else "None"
    kind = str(value.dtype).removeprefix("torch.")
    return f"a tensor of the shape {tuple(value.shape)} of {kind} on {value.device}"
