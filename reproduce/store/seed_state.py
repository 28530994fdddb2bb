"""Taking a stack's state apart into seeds, and putting it together again."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from reproduce.common.errors import UserError


def seed_state(state: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Slice one seed out of a stack's `state_dict`."""
    return {name: value[index : index + 1].clone() for name, value in state.items()}


def stack_states(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join seeds' states, the inverse of `seed_state`."""
    states = list(states)
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}


def check_seed_axis(module: nn.Module, n_seeds: int, name: str) -> None:
    """Refuse a module, called `name`, whose state could not be taken apart into seeds."""
    for part, value in module.state_dict().items():
        if value.shape[:1] != (n_seeds,):
            raise UserError(
                f"{name}{part} has the shape {tuple(value.shape)}, but what is kept of a stack of "
                f"{n_seeds} must have a leading axis of {n_seeds}, one for each seed; a "
                "buffer that need not be kept is registered with persistent=False."
            )
