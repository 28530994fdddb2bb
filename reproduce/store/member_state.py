"""Taking a stack's state apart into members, and putting it together again."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from reproduce.common.errors import UserError


def member_state(state: Mapping[str, Any], member: int) -> dict[str, Any]:
    """Slice one member out of a stack's `state_dict`."""
    return {name: value[member : member + 1].clone() for name, value in state.items()}


def stack_states(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join members' states, the inverse of `member_state`."""
    states = list(states)
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}


def check_member_axis(module: nn.Module, n_members: int, name: str) -> None:
    """Refuse a module, called `name`, whose state could not be taken apart into members."""
    for part, value in module.state_dict().items():
        if value.shape[:1] != (n_members,):
            raise UserError(
                f"{name}{part} has the shape {tuple(value.shape)}, but what is kept of a stack of "
                f"{n_members} must have a leading axis of {n_members}, one for each member; a "
                "buffer that need not be kept is registered with persistent=False."
            )
