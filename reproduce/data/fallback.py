"""What a run uses where a data set of the paper cannot be had, and how loudly it says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from reproduce import data
from reproduce.common.errors import UserError
from reproduce.data.registry import DATASETS, check_name, load
from reproduce.data.sources import DataUnavailable, resolve_data_dir, ways_to_get

FALLBACK = {"mnist": "digits", "freyface": "digits_continuous"}
MODES = ("digits", "error")


@dataclass(frozen=True)
class Resolution:
    """Which data sets a run uses.

    Attributes
    ----------
    names
        From every name asked for to the name to use: itself, or its stand-in.
    missing
        From every name that was replaced to the reason.
    """

    names: dict[str, str]
    missing: dict[str, DataUnavailable]

    @property
    def replaced(self) -> dict[str, str]:
        """From the names that were replaced to their stand-ins."""
        return {name: self.names[name] for name in self.missing}

    def banner(self) -> str:
        """Return the text to show before the run, impossible to overlook; "" if all is there."""
        if not self.missing:
            return ""
        errors = list(self.missing.values())
        denial = " and ".join(f"NOT {error.title}" for error in errors)
        rule = "!" * 80
        lines = [
            f"{denial.upper()}: THE REAL DATA ARE MISSING",
            "",
            "The run goes on with scikit-learn's bundled 8x8 digits as a stand-in.",
            f"Its results are {denial}: they cannot be compared with the paper's.",
            *(f"  {name} is replaced by {stand_in}" for name, stand_in in self.replaced.items()),
            "",
            *(line for error in errors for line in error.account().splitlines()),
            "",
            *ways_to_get(errors).splitlines(),
            "",
            "To stop here instead of going on with a stand-in, set data.fallback=error.",
        ]
        return "\n".join([rule, *(f"!!  {line}".rstrip() for line in lines), rule])


def resolve(
    names: Iterable[str], data_dir: str | Path | None = None, fallback: str = "digits"
) -> Resolution:
    """Get hold of every data set a run needs before it starts, and say which it is to use.

    What was found is already loaded: `load` returns it at once. For a user's own nothing stands in,
    so whoever loads it says what is missing.

    Parameters
    ----------
    names
        Data sets of `reproduce.data.DATASETS`, or the user's own.
    data_dir
        The user's data folder, as for `load`.
    fallback
        "digits": a data set that cannot be had is replaced by its stand-in (`FALLBACK`), unless
        the user named a folder: who does wants the real data. "error": it is an error.

    Raises
    ------
    UserError
        Where a name or `fallback` is unknown, `data_dir` is no folder or a file is damaged: a
        damaged file is never replaced by a stand-in.
    DataUnavailable
        Where a data set cannot be had and may not be replaced; a UserError that names all where
        there are several.
    """
    if fallback not in MODES:
        raise UserError(f"data.fallback cannot be {fallback!r}; choose one of {', '.join(MODES)}.")
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        check_name(name)
    folder = resolve_data_dir(data_dir)
    chosen: dict[str, str] = {}
    missing: dict[str, DataUnavailable] = {}
    for name in wanted:
        chosen[name] = name
        if name not in DATASETS:
            continue
        try:
            load(name, folder)
        except DataUnavailable as error:
            chosen[name] = FALLBACK[name]
            missing[name] = error
    if missing and (folder or fallback == "error"):
        raise _unavailable(list(missing.values()), replaceable=fallback != "error")
    return Resolution(chosen, missing)


def _unavailable(errors: Sequence[DataUnavailable], *, replaceable: bool) -> UserError:
    """All that is missing in one error, so that nobody is stopped twice."""
    if len(errors) == 1 and not replaceable:
        return errors[0]
    parts = [*(error.account() for error in errors), ways_to_get(errors)]
    if replaceable:
        parts.append("To go on with scikit-learn's digits instead, leave DATA_DIR unset.")
    return UserError("\n".join(parts))


def substitute_missing(
    names: Iterable[str], data_dir: str | None, fallback: str, terminal: Console
) -> dict[str, str]:
    """Find every data set before anything else; map each to itself or to its stand-in."""
    found = data.resolve(names, data_dir, fallback)
    if found.missing:
        terminal.print(found.banner(), style="bold yellow", highlight=False)
    return found.names
