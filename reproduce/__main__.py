"""Train one cell: `python -m reproduce algorithm=aevb data=mnist model.n_latent=20`.

With `--multirun` and comma-separated values, many.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from reproduce import cli, config, runner
from reproduce.errors import UserError

failed_jobs: list[str] = []


@hydra.main(config_path=str(config.CONF), config_name="config", version_base="1.3")
def train_cell(settings: DictConfig) -> None:
    """Train the cell of `settings`; in a sweep, a job that fails is named and the others go on."""
    overrides = list(HydraConfig.get().overrides.task)
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
    cli.ensure_writable(job.store)
    diverged = runner.run([job], config.workers(settings), terminal)
    cli.report_divergence(diverged, terminal)
    if len(diverged) == len(job.seeds):
        raise UserError(f"All members of {job.cell.title} diverged; try a smaller step size.")
    terminal.print(f"Curves and checkpoints: {job.store / job.cell.id}", highlight=False)


def main() -> None:
    """Run the Hydra application."""
    train_cell()
    if failed_jobs:
        print(
            f"{len(failed_jobs)} jobs of the sweep failed:",
            *failed_jobs,
            sep="\n  ",
            file=sys.stderr,
        )
        sys.exit(cli.USER_ERROR)


if __name__ == "__main__":
    cli.command(main)
