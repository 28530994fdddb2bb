"""An ablation, end to end on the embedded digits."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from reproduce import config
from reproduce.analysis.published import load_published
from reproduce.commands import redraw
from reproduce.common.errors import UserError
from reproduce.config.overrides import groups
from reproduce.experiments.ablation import picture as drawing
from reproduce.experiments.ablation import run as ablation
from reproduce.store.store import Store

ROOT = Path(__file__).parents[3]
FINISHED = ROOT / "studies" / "ablations"
ABLATIONS = [*ROOT.glob("conf/ablation/*.yaml"), *FINISHED.glob("ablation/*.yaml")]
SMALL = ["ablation=initial_scale_smoke", "samples=25000", "tracking=off", "workers=1", "seeds=2"]


@pytest.mark.slow
def test_variants_are_cells_of_their_own(tmp_path, capsys):
    assert ablation.main([*SMALL, f"results={tmp_path}"]) == 0
    folder = tmp_path / "ablations" / "initial_scale_smoke"
    curves = pd.read_csv(folder / "curves.csv")
    assert set(curves["variant"]) == {"std 0.01 (default)", "std 0.1", "fan-in"}
    first = curves[(curves["samples"] == 20_000) & (curves["split"] == "train")]
    assert first.groupby(["dataset", "variant", "seed"]).size().eq(1).all()
    assert first["value"].is_unique
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len({cell["id"] for cell in manifest["cells"]}) == 6
    assert (folder / "initial_scale_smoke.png").stat().st_size > 10_000
    assert pd.read_csv(folder / "comparison.csv").empty  # the paper has no digits
    printed = capsys.readouterr().out
    table = (folder / "table.md").read_text().strip()
    assert table in printed
    assert table.endswith("The paper has no curves of these panels.")  # no first points of digits
    before = (folder / "initial_scale_smoke.png").read_bytes()
    assert ablation.main([*SMALL, f"results={tmp_path}"]) == 0
    assert (folder / "initial_scale_smoke.png").read_bytes() == before
    (folder / "initial_scale_smoke.png").unlink()
    (tmp_path / "runs").rename(tmp_path / "lost")
    assert redraw.main([f"folder={folder}"]) == 0  # from the curves alone
    assert (folder / "initial_scale_smoke.png").read_bytes() == before
    again = json.loads((folder / "manifest.json").read_text())
    assert {**again, "drawn": 0} == {**manifest, "drawn": 0}


@pytest.fixture
def finished(monkeypatch):
    """Those of the study, found as a user's own would be."""
    monkeypatch.setenv("METHODS", str(FINISHED))
    monkeypatch.setattr(sys, "path", [*sys.path])
    groups.cache_clear()
    yield
    groups.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("name", sorted(path.stem for path in ABLATIONS))
def test_every_ablation_composes_and_its_default_is_the_figures_cell(name):
    settings = config.compose_config([f"ablation={name}"], "ablation")
    found = ablation.variants(settings, [])
    assert len(found) == len(settings.ablation.panels) * len(settings.ablation.variants)
    for variant, job in found:
        cell = job.cell
        figure1 = config.cell_from(
            config.compose_config(
                [f"settings={settings.ablation.settings}", f"data={cell.dataset}",
                 f"algorithm={cell.algorithm}",
                 f"model.n_latent={cell.n_latent}"]
            )
        )  # fmt: skip
        assert (cell.id == figure1.id) == ("default" in variant)


def test_what_is_no_ablation_is_not_redrawn(tmp_path):
    with pytest.raises(UserError, match="holds no ablation"):
        redraw.main([f"folder={tmp_path}"])
    (tmp_path / "manifest.json").write_text('{"ablation": {"name": "x"}}')
    (tmp_path / "curves.csv").write_text("dataset,value\nmnist,1\n")
    with pytest.raises(UserError, match=r"lacks columns algorithm.*variant"):
        redraw.main([f"folder={tmp_path}"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.csv", "manifest.json"]


@pytest.mark.parametrize(
    ("seeds", "said"), [([0, 0], "Each line is one seed"), ([0, 1], "mean over seeds")]
)
def test_the_picture_says_what_its_lines_are(seeds, said):
    curves = pd.DataFrame(
        {"dataset": "mnist", "n_latent": [10, 20], "n_train": 50_000, "algorithm": "aevb",
         "variant": "as it is", "seed": seeds, "split": "test", "samples": [1e5, 1e6],
         "value": [-130.0, -120.0]}
    )  # fmt: skip
    alone = curves.assign(n_latent=10)
    figure = drawing.build(alone, load_published("figure2"))
    assert said in " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert [ax.get_xlabel() for ax in figure.axes] == ["# Training samples evaluated"]
    side_by_side = drawing.build(curves, load_published("figure2"))
    assert all(ax.get_xlabel() for ax in side_by_side.axes)


def test_an_unknown_ablation_lists_those_there_are():
    with pytest.raises(UserError, match=r"Unknown ablation 'x'.*initial_scale"):
        ablation.main(["ablation=x"])


def test_one_seed_has_no_range():
    curves = pd.DataFrame(
        {"dataset": "digits", "n_latent": 10, "algorithm": "aevb", "variant": "as it is",
         "seed": [0, 0, 1, 1], "split": ["train_running", "test"] * 2, "samples": 1e5,
         "value": [-20.0, -21.0, -22.0, -23.0]}
    )  # fmt: skip
    both = ablation.markdown(curves)
    assert "over 2 seeds" in both
    assert "−21.0 [−22.0, −20.0]" in both
    alone = ablation.markdown(curves[curves["seed"] == 0])
    assert "of one seed" in alone
    assert "−20.0" in alone
    assert "[" not in alone


@pytest.mark.slow
def test_a_variant_without_a_point_is_named(tmp_path, capsys, monkeypatch):
    """Such as one whose seeds all diverge before the first mark."""
    read = Store.curve

    def lost(self, cell, seed):
        curve = read(self, cell, seed)
        return curve[:0] if cell.settings["model"]["init"]["scheme"] == "fan_in" else curve

    monkeypatch.setattr(Store, "is_done", lambda self, cell, seed, samples: False)
    monkeypatch.setattr(Store, "curve", lost)
    assert ablation.main([*SMALL, f"results={tmp_path}"]) == 0
    (text,) = [path.read_text() for path in tmp_path.glob("ablations/*/table.md")]
    assert "Diverged before the first mark: digits" in text
    assert "fan-in" in text.partition("Diverged before")[2]


def test_a_variant_whose_blocks_end_later_is_read_where_the_others_end():
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "digits", "n_latent": 10, "algorithm": "aevb", "variant": name,
             "seed": 0, "split": split, "samples": [7e5, end], "value": [-30.0, -20.0]}
        )
        for name, end in (("M = 100", 1_000_000), ("M = 300", 1_002_000))
        for split in ("train_running", "test")
    )  # fmt: skip
    table = ablation.markdown(curves)
    assert "diverged" not in table
    assert "at 1e6 samples" in table
    assert "−20.1" in table


def test_tables_of_the_end_and_of_first_points_hold_the_published_values():
    marks = [100_000, 500_000, 1_000_000]
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "freyface", "n_latent": 10, "n_train": 1600, "algorithm": "wake_sleep",
             "variant": "M = 500",
             "seed": seed, "split": split, "samples": marks,
             "value": [-100.0, 200.0, value + shift]}
        )
        for seed, value in ((0, 570.0), (1, 590.0))
        for split, shift in (("train", 5.0), ("test", -10.0), ("train_running", 0.0))
    )  # fmt: skip
    *_, train, theirs, test, theirs_test, _ = ablation.markdown(curves).splitlines()[-1].split("|")
    assert train.strip() == "580.0 [570.0, 590.0]"  # the running mean, as the published one
    assert theirs.strip() == "577.1"  # published, averaged over the same samples
    assert test.strip() == "570.0 [560.0, 580.0]"
    assert theirs_test.strip() == "567.2"
    table = ablation.compared(curves)
    assert set(table["variant"]) == {"M = 500"}
    end = table[(table["split"] == "train") & (table["samples"] == 1_000_000)].iloc[0]
    assert end["ours"] == 580
    assert end["difference"] == pytest.approx(580 - 577.135, abs=1e-3)
    # Published: 327.2 at 276,904 samples. Ours: 1e5 samples of -100, the rest of 200.
    first = ablation.first_points(curves).splitlines()[-1]
    assert first.endswith("|   2.8e5 | 91.7 [91.7, 91.7] |     327.2 |")


def test_an_ablation_of_many_panels_is_drawn_in_rows_of_up_to_four():
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "digits", "n_latent": n, "algorithm": "aevb", "variant": "as it is",
             "seed": 0, "split": "test", "samples": [1e5, 1e6], "value": [-20.0, -19.0]}
        )
        for n in range(1, 6)
    )  # fmt: skip
    axes = drawing.build(curves, load_published("figure2")).axes
    shown = [ax for ax in axes if ax.axison]
    assert [ax.get_title() for ax in shown] == [
        f"scikit-learn digits, $N_z$={n}" for n in range(1, 6)
    ]
    assert [bool(ax.get_ylabel()) for ax in shown] == [True, False, False, True, False]
    tops = [ax.get_position().y1 for ax in shown]
    assert tops[0] == pytest.approx(tops[2])
    assert tops[3] < axes[0].get_position().y0


def test_variants_below_the_papers_axis_are_named():
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "mnist", "n_latent": n, "algorithm": "aevb", "variant": name,
             "seed": 0, "split": split, "samples": [1e5, 1e6], "value": [-400.0, value]}
        )
        for n, name, value in (
            (3, "slow", -160.0), (3, "quick", -151.0), (5, "slow", -160.0), (5, "quick", -140.0),
            (10, "slow", -149.0), (10, "quick", -140.0),
        )
        for split in ("train_running", "test")
    )  # fmt: skip
    axes = drawing.build(curves, load_published("figure2")).axes
    notes = [t.get_text() for ax in axes for t in ax.texts if t.get_gid() == "note"]
    assert notes == ["AEVB\nall: below −150", "AEVB\nslow: below −150", "AEVB"]


@pytest.mark.parametrize("panels", [1, 2, 8])
def test_the_legend_fits_beside_any_number_of_panels(panels):
    names = [f"M = {m}, step size 0.02" for m in (100, 200, 500, 1000)]
    curves = pd.concat(
        pd.DataFrame(
            {"dataset": "digits", "n_latent": n, "algorithm": "aevb", "variant": name,
             "seed": 0, "split": "test", "samples": [1e5, 1e6], "value": [-20.0, -19.0]}
        )
        for n in range(1, panels + 1)
        for name in names
    )  # fmt: skip
    figure = drawing.build(curves, load_published("figure2"))
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    lowest = min(ax.get_tightbbox().y0 for ax in figure.axes if ax.axison)
    assert legend.y1 <= lowest
    assert figure.texts[-1].get_window_extent().y1 <= legend.y0


def test_an_algorithm_without_a_bound_is_not_said_to_have_diverged():
    curves = pd.DataFrame(
        {"dataset": "mnist", "n_latent": 3, "n_train": 1000, "algorithm": "mcem", "seed": 0,
         "split": "train_log_joint", "samples": [20_000], "value": [-200.0], "variant": "a"}
    )  # fmt: skip
    assert "diverged" not in ablation.markdown(curves)


@pytest.mark.parametrize(("dataset", "published"), [("mnist", True), ("digits", False)])
def test_the_legend_names_published_curves_where_there_are(dataset, published):
    curves = pd.DataFrame(
        {"dataset": dataset, "n_latent": 10, "algorithm": "aevb", "variant": "as it is",
         "seed": 0, "split": "test", "samples": [1e5, 1e6], "value": [-120.0, -110.0]}
    )  # fmt: skip
    figure = drawing.build(curves, load_published("figure2"))
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["as it is", *(["published"] if published else [])]
    assert ("published curve" in figure.texts[-1].get_text().replace("\n", " ")) is published
