"""A data set of the user's own: what is read, what is refused, and where it appears."""

import gzip
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console

from baselines.mcem import MonteCarloEM
from building import algorithm, autoencoder
from reproduce import config, data, load_model
from reproduce.analysis.comparison import compare
from reproduce.analysis.published import load_published
from reproduce.commands import estimate
from reproduce.common.errors import UserError
from reproduce.common.names import dataset_name
from reproduce.common.provenance import REPOSITORY
from reproduce.config.overrides import groups
from reproduce.data import own
from reproduce.data.images import ImageData
from reproduce.experiments import figure
from reproduce.experiments.claims import run as claims
from reproduce.experiments.latent import run as diagnostics
from reproduce.experiments.plan import make_plan
from reproduce.report import dashboard, page
from reproduce.training.loop import check_sizes, train
from synthetic_files import idx

ROWS, COLUMNS = 4, 3
TOY = {
    "name": "toy", "label": "Toy images", "train": "toy.npy", "split_seed": 3,
    "image_shape": [ROWS, COLUMNS], "n_train": 40, "n_test": 10,
}  # fmt: skip
FILE = """# @package _global_
defaults:
  - /model/decoder: {decoder}
  - _self_
data: {section}
model:
  n_hidden: 6
"""


@pytest.fixture(autouse=True)
def forgotten():
    groups.cache_clear()
    own._load.cache_clear()
    yield
    groups.cache_clear()
    own._load.cache_clear()


def pixels(n=60, seed=0):
    """Bytes of every size, (n, rows, columns)."""
    return np.random.default_rng(seed).integers(0, 256, (n, ROWS, COLUMNS), dtype=np.uint8)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Describe a data set in a folder of METHODS and put its files beside; return its settings."""
    folder = tmp_path / "mine"

    def make(files, decoder="bernoulli", **changes):
        section = {k: v for k, v in {**TOY, **changes}.items() if v is not None}
        (folder / "data").mkdir(parents=True, exist_ok=True)
        text = FILE.format(decoder=decoder, section=json.dumps(section))
        (folder / "data" / "toy.yaml").write_text(text)
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(contents, bytes):
                (folder / name).write_bytes(contents)
            else:
                np.save(folder / name, contents)
        monkeypatch.setenv("METHODS", str(folder))
        own.own_files._described.cache_clear()
        return folder

    return make


def read(*overrides):
    cell = config.cell_from(config.compose_config(["data=toy", *overrides]))
    return data.load("toy", None, cell.reading).first(cell.n_train)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def test_a_file_is_split_by_its_own_seed(toy):
    toy({"toy.npy": pixels()})
    images = read()
    order = np.random.default_rng(TOY["split_seed"]).permutation(60)
    flat = pixels().reshape(60, -1)
    assert np.array_equal(images.train.numpy(), flat[order[:40]])
    assert np.array_equal(images.test.numpy(), flat[order[50:]])
    assert (images.scale, images.image_shape, images.source) == (1 / 256, (4, 3), "METHODS")
    assert np.array_equal(read("data.n_train=20").test, images.test)


@pytest.mark.parametrize(
    ("train", "files"),
    [
        ("toy.npy", {"toy.npy": pixels().reshape(60, -1)}),
        ("toy.npz", {"toy.npz": npz(x=pixels())}),
        ("toy.npz:x", {"toy.npz": npz(x=pixels(), y=np.arange(60))}),
        ("toy.idx", {"toy.idx": idx(pixels())}),
        ("toy.idx.gz", {"toy.idx.gz": gzip.compress(idx(pixels()))}),
        ("toy", {f"toy/{n % 2}/{n:03}.png": png(one) for n, one in enumerate(pixels())}),
    ],
)
def test_every_format_holds_the_same_images(toy, train, files):
    toy(files, train=train)
    first = pixels()
    if train == "toy":  # in the order of their paths, one folder after the other
        first = np.concatenate([first[::2], first[1::2]])
    order = np.random.default_rng(TOY["split_seed"]).permutation(60)
    assert np.array_equal(read().train.numpy(), first.reshape(60, -1)[order[:40]])


def test_a_file_of_its_own_tests(toy):
    toy({"a.npy": pixels(), "b.npy": pixels(15, 1)}, train="a.npy", test="b.npy", split_seed=None)
    images = read()
    assert np.array_equal(images.train.numpy(), pixels().reshape(60, -1)[:40])
    assert np.array_equal(images.test.numpy(), pixels(15, 1).reshape(15, -1)[:10])


def test_a_folder_of_data_comes_before_that_of_the_method(toy, tmp_path):
    folder = toy({"toy.npy": pixels()})
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "toy.npy", pixels(seed=1))
    cell = config.cell_from(config.compose_config(["data=toy"]))
    there = data.load("toy", tmp_path / "data", cell.reading)
    assert there.source == "DATA_DIR"
    assert there.checksum != data.load("toy", folder, cell.reading).checksum


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint16])
def test_other_numbers_are_floats_where_their_scale_is_stated(toy, dtype):
    toy({"toy.npy": pixels().astype(dtype)}, scale=0.002)
    images = read()
    assert images.train.dtype == torch.float32
    bytes_first = read_as_bytes(toy)
    assert torch.equal(images.train, bytes_first.train.float())
    assert images.scale == 0.002


def read_as_bytes(toy):
    toy({"toy.npy": pixels()})
    own._load.cache_clear()
    return read()


REFUSED = {
    "a shape": ({"toy.npy": np.zeros((60, 3, 4), np.uint8)}, {}, r"\(60, 3, 4\), expected"),
    "channels": ({"toy.npy": np.zeros((60, 4, 3, 3), np.uint8)}, {}, r"expected \(n, 4, 3\)"),
    "labels": ({"toy.npy": np.zeros(60, np.uint8)}, {}, r"shape \(60,\), expected"),
    "floats": ({"toy.npy": pixels() / 256}, {}, "float64 where bytes .* state data.scale"),
    "text": ({"toy.npy": np.full((60, 4, 3), "a")}, {"scale": 1.0}, "no grey levels"),
    "nan": (
        {"toy.npy": np.where(np.arange(60)[:, None, None] < 2, np.nan, np.full((1, 4, 3), 0.5))},
        {"scale": 1.0}, "2 of its 60 images have pixels that are not finite",
    ),
    "negative": ({"toy.npy": pixels() / 128 - 1}, {"scale": 1.0}, r"must lie in \[0, 1\]"),
    "large": ({"toy.npy": pixels()}, {"scale": 1.0}, r"from 0 to 255, .* must lie in \[0, 1\]"),
    "few": ({"toy.npy": pixels(10)}, {}, "holds 10 images: data.n_test=10 of toy leaves none"),
    "few to train": ({"toy.npy": pixels(45)}, {}, "Cannot train on 40 images of toy: .* 1 to 35"),
    "few to test": (
        {"toy.npy": pixels(), "b.npy": pixels(9)}, {"test": "b.npy", "split_seed": None},
        "b.npy holds 9 images, fewer than data.n_test=10",
    ),
    "no file": (
        {"tyo.npy": pixels()}, {},
        r"toy needs toy.npy. It is not in METHODS \(.*mine\); it holds data/, tyo.npy",
    ),
    "cut": ({"toy.idx": idx(pixels())[:-1]}, {"train": "toy.idx"}, "another length"),
    "pickled": ({"toy.npy": np.array([[None]], object)}, {}, "no plain array"),
    "several": (
        {"toy.npz": npz(a=pixels(), b=pixels())}, {"train": "toy.npz"},
        r"the arrays a, b; name one of them",
    ),
    "not packed": ({"toy.gz": gzip.compress(idx(pixels()))[:-9]}, {"train": "toy.gz"}, "cut short"),
    "no images": ({"toy/a.txt": b"a"}, {"train": "toy"}, "without image files; it holds a.txt"),
    "an image": ({"toy.png": png(pixels()[0])}, {"train": "toy.png"}, "of image files give the"),
    "a broken image": ({"toy/a.png": b"\x89PNG"}, {"train": "toy"}, "cannot be read as an image"),
    "colours": (
        {"toy/a.png": png(np.zeros((4, 3, 3), np.uint8))}, {"train": "toy"},
        "mode RGB .* expected grey levels",
    ),
    "a pointer": (
        {"toy.npy": b"version https://git-lfs.github.com/spec/v1\n"}, {}, "git lfs pull",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(toy, case):
    files, changes, said = REFUSED[case]
    contents = {
        name: value if isinstance(value, bytes) or value.dtype != object else pickled(value)
        for name, value in files.items()
    }
    toy(contents, **changes)
    with pytest.raises(UserError, match=said) as info:
        read()
    assert "\n" not in str(info.value)


def pickled(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "mnist"}, "the file's own name, not 'mnist'"),
        ({"name": None}, "the file's own name, not null"),
        ({"n_test": None, "train": None}, "lacks data.train and data.n_test"),
        ({"split_seed": None}, "either data.test, .* or data.split_seed"),
        ({"test": "b.npy"}, "either data.test, .* or data.split_seed"),
        ({"n_tset": 3}, "has data.n_tset; choose from"),
        ({"image_shape": 12}, r"must be \[rows, columns\], not 12"),
        ({"image_shape": [4, 0]}, "greater than zero"),
        ({"scale": -1}, "data.scale in data/toy.yaml must be a number greater than zero"),
        ({"train": 3}, "data.train in data/toy.yaml must be a name"),
        ({"label": "$x$"}, "without dollar signs"),
        ({"label": "MNIST"}, "label 'MNIST' of a file in data/ is another one's name"),
    ],
)
def test_mistakes_in_its_file_are_a_sentence(toy, changes, said):
    toy({"toy.npy": pixels()}, **changes)
    with pytest.raises(UserError, match=said):
        read()


def test_what_only_its_file_says_cannot_be_set(toy):
    toy({"toy.npy": pixels()})
    for key in ("data.train", "data.label", "data.name"):
        with pytest.raises(UserError, match="not for setting: it comes with data=NAME"):
            config.compose_config(["data=toy", f"{key}=x"])
    assert dataset_name("toy") == "Toy images"


def test_a_cells_id_holds_what_changes_the_mathematics(toy, monkeypatch):
    def made(decoder="bernoulli", **changes):
        toy({}, decoder, **changes)
        groups.cache_clear()
        return config.cell_from(config.compose_config(["data=toy"])).id

    first = made()
    others = [
        made(decoder="gaussian"), made(scale=0.001), made(split_seed=4), made(n_test=11),
        made(n_train=39), made(image_shape=[3, 4]), made(split_seed=None, test="b.npy"),
    ]  # fmt: skip
    assert len({first, *others}) == 8
    assert made(label="Other", train="moved/there.npy") == first
    monkeypatch.delenv("METHODS")
    with pytest.raises(UserError, match=r"METHODS=FOLDER, with data/toy\.yaml"):
        data.load("toy")


def test_floats_are_not_changed_by_training_on_them():
    """Images that are floats already are not copied on their way to the device."""
    stored = torch.rand(300, 12)
    images = ImageData("made_up", stored, stored[:40].clone(), 0.5, (3, 4), "none", "made up")
    before = stored.clone(), images.test.clone()
    chains = MonteCarloEM(autoencoder(), images, (0, 1), step_size=0.05).without_trainer()
    for trained in (algorithm("aevb", images), chains):
        trained.training_step(range(1), 0)
        trained.measure()
        assert torch.equal(stored, before[0])
        assert torch.equal(images.test, before[1])


def test_no_run_goes_on_with_other_images(toy, tmp_path):
    folder = toy({"toy.npy": pixels()})
    composed = config.compose_config(
        ["data=toy", "samples=2000", "seeds=1", "tracking=off", f"results={tmp_path}"]
    )
    job = config.job_from(composed)
    train(job, lambda kind, payload: None)
    check_sizes([job])
    np.save(folder / "toy.npy", pixels(seed=1))
    own._load.cache_clear()
    with pytest.raises(UserError, match="trained on other images: those of toy had sha256"):
        check_sizes([job])
    with pytest.raises(UserError, match="trained on other images"):
        estimate.main([f"run={job.cell.id}", f"results={tmp_path}", "estimator=importance"])


def test_it_has_rows_without_a_published_value():
    rows = [("toy", 5, 40, "aevb", 0, split, 10**5, -9.0) for split in ("train_running", "test")]
    columns = ["dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples", "value"]
    found = compare(pd.DataFrame(rows, columns=columns), load_published("figure2"))
    assert list(found["ours"]) == [-9.0, -9.0]
    assert found["published"].isna().all()
    digits = compare(pd.DataFrame(rows, columns=columns).assign(dataset="digits"),
                     load_published("figure2"))  # fmt: skip
    assert digits.empty


def test_fashion_is_read_from_files_of_mnists_names(tmp_path, monkeypatch):
    monkeypatch.setenv("METHODS", str(REPOSITORY / "examples" / "fashion"))
    (tmp_path / "fashion").mkdir()
    for name, n in (("train", 50_010), ("t10k", 10_000)):
        packed = gzip.compress(idx(np.full((n, 28, 28), 7, np.uint8)), 1)
        (tmp_path / "fashion" / f"{name}-images-idx3-ubyte.gz").write_bytes(packed)
    asked = ["figure.budgets.laptop.panels=[{data:fashion,n_latent:10}]", f"data.dir={tmp_path}"]
    plan = make_plan(["figure=figure1", *asked], Console(quiet=True))
    assert [job.samples for job in plan.jobs] == [10**6, 10**6]
    (cell, _) = (job.cell for job in plan.jobs)
    images = data.load("fashion", tmp_path, cell.reading).first(cell.n_train)
    assert (images.train.shape, images.test.shape) == ((50_000, 784), (10_000, 784))
    shutil.rmtree(tmp_path / "fashion")


@pytest.mark.integration
def test_it_goes_everywhere_that_the_papers_data_go(toy, tmp_path, capsys):
    """Figures, comparison, claims, estimates, diagnostics, pictures, report and W&B."""
    toy({"toy.npy": pixels(400)}, n_train=300, n_test=100)
    results = f"results={tmp_path}"
    small = ["budget=smoke", "workers=1", "data.fallback=digits", results]
    panel = "{data: toy, n_latent: 2}"
    assert figure.main(["figure=figure1", *small, "samples=100000", "seeds=2",
                        f"figure.budgets.smoke.panels=[{panel}]"]) == 0  # fmt: skip
    folder = tmp_path / "figure1" / "smoke"
    assert set(pd.read_csv(folder / "curves.csv")["dataset"]) == {"toy"}
    compared = pd.read_csv(folder / "comparison.csv")
    assert len(compared) == 4  # two algorithms, two splits
    assert compared["published"].isna().all()
    assert figure.main(["figure=samples", *small, f"figure.budgets.smoke.panels=[{panel}]",
                        "samples=100000"]) == 0  # fmt: skip
    panel = "{data: toy, n_latent: 3, n_train: 200, samples: 30000}"
    assert figure.main(["figure=figure2", *small, "figure.algorithms=[aevb]",
                        "figure.beside=null", "estimator=importance",
                        f"figure.budgets.smoke.panels=[{panel}]"]) == 0  # fmt: skip
    (run,) = (path.name for path in (tmp_path / "runs").glob("toy-aevb-z2-*"))
    capsys.readouterr()
    assert estimate.main([f"run={run}", results, "estimator=importance", "n_points=20"]) == 0
    assert "no normalised density" in capsys.readouterr().out
    model = load_model(run, tmp_path)
    assert model.decoder.mean(torch.zeros(2, 1, 2)).shape == (2, 1, ROWS * COLUMNS)
    assert diagnostics.main([results]) == 0
    assert "Toy images" in (tmp_path / "diagnostics" / "table.md").read_text()
    assert claims.main([results]) == 0
    written = json.loads((tmp_path / "claims.json").read_text())
    of_paper = [c for c in written["claims"] if c["claim"][0] in "123" and c["findings"]]
    assert of_paper
    assert {claim["verdict"] for claim in of_paper} == {"undecided"}
    assert page.main([results]) == 0
    assert "Toy images, N_z = 2" in next(tmp_path.glob("report/*.html")).read_text()
    assert dashboard.main([results]) == 0
    assert list((tmp_path / "wandb").glob(f"offline-run-*{run}-seed-0"))
