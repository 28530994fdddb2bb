"""Train one cell: `reproduce train algorithm=aevb data=mnist model.n_latent=20`.

With `--multirun` and comma-separated values, many.
"""

from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser  # there is no public one

from reproduce.common import plugins
from reproduce.common.errors import UserError
from reproduce.config.overrides import as_typed, check_overrides


def check_arguments(arguments: Sequence[str]) -> Namespace:
    """Refuse what can be seen to be wrong before Hydra, which would say it in several lines."""

    def refuse(message: str) -> NoReturn:
        raise UserError(
            f"{message}; `reproduce train --help` lists the options, which go before or after "
            "all overrides, not among them."
        )

    parser = get_args_parser()
    parser.error = refuse
    given = parser.parse_args(arguments)
    if not (given.config_path or given.config_name or given.config_dir):  # else not ours to know
        check_overrides(given.overrides, sweep=given.multirun)
    return given


def main(arguments: Sequence[str]) -> int:
    """Train what the command line asks for; return the exit status."""
    arguments = as_typed(arguments)
    given = check_arguments(arguments)
    from reproduce.sweeps import application, multirun  # which load torch, and take seconds

    if multirun.is_asked_for(given):
        options = [argument for argument in arguments if argument not in given.overrides]
        return multirun.report(multirun.launch(application.run, given.overrides, options))
    # In front of the first override: Hydra wants options before or after all of them.
    place = arguments.index(given.overrides[0]) if given.overrides else len(arguments)
    with multirun.command_line([*arguments[:place], *plugins.search_path(), *arguments[place:]]):
        application.run()
    return 0
