"""The dashboard: offline read back with W&B's own tool, online up to the request it would send."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from reproduce import config
from reproduce.analysis.published import load_published
from reproduce.common.errors import UserError
from reproduce.common.files import locked
from reproduce.report import dashboard
from reproduce.store.store import Store
from reproduce.training.loop import train
from wandb_files import history, offline_runs, records

SMALL = ["data=digits", "model.n_latent=3", "samples=20000", "seeds=2"]


def job(folder, *overrides):
    composed = config.compose_config([*SMALL, f"results={folder}", *overrides])
    return config.job_from(composed)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with two seeds, one with an estimate, and few published curves."""
    this = job(tmp_path, "tracking=off")
    train(this, lambda kind, payload: None)
    row = {
        "split": "test", "samples": 20_000, "settings": "x", "stderr": 1.0,
        "n_untrusted": 0, "seconds": 1.0,
    }  # fmt: skip
    for estimator, n_points, value in (
        ("quadrature", 5, -30.0), ("quadrature", 3, -99.0), ("hmc_kde", 5, -29.5),
    ):  # fmt: skip
        changed = {**row, "estimator": estimator, "n_points": n_points, "value": value}
        Store(this.store).add_likelihood(this.cell, 0, changed)
    everything = load_published("figure2")
    few = everything[(everything["n_latent"] == 10) & (everything["dataset"] == "mnist")]
    nothing = load_published("figure3")[:0]
    monkeypatch.setattr(
        dashboard, "load_published", lambda name: few if name == "figure2" else nothing
    )
    return this


def run_named(folder, name):
    (found,) = [run for run in offline_runs(folder) if run.name.endswith(name)]
    return found


def test_every_published_curve_of_the_paper_is_a_run():
    found = list(dashboard.published())
    assert len(found) == 18 + 6  # two algorithms in nine panels, three in two
    assert len({one.identity.id for one in found}) == 24
    assert all("published" in one.identity.tags for one in found)
    points = sum(len(metrics) for one in found for metrics in one.points.values())
    assert points == len(load_published("figure2")) + len(load_published("figure3"))


@pytest.mark.integration
def test_offline_everything_is_logged_once(store, tmp_path, capsys):
    assert dashboard.main([*SMALL, f"results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "5 runs logged, 0 were there already." in printed
    assert f"wandb sync {tmp_path}/wandb/offline-*" in printed
    assert f"wandb leet {tmp_path}/wandb" in printed

    record = run_named(tmp_path, f"{store.cell.id}-seed-1")
    (logged,) = history(record)
    curve = Store(store.store).curve(store.cell, 1)
    expected = {f"bound/{split}": value for split, _, value in curve.itertuples(index=False)}
    assert {k: float(v) for k, v in logged.items() if k != "samples"} == pytest.approx(expected)

    (estimates,) = history(run_named(tmp_path, "seed-0-likelihood"))
    assert float(estimates["log_likelihood/test"]) == -30.0
    assert float(estimates["log_likelihood/test_hmc_kde"]) == -29.5

    theirs = run_named(tmp_path, "published-figure2-mnist-aevb-z10-n50000")
    curve = load_published("figure2")
    curve = curve[
        (curve["n_latent"] == 10) & (curve["dataset"] == "mnist") & (curve["algorithm"] == "aevb")
    ]
    values = [float(v) for row in history(theirs) for k, v in row.items() if k != "samples"]
    assert sorted(values) == pytest.approx(sorted(curve["value"]))
    assert "published" in records(theirs, "run")[0]["tags"]

    assert dashboard.main([*SMALL, f"results={tmp_path}"]) == 0
    assert "0 runs logged, 5 were there already." in capsys.readouterr().out
    assert len(offline_runs(tmp_path)) == 5


def test_what_training_logged_is_not_logged_again_but_what_is_new_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dashboard, "published", lambda: iter(()))
    train(job(tmp_path, "tracking=offline"), lambda kind, payload: None)
    dashboard.main([*SMALL, f"results={tmp_path}"])
    assert "0 runs logged, 2 were there already." in capsys.readouterr().out
    train(job(tmp_path, "tracking=off", "samples=25000"), lambda kind, payload: None)
    dashboard.main([*SMALL, f"results={tmp_path}"])
    assert "2 runs logged, 0 were there already." in capsys.readouterr().out
    assert len(offline_runs(tmp_path)) == 2  # in place of those that training wrote


def test_the_run_of_a_seed_in_training_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "published", lambda: iter(()))
    this = job(tmp_path, "tracking=offline")
    train(this, lambda kind, payload: None)
    before = offline_runs(tmp_path)
    train(job(tmp_path, "tracking=off", "samples=25000"), lambda kind, payload: None)
    with locked(Store(this.store).seed_folder(this.cell, 0) / ".lock"):
        dashboard.main([*SMALL, f"results={tmp_path}"])
    assert [run.exists() for run in before] == [True, False]
    assert len(offline_runs(tmp_path)) == 3


@pytest.fixture
def requests(monkeypatch):
    """What would be sent to W&B: workspaces and reports, and which runs."""
    import wandb
    import wandb_workspaces.reports.v2.interface as reports
    import wandb_workspaces.workspaces.internal as workspaces

    sent = SimpleNamespace(views=[], runs=[])

    def answer(api, query, variables):
        if "ProjectInternalId" in query:
            return {"project": {"id": "UHJvamVjdDox", "internalId": "1"}}
        assert "upsertView" in query
        sent.views.append(dict(variables))
        number = len(sent.views)
        view = {"id": variables.get("id") or f"id-{number}", "name": variables.get("name") or "",
                "displayName": "", "description": "", "spec": variables["spec"],
                "project": {"name": "p", "entityName": "me"}, "user": None, "type": "runs",
                "createdAt": None, "updatedAt": None}  # fmt: skip
        return {"upsertView": {"view": view, "inserted": True}}

    api = SimpleNamespace(
        default_entity="me",
        projects=lambda entity: [SimpleNamespace(name="aevb-reproduction")],
        client=SimpleNamespace(app_url="https://wandb.ai"),
    )
    monkeypatch.setattr(wandb, "Api", lambda *a, **k: api)
    monkeypatch.setattr(reports, "_get_api", lambda: api)
    monkeypatch.setattr(reports, "execute_graphql", answer)
    monkeypatch.setattr(workspaces, "execute_graphql", answer)

    class Run:
        def __init__(self, identity, mode, folder, project):
            sent.runs.append((identity.id, mode, project))

        def log(self, samples, metrics): ...

        def finish(self, **_): ...

    monkeypatch.setattr(dashboard, "CurveRun", Run)
    return sent


def test_online_a_workspace_and_a_report_with_a_section_a_panel(store, tmp_path, requests, capsys):
    online = [*SMALL, f"results={tmp_path}", "tracking=online"]
    assert dashboard.main(online) == 0
    assert len(requests.runs) == 5
    assert {mode for _, mode, _ in requests.runs} == {"online"}
    view, page = requests.views
    spec = json.loads(view["spec"])
    names = [section["name"] for section in spec["section"]["panelBankConfig"]["sections"]]
    assert "Variational bound (experiment 1)" in names
    text = page["spec"]
    assert "MNIST, N_z = 10, N_train = 50,000" in text
    assert "scikit-learn digits, N_z = 3, N_train = 1,500" in text
    grids = [b for b in json.loads(text)["blocks"] if b["type"] == "panel-grid"]
    assert len(grids) == 2  # one a panel
    filters = json.dumps(grids[0]["metadata"]["runSets"][0]["filters"])
    assert "n_latent" in filters
    assert "mnist" in filters
    assert "bound/train_running" in json.dumps(grids[0]["metadata"]["panelBankSectionConfig"])
    assert "Report: https://wandb.ai/me/aevb-reproduction" in capsys.readouterr().out

    assert dashboard.main(online) == 0  # updates what it saved
    assert [sent["id"] for sent in requests.views[2:]] == ["id-1", "id-2"]


def test_off_is_no_dashboard(tmp_path):
    with pytest.raises(UserError, match="tracking=offline or tracking=online"):
        dashboard.main([*SMALL, f"results={tmp_path}", "tracking=off"])


def test_published_groups_are_not_averaged_over_algorithms():
    groups = pd.Series([one.identity.group for one in dashboard.published()])
    assert groups.is_unique
