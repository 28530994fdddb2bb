"""Networks of the user's own: several hidden layers, and the class of docs/add-a-method.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reproduce import config, load_model
from reproduce.commands import estimate
from reproduce.common.errors import UserError
from reproduce.common.machine import has_cpp_compiler
from reproduce.config.overrides import groups
from reproduce.experiments import figure
from reproduce.experiments.latent import run as diagnostics
from reproduce.store.store import Store
from reproduce.training.loop import train

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
DEEP = "model.n_hidden=[30,20]"
OWN = "model/encoder=gated"
QUICK = ["data=digits", "model.n_latent=2", "seeds=2", "tracking=off", "workers=1"]
needs_compiler = pytest.mark.skipif(not has_cpp_compiler(), reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    """A folder with the page's class."""
    folder = tmp_path_factory.mktemp("mine")
    (source,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "Gated" in code)
    (folder / "gated.py").write_text(source)
    (folder / "model" / "encoder").mkdir(parents=True)
    (folder / "model" / "encoder" / "gated.yaml").write_text("_target_: gated.GatedEncoder\n")
    return folder


@pytest.fixture(autouse=True)
def methods(gated, monkeypatch):
    monkeypatch.setenv("METHODS", str(gated))
    monkeypatch.setattr(sys, "path", [*sys.path])
    groups.cache_clear()
    yield
    groups.cache_clear()
    for name in [name for name in sys.modules if name.startswith("gated")]:
        del sys.modules[name]


def trained(folder, *overrides, samples=20_000):
    """Train; return the store and the cell."""
    given = [*QUICK, f"samples={samples}", f"results={folder}", *overrides]
    job = config.job_from(config.compose_config(given))
    train(job, lambda kind, payload: None)
    return Store(job.store), job.cell


@pytest.mark.integration
@pytest.mark.parametrize("change", [DEEP, OWN])
def test_everything_that_reads_models_reads_it(change, tmp_path, capsys):
    _, cell = trained(tmp_path, change)
    model = load_model(cell.id, tmp_path)
    assert (model.n_seeds, model.n_latent) == (2, 2)
    assert model.decoder.mean(torch.randn(2, 5, 2)).shape == (2, 5, 64)
    asked = [f"run={cell.id}", f"results={tmp_path}", "n_points=5", "estimator=quadrature"]
    assert estimate.main(asked) == 0
    trained(tmp_path)  # a cell of the suite's own networks beside it
    assert diagnostics.main([f"results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "left out" not in printed
    table = (tmp_path / "diagnostics" / "table.md").read_text()
    assert cell.id.rpartition("-")[2] in table
    drawn = ["figure=manifolds", "budget=smoke", "tracking=off", "samples=20000", "workers=1"]
    assert figure.main([*drawn, change, f"results={tmp_path}"]) == 0
    assert (tmp_path / "manifolds" / "smoke" / "manifolds.png").exists()


@pytest.mark.integration
@pytest.mark.parametrize("change", [DEEP, OWN])
def test_it_continues_to_the_last_bit_and_its_seeds_do_not_depend_on_each_other(change, tmp_path):
    for samples in (20_000, 30_000):
        store, cell = trained(tmp_path / "twice", change, samples=samples)
    once, _ = trained(tmp_path / "once", change, samples=30_000)
    for seed in (0, 1):
        for other in (once, trained(tmp_path / "alone", change, "seeds=1", samples=30_000)[0]):
            if seed in other.seeds(cell):
                theirs = other.curve(cell, seed)
                mine = store.curve(cell, seed)
                assert mine[mine["samples"].isin(theirs["samples"])].equals(theirs)


def test_the_layers_lie_from_x_to_z_and_back(tmp_path):
    _, cell = trained(tmp_path, DEEP)
    weights = load_model(cell.id, tmp_path).state_dict()
    shapes = {name: tuple(value.shape[1:]) for name, value in weights.items() if "weight" in name}
    assert shapes["encoder.hidden.0.weight"] == (64, 30)
    assert shapes["encoder.hidden.1.weight"] == (30, 20)
    assert shapes["decoder.hidden.0.weight"] == (2, 20)
    assert shapes["decoder.hidden.1.weight"] == (20, 30)
    assert shapes["decoder.output.weight"] == (30, 64)


def test_one_layer_in_brackets_is_one_layer():
    one, listed, two = (
        config.cell_from(config.compose_config([f"model.n_hidden={width}"]))
        for width in ("100", "[100]", "[100,50]")
    )
    assert one.id == listed.id != two.id


def test_an_activation_is_a_setting(tmp_path):
    _, cell = trained(tmp_path, "model.activation=relu", "model.n_hidden=40")
    hidden = load_model(cell.id, tmp_path).encoder.hidden
    x = torch.randn(2, 5, 64)
    affine = x @ hidden.weight + hidden.bias
    torch.testing.assert_close(hidden(x), affine.clamp_min(0))


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("change", [DEEP, OWN])
def test_it_compiles(change, tmp_path):
    ends = {}
    for compiled in ("false", "true"):
        folder = tmp_path / compiled
        done = subprocess.run(
            [sys.executable, "-m", "reproduce", "train", *QUICK, change, "seeds=1",
             "samples=20000", f"compile={compiled}", f"results={folder}"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (manifest,) = folder.glob("runs/*/seed-0/manifest.json")
        assert json.loads(manifest.read_text())["sessions"][-1]["compiled"] == (compiled == "true")
        (curve,) = folder.glob("runs/*/seed-0/curve.csv")
        ends[compiled] = float(curve.read_text().split()[-1].rpartition(",")[2])
    assert ends["true"] == pytest.approx(ends["false"], abs=0.05)


@pytest.mark.parametrize(
    ("changed", "by", "said"),
    [
        ("torch.ones(n_seeds, 1, 1)", "torch.ones(1)", "model.encoder.sharpness has the shape"),
        ("initialise_seed", "initialize", "would not start from the seeds"),
        ("n_hidden, n_latent, activation", "n_latent, activation", "argument 'n_hidden'"),
        ("StackedLinear(n_seeds, n_hidden, 2 * n_latent)", "nn.Linear(n_hidden, 2 * n_latent)",
         "model.encoder.moments.weight has the shape"),
    ],
)  # fmt: skip
def test_a_class_that_does_not_fit_is_a_sentence(changed, by, said, gated, tmp_path, monkeypatch):
    source = (gated / "gated.py").read_text()
    assert changed in source
    name = f"gated_{abs(hash(by))}"
    (tmp_path / f"{name}.py").write_text(source.replace(changed, by))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=re.escape(said)):
        trained(tmp_path, OWN, f"model.encoder._target_={name}.GatedEncoder")


def test_a_class_that_has_changed_or_gone_leaves_the_other_runs_readable(
    gated, tmp_path, monkeypatch, capsys
):
    (tmp_path / "gated_now.py").write_text((gated / "gated.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    _, cell = trained(tmp_path, OWN, "model.encoder._target_=gated_now.GatedEncoder")
    _, other = trained(tmp_path)
    changed = (tmp_path / "gated_now.py").read_text().replace("self.gates", "self.doors")
    for source, said in ((changed, "do not fit its networks"), (None, "gated_now")):
        del sys.modules["gated_now"]
        if source:
            (tmp_path / "gated_now.py").write_text(source + "\n# of another length\n")
        else:
            (tmp_path / "gated_now.py").unlink()
        with pytest.raises(UserError, match=said):
            load_model(cell.id, tmp_path)
        assert load_model(other.id, tmp_path).n_seeds == 2
        assert diagnostics.main([f"results={tmp_path}"]) == 0
        assert f"{cell.id} is left out" in capsys.readouterr().out


def test_a_network_that_fails_leaves_the_other_runs_readable(gated, tmp_path, capsys):
    _, cell = trained(tmp_path, OWN)
    trained(tmp_path)
    source = (gated / "gated.py").read_text()
    (gated / "gated.py").write_text(source.replace("h = self.values(x)", "h = self.values(z)"))
    del sys.modules["gated"]
    try:
        assert diagnostics.main([f"results={tmp_path}"]) == 0
    finally:
        (gated / "gated.py").write_text(source)
    printed = capsys.readouterr().out
    assert f"{cell.id} is left out: {gated / 'gated.py'}, line 20, in forward: `h =" in printed
