"""Everything in the store as a W&B dashboard: `reproduce dashboard`, or `make dashboard`.

Every seed, every estimate of log p(x) and every published curve becomes a run with an id of its
own, so that running it again logs only what is new. With `tracking=online` it saves a workspace
and a report with a section for each panel, too (which needs the package wandb-workspaces); offline
it says how to upload the runs and how to look at them here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from filelock import FileLock
from rich.console import Console
from rich.progress import track

from reproduce import config
from reproduce.analysis.comparison import FIGURE2_SPLITS
from reproduce.analysis.published import PUBLISHED_FOLDER, load_published
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable
from reproduce.common.names import PANEL, algorithm_name, dataset_name
from reproduce.report import wandb_pages
from reproduce.store.store import Store
from reproduce.training.tracking import (
    CurveRun,
    Mode,
    RunIdentity,
    by_samples,
    metric_name,
    offline_folders,
)

PAPER_N_TRAIN = {"mnist": 50_000, "freyface": 1_600}
MAIN_ESTIMATOR = "quadrature"


@dataclass(frozen=True)
class Curves:
    """What one run holds.

    Attributes
    ----------
    identity
        The run.
    points
        From samples to the metrics there.
    source
        The file they are from.
    """

    identity: RunIdentity
    points: Mapping[int, Mapping[str, float]]
    source: Path


def everything(results: Path) -> list[Curves]:
    """Return what there is to log: published curves, seeds, estimates."""
    return [*published(), *trained(Store(results / "runs"))]


def published() -> Iterator[Curves]:
    """The paper's curves, one run each."""
    figures: tuple[tuple[Literal["figure2", "figure3"], str], ...] = (
        ("figure2", "figure1"), ("figure3", "figure2"),
    )  # fmt: skip
    for theirs, ours in figures:
        frame = load_published(theirs)
        if "n_train" not in frame.columns:
            frame = frame.assign(n_train=frame["dataset"].map(PAPER_N_TRAIN))
        for key, curve in frame.groupby([*PANEL, "algorithm"]):
            dataset, n_latent, n_train, algorithm = key  # type: ignore[misc]
            name = f"published-{theirs}-{dataset}-{algorithm}-z{n_latent}-n{n_train}"
            metrics = (
                curve["split"].map(lambda split: f"bound/{FIGURE2_SPLITS[str(split)]}")
                if theirs == "figure2"
                else "log_likelihood/" + curve["split"]
            )
            rows = zip(metrics, curve["samples"], curve["value"], strict=True)
            place = {"dataset": dataset, "n_latent": int(n_latent), "n_train": int(n_train)}  # type: ignore[call-overload]
            yield Curves(
                RunIdentity(
                    id=name,
                    name=f"published: {dataset_name(str(dataset))} N_z={n_latent} "
                    f"{algorithm_name(str(algorithm))}",
                    group=name,
                    tags=("published", ours, str(dataset), str(algorithm)),
                    config={**place, "algorithm": algorithm, "source": "Kingma & Welling 2013"},
                ),
                _ordered(rows),
                PUBLISHED_FOLDER / f"{theirs}.csv",
            )


def trained(store: Store) -> Iterator[Curves]:
    """Each seed's curve, and its estimates of log p(x) where there are any."""
    names = sorted(path.parent.name for path in store.root.glob("*/cell.json"))
    every = [(store.cell(name), seed) for name in names for seed in store.seeds(store.cell(name))]
    for cell, seed in every:
        folder = store.seed_folder(cell, seed)
        curve = store.curve(cell, seed)
        if curve.empty:
            continue
        metrics = curve["split"].map(metric_name)
        identity = RunIdentity.of_seed(cell, seed, "ours")
        rows = zip(metrics, curve["samples"], curve["value"], strict=True)
        yield Curves(identity, _ordered(rows), folder / "curve.csv")
        # Of several estimates at a mark the one on the most images comes last, and counts.
        found = store.likelihoods(cell, seed).sort_values("n_points", kind="stable")
        if found.empty:
            continue
        named = found["estimator"].map(lambda name: "" if name == MAIN_ESTIMATOR else f"_{name}")
        metrics = "log_likelihood/" + found["split"] + named
        rows = zip(metrics, found["samples"], found["value"], strict=True)
        yield Curves(
            RunIdentity(
                id=f"{identity.id}-likelihood",
                name=f"{identity.name}, log p(x)",
                group=f"{identity.group}-likelihood",
                tags=(*identity.tags, "log_likelihood"),
                config=identity.config,
            ),
            _ordered(rows),
            folder / "likelihood.csv",
        )


def _ordered(rows: Iterable[tuple[str, Any, Any]]) -> dict[int, dict[str, float]]:
    gathered = by_samples((name, int(samples), float(value)) for name, samples, value in rows)
    return dict(sorted(gathered.items()))


def log(
    curves: Sequence[Curves], mode: Mode, folder: Path, project: str, terminal: Console
) -> list[str]:
    """Log what W&B does not have yet; return the ids of the runs that were written."""
    written = []
    for one in track(curves, "logging", console=terminal, transient=True):
        if mode == "offline" and _is_logged(one, folder):
            continue
        run = CurveRun(one.identity, mode, folder, project)
        failed = True
        try:
            for samples, metrics in one.points.items():
                run.log(samples, metrics)
            failed = False
        finally:
            run.finish(failed=failed, replaces=not failed and not _in_training(one))
        written.append(one.identity.id)
    return written


def _is_logged(one: Curves, folder: Path) -> bool:
    """Tell whether there is an offline run, by training or by us, that is newer than the curve."""
    name = f"run-{one.identity.id}.wandb"
    files = [path / name for path in offline_folders(folder, one.identity.id)]
    made = one.source.stat().st_mtime_ns
    return any(path.exists() and path.stat().st_mtime_ns >= made for path in files)


def _in_training(one: Curves) -> bool:
    """Tell whether a process holds the seed's lock, whose W&B run is not to be touched."""
    path = one.source.with_name(".lock")
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except OSError:  # which a timeout is, too
        return True


def main(arguments: Sequence[str]) -> int:
    """Log the store; save or explain the dashboard."""
    overrides = list(arguments)
    terminal = cli.console()
    settings = config.compose_config(overrides)
    mode = str(settings.tracking.mode)
    if mode not in ("online", "offline"):
        raise UserError("A dashboard needs tracking=offline or tracking=online, not off.")
    folder, project = config.tracking_places(settings)
    results = config.results_folder(settings)
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; choose another with results=FOLDER.")
    curves = everything(results)
    ensure_writable(folder / "wandb", "tracking.folder")
    if mode == "online":
        wandb_pages.require()  # before anything is sent
    written = log(curves, cast(Mode, mode), folder, project, terminal)
    known = len(curves) - len(written)
    terminal.print(f"{len(written)} runs logged, {known} were there already.", highlight=False)
    if mode == "online":
        view, page = wandb_pages.save([one.identity.config for one in curves], folder, project)
        terminal.print(f"Workspace: {view}\nReport: {page}", highlight=False)
    else:
        terminal.print(
            f"To upload them: wandb sync {folder}/wandb/offline-*\n"
            f"To look at them here: wandb leet {folder}/wandb",
            highlight=False,
        )
    return 0
