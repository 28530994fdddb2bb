"""Check a method of your own in a minute: `reproduce check-method METHODS=FOLDER`.

Every algorithm/NAME.yaml of the folder is run on small models: are shapes right, is each seed
independent of what is stacked beside it, is an interrupted run continued to the last bit, are
compiled steps the same, is the bound one, and is there no random number but the given noise?
`algorithm=NAME` chooses one, also of the suite's; other overrides change its settings or networks.
"""

import os
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from reproduce import config, data
from reproduce.commands.check_method.checks import CHECKS, Result, Subject
from reproduce.common import cli, plugins
from reproduce.common.errors import UserError
from reproduce.common.machine import prepare
from reproduce.common.names import dataset_name
from reproduce.config.overrides import groups
from reproduce.training.loop import check_sizes, quieten_lightning

SMALL = ("data=digits", "data.n_train=200", "model.n_latent=2", "tracking=off")
"""Sizes of whole hundreds, at which torch rounds alike whatever is stacked."""
SIGNS = {"right": "✔", "wrong": "✘", "not checked": "–"}


def main(arguments: Sequence[str]) -> int:
    """Check what the command line names, and say what is wrong; return the exit status."""
    given = list(arguments)
    for argument in [one for one in given if one.startswith(f"{plugins.VARIABLE}=")]:
        os.environ[plugins.VARIABLE] = argument.partition("=")[2]
        groups.cache_clear()
        given.remove(argument)
    own = sorted(path.stem for folder in plugins.folders() for path in folder.glob("algorithm/*"))
    names = [one.partition("=")[2] for one in given if one.startswith("algorithm=")] or own
    if not names:
        raise UserError(
            "Say which method: METHODS=FOLDER, with an algorithm/NAME.yaml (docs/add-a-method.md), "
            "or algorithm=NAME."
        )
    terminal = cli.console()
    prepare(threads=1)
    quieten_lightning()
    others = [one for one in given if not one.startswith("algorithm=")]
    wrong = sum(_check(name, others, terminal) for name in names)
    return 1 if wrong else 0


def _check(name: str, overrides: Sequence[str], terminal: Console) -> int:
    """Make all checks of one method; return how many found something wrong."""
    started = time.monotonic()
    job = config.job_from(config.compose_config([*SMALL, *overrides, f"algorithm={name}"]))
    check_sizes([job])
    images = data.load(job.cell.dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
    subject = Subject(job.cell, images)
    target = job.cell.settings["algorithm"]["_target_"]
    of = dataset_name(job.cell.dataset)
    terminal.print(f"{name} ({target}) on small models of {of}:", highlight=False)
    found: dict[str, Result] = {}
    for title, check in CHECKS.items():
        found[title] = _result(check, subject)
        verdict, sentence = found[title]
        terminal.print(f"  {SIGNS[verdict]} {title:9} {sentence}", highlight=False)
        if verdict == "wrong" and title == "shapes":
            break  # nothing else can be run
    wrong = sum(result.verdict == "wrong" for result in found.values())
    seconds = time.monotonic() - started
    summary = f"{wrong} of {len(found)} checks found something wrong" if wrong else "Nothing wrong"
    terminal.print(f"{summary}. {seconds:.0f} s.", highlight=False)
    return wrong


def _result(check: Callable[[Subject], Result], subject: Subject) -> Result:
    """Make a check; what the method raises is what is wrong with it."""
    try:
        return check(subject)
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else cli.own_fault(error)
        if said is None:
            raise
        return Result("wrong", said)
