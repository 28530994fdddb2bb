"""Files of the user's own, in the folders that METHODS names: what they hold, without Hydra.

Readers of results look here for labels; Hydra, which composes the same files, is slow to import.
"""

import functools
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from reproduce.common.errors import UserError

VARIABLE = "METHODS"


def roots() -> list[Path]:
    """Return the folders that the variable names, whatever they hold."""
    return [Path(part).resolve() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def folders() -> list[Path]:
    """Return the folders, each with files of groups of conf/."""
    found = roots()
    for folder in found:
        if not list(folder.glob("*/**/*.yaml")):
            raise UserError(
                f"{VARIABLE} names {folder}, which holds no algorithm/NAME.yaml and no file of "
                "another group of conf/; see docs/add-a-method.md."
            )
    return found


def described(group: str) -> dict[Path, Mapping[str, Any]]:
    """Return the contents of the files of a group, `data` or `algorithm`, by their paths.

    Of a data set's file, which sets other groups as well, only its section `data`.
    """
    return _described(group, tuple(roots()))


def label(group: str, name: str) -> str | None:
    """Return what a reader sees for a name in a group, where the user's file says so."""
    labels = (one.get("label") for one in described(group).values() if one.get("name") == name)
    return next((found for found in labels if isinstance(found, str)), None)


def check_labels(group: str, known: Collection[str]) -> None:
    """Refuse labels in a group that a reader would take for another's, or one of those `known`."""
    shown = {one.get("name"): one.get("label") for one in described(group).values()}
    labels = [text for text in shown.values() if isinstance(text, str)]
    for text in labels:
        if text in known or labels.count(text) > 1:
            raise UserError(
                f"The label {text!r} of a file in {group}/ is another one's name as well; give "
                "each its own."
            )


@functools.cache
def _described(group: str, among: tuple[Path, ...]) -> dict[Path, Mapping[str, Any]]:
    if not among:
        return {}
    from omegaconf import OmegaConf

    found: dict[Path, Mapping[str, Any]] = {}
    for path in (path for root in among for path in sorted((root / group).glob("*.yaml"))):
        contents: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        if group == "data" and isinstance(contents, dict):
            contents = contents.get(group)
        found[path] = contents if isinstance(contents, dict) else {}
    return found
