"""`make figure2` and `reproduce estimate`, end to end on the embedded digits."""

import json
import shutil

import pandas as pd
import pytest

from reproduce import config
from reproduce.commands import estimate
from reproduce.common.errors import UserError
from reproduce.experiments import figure
from reproduce.likelihood import evaluate
from reproduce.likelihood.importance import Importance
from reproduce.store.store import LIKELIHOOD_KINDS, Store
from reproduce.training.loop import train

SMALL = [
    "figure=figure2", "budget=smoke", "tracking=off", "workers=1", "seeds=2",
    "figure.budgets.smoke.panels=[{data:digits,n_latent:2,n_train:200,n_hidden:20,samples:8000}]",
    "figure.budgets.smoke.mark_every=4000", "figure.budgets.smoke.n_points=20",
    "figure.algorithms=[aevb,mcem]", "figure.budgets.smoke.beside_at=[8000]",
    "figure.beside=importance",
    "estimator.log2_grid=12",
]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    assert figure.main([*SMALL, f"results={results}"]) == 0
    return results


def run_id(results, algorithm="aevb"):
    return next((results / "runs").glob(f"digits-{algorithm}-*")).name


def test_what_is_written(small):
    folder = small / "figure2" / "smoke"
    assert {path.name for path in folder.iterdir()} == {
        "figure2.png", "figure2.pdf", "curves.csv", "estimates.csv", "training.csv",
        "comparison.csv", "manifest.json",
    }  # fmt: skip
    assert list(pd.read_csv(folder / "curves.csv").columns) == [
        "dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "estimator",
        "value", "stderr",
    ]  # fmt: skip
    assert set(pd.read_csv(folder / "training.csv")["split"]) == {
        "train", "test", "train_running", "train_log_joint", "acceptance_rate", "leapfrog_step"
    }  # fmt: skip
    found = pd.read_csv(folder / "estimates.csv")
    assert set(found["algorithm"]) == {"aevb", "mcem"}
    main = found[found["estimator"] == "quadrature"]
    for (algorithm, _, _), group in main.groupby(["algorithm", "seed", "split"]):
        marks = [6_000, 9_000] if algorithm == "mcem" else [4_000, 8_000]
        assert list(group["samples"]) == marks
    beside = found[found["estimator"] == "importance"]
    assert set(beside["samples"]) == {8_000, 9_000}
    assert (found["n_points"] == 20).all()
    assert found["value"].between(-60, -20).all()
    assert (found["stderr"] > 0).all()


def test_the_manifest_says_how(small):
    manifest = json.loads((small / "figure2" / "smoke" / "manifest.json").read_text())
    assert manifest["paper"].startswith("Figure 3 of Kingma & Welling 2013")
    assert manifest["budget"]["n_points"] == 20
    assert manifest["estimators"]["quadrature"]["settings"]["log2_grid"] == 12
    assert manifest["missing_snapshots"] == []
    assert "MCEM at N_train = 200 has made 3 iterations" in manifest["remarks"]
    mcem = next(cell for cell in manifest["cells"] if "mcem" in cell["id"])
    for record in mcem["members"]:
        assert (record["chains"], record["iterations"]) == (200, 3)
        assert record["samples"] == 15 * 200 * 3


def test_a_finished_figure_is_drawn_again_without_training_or_estimating(small, monkeypatch):
    folder = small / "figure2" / "smoke"
    before = (folder / "curves.csv").read_bytes(), (folder / "figure2.png").read_bytes()

    def unwanted(*_arguments):
        raise AssertionError("an estimate was made again")

    monkeypatch.setattr(evaluate, "estimate", unwanted)
    assert figure.main([*SMALL, f"results={small}"]) == 0
    assert before == (
        (folder / "curves.csv").read_bytes(),
        (folder / "figure2.png").read_bytes(),
    )


def test_without_training_what_is_there_is_drawn(small, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    shutil.rmtree(results / "runs" / run_id(results) / "seed-1")
    assert figure.main([*SMALL, f"results={results}", "train=false"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "seed 1 has no snapshot at 4,000, 8,000 samples" in said
    found = pd.read_csv(results / "figure2" / "smoke" / "curves.csv")
    assert set(found[found["algorithm"] == "aevb"]["seed"]) == {0}
    assert not (results / "runs" / run_id(results) / "seed-1" / "checkpoint.ckpt").exists()
    with pytest.raises(UserError, match="train must be true or false, not 'maybe'"):
        figure.main([*SMALL, f"results={results}", "train=maybe"])


@pytest.mark.slow
def test_the_papers_estimator_drawn_has_the_near_exact_one_beside_it(small, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    assert figure.main([*SMALL[:-2], "estimator=hmc_kde", f"results={results}"]) == 0
    folder = results / "figure2" / "smoke"
    found = pd.read_csv(folder / "curves.csv")
    mine = found[found["algorithm"] == "aevb"].groupby("estimator")["samples"].unique()
    assert (sorted(mine["hmc_kde"]), list(mine["quadrature"])) == ([4_000, 8_000], [8_000])
    assert pd.read_csv(folder / "comparison.csv")["hmc_kde_minus_quadrature"].notna().any()


def test_an_estimator_that_cannot_be_used_is_refused_before_training(tmp_path):
    panels = "[{data:digits,n_latent:5,n_train:200,n_hidden:20,samples:8000}]"
    wide = [*SMALL[:5], f"figure.budgets.smoke.panels={panels}", *SMALL[6:], f"results={tmp_path}"]
    with pytest.raises(UserError, match="Quadrature is for N_z up to 3, not 5"):
        figure.main(wide)
    encoder = ["estimator=importance", "estimator.proposal=encoder"]
    with pytest.raises(UserError, match="no encoder to propose from"):
        figure.main([*wide[:-2], *encoder, wide[-1]])
    assert not list(tmp_path.rglob("*.ckpt"))


def test_images_that_the_estimator_distrusts_are_said(small, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    (path,) = results.glob("runs/digits-aevb-*/seed-1/likelihood.csv")
    table = pd.read_csv(path)
    main = (table["estimator"] == "quadrature") & (table["split"] == "test")
    table.loc[main & (table["samples"] == 8_000), "n_untrusted"] = 7
    table.to_csv(path, index=False)
    assert figure.main([*SMALL, f"results={results}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    sentence = "Of the test images of AEVB at N_train = 200 quadrature's own diagnostic distrusts"
    assert f"{sentence} up to 35 %" in said
    manifest = json.loads((results / "figure2" / "smoke" / "manifest.json").read_text())
    assert sentence in manifest["remarks"]


@pytest.mark.integration
def test_another_estimator_needs_no_training(small, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    weights = {p: p.stat().st_mtime_ns for p in results.glob("runs/*/*/checkpoint.ckpt")}
    arguments = [o for o in SMALL if not o.startswith("estimator")]
    more = ["estimator=importance", "estimator.proposal=prior", "figure.beside=null"]
    assert figure.main([*arguments, *more, f"results={results}"]) == 0
    found = pd.read_csv(results / "figure2" / "smoke" / "estimates.csv")
    assert set(found["estimator"]) == {"importance"}
    assert {p: p.stat().st_mtime_ns for p in weights} == weights


@pytest.mark.slow
def test_a_missing_snapshot_is_named_and_the_rest_is_drawn(small, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    record = results / "runs" / run_id(results) / "seed-1"
    (record / "snapshots" / "4000.ckpt").unlink()
    (record / "likelihood.csv").unlink()
    assert figure.main([*SMALL, f"results={results}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{record.parent.name} seed 1 has no snapshot at 4,000 samples" in said
    found = pd.read_csv(results / "figure2" / "smoke" / "estimates.csv")
    mine = found[(found["algorithm"] == "aevb") & (found["seed"] == 1)]
    assert set(mine["samples"]) == {8_000}


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["n_train:200", "samples:8000"])
def test_a_panel_may_leave_sizes_to_data_and_budget(tmp_path, sizes):
    panels = f"[{{data:digits,n_latent:2,n_hidden:20,{sizes}}}]"
    overrides = [*SMALL[:5], *SMALL[6:8], "estimator.log2_grid=8", "figure.algorithms=[aevb]",
                 "figure.budgets.smoke.beside_at=[]", "samples=8000", f"results={tmp_path}",
                 f"figure.budgets.smoke.panels={panels}"]  # fmt: skip
    assert figure.main(overrides) == 0
    (found,) = {
        (int(row.n_train), int(row.samples))
        for row in pd.read_csv(tmp_path / "figure2" / "smoke" / "curves.csv").itertuples()
        if row.samples > 4_000
    }
    assert found == (200 if "n_train" in sizes else 1500, 8_000)


def test_unknown_budgets_and_sizes_are_refused():
    with pytest.raises(UserError, match="figure2 has no budget 'desktop'; choose one of: smoke"):
        figure.main(["figure=figure2", "budget=desktop"])
    with pytest.raises(UserError, match=r"data.n_train for each panel, so 'data.n_train=5'"):
        figure.main(["figure=figure2", "budget=smoke", "data.n_train=5"])
    with pytest.raises(
        UserError, match="choose one of: ais, hmc_kde, hmc_kde_2013, importance, quadrature"
    ):
        figure.main(["figure=figure2", "estimator=exact"])


def printed(results, *arguments):
    return ["estimator=importance", "estimator.n_samples=50", "n_points=15",
            f"results={results}", *arguments]  # fmt: skip


def test_the_estimate_command(small, capsys):
    assert estimate.main(printed(small, f"run={run_id(small)}", "split=train")) == 0
    said = capsys.readouterr().out
    assert "after 8,000 samples, train points 1 to 15, by importance" in said
    for word in ("log p(x)", "± points", "± estimator", "not trusted", "ess", "pareto_k"):
        assert word in said
    assert "Over 2 seeds:" in said
    assert "no normalised density" in said


class Interrupted:
    """Stands for `evaluate.estimate`: interrupted at the n-th seed, and counting them."""

    def __init__(self, at=None):
        self.at, self.asked, self.estimate = at, [], evaluate.estimate

    def __call__(self, store, question, seeds, *more):
        if self.at == len(self.asked):
            raise KeyboardInterrupt
        self.asked += [(question.cell.algorithm, question.samples, question.split, *seeds)]
        return self.estimate(store, question, seeds, *more)


def test_an_interrupted_estimate_keeps_the_seeds_that_are_done(small, capsys, monkeypatch):
    asked = printed(small, f"run={run_id(small)}")
    assert estimate.main(asked) == 0
    expected = capsys.readouterr().out
    interrupted, anew = Interrupted(at=1), Interrupted()
    monkeypatch.setattr(evaluate, "estimate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimate.main(asked)
    assert len(list((small / "unfinished").iterdir())) == 1
    monkeypatch.setattr(evaluate, "estimate", anew)
    assert estimate.main(asked) == 0
    assert interrupted.asked == [("aevb", 8_000, "test", 0)]
    assert anew.asked == [("aevb", 8_000, "test", 1)]
    said = capsys.readouterr().out
    assert said.splitlines()[:-2] == expected.splitlines()[:-2]  # the last say how long it took
    assert not (small / "unfinished").exists()


@pytest.mark.integration
def test_an_interrupted_figure_keeps_the_seeds_that_are_estimated(small, tmp_path, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    for path in results.glob("runs/*/seed-*/likelihood.csv"):
        path.unlink()
    whole = pd.read_csv(small / "figure2" / "smoke" / "curves.csv")
    interrupted, anew = Interrupted(at=3), Interrupted()
    monkeypatch.setattr(evaluate, "estimate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        figure.main([*SMALL, f"results={results}"])
    monkeypatch.setattr(evaluate, "estimate", anew)
    assert figure.main([*SMALL, f"results={results}"]) == 0
    assert len(interrupted.asked) == 3
    assert len(interrupted.asked + anew.asked) == len(whole)
    again = pd.read_csv(results / "figure2" / "smoke" / "curves.csv")
    pd.testing.assert_frame_equal(again, whole, check_exact=True)


def test_the_estimate_command_at_a_snapshot_and_of_fewer_seeds(small, capsys):
    assert estimate.main(printed(small, f"run={run_id(small)}", "at=4000", "seeds=1")) == 0
    said = capsys.readouterr().out
    assert "after 4,000 samples" in said
    assert "Over" not in said


def test_an_estimate_that_is_kept_is_not_made_again(small, tmp_path, monkeypatch):
    shutil.copytree(small / "runs", tmp_path / "runs")
    store = Store(tmp_path / "runs")
    question = evaluate.Question(store.cell(run_id(small)), 8_000, "test", 7)
    estimator = evaluate.ConfiguredEstimator.from_config(
        config.compose_config(["estimator=importance"], "estimate").estimator
    )
    made = evaluate.kept_or_made(store, question, 1, estimator, None)
    monkeypatch.setattr(evaluate, "estimate", None)
    assert evaluate.kept_or_made(store, question, 1, estimator, None) == made
    assert evaluate.kept(store, question, 0, estimator) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run=nothing"], "There is no run 'nothing'"),
        ([], "Say which run: run=ID"),
        (["run={run}", "split=both"], "split cannot be 'both'; choose one of: train, test"),
        (["run={run}", "at=5"], "has no snapshot at 5 samples; choose one of: 4000, 8000"),
        (["run={run}", "seeds=3"], "has 2 trained seeds, not 3"),
        (["run={run}", "n_points=0"], "n_points must be a whole number greater than zero"),
        (["run={run}", "estimator.n_samples=0"], "n_samples must be at least 25, not 0"),
        (["run={run}", "estimator.n_samples=many"], "n_samples must be a whole number"),
        (["run={run}", "estimator.n_smaples=9"], "no setting 'estimator.n_smaples'"),
        (["run={mcem}", "estimator.proposal=encoder"], "has no encoder to propose from"),
        (["run={run}", "estimator.proposal=q"], "choose one of: modes, encoder, prior"),
    ],
)
def test_what_the_estimate_command_refuses(small, arguments, said):
    ids = {"run": run_id(small), "mcem": run_id(small, "mcem")}
    filled = [argument.format(**ids) for argument in arguments]
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        estimate.main(printed(small, *filled))


def test_the_estimate_command_refuses_quadrature_of_many_dimensions(tmp_path):
    cell = ["data=digits", "model.n_latent=4", "model.n_hidden=20", "samples=2000", "seeds=1"]
    settings = config.compose_config([*cell, "tracking=off", f"results={tmp_path}"])
    train(config.job_from(settings), lambda kind, payload: None)
    asked = ["estimator=quadrature", f"run={run_id(tmp_path)}", f"results={tmp_path}"]
    with pytest.raises(UserError, match="Quadrature is for N_z up to 3, not 4"):
        estimate.main(asked)


@pytest.mark.slow
def test_estimates_of_an_older_version_are_made_again(small, tmp_path, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    made = []

    def counted(store, question, seeds, estimator, *more):
        made.append((estimator.name, question.samples))
        return estimate_anew(store, question, seeds, estimator, *more)

    estimate_anew = evaluate.estimate
    monkeypatch.setattr(evaluate, "estimate", counted)
    monkeypatch.setattr(Importance, "version", Importance.version + 1)
    assert figure.main([*SMALL, f"results={results}"]) == 0
    assert sorted(made) == [("importance", 8_000)] * 4 + [("importance", 9_000)] * 4
    found = pd.read_csv(results / "figure2" / "smoke" / "curves.csv")
    columns = [c for c in found.columns if c not in ("value", "stderr")]
    assert not found.duplicated(columns).any()


def test_a_damaged_table_of_estimates_is_named(small, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(small, results)
    path = results / "runs" / run_id(results) / "seed-0" / "likelihood.csv"
    path.write_text("split,value\ntrain,1\n")
    with pytest.raises(UserError, match=rf"{path} lacks the column\(s\) "):
        figure.main([*SMALL, f"results={results}"])
    assert list(pd.read_csv(path).columns) != list(LIKELIHOOD_KINDS)  # nothing was overwritten
