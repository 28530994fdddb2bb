"""Ids and digests of all that is committed stay as they are, wherever the code moves."""

import json
from pathlib import Path

import pandas as pd
import pytest

from reproduce.common import identity
from reproduce.config import cell_from, compose_config
from reproduce.likelihood.evaluate import ConfiguredEstimator
from reproduce.store.cell import Cell
from reproduce.store.store import Store

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "results" / "reference", ROOT / "studies")
KEYS = {"dataset", "algorithm", "n_latent", "n_train", "settings"}


MADE_WITH = {"quadrature": {"log2_grid": 14, "n_local": 512}, "hmc_kde": {"version": 2}}
"""Settings of the committed estimates, where they are not today's."""


def files(pattern):
    return sorted(path for folder in RESULTS for path in folder.glob(f"**/{pattern}"))


def described(content, owner=None):
    """Every description of a cell within `content`, with the id that belongs to it, if any."""
    if isinstance(content, dict):
        owner = content.get("id", owner)
        if content.keys() >= KEYS:
            yield {key: content[key] for key in KEYS}, owner
        else:
            for value in content.values():
                yield from described(value, owner)
    elif isinstance(content, list):
        for value in content:
            yield from described(value, owner)


def committed():
    for path in files("*.json"):
        yield from described(json.loads(path.read_text(encoding="utf-8")))


def test_every_committed_cell_keeps_its_id_and_its_form():
    cells = list(committed())
    assert len(cells) > 500
    for settings, owner in cells:
        cell = Cell(**settings)
        assert cell.as_dict() == settings
        assert owner is None or cell.id == owner
    folders = files("cells/*/")
    assert len(folders) > 30
    for folder in folders:
        assert Store(folder.parent).cell(folder.name).id == folder.name


def test_a_class_that_moves_keeps_its_name(monkeypatch):
    settings = next(settings for settings, _ in committed() if settings["algorithm"] == "aevb")
    old = Cell(**settings)
    monkeypatch.setitem(identity.PLACES, "reproduce.aevb.AEVB", "elsewhere.AEVB")
    algorithm = {**settings["settings"]["algorithm"], "_target_": "elsewhere.AEVB"}
    moved = Cell(**{**settings, "settings": {**settings["settings"], "algorithm": algorithm}})
    assert moved == old
    assert moved.id == old.id
    assert identity.place(moved.settings["algorithm"]["_target_"]) == algorithm["_target_"]


def test_the_texts_settings_name_the_cells_that_were_made_with_them():
    known = {path.name for path in RESULTS[0].glob("cells/*")}
    for data, n_latent in [("mnist", 3), ("mnist", 200), ("freyface", 2), ("freyface", 20)]:
        for algorithm in ("aevb", "wake_sleep"):
            chosen = [f"data={data}", f"algorithm={algorithm}", f"model.n_latent={n_latent}"]
            text = cell_from(compose_config([*chosen, "settings=text"]))
            assert text.id in known
            assert cell_from(compose_config(chosen)).id != text.id


def test_every_committed_digest_of_an_estimator_stays_as_it_is():
    found = {}
    for path in files("likelihood.csv"):
        for row in pd.read_csv(path)[["estimator", "settings"]].drop_duplicates().itertuples():
            found.setdefault(row.estimator, set()).add(row.settings)
    assert found.keys() >= {"quadrature", "hmc_kde"}
    for name, digests in found.items():
        today = ConfiguredEstimator.from_config(
            compose_config([f"estimator={name}"], "estimate").estimator
        )
        before = {key: value for key, value in today.settings.items() if key != "version"}
        # What was estimated before is never taken for what today's code would find.
        assert today.digest not in digests
        assert identity.digest(before | MADE_WITH[name]) in digests


@pytest.mark.parametrize("path", identity.PLACES)
def test_every_class_is_where_the_table_says(path):
    from hydra.utils import get_class

    assert get_class(identity.place(path)).__name__ == path.rpartition(".")[2]


def test_a_section_may_be_empty_and_a_new_setting_counts():
    assert identity.canonical({"model": {}, "split": "random"}) == {"model": {}}
    new = {"model": {"activation": "softplus"}, "split": "published"}
    assert identity.canonical(new) == new


def test_a_renamed_setting_is_hashed_by_its_first_name_and_given_by_todays():
    cell = cell_from(compose_config(["algorithm=aevb", "algorithm.sgvb=A"]))
    hashed = cell.settings["algorithm"]
    assert hashed["estimator"] == "A"
    assert "sgvb" not in hashed
    given = identity.placed(hashed, "algorithm")
    assert given["sgvb"] == "A"
    assert "estimator" not in given
    assert identity.placed({"_target_": "mine.Encoder", "estimator": 1})["estimator"] == 1
