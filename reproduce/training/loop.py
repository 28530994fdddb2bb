"""Training the seeds of one cell: from the store, through Lightning, back to the store."""

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from reproduce import data
from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import Chunks, marks, rounded
from reproduce.common import identity, plugins
from reproduce.common.checks import whole_number
from reproduce.common.errors import UserError
from reproduce.common.files import locked
from reproduce.common.lightning import LightningEnvironment, SIGTERMException, pl
from reproduce.common.machine import choose_device, device_name, has_cpp_compiler, prepare
from reproduce.common.provenance import provenance
from reproduce.data.images import ImageData
from reproduce.models.initialisation import initialise
from reproduce.store.cell import Cell
from reproduce.store.checkpoints import (
    SeedCheckpoints,
    read_checkpoint,
    remove_leftovers,
    write_snapshot,
)
from reproduce.store.load import build_model
from reproduce.store.seed_state import check_seed_axis, seed_state
from reproduce.store.store import Store
from reproduce.training.job import Job, Report
from reproduce.training.tracking import seed_runs

LONGEST_CHUNK = {"cpu": 10_000, "cuda": 200_000}
"""Samples per seed in one call by Lightning, by kind of device: a second of training or less."""
CHECKPOINT_SECONDS = 60.0
COMPILING_PAYS = 1_000_000
"""Samples a seed from which compiling pays: it saves what it costs after 0.2e6 to 1.6e6 samples of
a cell's seeds together (docs/speed.md)."""
LOST = -1e9
"""Nats below which a mean bound has diverged: it begins near -10^3, and nothing has come back."""


@dataclass
class SeedRecord:
    """What is remembered of one seed beside its tensors; part of its checkpoint."""

    curve: list[tuple[str, int, float]] = field(default_factory=list)
    diverged_at: int | None = None
    wall_seconds: float = 0.0
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_checkpoint(cls, state: Mapping[str, Any]) -> "SeedRecord":
        """Rebuild from plain containers."""
        curve = [(split, int(samples), float(value)) for split, samples, value in state["curve"]]
        sessions = [dict(session) for session in state.get("sessions", [])]
        return cls(curve, state["diverged_at"], state["wall_seconds"], sessions)

    def continues(self, samples: int, by: Mapping[str, Any]) -> None:
        """Note that training goes on from `samples`, made by this code on this machine."""
        if not self.sessions or self.sessions[-1] | dict(by) != self.sessions[-1]:
            self.sessions.append({"from": samples, "to": samples, **by})


def train(job: Job, report: Report, until: float = math.inf) -> dict[int, int]:
    """Train what is missing of `job`; return where seeds diverged, {seed: samples}.

    Finished seeds are skipped, the others continue from their checkpoints. `report` is called
    with ("advance", samples summed over seeds) and ("message", text). `until`, on the clock of
    `time.monotonic`, is when to stop: with checkpoints, after the chunk that is being trained.
    """
    store = Store(job.store)
    prepare(job.threads)
    with ExitStack() as locks:
        for seed in sorted(job.seeds):  # in one order, so that two processes cannot deadlock
            locks.enter_context(_locked(store, job.cell, seed, report))
        missing = [s for s in job.seeds if not store.is_done(job.cell, s, job.samples)]
        if missing and len(missing) < len(job.seeds):
            report("advance", job.samples * (len(job.seeds) - len(missing)))
        stacks: dict[int, list[int]] = {}
        for seed in missing:
            stacks.setdefault(_progress(store, job.cell, seed), []).append(seed)
        for start, seeds in sorted(stacks.items()):
            report("advance", start * len(seeds))
            most = most_stacked(job, len(seeds))
            for first in range(0, len(seeds), most):
                if time.monotonic() < until:
                    _train_stack(store, job, seeds[first : first + most], start, report, until)
    found = {seed: store.manifest(job.cell, seed).get("diverged_at") for seed in job.seeds}
    return {seed: samples for seed, samples in found.items() if samples is not None}


def last_mark(job: Job) -> int:
    """Where the job's training stops: its samples, rounded up to what it can stop at."""
    return rounded(job.samples, block_samples(job.cell))


def most_stacked(job: Job, n_seeds: int) -> int:
    """Number of seeds to train together: all, or one when steps are compiled on a CPU.

    A compiled stack rounds otherwise than its seeds alone, and on a CPU is no faster: each seed
    is trained by itself there, so that its curve stays the same whatever else is trained.
    """
    return 1 if compiles(job) and choose_device(job.device).type == "cpu" else n_seeds


def compiles(job: Job) -> bool:
    """Whether the steps of `job` are to be compiled.

    With "auto" on a CPU alone, where there is a compiler and each seed's training is long enough;
    not those of a user's own methods, of which nobody knows whether they may be.
    """
    algorithm = _algorithm_class(job.cell)
    if job.compiled != "auto":
        return job.compiled and algorithm.static_step
    return (
        algorithm.static_step
        and algorithm.__module__.partition(".")[0] in plugins.SUITE
        and job.samples >= COMPILING_PAYS
        and choose_device(job.device).type == "cpu"
        and has_cpp_compiler()
    )


def block_samples(cell: Cell) -> int:
    """Samples in a block of the cell's algorithm: training stops between blocks only."""
    algorithm = _algorithm_class(cell)
    samples = algorithm.block_samples_of(cell.settings["algorithm"], cell.n_train)
    return whole_number(f"What {algorithm.__name__}.block_samples_of returns", samples)


def _algorithm_class(cell: Cell) -> type[Algorithm]:
    target = cell.settings["algorithm"]["_target_"]
    algorithm = plugins.algorithm_class(target)
    if not issubclass(algorithm, Algorithm):
        raise UserError(
            f"{target} is no algorithm: its class must be derived from "
            "reproduce.algorithms.base.Algorithm; see docs/add-a-method.md."
        )
    return algorithm


def build(
    cell: Cell, images: ImageData, seeds: Sequence[int], device: torch.device | str = "cpu"
) -> Algorithm:
    """Build the algorithm of `cell` with freshly initialised seeds."""
    model = build_model(cell, images.train.shape[1], len(seeds))
    init = cell.settings["model"]["init"]
    initialise(model, seeds, **init)
    settings = identity.placed(cell.settings["algorithm"], "algorithm")
    algorithm = plugins.make(settings, f"algorithm={cell.algorithm}", model, images, seeds)
    check_seed_axis(algorithm, len(seeds), f"{type(algorithm).__name__}.")
    return cast(Algorithm, algorithm).to(device)


@contextlib.contextmanager
def _locked(store: Store, cell: Cell, seed: int, report: Report) -> Iterator[None]:
    """Hold the seed's lock."""
    folder = store.seed_folder(cell, seed)
    store.write_cell(cell)
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"{cell.title} seed {seed}: another process is training it; waiting."
    with locked(folder / ".lock", lambda: report("message", waiting)):
        remove_leftovers(store, cell, seed)
        yield


def _progress(store: Store, cell: Cell, seed: int) -> int:
    if not store.checkpoint(cell, seed).exists():
        return 0
    return int(read_checkpoint(store, cell, seed)["state_dict"]["samples_seen"][0])


def _train_stack(
    store: Store, job: Job, seeds: list[int], start: int, report: Report, until: float
) -> None:
    """Train seeds that are equally far, as one stack."""
    device = choose_device(job.device)
    images = data.load(job.cell.dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
    algorithm = build(job.cell, images, seeds, device)
    if compiles(job):
        algorithm.compile_steps(job.threads, optional=job.compiled == "auto")
    records = [
        SeedRecord.from_checkpoint(read_checkpoint(store, job.cell, seed)["members"][0])
        if start
        else SeedRecord()
        for seed in seeds
    ]
    machine = provenance()["machine"]
    made_by = {
        "git": provenance()["git"],
        "torch": torch.__version__,
        "device": device.type,
        "rounding": {  # what else moves the last bits
            "processor": machine["processor"],
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": job.threads,
            **machine["rounding"],
        },
    }
    for record in records:
        plain = {key: _plain(value) for key, value in made_by.items()}
        record.continues(start, {**plain, "compiled": algorithm.is_compiled})
    recorder = Recorder(store, job, images, seeds, records, report, until)
    block = algorithm.block_samples
    stops = marks(job.samples, block, job.snapshots)
    chunks = Chunks(start, stops, block, max(1, LONGEST_CHUNK[device.type] // block))
    if not len(chunks):  # killed between the last checkpoint and its curve
        algorithm.samples_seen.fill_(start)
        recorder.publish(algorithm)
        return
    quieten_lightning()
    curves = {seed: record.curve for seed, record in zip(seeds, records, strict=True)}
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=1,
        logger=seed_runs(job.tracking, job.cell, curves),
        callbacks=[recorder],
        # Not Lightning's own idea of Slurm, where it would ask for the job to be queued again.
        plugins=[SeedCheckpoints(store, job.cell, seeds), LightningEnvironment()],
        enable_checkpointing=False,  # the recorder saves at marks, through the plugin above
        enable_progress_bar=False,  # the recorder reports to whoever runs many jobs
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    folder = str(store.folder(job.cell)) if start else None
    trainer.fit(algorithm, train_dataloaders=chunks, ckpt_path=folder, weights_only=True)


class Recorder(pl.Callback):
    """Evaluates at marks, keeps the curves, saves checkpoints, and stops diverged seeds."""

    def __init__(
        self,
        store: Store,
        job: Job,
        images: ImageData,
        seeds: Sequence[int],
        records: list[SeedRecord],
        report: Report,
        until: float = math.inf,
    ) -> None:
        self.store, self.job, self.seeds, self.records = store, job, tuple(seeds), records
        self.report, self.until = report, until
        self.images = images
        self.marks: frozenset[int] = frozenset()
        self.snapshots: frozenset[int] = frozenset()
        self.clock = self.saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the marks and start the clock."""
        algorithm = cast(Algorithm, pl_module)
        block = algorithm.block_samples
        self.marks = frozenset(marks(self.job.samples, block, self.job.snapshots))
        self.snapshots = frozenset(rounded(samples, block) for samples in self.job.snapshots)
        self.clock = self.saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """After each chunk: look for divergence, record a mark, save now and then."""
        algorithm = cast(Algorithm, pl_module)
        samples = int(algorithm.samples_seen[0])
        self._stop_diverged(algorithm, samples)
        if samples in self.marks:
            self._record(trainer, algorithm, samples)
        if samples in self.snapshots:  # before the checkpoint, after which it would not be made
            weights = algorithm.model.state_dict()
            for index, (seed, record) in enumerate(zip(self.seeds, self.records, strict=True)):
                if record.diverged_at is None:
                    own = seed_state(weights, index)
                    write_snapshot(self.store, self.job.cell, seed, samples, own)
        none_left = all(record.diverged_at is not None for record in self.records)
        now = time.monotonic()
        ends = none_left or now > self.until
        if ends or samples in self.marks or now - self.saved > CHECKPOINT_SECONDS:
            trainer.save_checkpoint(self.store.folder(self.job.cell))
            self.publish(algorithm)
            self.saved = time.monotonic()
        self.report("advance", len(batch) * algorithm.block_samples * len(self.seeds))
        if ends:
            trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what is remembered of each seed."""
        algorithm = cast(Algorithm, pl_module)
        now, samples = time.monotonic(), int(algorithm.samples_seen[0])
        for record in self.records:
            record.wall_seconds += now - self.clock
            # What could not be compiled was not from the session's beginning.
            record.sessions[-1] |= {"to": samples, "compiled": algorithm.is_compiled}
        self.clock = now
        checkpoint["members"] = [vars(record) for record in self.records]

    def publish(self, algorithm: Algorithm) -> None:
        """Write manifest and curve of each seed; what means "done" comes last.

        That is the curve, and where a seed diverged the manifest, which says so.
        """
        for seed, record in zip(self.seeds, self.records, strict=True):
            manifest = {
                "cell": self.job.cell.as_dict(),
                "seed": seed,
                "samples": int(algorithm.samples_seen[0]),
                "diverged_at": record.diverged_at,
                "wall_seconds": round(record.wall_seconds, 1),
                "stacked_with": len(self.seeds),
                "device": device_name(algorithm.device),
                "threads": self.job.threads,
                **algorithm.facts(),
                "data": {"source": self.images.source, "sha256": self.images.checksum},
                **provenance(),
                "sessions": record.sessions,
            }
            if record.diverged_at is not None:
                self.store.write_curve(self.job.cell, seed, record.curve)
            self.store.write_manifest(self.job.cell, seed, manifest)
            self.store.write_curve(self.job.cell, seed, record.curve)

    def _record(self, trainer: pl.Trainer, algorithm: Algorithm, samples: int) -> None:
        values = {split: value.tolist() for split, value in algorithm.points().items()}
        algorithm.start_new_mark()
        for index, record in enumerate(self.records):
            if record.diverged_at is not None:
                continue
            row = {split: value[index] for split, value in values.items()}
            record.curve.extend((split, samples, value) for split, value in row.items())
            if trainer.loggers:
                trainer.loggers[index].log_metrics(row, samples)

    def _stop_diverged(self, algorithm: Algorithm, samples: int) -> None:
        """Seeds whose bound is lost or not finite record nothing more; the others go on."""
        bounds = (algorithm.running_sum / algorithm.running_steps.clamp_min(1)).tolist()
        lost = [not math.isfinite(bound) or bound < LOST for bound in bounds]
        for record, seed, diverged in zip(self.records, self.seeds, lost, strict=True):
            if record.diverged_at is None and diverged:
                record.diverged_at = samples
                others = "" if all(lost) else "; the other seeds go on"
                self.report(
                    "message",
                    f"{self.job.cell.title} seed {seed} diverged before {samples:,} samples and "
                    f"was stopped{others}.",
                )


def _plain(value: Any) -> Any:
    """Copy of a container, and a string of torch's own kind as a string: checkpoints are plain."""
    return dict(value) if isinstance(value, dict) else str(value)


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Turn into KeyboardInterrupt what Lightning makes of Ctrl-C and SIGTERM: exits."""
    try:
        yield
    except SystemExit as stop:  # with status zero after SIGTERM
        if isinstance(stop.__context__, KeyboardInterrupt) or isinstance(stop, SIGTERMException):
            raise KeyboardInterrupt from stop
        raise


def quieten_lightning() -> None:
    """Silence what Lightning says about a machine and a layout it does not know."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # Written for data loaders with workers and for checkpoint folders of Lightning's own layout.
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")


def check_sizes(jobs: Iterable[Job]) -> None:
    """Find out before training whether the data sets have as many images as are asked for.

    And whether they are those that seeds were trained on so far, and whether algorithms say how
    many samples a block of steps has.
    """
    for job in jobs:
        block_samples(job.cell)
        images = data.load(job.cell.dataset, job.data_dir, job.cell.reading).first(job.cell.n_train)
        Store(job.store).check_data(job.cell, job.seeds, images.checksum)
