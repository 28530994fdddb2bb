"""What each setting of a cell and of its job may be: checked once, before anything is built."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reproduce.common.checks import (
    folder_name,
    label,
    name_of,
    number,
    one_of,
    share,
    shown,
    whole_number,
    widths,
    yes_or_no,
)
from reproduce.common.errors import UserError
from reproduce.common.machine import MOST_THREADS, choose_device

Check = Callable[[str, Any], Any]
_zero_or_more = partial(whole_number, least=0)
MOST_SAMPLES = 10**12  # four thousand times the paper's


def _processes(name: str, value: Any) -> int | None:
    return None if value is None else whole_number(name, value)


def _choice(place: str) -> Check:
    """Check that a value is an option that a module has, imported then: torch takes seconds."""
    module, _, options = place.rpartition(".")
    return lambda name, value: one_of(
        name, value, getattr(importlib.import_module(module), options)
    )


def _device(name: str, value: Any) -> str:
    choose_device(str(value))
    return value


def _compile(name: str, value: Any) -> Any:
    if value != "auto" and not isinstance(value, bool):
        raise UserError(f"{name} must be auto, true or false, not {shown(value)}.")
    return value


SETTINGS: Mapping[str, Check] = {
    "algorithm.label": label,
    "algorithm.step_size": number,
    "algorithm.batch_size": whole_number,
    "algorithm.warmup_steps": _zero_or_more,
    "algorithm.n_samples": whole_number,
    "algorithm.sgvb": _choice("reproduce.models.bounds.BOUNDS"),
    "algorithm.initial_std": number,
    "algorithm.clip_dreams": yes_or_no,
    "algorithm.n_leapfrog": whole_number,
    "algorithm.n_updates": whole_number,
    "algorithm.warmup_updates": _zero_or_more,
    "algorithm.target_acceptance": share,
    "model.n_latent": whole_number,
    "model.n_hidden": widths,
    "model.activation": _choice("reproduce.models.layers.ACTIVATIONS"),
    "model.encoder.log_variance_scale": number,
    "model.init.scheme": _choice("reproduce.models.initialisation.SCHEMES"),
    "model.init.std": partial(number, zero=True),
    "model.init.output_bias": _choice("reproduce.models.initialisation.OUTPUT_BIASES"),
    "data.n_train": whole_number,
    # Of the job.
    "seeds": partial(whole_number, most=1_000),
    "samples": partial(whole_number, most=MOST_SAMPLES),
    "results": folder_name,
    "train": yes_or_no,
    "device": _device,
    "threads": partial(whole_number, most=MOST_THREADS),
    "compile": _compile,
    "workers": _processes,
    "tracking.mode": _choice("reproduce.training.tracking.MODES"),
    "tracking.folder": folder_name,
    "tracking.project": name_of,
}
"""By dotted name. A user's own algorithm may lack some, and have others, which are its own to
check."""


def checked(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with every value in its type: 1e2 of a whole number is 100."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found[key] = checked(value, f"{name}.")
        else:
            found[key] = SETTINGS[name](name, value) if name in SETTINGS else value
    return found


def setting(config: DictConfig, name: str) -> Any:
    """Return the setting with the dotted `name`, checked and in its type."""
    return SETTINGS[name](name, OmegaConf.select(config, name))
