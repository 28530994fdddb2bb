"""Reproduce the experiments of Kingma & Welling (2013): `reproduce VERB key=value ...`."""

import ast
import difflib
import gc
import importlib.util
import sys
from pathlib import Path

from reproduce.common import cli
from reproduce.common.errors import UserError

VERBS = {
    "figure": ("reproduce.experiments.figure", "train what a figure needs and draw it"),
    "train": ("reproduce.commands.train", "train one cell, or many with --multirun"),
    "sweep": ("reproduce.sweeps.sweep", "train many cells: plan, progress and a table"),
    "ablation": ("reproduce.experiments.ablation.run", "train variants of the same cells"),
    "step-sizes": ("reproduce.experiments.step_sizes", "choose step sizes by the paper's rule"),
    "replay": ("reproduce.experiments.replay.run", "replay the published runs' first values"),
    "estimate": ("reproduce.commands.estimate", "estimate log p(x) of a trained cell"),
    "estimators": ("reproduce.experiments.estimators.run", "test estimators on exact answers"),
    "check-method": (
        "reproduce.commands.check_method.run",
        "check your own method in a minute",
    ),
    "list": ("reproduce.commands.runs.run:list_command", "list the runs there are"),
    "show": ("reproduce.commands.runs.run:show_command", "print everything of one run"),
    "diagnostics": ("reproduce.experiments.latent.run", "KL and active units of trained models"),
    "claims": ("reproduce.experiments.claims.run", "check the paper's claims"),
    "tables": ("reproduce.commands.tables", "print ours against the published values"),
    "repeat": ("reproduce.commands.repeat", "compare a figure's curves with another's"),
    "redraw": ("reproduce.commands.redraw", "draw figures again from their curves"),
    "report": ("reproduce.report.page", "write one HTML page with everything there is"),
    "dashboard": ("reproduce.report.dashboard", "put everything there is into W&B"),
    "export": ("reproduce.store.exchange:export_command", "copy finished seeds out of the store"),
    "restore": ("reproduce.store.exchange:restore_command", "copy exported seeds into the store"),
    "completion": ("reproduce.commands.completion", "print what lets a shell complete commands"),
}
"""From each verb to the module whose `main`, or the function after the colon, does it."""

# Importing torch makes a million objects, none of them garbage, and looking through them again and
# again was a seventh of the start. A worker imports this module first, too.
gc.set_threshold(50_000, 20, 50)


def main() -> None:
    """Do what the command line asks for, and exit."""
    verb, *arguments = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        print(f"{__doc__}\n")
        for name, (_, summary) in VERBS.items():
            print(f"  {name:12} {summary}")
        print(
            "\n`reproduce VERB --help` says more; `reproduce VERB --cfg job` prints its settings."
        )
        return
    cli.command(lambda: run(verb, arguments))


def run(verb: str, arguments: list[str]) -> int:
    """Run `verb`; return its exit status."""
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=2)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(
            f"A command begins with a verb, such as `reproduce train data=mnist`; {verb!r} is "
            f"none.{meant} `reproduce --help` lists them."
        )
    place, _, function = VERBS[verb][0].partition(":")
    if verb != "train" and {"-h", "--help"} & set(arguments):  # `train` has Hydra's own help
        return show_help(place)
    if arguments[:2] == ["--cfg", "job"]:
        return show_settings(verb, arguments[2:])
    return getattr(importlib.import_module(place), function or "main")(arguments)


def show_help(place: str) -> int:
    """Print a module's docstring without importing it, and torch with it."""
    found = importlib.util.find_spec(place)
    assert found is not None
    print(ast.get_docstring(ast.parse(Path(str(found.origin)).read_text(encoding="utf-8"))))
    return 0


def show_settings(verb: str, overrides: list[str]) -> int:
    """Print the settings of `verb`, which are those of its file in conf/."""
    from omegaconf import OmegaConf

    from reproduce.config import CONF, compose_config

    if not (CONF / f"{verb}.yaml").is_file():
        raise UserError(f"`reproduce {verb}` has no file in conf/; `reproduce {verb} --help`.")
    print(OmegaConf.to_yaml(compose_config(overrides, verb)), end="")
    return 0


if __name__ == "__main__":
    main()
