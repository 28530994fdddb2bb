"""Methods and networks of the user's own: a folder outside the package, named by METHODS.

It holds files of groups of conf/, such as `algorithm/<name>.yaml`, `model/encoder/<name>.yaml`,
`model/decoder/<name>.yaml` or `data/<name>.yaml`, and the modules that the `_target_` of each
names. Several folders are separated as in PATH; see docs/add-a-method.md.
"""

import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import get_class, instantiate

from reproduce.common import identity
from reproduce.common.checks import quoted, shown
from reproduce.common.errors import UserError
from reproduce.common.own_files import VARIABLE, folders, roots
from reproduce.common.provenance import REPOSITORY

SUITE = ("reproduce", "baselines")


def make_importable() -> list[Path]:
    """Let Python find the modules in the folders; return the folders.

    Worker processes are started with the same search path.
    """
    found = folders()
    for folder in found:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # behind everything: a method replaces nothing
    return found


def is_own(file: Path) -> bool:
    """Tell whether a source file lies in one of the folders, and is not this suite's."""
    if "site-packages" in file.parts or any(file.is_relative_to(REPOSITORY / p) for p in SUITE):
        return False
    return any(file.resolve().is_relative_to(root) for root in roots())


def search_path() -> list[str]:
    """Return the override that lets Hydra find the folders' files; none without folders."""
    found = make_importable()
    joined = ",".join(quoted(f"file://{folder}") for folder in found)
    return [f"hydra.searchpath=[{joined}]"] if found else []


def make(settings: Mapping[str, Any], what: str, *arguments: Any, **sizes: Any) -> Any:
    """Make an object of the class that `settings` name, which messages call `what`."""
    named_class(settings[identity.TARGET], what)
    try:
        return instantiate(identity.placed(settings), _partial_=True)(*arguments, **sizes)
    except TypeError as error:
        if not re.search(r"unexpected keyword|missing \d", str(error)):
            raise
        raise UserError(f"The settings of {what} do not fit: {error}.") from error


def algorithm_class(target: str) -> type[Any]:
    """Return the class that an algorithm's `_target_` names."""
    return named_class(target, "the algorithm")


def named_class(target: Any, what: str) -> type[Any]:
    """Return the class that a `_target_` names, which messages call `what`."""
    make_importable()
    if not isinstance(target, str) or "." not in target.strip("."):
        raise UserError(f"{what} must name a class as module.Class, not {shown(target)}.")
    target = identity.place(target)
    module = target.rpartition(".")[0]
    if find_spec(module.partition(".")[0]) is None:
        raise UserError(
            f"There is no module {module!r}, which {what} needs for {target}; name the folder that "
            f"holds it with {VARIABLE}=FOLDER."
        )
    try:
        return get_class(target)
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UserError(
            f"{target}, which the file of {what} names, cannot be loaded "
            f"({type(cause).__name__}: {cause})."
        ) from error
