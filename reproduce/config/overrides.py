"""Checks of overrides before Hydra sees them: does each name a setting or a file of conf/?"""

import difflib
import inspect
import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from reproduce.common import plugins
from reproduce.common.checks import folder_name, quoted, shown
from reproduce.common.errors import UserError
from reproduce.common.provenance import shipped

CONF = shipped("conf")
NO_GROUPS = ("hydra", "sweep")
"""Folders of conf/ whose files configure Hydra's launchers and W&B's sweeps, not cells."""
LABELS = (
    "data.name", "data.label", "data.train", "data.test", "algorithm.name", "algorithm.label",
    "budget.name", "settings.name",
)  # fmt: skip
"""Settings that say what a file of conf/ is of, and would only mislabel curves and folders."""
PLACES = ("results", "data.dir", "tracking.folder")
TYPED = (*PLACES, "tracking.project", "run")
"""Places and names: each is taken as it is typed, never as a number, and never swept."""
SETS = (OverrideType.CHANGE, OverrideType.FORCE_ADD)
"""What an override is that does nothing but set a value."""


def as_typed(overrides: Sequence[str]) -> list[str]:
    """Quote the values of `TYPED` for Hydra, which would make 1.1 of 1.10 and two folders of a,b.

    What is in quotes already is left to Hydra.
    """
    return [_typed(override) for override in overrides]


def _typed(override: str) -> str:
    name, equals, value = override.partition("=")
    key = name.lstrip("+")
    in_quotes = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    unset = key == "data.dir" and value == "null"
    if not equals or key not in TYPED or in_quotes or unset:
        return override
    if re.match(r"(choice|range|interval|glob|sort|shuffle|tag)\(", value):
        raise UserError(
            f"{key} is a place or a name, which cannot be swept; if {value!r} is what it is "
            f'called, put it in quotes within the shell\'s: "{key}={quoted(value)}".'
        )
    return f"{name}={quoted(os.path.expanduser(value) if key in PLACES else value)}"


def compose_config(overrides: Sequence[str], primary: str = "train") -> DictConfig:
    """Compose conf/<primary>.yaml, a verb's file, with `overrides`, outside of an application.

    Hydra composes each choice of files once, which takes tenths of a second, and values are set on
    a copy. What does more than set a value is left to Hydra, and so are the user's own files, which
    may change meanwhile.
    """
    chosen, values = check_overrides(overrides, primary=primary)
    if all(one.type in SETS and _is_own(one) for one in values) and not plugins.folders():
        composed = deepcopy(_composed(chosen, primary))
        with suppress(OmegaConfBaseException):  # Hydra has a better sentence
            for one in values:
                adds = one.is_force_add()
                OmegaConf.update(composed, one.key_or_group, one.value(), force_add=adds)
            return composed
    return compose_unchecked(overrides, primary)


def check_overrides(
    overrides: Sequence[str], *, sweep: bool = False, primary: str = "train"
) -> tuple[tuple[str, ...], list[Override]]:
    """Refuse overrides that do not parse, or name no setting or no file of conf/.

    Returns those that choose files, and the others.

    Hydra refuses most of them too, but in several lines and without the nearest names; and it
    would accept `+modle.n_latent=3`, which nothing reads.

    Parameters
    ----------
    overrides
        As on the command line.
    sweep
        Whether a setting may have several values, separated by commas.
    primary
        The verb whose file of conf/ is overridden.
    """
    parsed = [_parse(text, sweep) for text in as_typed(overrides)]
    if not sweep and "hydra.mode=MULTIRUN" not in overrides:
        _refuse_launchers(parsed)
    own = [one for one in parsed if _is_own(one)]
    choices = [_choice(one, primary) for one in own if one.key_or_group in groups()]
    chosen = tuple(text for text in choices if text)
    settings = _settings(chosen, primary)
    for one in own:
        if one.key_or_group not in groups():
            _check_key(one, settings, primary)
    return chosen, [one for one in parsed if not _is_own(one) or one.key_or_group not in groups()]


def _is_own(one: Override) -> bool:
    return not one.is_hydra_override() and one.package is None


def _refuse_launchers(parsed: Sequence[Override]) -> None:
    """Nothing but a sweep is launched: elsewhere Hydra would ignore these in silence."""
    for one in parsed:
        if re.match(r"hydra[./](launcher|sweeper)\b", one.key_or_group):
            raise UserError(
                f"{one.key_or_group} is for sweeps, and this is none: give it to `reproduce train "
                "--multirun` or to `reproduce sweep`, or leave it out."
            )


def compose_unchecked(
    overrides: Sequence[str], primary: str = "train", *, with_hydra: bool = False
) -> DictConfig:
    """Compose a file of conf/, wherever Hydra may already be running.

    `with_hydra` adds Hydra's own settings.
    """
    application = GlobalHydra.instance().hydra  # Hydra refuses to compose within an application
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(
                primary,
                overrides=[*plugins.search_path(), *as_typed(overrides)],
                return_hydra_config=with_hydra,
            )
    finally:
        GlobalHydra.instance().hydra = application


@cache
def groups() -> dict[str, list[str]]:
    """From each group of conf/, such as `model/decoder`, to the names of its files.

    With those of the user's own methods.
    """
    found: dict[str, list[str]] = {}
    for root in (CONF, *plugins.folders()):
        for file in sorted(root.glob("*/**/*.yaml")):
            group = file.parent.relative_to(root)
            if group.parts[0] in NO_GROUPS:
                continue
            names = found.setdefault(group.as_posix(), [])
            if file.stem in names:
                raise UserError(f"{file} has the name of another one; give yours another name.")
            names.append(file.stem)
    return found


@cache
def _composed(chosen: tuple[str, ...], primary: str) -> DictConfig:
    return compose_unchecked(chosen, primary)


@cache
def _settings(chosen: tuple[str, ...], primary: str) -> dict[str, Any]:
    """All settings there are with the files `chosen`, sections among them, by dotted name."""
    plain = OmegaConf.to_container(_composed(chosen, primary), resolve=False)
    assert isinstance(plain, dict)
    return dict(flat(plain))


def _has(primary: str, group: str) -> bool:
    """Whether a verb's configuration has files of `group`."""
    return group.partition("/")[0] in _settings((), primary)


def flat(section: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested settings, sections among them, by dotted name."""
    found = []
    for key, value in section.items():
        found.append((f"{prefix}{key}", value))
        if isinstance(value, Mapping):
            found.extend(flat(value, f"{prefix}{key}."))
    return found


def _parse(text: str, sweep: bool) -> Override:
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{text!r} cannot be read as key=value ({reason}); for example model.n_latent=20. A "
            "value with special characters needs quotes within the shell's: \"key='value'\"."
        ) from error
    if not parsed.key_or_group:
        raise UserError(f"{text!r} names no setting; write key=value, as in model.n_latent=20.")
    if parsed.is_sweep_override() and not sweep:
        raise UserError(
            f"{text!r} gives several values: put a list in brackets, a value with a comma in "
            "quotes within the shell's, or train a cell for each with `reproduce "
            "--multirun`."
        )
    return parsed


def _choice(one: Override, primary: str) -> str | None:
    """Check that a group's file exists; return an override that chooses it."""
    group = one.key_or_group
    if not _has(primary, group):
        raise UserError(f"`reproduce {primary}` does not use {group}, so it cannot be chosen.")
    if one.is_add():
        raise UserError(f"{group} is set already; write {group}=NAME, without the plus sign.")
    if one.is_delete():
        raise UserError(f"{group} cannot be removed; choose one of: {', '.join(groups()[group])}.")
    value = one.value()
    if isinstance(value, ChoiceSweep):
        names: list[Any] = list(one.sweep_string_iterator())
    elif one.is_sweep_override():
        return None  # Hydra finds the files of a glob
    else:
        names = [value]
    for name in names:
        if name not in groups()[group]:
            raise UserError(
                f"Unknown {group} {shown(name)}; choose one of: {', '.join(groups()[group])}."
            )
    return f"{group}={names[0]}"


def _check_key(one: Override, settings: Mapping[str, Any], primary: str) -> None:
    key = one.key_or_group
    if key in LABELS:
        group = key.partition(".")[0]
        raise UserError(
            f"{key} is not for setting: it comes with {group}=NAME, one of: "
            f"{', '.join(groups()[group])}."
        )
    if key not in settings and not _may_be_added(one, settings):
        leaves = [name for name, inner in settings.items() if not isinstance(inner, dict)]
        close = _nearest(key, [*leaves, *(group for group in groups() if _has(primary, group))])
        meant = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise UserError(
            f"There is no setting {key!r}{meant}; `reproduce {primary} --cfg job` prints them all."
        )
    if one.is_delete():
        raise UserError(f"{key} cannot be removed; give it another value with {key}=VALUE.")
    if key == "results" and not one.is_sweep_override():
        folder_name(key, one.value())  # here too, since Hydra makes folders in it before a sweep
    inner = settings.get(key)
    if (
        isinstance(inner, dict)
        and not one.is_sweep_override()
        and not isinstance(one.value(), dict)
    ):
        names = ", ".join(f"{key}.{name}" for name in inner)
        raise UserError(f"{key} is a section, not a setting; choose from {names}.")


def _may_be_added(one: Override, settings: Mapping[str, Any]) -> bool:
    """Tell whether something reads a setting that is not in the configuration."""
    parent, _, name = one.key_or_group.rpartition(".")
    section = settings.get(parent)
    if isinstance(section, list):
        return True  # an element, such as figure.algorithms.0
    if not one.is_add() or not isinstance(section, dict) or "_target_" not in section:
        return False
    parameter = inspect.signature(get_class(section["_target_"])).parameters.get(name)
    return parameter is not None and parameter.default is not parameter.empty


def _nearest(key: str, names: Collection[str]) -> list[str]:
    """Up to three names that a misspelt or shortened `key` may have meant."""
    usable = [name for name in names if name not in LABELS and not name.endswith("._target_")]
    last = re.split("[./]", key)[-1]
    shortened = [name for name in usable if re.split("[./]", name)[-1] == last]
    if key == last and shortened:
        return shortened[:3]
    close = difflib.get_close_matches(key, usable, n=3, cutoff=0.7)
    return close or shortened[:3]
