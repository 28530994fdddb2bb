"""Weights & Biases: one run for each member, offline unless asked otherwise.

A run's id is the member's (cell id and seed), its group the cell, and its axis `samples`. Points
are logged as they are made; where a run was interrupted, an offline one cannot be continued in
place, so a new offline run of the same id gets the whole curve from the store.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pytorch_lightning.loggers import Logger

from reproduce.errors import UserError
from reproduce.store import Cell

Mode = Literal["online", "offline"]
MODES = ("online", "offline", "off")
BOUNDS = ("train", "test", "train_running")
"""The curves that show the variational bound; others describe Markov chains."""


class MemberRun(Logger):
    """One member's W&B run, as a Lightning logger."""

    def __init__(
        self,
        cell: Cell,
        seed: int,
        mode: Mode,
        folder: Path,
        project: str,
        figure: str,
        rows: Iterable[tuple[str, int, float]],
    ) -> None:
        super().__init__()
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb  # slow to import, and not needed with tracking=off

        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=project,
            id=f"{cell.id}-seed-{seed}",
            name=f"{cell.title} seed {seed}",
            group=cell.id,
            tags=[figure, cell.dataset, cell.algorithm],
            config={**cell.as_dict(), "seed": seed},
            dir=folder,
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True
            ),
        )
        self._run.define_metric("samples")
        for group in ("bound", "chains"):
            self._run.define_metric(f"{group}/*", step_metric="samples")
        self._logged = int(self._run.summary.get("samples", 0)) if mode == "online" else 0
        by_samples: dict[int, dict[str, float]] = {}
        for split, samples, value in rows:
            by_samples.setdefault(samples, {})[split] = value
        for samples, values in by_samples.items():
            self.log_metrics(values, samples)

    @property
    def name(self) -> str:
        """The run's readable name."""
        return str(self._run.name)

    @property
    def version(self) -> str:
        """The run's id."""
        return str(self._run.id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a mark's point of each curve at `step` samples, once."""
        if step is None or step <= self._logged:
            return
        self._logged = step
        groups = {name: "bound" if name in BOUNDS else "chains" for name in metrics}
        self._run.log({"samples": step, **{f"{groups[k]}/{k}": v for k, v in metrics.items()}})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to add: the run's config is complete from the start."""

    def finalize(self, status: str) -> None:
        """Close the run, with a non-zero exit code unless `status` is success."""
        self._run.finish(exit_code=0 if status == "success" else 1)


def member_runs(
    tracking: Mapping[str, Any], cell: Cell, curves: Mapping[int, list[tuple[str, int, float]]]
) -> list[MemberRun]:
    """Open a run for each member, or none with `mode: off`.

    Raises
    ------
    UserError
        For an unknown mode.
    """
    mode = tracking["mode"]
    if mode not in MODES:
        raise UserError(f"Unknown tracking mode {mode!r}; choose one of: {', '.join(MODES)}.")
    if mode == "off":
        return []
    opened: list[MemberRun] = []
    try:
        for seed, rows in curves.items():
            opened.append(
                MemberRun(
                    cell,
                    seed,
                    cast(Mode, mode),
                    Path(tracking["folder"]),
                    tracking["project"],
                    tracking["figure"],
                    rows,
                )
            )
    except BaseException:
        for run in opened:
            run.finalize("failed")
        raise
    return opened
