"""An ablation, end to end on the embedded digits."""

import json
from pathlib import Path

import pandas as pd
import pytest

from reproduce import ablation, config
from reproduce.errors import UserError

ABLATIONS = Path(__file__).parents[1] / "conf" / "ablation"
SMALL = ["ablation=initial_scale_smoke", "samples=25000", "tracking=off", "workers=1", "seeds=2"]


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
    printed = capsys.readouterr().out
    assert (folder / "table.md").read_text().strip() in printed
    before = (folder / "initial_scale_smoke.png").read_bytes()
    assert ablation.main([*SMALL, f"results={tmp_path}"]) == 0
    assert (folder / "initial_scale_smoke.png").read_bytes() == before


@pytest.mark.parametrize("name", sorted(path.stem for path in ABLATIONS.glob("*.yaml")))
def test_every_ablation_composes_and_its_default_is_the_figures_cell(name):
    settings = config.compose_config([f"ablation={name}"])
    found = ablation.variants(settings, [])
    assert len(found) == len(settings.ablation.panels) * len(settings.ablation.variants)
    for variant in found:
        cell = variant.job.cell
        figure1 = config.cell_from(
            config.compose_config(
                [f"data={cell.dataset}", f"algorithm={cell.algorithm}",
                 f"model.n_latent={cell.n_latent}"]
            )
        )  # fmt: skip
        assert (cell.id == figure1.id) == ("default" in variant.name)


def test_an_unknown_ablation_lists_those_there_are():
    with pytest.raises(UserError, match=r"Unknown ablation 'x'.*initial_scale"):
        ablation.main(["ablation=x"])


def test_one_seed_has_no_range():
    curves = pd.DataFrame(
        {"dataset": "digits", "n_latent": 10, "algorithm": "aevb", "variant": "as it is",
         "seed": [0, 0, 1, 1], "split": ["train", "test"] * 2, "samples": 1e5,
         "value": [-20.0, -21.0, -22.0, -23.0]}
    )  # fmt: skip
    both = ablation.markdown(curves)
    assert "over 2 seeds" in both
    assert "−21.0 [−22.0, −20.0]" in both
    alone = ablation.markdown(curves[curves["seed"] == 0])
    assert "of one seed" in alone
    assert "−20.0" in alone
    assert "[" not in alone
