"""What a cell and an estimator are known by: names and settings, not where the code lies.

The name of a class is the import path under which results were first made with it. It is hashed
into ids, so it never changes, whatever file the class moves to. A setting that came later is
hashed only where it differs from how it was before.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

TARGET = "_target_"

PLACES = {"reproduce.aevb.AEVB": "reproduce.algorithms.aevb.AEVB"}
"""From a class's name to the import path where it lies today. Of a class that never moved, and of a
user's own, the import path is the name."""

BEFORE: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("model", "activation"): ("tanh",),
    ("model", "init", "output_bias"): ("normal",),
    ("model", "encoder", "log_variance_scale"): (1.0,),
    ("algorithm", "warmup_updates"): (0,),
    ("split",): ("random", "official"),
}
"""Settings that came after the first results, with the values that these were made with."""

RENAMED: dict[tuple[str, ...], str] = {("algorithm", "sgvb"): "estimator"}
"""Settings that have another name today, with the name that is hashed."""

GONE: dict[str, dict[str, Any]] = {
    "reproduce.likelihood.hmc_kde.HmcKde": {"split": False, "persistent": False}
}
"""By the class's name: settings that are no more, with the only values that results have."""


def place(name: str) -> str:
    """Return the import path where the class called `name` lies today."""
    return PLACES.get(name, name)


def placed(settings: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return `settings` of a class in a section of a cell as they are named today."""
    today = {hashed: key for (*where, key), hashed in RENAMED.items() if where == [section]}
    target = settings[TARGET]  # which may be anything until it is instantiated
    named = {today.get(key, key): value for key, value in settings.items()}
    return {**named, TARGET: PLACES.get(target, target)}


def canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings as they are hashed: by names, without what is as it was `BEFORE`."""
    return _canonical(settings, (), {today: name for name, today in PLACES.items()})


def digest(content: Mapping[str, Any]) -> str:
    """Eight characters that differ whenever plain nested `content` does."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _canonical(
    settings: Mapping[str, Any], path: tuple[str, ...], names: Mapping[str, str]
) -> dict[str, Any]:
    target = settings.get(TARGET)
    kept = dict(GONE.get(names.get(target, target), {})) if isinstance(target, str) else {}
    for key, value in settings.items():
        here = (*path, key)
        if value in BEFORE.get(here, ()):
            continue
        key = RENAMED.get(here, key)
        if isinstance(value, Mapping):
            kept[key] = _canonical(value, here, names)
        else:
            kept[key] = names.get(value, value) if key == TARGET else value
    return kept
