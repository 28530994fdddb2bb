"""The store: damaged files end in a sentence that names them, and strangers' files do not count."""

import errno
import fcntl
import os
import shutil
from dataclasses import replace

import pytest

from reproduce import config
from reproduce.common.errors import UserError
from reproduce.experiments.claims.evidence import gather
from reproduce.store import exchange
from reproduce.store.load import load_model, snapshots_of
from reproduce.store.store import Store
from reproduce.training.loop import train

LIKELIHOODS = "split,samples,estimator,settings,n_points,value,stderr,n_untrusted,seconds\n"
CURVES = "dataset,n_latent,n_train,algorithm,seed,split,samples,value\n"
POINT = "mnist,3,50000,aevb,0,test,20000,-100.0\n"


@pytest.fixture
def trained(tmp_path):
    overrides = [
        f"results={tmp_path}", "seeds=2", "samples=1000", "model.n_hidden=5", "model.n_latent=2",
        "tracking=off",
    ]  # fmt: skip
    job = config.job_from(config.compose_config(overrides))
    train(job, lambda *_: None)
    return Store(job.store), job.cell


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cell.json", "", "cell.json is not valid JSON"),
        ("cell.json", "[]", "holds a list and no object"),
        ("cell.json", "{}", "describes no cell"),
        ("seed-0/manifest.json", b"\xff\xfe\x00", "manifest.json is not text in UTF-8"),
        ("seed-0/manifest.json", "[]", "holds a list and no object"),
        ("seed-0/manifest.json", '{"samples": "many"}', "samples is no whole number"),
        ("seed-0/curve.csv", "split,samples\n", r"lacks the column\(s\) value"),
        ("seed-0/curve.csv", "split,samples,value\ntest,many,1.0\n", "is not such a table"),
        ("seed-0/curve.csv", "split,samples,value\ntest,1,high\n", "is not such a table"),
        ("seed-0/curve.csv", "split,samples,value\n" + "test,1,2.0\n" * 2, "holds a point twice"),
        ("seed-0/likelihood.csv", LIKELIHOODS + "test,1,ais,1,1,high,1,0,1\n", "is not such a"),
    ],
)
def test_damaged_files_are_named(trained, name, text, said):
    store, cell = trained
    path = store.folder(cell) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def read():
        store.cell(cell.id)
        store.manifest(cell, 0)
        store.curve(cell, 0)
        store.likelihoods(cell, 0)

    with pytest.raises(UserError, match=said) as refusal:
        read()
    assert str(path) in str(refusal.value)


def test_other_folders_beside_a_seeds_do_not_count(trained, tmp_path):
    store, cell = trained
    for name in ("seed-old/curve.csv", "seed-00/curve.csv", "seed-0/snapshots/mine.ckpt"):
        path = store.folder(cell) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("split,samples,value\n")
    assert store.seeds(cell) == [0, 1]
    assert snapshots_of(store, cell) == {1000: [0, 1]}
    assert load_model(cell.id, tmp_path).n_seeds == 2
    copied = exchange.export(store.root, tmp_path / "exported")
    assert sorted(path.name for path in copied) == ["seed-0", "seed-1"]


def test_a_copy_of_a_seed_is_no_other_seed(trained, tmp_path):
    store, cell = trained
    (store.seed_folder(cell, 0) / "likelihood.csv").write_text(LIKELIHOODS)
    shutil.copytree(store.seed_folder(cell, 0), store.seed_folder(cell, 2))
    said = rf"seed-2/manifest.json is of {cell.id} seed 0, .* no result of {cell.id} seed 2"
    for read in (store.curve, store.likelihoods, store.manifest):
        with pytest.raises(UserError, match=said):
            read(cell, 2)
    with pytest.raises(UserError, match=said):
        store.is_done(cell, 2, 1000)
    with pytest.raises(UserError, match=said):
        exchange.export(store.root, tmp_path / "exported")
    with pytest.raises(UserError, match=said):
        exchange.restore(store.root, tmp_path / "other")
    assert not (tmp_path / "exported").exists()
    assert not (tmp_path / "other").exists()


def test_estimates_need_locks_that_work(trained, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    store, cell = trained
    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(UserError, match=f"{store.seed_folder(cell, 1)} lies on a file system"):
        store.add_likelihood(cell, 1, {})
    assert store.likelihoods(cell, 1).empty


def test_a_copy_of_a_cell_is_no_other_cell(trained):
    store, cell = trained
    other = replace(cell, n_latent=3)
    shutil.copytree(store.folder(cell), store.folder(other))
    with pytest.raises(UserError, match=f"describes the cell {cell.id}: a copied cell"):
        store.cell(other.id)
    with pytest.raises(UserError, match=f"is of {cell.id} seed 0"):
        store.curve(other, 0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("figure1/laptop/curves.csv", CURVES + POINT * 2, "holds a point twice"),
        ("figure1/laptop/curves.csv", CURVES + POINT.replace("20000", "x"), "is not such a table"),
        ("diagnostics/diagnostics.csv", "id\n", r"lacks the column\(s\) dataset"),
        ("estimators/errors.csv", "model\n", r"lacks the column\(s\) part"),
    ],
)
def test_damaged_evidence_is_named(tmp_path, name, text, said):
    whole = tmp_path / "figure1" / "laptop" / "curves.csv"
    for path, content in ((whole, CURVES + POINT), (tmp_path / name, text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(UserError, match=said):
        gather(tmp_path)


def test_the_committed_validation_of_estimators_serves_where_there_is_no_other(tmp_path):
    path = tmp_path / "figure1" / "laptop" / "curves.csv"
    path.parent.mkdir(parents=True)
    path.write_text(CURVES + POINT)
    assert gather(tmp_path).sources["estimators"].endswith("reference/estimators/errors.csv")
    own = tmp_path / "estimators" / "errors.csv"
    own.parent.mkdir()
    own.write_text("part,model,estimator,n_points,rmse\na,linear,hmc_kde,10,0.1\n")
    assert gather(tmp_path).sources["estimators"] == own.as_posix()
