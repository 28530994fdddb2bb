"""The worked example of docs/add-a-method.md: a method that lies outside the package."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from building import algorithm, autoencoder, parameters
from reproduce import config, data
from reproduce.analysis.style import algorithm_styles
from reproduce.common.errors import UserError
from reproduce.common.names import algorithm_name
from reproduce.config.overrides import groups
from reproduce.experiments import figure
from reproduce.experiments.claims import run as claims
from reproduce.models.bounds import log_weights
from reproduce.training.loop import build, train
from reproduce.training.tracking import RunIdentity

ROOT = Path(__file__).parent.parent
WITH_IWAE = {**os.environ, "METHODS": str(ROOT / "examples" / "iwae")}
EXAMPLE = ROOT / "examples" / "iwae"


@pytest.fixture
def iwae(monkeypatch):
    """The example's module, found as a user's would be."""
    monkeypatch.setenv("METHODS", str(EXAMPLE))
    monkeypatch.setattr(sys, "path", [*sys.path])
    groups.cache_clear()
    from reproduce.common import plugins

    plugins.make_importable()
    import iwae

    yield iwae
    groups.cache_clear()


def test_the_example_is_short_and_outside_the_package():
    assert len((EXAMPLE / "iwae.py").read_text().splitlines()) <= 60


def test_its_bound_lies_between_the_ordinary_one_and_log_p(iwae):
    """On a model without latent influence log p(x) is known: the bound is then exact."""
    model = autoencoder()
    source = torch.Generator().manual_seed(0)
    x = torch.rand(2, 50, 12, generator=source)
    noise = torch.randn(2, 40, 50, 3, generator=source)
    log_weight = log_weights(model, x, noise)
    ordinary = log_weight.mean(1)
    few = torch.stack([iwae.importance_weighted_bound(part) for part in log_weight.split(5, 1)])
    many = iwae.importance_weighted_bound(log_weight)
    assert (ordinary.mean() < few.mean()).item()
    assert (few.mean() < many.mean()).item()
    with torch.no_grad():
        model.decoder.hidden.weight.zero_()  # p(x|z) = p(x)
        exact = model.decoder.log_likelihood(x, torch.zeros(2, 1, 50, 3))[:, 0]
        wide = torch.randn(2, 20_000, 50, 3, generator=source)
        bound = iwae.importance_weighted_bound(log_weights(model, x, wide))
    torch.testing.assert_close(bound, exact, atol=0.05, rtol=0)


def test_with_one_sample_it_is_aevb(iwae, images, monkeypatch):
    monkeypatch.setitem(algorithm.__globals__["ALGORITHMS"], "iwae", iwae.IWAE)
    one, other = (algorithm(name, images, sgvb="A") for name in ("iwae", "aevb"))
    for trained in (one, other):
        trained.training_step(range(1), 0)
    torch.testing.assert_close(parameters(one.model), parameters(other.model))


@pytest.mark.integration
def test_it_appears_in_figure_comparison_and_claims(iwae, tmp_path, capsys):
    own = ["figure=figure1", "budget=smoke", "samples=25000", "figure.algorithms=[aevb,iwae]"]
    assert figure.main([*own, "workers=1", f"results={tmp_path}", "seeds=2"]) == 0
    curves = pd.read_csv(tmp_path / "figure1" / "smoke" / "curves.csv")
    assert set(curves["algorithm"]) == {"aevb", "iwae"}
    assert claims.main([f"results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "iwae reaches a better bound than AEVB" in printed
    written = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    own_claim = next(claim for claim in written["claims"] if claim["claim"] == "own-b")
    assert len(own_claim["findings"]) == 4  # two panels, two splits
    assert all(math.isfinite(finding["effect"]) for finding in own_claim["findings"])
    names = [path.name for path in (tmp_path / "wandb").glob("offline-run-*")]
    assert sum("-iwae-" in name for name in names) == 4


def test_a_label_is_what_a_reader_sees_and_no_part_of_the_cell(iwae, tmp_path, monkeypatch):
    def described(label):
        folder = tmp_path / label.strip("'$").replace(" ", "")
        (folder / "algorithm").mkdir(parents=True)
        text = (EXAMPLE / "algorithm" / "iwae.yaml").read_text()
        (folder / "algorithm" / "iwae.yaml").write_text(f"{text}label: {label}\n")
        monkeypatch.setenv("METHODS", str(folder))
        monkeypatch.syspath_prepend(str(EXAMPLE))
        groups.cache_clear()
        return config.cell_from(config.compose_config(["algorithm=iwae", "data=digits"]))

    plain = config.cell_from(config.compose_config(["algorithm=iwae", "data=digits"]))
    named = described("Five samples")
    assert named == plain
    assert algorithm_name("iwae") == "Five samples"
    assert algorithm_styles(["aevb", "iwae"])["iwae"].name == "Five samples"
    run = RunIdentity.of_seed(named, 0)
    assert run.name == "scikit-learn digits N_z=10 Five samples seed 0"
    assert run.id == f"{plain.id}-seed-0"
    with pytest.raises(UserError, match="label 'AEVB' of a file in algorithm/ is another one's"):
        described("AEVB")
    with pytest.raises(UserError, match="without dollar signs"):
        described("'$x$'")


@pytest.mark.integration
def test_it_trains_by_its_name_on_the_command_line(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "reproduce", "train", "algorithm=iwae", "data=digits",
         "samples=20000", "tracking=off", f"results={tmp_path}", "algorithm.n_samples=3"],
        env=WITH_IWAE, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (cell,) = tmp_path.glob("runs/digits-iwae-*/cell.json")
    assert json.loads(cell.read_text())["settings"]["algorithm"]["n_samples"] == 3


@pytest.mark.integration
@pytest.mark.parametrize(
    "command",
    [["--multirun"], ["--multirun", "hydra/launcher=submitit_local"], ["--cfg", "job"]],
)
def test_hydras_options_still_work_with_it(tmp_path, command):
    run = subprocess.run(
        [sys.executable, "-m", "reproduce", "train", *command, "algorithm=iwae", "samples=20000",
         f"results={tmp_path}", "tracking=off"],
        env=WITH_IWAE, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_without_the_folder_the_name_is_unknown(monkeypatch, tmp_path):
    groups.cache_clear()
    with pytest.raises(UserError, match=r"Unknown algorithm 'iwae'.*aevb"):
        figure.main(["figure=figure1", "budget=smoke", "figure.algorithms=[iwae]"])
    monkeypatch.setenv("METHODS", str(tmp_path))
    groups.cache_clear()
    with pytest.raises(UserError, match=r"holds no algorithm/NAME\.yaml"):
        figure.main(["figure=figure1", "budget=smoke", f"results={tmp_path}"])
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm" / "aevb.yaml").write_text("name: aevb\n")
    with pytest.raises(UserError, match="give yours another name"):
        figure.main(["figure=figure1", "budget=smoke", f"results={tmp_path}"])
    monkeypatch.delenv("METHODS")
    groups.cache_clear()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("replaced", "by", "said"),
    [
        ("name: iwae", "", "lacks name"),
        ("name: iwae", "name: i/wae", "letters, digits and underscores"),
        ("iwae.IWAE", "iwae.IWEA", "iwae.IWEA"),
        ("n_samples", "n_smaples", "unexpected keyword argument 'n_smaples'"),
        ("sgvb: B", "sgvb: [B", "no YAML"),
        ("batch_size: ${oc.select:settings.batch_size.${data.name},100}", "", "lacks batch_size"),
        ("iwae.IWAE", "collections.OrderedDict", "OrderedDict is no algorithm"),
    ],
)
def test_mistakes_in_a_methods_file_are_a_sentence(tmp_path, replaced, by, said):
    folder = tmp_path / "mine"
    (folder / "algorithm").mkdir(parents=True)
    (folder / "iwae.py").write_text((EXAMPLE / "iwae.py").read_text())
    text = (EXAMPLE / "algorithm" / "iwae.yaml").read_text()
    assert replaced in text
    (folder / "algorithm" / "iwae.yaml").write_text(text.replace(replaced, by))
    done = subprocess.run(
        [sys.executable, "-m", "reproduce", "train", "algorithm=iwae", "samples=1000", "seeds=1",
         "tracking=off", "workers=1", "algorithm.step_size=0.01", f"results={tmp_path}"],
        env={**os.environ, "METHODS": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


STEP = """
from reproduce.algorithms.aevb import AEVB

class Mine(AEVB):
    def step(self, x, noise):
        bound = super().step(x, noise)
        return {}
"""
WRONG = {
    "bound.mean()": r"Mine.step must return .* \(seed,\) = \(2,\), not .* shape \(\)",
    "bound[:1]": r"not a tensor of the shape \(1,\) of float32 on cpu",
    "bound.long()": "of int64",
    "bound.to('meta')": "on meta",
    "bound.tolist()": r"not list \[",
    "None": "not None",
}
OTHER = {
    "noise_shapes(self)": {
        "{'posterior': ('gaussian', (1, 100, 10))}": r"Mine.noise_shapes must return .*normal",
        "{'index': ('normal', (100,))}": "but not `index`",
        "[('normal', (100,))]": "must return a dictionary",
    },
    "bound(self, x, noise)": {
        "super().bound(x, noise).mean(1)": r"Mine.bound must return .* \(seed, image\)",
    },
    "evaluate(self, split)": {"super().evaluate(split)[0]": "Mine.evaluate must return"},
    "measure(self)": {
        "{'test': 1.0}": "Mine.measure, for 'test', must return .* not float 1.0",
        "self.evaluate('test')": "Mine.measure must return a dictionary",
    },
}
NOT_RETURNED = {"self.register_buffer('steps', __import__('torch').zeros(()))": "Mine.steps has"}


def mine(folder, monkeypatch, source):
    """Put a method of this source, in two lines of a file, where METHODS finds it."""
    (folder / "algorithm").mkdir(parents=True)
    text = (EXAMPLE / "algorithm" / "iwae.yaml").read_text()
    text = text.replace("iwae.IWAE", "mine.Mine").replace("name: iwae", "name: mine")
    (folder / "algorithm" / "mine.yaml").write_text(text.replace("n_samples: 5", "n_samples: 1"))
    (folder / "mine.py").write_text(source)
    monkeypatch.setenv("METHODS", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("mine", None)
    groups.cache_clear()


@pytest.fixture
def forgotten():
    yield
    sys.modules.pop("mine", None)
    groups.cache_clear()


def train_mine(folder, *given):
    settings = ["algorithm=mine", "data=digits", "samples=20000", "seeds=2", "tracking=off"]
    job = config.job_from(config.compose_config([*settings, f"results={folder}", *given]))
    train(job, lambda kind, payload: None)


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(
    ("source", "said"),
    [
        *((STEP.format(value), said) for value, said in WRONG.items()),
        *(
            (f"{STEP.format('bound')}\n    def {method}:\n        return {value}\n", said)
            for method, cases in OTHER.items()
            for value, said in cases.items()
        ),
        *(
            (f"{STEP.format('bound')}\n    def __init__(self, *a, **k):\n"
             f"        super().__init__(*a, **k)\n        {line}\n", said)
            for line, said in NOT_RETURNED.items()
        ),
    ],
)  # fmt: skip
def test_what_a_method_returns_is_refused_unless_it_is_what_is_wanted(
    source, said, tmp_path, monkeypatch
):
    mine(tmp_path / "mine", monkeypatch, source)
    with pytest.raises(UserError, match=said):
        train_mine(tmp_path)
    assert not list(tmp_path.glob("runs/*/seed-*/curve.csv"))


@pytest.mark.usefixtures("forgotten")
def test_a_bound_returned_with_its_graph_keeps_none(tmp_path, monkeypatch):
    """The running sum would otherwise hold the graphs of all steps since the last mark."""
    mine(
        tmp_path / "mine",
        monkeypatch,
        STEP.format("bound + 0 * self.model.encoder.mean.bias.sum()"),
    )
    composed = config.compose_config(["algorithm=mine", "data=digits", "seeds=2"])
    built = build(config.cell_from(composed), data.load("digits"), (0, 1)).without_trainer()
    built.training_step(range(2), 0)
    assert not built.running_sum.requires_grad


@pytest.mark.usefixtures("forgotten")
def test_a_method_with_another_optimizer_continues_to_the_last_bit(tmp_path, monkeypatch):
    source = """
import torch
from reproduce.algorithms.aevb import AEVB

class Mine(AEVB):
    def configure_optimizers(self):
        return [torch.optim.Adam(self.model.parameters(), lr=self.step_size)]

    def adagrad_step(self, loss, optimizer_index=0):
        (optimizer,) = self._raw_optimizers()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
    mine(tmp_path / "mine", monkeypatch, source)
    for samples in (20_000, 25_000):
        train_mine(tmp_path / "twice", f"samples={samples}")
    train_mine(tmp_path / "once", "samples=25000")
    curves = [sorted(tmp_path.glob(f"{way}/runs/*/seed-*/curve.csv")) for way in ("once", "twice")]
    assert len(curves[0]) == 2
    for once, twice in zip(*curves, strict=True):
        assert once.read_text() == twice.read_text()


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_inside_a_method_shows_its_line(tmp_path, monkeypatch, workers):
    mine(tmp_path / "mine", monkeypatch, STEP.format("x @ bound"))
    done = subprocess.run(
        [sys.executable, "-m", "reproduce", "train", "algorithm=mine", "samples=20000", "seeds=2",
         "tracking=off", f"workers={workers}", f"results={tmp_path}"],
        env={**os.environ, "METHODS": str(tmp_path / "mine")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    place = f"{tmp_path / 'mine' / 'mine.py'}, line 7, in step: `return x @ bound` fails"
    assert place in done.stderr
    assert "RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr
