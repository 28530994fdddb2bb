"""Grids of images, and the figures made of them."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from reproduce.common.errors import UserError
from reproduce.experiments import figure
from reproduce.experiments.images import run as image_figures
from reproduce.experiments.images.picture import Grid
from reproduce.experiments.images.run import unit_square

COMMON = ["budget=smoke", "tracking=off", "workers=1"]


def test_a_mosaic_puts_images_row_by_row():
    images = np.arange(6)[:, None, None] * np.ones((6, 20, 20))
    mosaic = Grid("", images, n_columns=3).mosaic
    assert mosaic.shape == (40, 60)
    assert mosaic[::20, ::20].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_small_images_are_kept_apart():
    assert Grid("", np.zeros((4, 8, 8)), n_columns=2).mosaic.shape == (18, 18)


def test_the_unit_square_goes_through_the_inverse_gaussian_cdf():
    z = unit_square(4).numpy()
    quantiles = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(z[:4, 0], quantiles, rtol=1e-5)  # a row runs along the first
    np.testing.assert_allclose(z[::4, 1], quantiles, rtol=1e-5)
    # Each point stands for the same probability.
    np.testing.assert_allclose(np.diff(stats.norm.cdf(z[:4, 0])), 0.25, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pictures"),
    [("manifolds", ["manifolds"]), ("samples", ["samples", "reconstructions"])],
)
def test_the_figures_are_drawn_and_redrawn_alike(tmp_path, name, pictures):
    # 20,000 samples of the panels of the budget.
    panel = "{data: digits, n_latent: 2, samples: 20000}"
    arguments = [f"figure={name}", *COMMON, f"results={tmp_path}",
                 f"figure.budgets.smoke.panels=[{panel}]"]  # fmt: skip
    assert figure.main(arguments) == 0
    folder = tmp_path / name / "smoke"
    files = [folder / f"{picture}.{kind}" for picture in pictures for kind in ("png", "pdf")]
    before = [path.read_bytes() for path in files]
    with Image.open(files[0]) as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50  # no blank page
    assert figure.main([*arguments, "train=false"]) == 0
    assert [path.read_bytes() for path in files] == before
    assert (folder / "manifest.json").exists()


def test_pictures_of_several_algorithms_say_whose_they_are(tmp_path, monkeypatch):
    """And an encoder that was never trained reconstructs nothing."""
    drawn = {}
    for name in ("draw_grids", "draw_rows"):
        monkeypatch.setattr(
            image_figures, name, lambda grids, *_, name=name, **__: drawn.update({name: grids})
        )
    arguments = [
        "figure=samples", *COMMON, f"results={tmp_path}", "figure.algorithms=[aevb,mcem]",
        "figure.budgets.smoke.panels=[{data: digits, n_latent: 2, n_train: 200, samples: 3000}]",
    ]  # fmt: skip
    assert figure.main(arguments) == 0
    titles = {name: [grid.title for grid in grids] for name, grids in drawn.items()}
    assert titles["draw_grids"] == ["2-D latent space, AEVB", "2-D latent space, MCEM"]
    assert titles["draw_rows"] == ["test image", "$N_z$ = 2, AEVB"]


def test_a_manifold_of_three_dimensions_is_refused(tmp_path):
    panel = "{data: digits, n_latent: 3, samples: 20000}"
    with pytest.raises(UserError, match="needs N_z = 2, not 3"):
        figure.main(["figure=manifolds", *COMMON, f"results={tmp_path}",
                     f"figure.budgets.smoke.panels=[{panel}]"])  # fmt: skip


def test_nothing_trained_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="without train=false"):
        figure.main(["figure=manifolds", *COMMON, f"results={tmp_path}", "train=false"])
