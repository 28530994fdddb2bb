"""From Hydra's configuration to plain values: overrides, cells, jobs, folders.

What a user can get wrong is found here, before anything is trained or written.
"""

import difflib
import inspect
import math
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from reproduce.bounds import BOUNDS
from reproduce.errors import UserError
from reproduce.models.initialisation import SCHEMES
from reproduce.provenance import REPOSITORY
from reproduce.runtime import choose_device
from reproduce.store import Cell
from reproduce.tracking import MODES
from reproduce.training import Job

CONF = REPOSITORY / "conf"
LABELS = ("data.name", "algorithm.name")
"""Settings that name what a file of conf/ is, and would only mislabel curves."""
OPEN_SECTION = "figure.panels."
"""Where settings may be added: `+figure.panels.mine=[...] budget.panels=mine`."""
MOST_SEEDS = 1_000
MOST_THREADS = 1_000  # with many more the system kills the process


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose conf/config.yaml with `overrides`, outside of a Hydra application.

    Raises
    ------
    UserError
        For overrides that `check_overrides` refuses.
    """
    check_overrides(overrides)
    return _compose(overrides)


def check_overrides(overrides: Sequence[str], *, sweep: bool = False) -> None:
    """Refuse overrides that do not parse, or name no setting or no file of conf/.

    Hydra refuses most of them too, but in several lines and without the nearest names; and it
    would accept `+modle.n_latent=3`, which nothing reads.

    Parameters
    ----------
    overrides
        As on the command line.
    sweep
        Whether a setting may have several values, separated by commas.

    Raises
    ------
    UserError
        For the first that is wrong.
    """
    parsed = [_parse(text, sweep) for text in overrides]
    own = [one for one in parsed if not one.is_hydra_override() and one.package is None]
    chosen = [_choice(one) for one in own if one.key_or_group in _groups()]
    settings = _settings(tuple(text for text in chosen if text))
    for one in own:
        if one.key_or_group not in _groups():
            _check_key(one, settings)


def cell_from(config: DictConfig) -> Cell:
    """Return the cell that `config` describes, all interpolations resolved.

    Raises
    ------
    UserError
        For impossible values.
    """
    algorithm = _plain(config.algorithm)
    for name in ("batch_size", "n_samples"):
        if name in algorithm:  # an algorithm of the user's need not have all of these
            algorithm[name] = whole_number(f"algorithm.{name}", algorithm[name])
    if "warmup_steps" in algorithm:
        steps = algorithm["warmup_steps"]
        algorithm["warmup_steps"] = whole_number("algorithm.warmup_steps", steps, least=0)
    if "step_size" in algorithm:
        _check_number("algorithm.step_size", algorithm["step_size"], zero=False)
    if "estimator" in algorithm:
        _check_one_of("algorithm.estimator", algorithm["estimator"], BOUNDS)
    model = _plain(config.model)
    model["n_hidden"] = whole_number("model.n_hidden", model["n_hidden"])
    _check_one_of("model.init.scheme", model["init"]["scheme"], SCHEMES)
    _check_number("model.init.std", model["init"]["std"], zero=True)
    return Cell(
        dataset=config.data.name,
        algorithm=algorithm.pop("name"),
        n_latent=whole_number("model.n_latent", model.pop("n_latent")),
        n_train=whole_number("data.n_train", config.data.n_train),
        settings={"algorithm": algorithm, "model": model},
    )


def job_from(config: DictConfig) -> Job:
    """Return the job that `config` describes: its cell, how far, how many seeds, and where.

    Raises
    ------
    UserError
        For impossible values, or a device that is not there.
    """
    seeds = whole_number("seeds", config.seeds)
    if seeds > MOST_SEEDS:
        raise UserError(f"seeds is how many members to train, at most {MOST_SEEDS}, not {seeds}.")
    threads = whole_number("threads", config.threads)
    if threads > MOST_THREADS:
        raise UserError(f"threads must be at most {MOST_THREADS}, not {threads}.")
    choose_device(str(config.device))
    _check_one_of("tracking.mode", config.tracking.mode, MODES)
    workers(config)
    return Job(
        cell=cell_from(config),
        seeds=tuple(range(seeds)),
        samples=whole_number("samples", config.samples),
        store=runs_folder(config),
        data_dir=data_dir(config),
        device=config.device,
        threads=threads,
        tracking={**_plain(config.tracking), "figure": config.figure.name},
    )


def results_folder(config: DictConfig) -> Path:
    """Where all results go.

    Raises
    ------
    UserError
        Where `results` is no path.
    """
    return Path(_folder("results", config.results))


def runs_folder(config: DictConfig) -> Path:
    """The store of cells."""
    return results_folder(config) / "runs"


def data_dir(config: DictConfig) -> str | None:
    """The user's folder of data files, where one is given."""
    return str(config.data.dir) if config.data.dir else None


def workers(config: DictConfig) -> int | None:
    """How many processes, None for as many as fit."""
    return None if config.workers is None else whole_number("workers", config.workers)


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an integer; 1e6 is one.

    Raises
    ------
    UserError
        Unless it is a whole number of at least `least`, which is 0 or 1.
    """
    if not _is_number(value) or not math.isfinite(value) or value != value // 1 or value < least:
        bound = "greater than zero" if least else "of zero or more"
        raise UserError(f"{name} must be a whole number {bound}, not {_shown(value)}.")
    return int(value)


def _check_number(name: str, value: Any, *, zero: bool) -> None:
    if not _is_number(value) or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = "of zero or more" if zero else "greater than zero"
        raise UserError(f"{name} must be a number {bound}, not {_shown(value)}.")


def _check_one_of(name: str, value: Any, options: Collection[str]) -> None:
    if not isinstance(value, str) or value not in options:
        raise UserError(f"{name} cannot be {_shown(value)}; choose one of: {', '.join(options)}.")


def _folder(name: str, value: Any) -> str:
    if value == "" or not (isinstance(value, str) or _is_number(value)):
        raise UserError(f"{name} must be a folder, not {_shown(value)}.")
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Show a value as the user would have typed it."""
    words = {None: "null", True: "true", False: "false"}
    plain = value is None or isinstance(value, bool)
    return words[value] if plain else repr(value)


def _compose(overrides: Sequence[str]) -> DictConfig:
    application = GlobalHydra.instance().hydra  # Hydra refuses to compose within an application
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = application


@cache
def _groups() -> dict[str, list[str]]:
    """From each group of conf/, such as `model/decoder`, to the names of its files."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONF.glob("*/**/*.yaml")):
        found.setdefault(file.parent.relative_to(CONF).as_posix(), []).append(file.stem)
    return found


@cache
def _settings(chosen: tuple[str, ...]) -> dict[str, Any]:
    """All settings there are with the files `chosen`, sections among them, by dotted name."""
    plain = OmegaConf.to_container(_compose(chosen), resolve=False)
    assert isinstance(plain, dict)
    return dict(_flat(plain))


def _flat(section: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in section.items():
        found.append((f"{prefix}{key}", value))
        if isinstance(value, dict):
            found.extend(_flat(value, f"{prefix}{key}."))
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
            "quotes within the shell's, or train a cell for each with `python -m reproduce "
            "--multirun`."
        )
    return parsed


def _choice(one: Override) -> str | None:
    """Check that a group's file exists; return an override that chooses it."""
    group = one.key_or_group
    if one.is_add():
        raise UserError(f"{group} is set already; write {group}=NAME, without the plus sign.")
    if one.is_delete():
        raise UserError(f"{group} cannot be removed; choose one of: {', '.join(_groups()[group])}.")
    value = one.value()
    if isinstance(value, ChoiceSweep):
        names: list[Any] = list(one.sweep_string_iterator())
    elif one.is_sweep_override():
        return None  # Hydra finds the files of a glob
    else:
        names = [value]
    for name in names:
        if name not in _groups()[group]:
            raise UserError(
                f"Unknown {group} {_shown(name)}; choose one of: {', '.join(_groups()[group])}."
            )
    return f"{group}={names[0]}"


def _check_key(one: Override, settings: Mapping[str, Any]) -> None:
    key = one.key_or_group
    if key in LABELS:
        group = key.partition(".")[0]
        raise UserError(
            f"{key} is not for setting: it comes with {group}=NAME, one of: "
            f"{', '.join(_groups()[group])}."
        )
    if key not in settings and not _may_be_added(one, settings):
        leaves = [name for name, inner in settings.items() if not isinstance(inner, dict)]
        close = _nearest(key, [*leaves, *_groups()])
        meant = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise UserError(
            f"There is no setting {key!r}{meant}; `python -m reproduce --cfg job` prints them all."
        )
    if one.is_delete():
        raise UserError(f"{key} cannot be removed; give it another value with {key}=VALUE.")
    if key == "results" and not one.is_sweep_override():
        _folder(key, one.value())  # here too, since Hydra makes folders in it before a sweep
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
    if one.is_add() and one.key_or_group.startswith(OPEN_SECTION):
        return True
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
    # `selection` belongs to another command, `python -m reproduce.step_sizes`.
    unlikely = re.compile(r"^selection\.|\._target_$")
    usable = [name for name in names if name not in LABELS and not unlikely.search(name)]
    last = re.split("[./]", key)[-1]
    shortened = [name for name in usable if re.split("[./]", name)[-1] == last]
    if key == last and shortened:
        return shortened[:3]
    close = difflib.get_close_matches(key, usable, n=3, cutoff=0.7)
    return close or shortened[:3]


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
