"""Everything in the store as a W&B dashboard: `python -m reproduce.dashboard`, or `make dashboard`.

Every member, every estimate of log p(x) and every published curve becomes a run with an id of its
own, so that running it again logs only what is new. With `tracking=online` it saves a workspace
and a report with a section for each panel, too (which needs the package wandb-workspaces); offline
it says how to upload the runs and how to look at them here.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
from rich.console import Console
from rich.progress import track

from reproduce import cli, config
from reproduce.errors import UserError
from reproduce.figures.style import algorithm_name, dataset_name
from reproduce.files import write_json
from reproduce.published import PUBLISHED_FOLDER, load_published
from reproduce.store import Store
from reproduce.tracking import BOUNDS, CurveRun, Mode, RunIdentity, by_samples, metric_name
from reproduce.trained import find_cell

PUBLISHED_SPLITS = {"train": "train_running", "test": "test"}
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
    """Return what there is to log: published curves, members, estimates."""
    return [*published(), *members(Store(results / "runs"))]


def published() -> Iterator[Curves]:
    """The paper's curves, one run each."""
    figures: tuple[tuple[Literal["figure2", "figure3"], str], ...] = (
        ("figure2", "figure1"), ("figure3", "figure2"),
    )  # fmt: skip
    for theirs, ours in figures:
        frame = load_published(theirs)
        if "n_train" not in frame.columns:
            frame = frame.assign(n_train=frame["dataset"].map(PAPER_N_TRAIN))
        for key, curve in frame.groupby(["dataset", "n_latent", "n_train", "algorithm"]):
            dataset, n_latent, n_train, algorithm = key  # type: ignore[misc]
            name = f"published-{theirs}-{dataset}-{algorithm}-z{n_latent}-n{n_train}"
            metrics = (
                curve["split"].map(lambda split: f"bound/{PUBLISHED_SPLITS[str(split)]}")
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


def members(store: Store) -> Iterator[Curves]:
    """Each member's curve, and its estimates of log p(x) where there are any."""
    for folder in sorted(store.root.glob("*/seed-*")):
        cell = find_cell(store, folder.parent.name)
        seed = int(folder.name.removeprefix("seed-"))
        curve = store.curve(cell, seed)
        if curve.empty:
            continue
        metrics = curve["split"].map(metric_name)
        identity = RunIdentity.of_member(cell, seed, "ours")
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
            run.finish(failed=failed)
        written.append(one.identity.id)
    return written


def _is_logged(one: Curves, folder: Path) -> bool:
    """Tell whether there is an offline run, by training or by us, that is newer than the curve."""
    files = (folder / "wandb").glob(f"offline-run-*-{one.identity.id}/run-{one.identity.id}.wandb")
    made = one.source.stat().st_mtime_ns
    return any(path.stat().st_mtime_ns >= made for path in files)


def panels_of(curves: Sequence[Curves]) -> list[dict[str, Any]]:
    """The distinct (dataset, n_latent, n_train), in the order of the curves."""
    keys = ("dataset", "n_latent", "n_train")
    places = {tuple(one.identity.config[key] for key in keys) for one in curves}
    order = pd.DataFrame(sorted(places, key=lambda p: (p[0] != "mnist", *map(str, p[:1]), *p[1:])))
    return [dict(zip(keys, row, strict=True)) for row in order.itertuples(index=False)]


def workspace(entity: str, project: str) -> Any:
    """Describe the saved workspace: a section a quantity, runs averaged by cell."""
    wr, ws = _workspaces()
    splits = [f"bound/{split}" for split in BOUNDS]
    sections = {
        "Variational bound (experiment 1)": splits,
        "Marginal log-likelihood (experiment 2)": ["log_likelihood/train", "log_likelihood/test"],
        "Markov chains (Monte Carlo EM)": ["chains/acceptance_rate", "chains/leapfrog_step"],
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name="AEVB reproduced",
        sections=[
            ws.Section(
                name=name,
                is_open=True,
                panels=[_plot(wr, [metric], metric, log_x=index == 0) for metric in metrics],
            )
            for index, (name, metrics) in enumerate(sections.items())
        ],
        runset_settings=ws.RunsetSettings(groupby=[ws.Metric("group")]),
    )


def report(entity: str, project: str, panels: Sequence[Mapping[str, Any]]) -> Any:
    """Describe the report: a section for each panel, with the published curves among ours."""
    wr, ws = _workspaces()
    blocks: list[Any] = [
        wr.P("Each section shows our runs, averaged over seeds, and the published curve's.")
    ]
    for place in panels:
        title = f"{dataset_name(place['dataset'])}, N_z = {place['n_latent']}, "
        blocks.append(wr.H2(f"{title}N_train = {place['n_train']:,}"))
        blocks.append(
            wr.PanelGrid(
                runsets=[
                    wr.Runset(
                        entity=entity,
                        project=project,
                        name="ours and published",
                        filters=[ws.Config(key) == value for key, value in place.items()],
                        groupby=["group"],
                    )
                ],
                panels=[
                    _plot(wr, ["bound/train_running", "bound/test"], "variational bound", True),
                    _plot(wr, ["log_likelihood/train", "log_likelihood/test"], "log p(x)", False),
                ],
            )
        )
    return wr.Report(
        entity=entity,
        project=project,
        title="Auto-Encoding Variational Bayes, reproduced",
        description="Both experiments of Kingma & Welling (2013), beside the published curves.",
        blocks=blocks,
    )


def _plot(wr: Any, metrics: list[str], title: str, log_x: bool) -> Any:
    return wr.LinePlot(
        title=title, x="samples", y=metrics, log_x=log_x, title_x="training samples evaluated",
        title_y="nats" if not metrics[0].startswith("chains") else None,
    )  # fmt: skip


def _workspaces() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            "A dashboard online needs the package wandb-workspaces: pip install -e '.[dashboard]'."
        ) from error
    return wr, ws


def save_online(curves: Sequence[Curves], folder: Path, project: str) -> tuple[str, str]:
    """Save workspace and report, over those saved before; return their addresses.

    Raises
    ------
    UserError
        Where nobody is logged in.
    """
    _workspaces()
    import wandb

    try:
        entity = str(wandb.Api().default_entity)
    except (wandb.Error, ValueError) as error:
        raise UserError(f"W&B does not know you ({error}); run `wandb login` first.") from error
    memory = folder / "wandb" / "dashboard.json"
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
    known = known if known.get("project") == f"{entity}/{project}" else {}
    view, page = workspace(entity, project), report(entity, project, panels_of(curves))
    # Known ids make these updates; without, each time would add another.
    view._internal_name, view._internal_id = known.get("workspace", ("", ""))
    page.id = known.get("report", "")
    view.save()
    page.save()
    saved = {
        "project": f"{entity}/{project}",
        "workspace": [view._internal_name, view._internal_id],
        "report": page.id,
    }
    write_json(memory, saved)
    return str(view.url), str(page.url)


def main(arguments: Sequence[str] | None = None) -> int:
    """Log the store; save or explain the dashboard."""
    overrides = list(sys.argv[1:] if arguments is None else arguments)
    terminal = cli.console()
    settings = config.compose_config(overrides)
    mode = str(settings.tracking.mode)
    if mode not in ("online", "offline"):
        raise UserError("A dashboard needs tracking=offline or tracking=online, not off.")
    folder, project = Path(settings.tracking.folder), str(settings.tracking.project)
    curves = everything(config.results_folder(settings))
    cli.ensure_writable(folder / "wandb")
    if mode == "online":
        _workspaces()  # before anything is sent
    written = log(curves, cast(Mode, mode), folder, project, terminal)
    known = len(curves) - len(written)
    terminal.print(f"{len(written)} runs logged, {known} were there already.", highlight=False)
    if mode == "online":
        view, page = save_online(curves, folder, project)
        terminal.print(f"Workspace: {view}\nReport: {page}", highlight=False)
    else:
        terminal.print(
            f"To upload them: wandb sync {folder}/wandb/offline-*\n"
            f"To look at them here: wandb leet {folder}/wandb",
            highlight=False,
        )
    return 0


if __name__ == "__main__":
    cli.command(main)
