"""The saved workspace and the report that W&B shows: described here, saved when online."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reproduce.analysis.curves import by_place
from reproduce.common.errors import UserError
from reproduce.common.files import write_json
from reproduce.common.names import PANEL, dataset_name
from reproduce.training.tracking import BOUNDS


def panels_of(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The distinct (dataset, n_latent, n_train) of runs with these configurations, MNIST first."""
    places = by_place(pd.DataFrame(configs, columns=PANEL))
    return [dict(zip(PANEL, place, strict=True)) for place, _ in places]


def workspace(entity: str, project: str) -> Any:
    """Describe the saved workspace: a section a quantity, runs averaged by cell."""
    wr, ws = require()
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
    wr, ws = require()
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


def require() -> tuple[Any, Any]:
    """Import the modules of reports and workspaces."""
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            "A dashboard online needs the package wandb-workspaces: pip install -e '.[dashboard]'."
        ) from error
    return wr, ws


def save(configs: Sequence[Mapping[str, Any]], folder: Path, project: str) -> tuple[str, str]:
    """Save workspace and report, over those saved before; return their addresses."""
    require()
    import wandb

    try:
        entity = str(wandb.Api().default_entity)
    except (wandb.Error, ValueError) as error:
        raise UserError(f"W&B does not know you ({error}); run `wandb login` first.") from error
    memory = folder / "wandb" / "dashboard.json"
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
    known = known if known.get("project") == f"{entity}/{project}" else {}
    view, page = workspace(entity, project), report(entity, project, panels_of(configs))
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
