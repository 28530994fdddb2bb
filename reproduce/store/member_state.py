"""Taking a stack's state apart into members, and putting it together again."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch


def member_state(state: Mapping[str, Any], member: int) -> dict[str, Any]:
    """Slice one member out of a stack's `state_dict`."""
    return {name: value[member : member + 1].clone() for name, value in state.items()}


def stack_states(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join members' states, the inverse of `member_state`."""
    states = list(states)
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}
