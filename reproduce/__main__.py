"""Train one cell: `python -m reproduce algorithm=aevb data=mnist model.n_latent=20`.

With `--multirun` and comma-separated values, many.
"""

import sys
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser  # there is no public one
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from reproduce import cli, config, methods, runner
from reproduce.errors import UserError
from reproduce.overrides import CONF, check_overrides

failed_jobs: list[str] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def train_cell(settings: DictConfig) -> None:
    """Train the cell of `settings`; in a sweep, a job that fails is named and the others go on."""
    # As they were typed: a `${...}` in them belongs to the cell's settings, not to Hydra's.
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(overrides, list)
    if HydraConfig.get().mode == RunMode.RUN:
        with cli.as_sentences():
            _train(settings, overrides)
        return
    try:
        with cli.as_sentences():
            _train(settings, overrides)
    except SystemExit as stop:
        if stop.code == cli.INTERRUPTED:
            raise
        failed_jobs.append(" ".join(overrides))


def _train(settings: DictConfig, overrides: list[str]) -> None:
    terminal = cli.console()
    job = config.job_from(settings)
    name = str(settings.data.name)
    used = cli.substitute_missing([name], job.data_dir, settings.data.fallback, terminal)[name]
    if used != name:
        settings = config.compose_config([*overrides, f"data={used}"])
        job = config.job_from(settings)
    cli.check_sizes([job])
    cli.ensure_writable(job.store)
    diverged = runner.run([job], config.workers(settings), terminal)
    cli.report_divergence(diverged, terminal)
    if len(diverged) == len(job.seeds):
        raise UserError(f"All members of {job.cell.title} diverged; try a smaller step size.")
    terminal.print(f"Curves and checkpoints: {job.store / job.cell.id}", highlight=False)


def check_arguments(arguments: list[str]) -> None:
    """Refuse what can be seen to be wrong before Hydra, which would say it in several lines.

    Raises
    ------
    UserError
        For an unknown option or an override that `overrides.check_overrides` refuses.
    """

    def refuse(message: str) -> NoReturn:
        raise UserError(
            f"{message}; `python -m reproduce --help` lists the options, which go before or after "
            "all overrides, not among them."
        )

    parser = get_args_parser()
    parser.error = refuse
    given = parser.parse_args(arguments)
    if not (given.config_path or given.config_name or given.config_dir):  # else not ours to know
        check_overrides(given.overrides, sweep=given.multirun)


def _add_own_methods() -> None:
    """Tell Hydra where the user's own methods are, in front of the first override."""
    overrides = get_args_parser().parse_args(sys.argv[1:]).overrides
    place = sys.argv.index(overrides[0]) if overrides else len(sys.argv)
    sys.argv[place:place] = methods.search_path()


def main() -> None:
    """Run the Hydra application."""
    failed_jobs.clear()
    check_arguments(sys.argv[1:])
    _add_own_methods()
    try:
        train_cell()
    finally:  # a fault in the code of one job ends the sweep with its traceback, after the others
        if failed_jobs:
            count = f"{len(failed_jobs)} of the sweep's jobs failed:"
            print(count, *failed_jobs, sep="\n  ", file=sys.stderr)
    if failed_jobs:
        sys.exit(cli.USER_ERROR)


if __name__ == "__main__":
    cli.command(main)
