"""Weights & Biases: one run for each seed, offline unless asked otherwise.

A run's id is the seed's (cell id and seed), its group the cell, and its axis `samples`. Points
are logged as they are made; where a run was interrupted, an offline one cannot be continued in
place, so a new offline run of the same id gets the whole curve from the store, and the earlier
folder goes: `wandb sync` would upload both, the older one first.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from reproduce.common.errors import UserError
from reproduce.common.lightning import Logger
from reproduce.common.names import algorithm_name, dataset_name
from reproduce.store.cell import Cell

Mode = Literal["online", "offline"]
MODES = ("online", "offline", "off")
BOUNDS = ("train", "test", "train_running")
"""The curves that show the variational bound."""
FULL_BOUND = "full_bound"
"""Full VB's bound on log p(X); what is left describes Markov chains."""

LEAST_FREE = 64 * 1024
"""Bytes of free space with which the end of an offline run can be written."""
INCOMPLETE = (
    "W&B's run {} may be incomplete, for its folder {} is full (curves and checkpoints are kept "
    "elsewhere and checked); free some space, then `reproduce dashboard` writes it anew."
)


@dataclass(frozen=True)
class RunIdentity:
    """What a run is called and what it is of.

    Attributes
    ----------
    id, name, group
        The same run always has the same; curves of one group are averaged in a dashboard.
    tags, config
        What it can be found by.
    """

    id: str
    name: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]

    @classmethod
    def of_seed(cls, cell: Cell, seed: int, *tags: str) -> "RunIdentity":
        """The run of one seed's training; `tags` come before those of every run."""
        return cls(
            id=f"{cell.id}-seed-{seed}",
            name=f"{dataset_name(cell.dataset)} N_z={cell.n_latent} "
            f"{algorithm_name(cell.algorithm)} seed {seed}",
            group=cell.id,
            tags=(*tags, cell.dataset, cell.algorithm),
            config={**cell.as_dict(), "seed": seed},
        )


def check_trial(tracking: Mapping[str, Any], n_seeds: int) -> None:
    """Find out before training whether W&B's agent started us with one run for many seeds."""
    if "WANDB_SWEEP_ID" in os.environ and tracking["mode"] != "off" and n_seeds > 1:
        raise UserError(
            f"A trial of a W&B sweep is one run, so it cannot show {n_seeds} seeds: set seeds=1 "
            "in the sweep's command."
        )


def metric_name(split: str) -> str:
    """Return the metric that a curve of the store is logged as."""
    return f"{'bound' if split in (*BOUNDS, FULL_BOUND) else 'chains'}/{split}"


class CurveRun:
    """A W&B run with one axis, `samples`, on which nothing is logged twice."""

    def __init__(self, identity: RunIdentity, mode: Mode, folder: Path, project: str) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb  # slow to import, and not needed with tracking=off

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder if mode == "offline" else None
        self._run = wandb.init(
            project=project,
            id=identity.id,
            name=identity.name,
            group=identity.group,
            tags=list(identity.tags),
            config=dict(identity.config),
            dir=folder,
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True
            ),
        )
        self._run.define_metric("samples")
        for group in ("bound", "chains", "log_likelihood"):
            self._run.define_metric(f"{group}/*", step_metric="samples")
        self._logged = int(self._run.summary.get("samples", 0)) if mode == "online" else 0

    @property
    def name(self) -> str:
        """The run's readable name."""
        return str(self._run.name)

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self._run.id)

    def log(self, samples: int, metrics: Mapping[str, float]) -> None:
        """Log a mark's point of each curve, unless the run has that mark already."""
        if samples > self._logged:
            self._logged = samples
            self._run.log({"samples": samples, **metrics})

    def finish(self, *, failed: bool = False, replaces: bool = True) -> None:
        """Close the run, with a non-zero exit code where it failed; warn where it may be cut.

        Offline folders of the same run that were there before go, unless it `replaces` none.
        """
        self._run.finish(exit_code=1 if failed else 0)
        if self._folder is None:
            return
        # W&B says nothing when it cannot write.
        if shutil.disk_usage(self._folder).free < LEAST_FREE:
            print(INCOMPLETE.format(self.name, self._folder), file=sys.stderr, flush=True)
        elif replaces:
            mine = Path(self._run.dir).parent
            for folder in offline_folders(self._folder, self.id):
                if folder.name != mine.name:
                    shutil.rmtree(folder, ignore_errors=True)


def offline_folders(folder: Path, run: str) -> list[Path]:
    """The folders below `folder` that W&B wrote offline for the run with the id `run`."""
    named = re.compile(rf"offline-run-\d+_\d+-{re.escape(run)}")
    return [path for path in (folder / "wandb").glob("offline-run-*") if named.fullmatch(path.name)]


class SeedRun(Logger):
    """One seed's W&B run, as a Lightning logger."""

    def __init__(
        self,
        cell: Cell,
        seed: int,
        mode: Mode,
        folder: Path,
        project: str,
        figure: str | None,
        rows: Iterable[tuple[str, int, float]],
    ) -> None:
        super().__init__()
        identity = RunIdentity.of_seed(cell, seed, *([figure] if figure else []))
        self._run = CurveRun(identity, mode, folder, project)
        for samples, values in by_samples(rows).items():
            self.log_metrics(values, samples)

    @property
    def name(self) -> str:
        """The run's readable name."""
        return self._run.name

    @property
    def version(self) -> str:
        """The run's id."""
        return self._run.id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a mark's point of each curve at `step` samples, once."""
        if step is not None:
            self._run.log(step, {metric_name(split): v for split, v in metrics.items()})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to add: the run's config is complete from the start."""

    def finalize(self, status: str) -> None:
        """Close the run, with a non-zero exit code unless `status` is success."""
        self._run.finish(failed=status != "success")


def by_samples(rows: Iterable[tuple[str, int, float]]) -> dict[int, dict[str, float]]:
    """Gather the points (name, samples, value) of each mark."""
    gathered: dict[int, dict[str, float]] = {}
    for name, samples, value in rows:
        gathered.setdefault(samples, {})[name] = value
    return gathered


def seed_runs(
    tracking: Mapping[str, Any], cell: Cell, curves: Mapping[int, list[tuple[str, int, float]]]
) -> list[SeedRun]:
    """Open a run for each seed, or none with `mode: off`."""
    mode = tracking["mode"]
    if mode == "off":
        return []
    opened: list[SeedRun] = []
    try:
        for seed, rows in curves.items():
            opened.append(
                SeedRun(
                    cell,
                    seed,
                    cast(Mode, mode),
                    Path(tracking["folder"]),
                    tracking["project"],
                    tracking.get("figure"),  # where the job is a figure's
                    rows,
                )
            )
    except BaseException:
        for run in opened:
            run.finalize("failed")
        raise
    return opened
