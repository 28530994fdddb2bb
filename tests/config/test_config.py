"""The configurations: all of them compose and train, and cells are told apart by mathematics."""

import itertools
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console

from reproduce import config, data
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.config.overrides import as_typed, check_overrides, compose_unchecked, groups
from reproduce.experiments import plan as plans
from reproduce.experiments.plan import make_plan, marks_of
from reproduce.sweeps import multirun
from reproduce.training.loop import build

TINY = ["model.n_latent=2", "model.n_hidden=5", "seeds=2"]
MINIBATCH = "algorithm.batch_size=20"
GROUPS = groups()
COMBINATIONS = list(itertools.product(GROUPS["algorithm"], GROUPS["data"], GROUPS["model/decoder"]))


def job(*overrides):
    return config.job_from(config.compose_config(overrides))


def cell_id(*overrides):
    return job(*overrides).cell.id


def one_block(cell, images):
    """Train a block of steps, past the warm-up, as Lightning would."""
    algorithm = build(cell, images, seeds=(0, 1))
    before = [parameter.detach().clone() for parameter in algorithm.parameters()]
    blocks = 3  # Monte Carlo EM warms up for two
    algorithm.without_trainer().training_step(range(blocks), 0)
    assert algorithm.samples_seen.tolist() == [blocks * algorithm.block_samples] * 2
    assert all(value.isfinite().all() for value in algorithm.measure().values())
    for old, (name, new) in zip(before, algorithm.named_parameters(), strict=True):
        assert new.isfinite().all()
        trained = algorithm.trains_encoder or not name.startswith("model.encoder.")
        assert torch.equal(old, new) != trained, name


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "dataset", "decoder"), COMBINATIONS)
def test_every_combination_composes_and_builds(algorithm, dataset, decoder):
    cell = job(f"algorithm={algorithm}", f"data={dataset}", f"model/decoder={decoder}").cell
    assert (cell.algorithm, cell.dataset) == (algorithm, dataset)
    images = data.load("digits")  # of other sizes than the real data, which need not be here
    built = build(cell, images.first(100), seeds=(0,))
    assert type(built).__module__.startswith(("reproduce.", "baselines."))
    assert built.model.n_latent == 10
    of = "aevb" if algorithm == "full_vb" else algorithm
    assert built.step_size == config.compose_config([]).settings.step_size[dataset][of]


@pytest.mark.slow
@pytest.mark.parametrize("sgvb", ["A", "B"])
@pytest.mark.parametrize(
    ("algorithm", "dataset", "decoder"),
    [one for one in COMBINATIONS if one[1].startswith("digits")],
)
def test_every_combination_trains(algorithm, dataset, decoder, sgvb):
    overrides = [f"algorithm={algorithm}", f"data={dataset}", f"model/decoder={decoder}"]
    if algorithm != "mcem":  # which knows neither
        overrides += ["algorithm.warmup_steps=0", f"algorithm.sgvb={sgvb}", MINIBATCH]
    cell = job(*overrides, *TINY).cell
    one_block(cell, data.load(dataset).first(100))


@pytest.mark.parametrize("scheme", ["normal", "fan_in"])
def test_both_initialisations_train(scheme):
    cell = job(f"model.init.scheme={scheme}", "algorithm.warmup_steps=0", MINIBATCH, *TINY).cell
    one_block(cell, data.load("digits").first(100))


@pytest.mark.slow
@pytest.mark.parametrize("group", ["budget", "tracking"])
def test_every_other_choice_composes(group):
    for name in GROUPS[group]:
        for dataset in GROUPS["data"]:
            composed = config.compose_config([f"{group}={name}", f"data={dataset}"])
            made = config.job_from(composed)
            samples = composed.budget.samples
            assert made.samples == samples.get(dataset, samples.others)
            assert made.seeds == tuple(range(composed.budget.seeds))
            assert made.tracking["mode"] in ("off", "offline", "online")


def test_every_panel_and_algorithm_of_every_figure_is_there():
    for name in GROUPS["figure"]:
        figure = config.compose_config([f"figure={name}"], "figure").figure
        assert set(figure.algorithms) <= set(GROUPS["algorithm"])
        found = [panel for budget in figure.budgets.values() for panel in budget.panels]
        assert {panel.data for panel in found} <= set(GROUPS["data"])
        assert len(found) > 3


@pytest.mark.parametrize("budget", ["smoke", "laptop", "paper"])
def test_the_cells_of_figure_2(budget):
    plan = make_plan(
        ["figure=figure2", f"budget={budget}", "samples=20000", "data.fallback=digits"], Console()
    )
    assert {job.cell.algorithm for job in plan.jobs} == {"aevb", "wake_sleep", "mcem"}
    assert {job.cell.n_latent for job in plan.jobs} == {3}
    assert len(plan.panels) == 2
    assert len(plan.jobs) == 6
    assert all(job.snapshots[-1] == job.samples == 20_000 for job in plan.jobs)
    assert len(marks_of(plan.budget, plan.panels[0].samples)) >= {"paper": 12}.get(budget, 3)
    every, last = plan.budget.mark_every, plan.panels[1].samples
    assert all(at % every == 0 or at == last for at in plan.budget.beside_at)


def test_laptop_continues_the_cells_of_quick(monkeypatch):
    def as_they_are(datasets, *_):  # whether they can be had here or not
        return {name: name for name in datasets}

    monkeypatch.setattr(plans, "substitute_missing", as_they_are)
    small, large = (
        make_plan(["figure=figure1", f"budget={name}"], Console()) for name in ("quick", "laptop")
    )
    quick, laptop = (
        {(job.cell.id, seed, job.samples) for job in one.jobs for seed in job.seeds}
        for one in (small, large)
    )
    assert len(quick) == 4
    assert quick < laptop
    with pytest.raises(UserError, match="figure2 has no budget 'quick'"):
        make_plan(["figure=figure2", "budget=quick"], Console())


# The identity of a cell: what is stored under it is continued by whoever asks for the same id.

PINNED = ["data=digits", "algorithm=aevb", "algorithm.step_size=0.02", "settings=text"]


def test_the_id_of_a_cell_is_stable():
    assert cell_id(*PINNED) == "digits-aevb-z10-n1500-7697e02b"


@pytest.mark.parametrize(
    "override",
    [
        "data=digits_continuous",
        "data.n_train=1000",
        "algorithm=wake_sleep",
        "algorithm.step_size=0.01",
        "algorithm.warmup_steps=0",
        "algorithm.batch_size=50",
        "algorithm.n_samples=2",
        "algorithm.sgvb=A",
        "model.n_latent=11",
        "model.n_hidden=101",
        "model/decoder=gaussian",
        "model.init.scheme=fan_in",
        "model.init.output_bias=zero",
        "model.activation=softplus",
        "model.encoder.log_variance_scale=0.1",
        "model.init.std=0.1",
    ],
)
def test_the_id_differs_with_the_mathematics(override):
    assert cell_id(*PINNED, override) != cell_id(*PINNED)


@pytest.mark.slow
def test_the_id_does_not_differ_with_anything_else(tmp_path):
    for override in (
        *(f"budget={name}" for name in GROUPS["budget"]),
        *(f"tracking={name}" for name in GROUPS["tracking"]),
        "seeds=7",
        "samples=123",
        "device=cpu",
        "threads=2",
        "workers=2",
        f"results={tmp_path}",
        f"data.dir={tmp_path}",
        "data.fallback=error",
        "algorithm.batch_size=1e2",
        "model.n_latent=10.0",
    ):
        assert cell_id(*PINNED, override) == cell_id(*PINNED), override


def test_an_argument_with_a_default_may_be_added():
    """As long as the class named by `_target_` has it."""
    added = job(*PINNED, "+algorithm.clip_dreams=true", "algorithm=wake_sleep").cell
    assert added.settings["algorithm"]["clip_dreams"] is True
    assert added.id != cell_id(*PINNED)


# Values and overrides that are refused; tests/common/test_bad_input.py runs the commands.


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seeds=", "seeds must be a whole number greater than zero, not ''"),
        ("seeds=null", "not null"),
        ("seeds=true", "not true"),
        ("seeds=[0,1]", r"not \[0, 1\]"),
        ("samples=0.5", "samples must be a whole number greater than zero, not 0.5"),
        ("samples=inf", "not inf"),
        ("samples=nan", "not nan"),
        ("workers=two", "workers must be a whole number greater than zero, not 'two'"),
        ("threads=1e9", "threads must be at most 1000"),
        ("algorithm.step_size=nan", "step_size must be a number greater than zero, not nan"),
        ("algorithm.step_size=inf", "not inf"),
        ("algorithm.batch_size=2.5", "algorithm.batch_size must be a whole number greater"),
        ("algorithm.n_samples=0", "algorithm.n_samples must be a whole number greater"),
        (
            "algorithm.warmup_steps=-1",
            "warmup_steps must be a whole number of zero or more, not -1",
        ),
        ("algorithm=mcem algorithm.n_leapfrog=0", "algorithm.n_leapfrog must be a whole number"),
        ("algorithm=mcem algorithm.n_updates=0", "algorithm.n_updates must be a whole number"),
        (
            "algorithm=mcem algorithm.target_acceptance=1",
            "algorithm.target_acceptance must lie between 0 and 1, not 1",
        ),
        ("algorithm=full_vb algorithm.initial_std=0", "initial_std must be a number greater than"),
        ("model.init.scheme=some", "model.init.scheme cannot be 'some'; choose one of: normal"),
        (
            "algorithm=wake_sleep +algorithm.clip_dreams=no",
            "algorithm.clip_dreams must be true or false, not 'no'",
        ),
        (
            "model.encoder.log_variance_scale=abc",
            "log_variance_scale must be a number greater than zero, not 'abc'",
        ),
        (
            "model.activation=gelu",
            "model.activation cannot be 'gelu'; choose one of: tanh, softplus, relu",
        ),
        (
            "model.init.output_bias=some",
            "model.init.output_bias cannot be 'some'; choose one of: normal, mean, zero",
        ),
        (
            "data=freyface data.split=odd",
            "data.split cannot be 'odd'; choose one of: random, published",
        ),
        (
            "algorithm=mcem algorithm.warmup_updates=-1",
            "algorithm.warmup_updates must be a whole number of zero or more, not -1",
        ),
        ("settings=papers", "Unknown settings 'papers'; choose one of: published, text"),
        ("model.n_hidden=0", "model.n_hidden must be a whole number greater than zero, not 0"),
        ("model.n_hidden=[]", "model.n_hidden must have the width of a layer"),
        ("model.n_hidden=[20,0]", "model.n_hidden must be a whole number greater than zero, not 0"),
        ("model.n_latent=", "model.n_latent must be a whole number greater than zero, not ''"),
        ("model.init.std=inf", "model.init.std must be a number of zero or more, not inf"),
        ("algorithm.sgvb=[A]", r"algorithm.sgvb cannot be .*; choose one of: A, B"),
        ("", "'' cannot be read as key=value"),
        ("=3", "'=3' names no setting"),
        ("model=3", "Unknown model 3; choose one of: mlp"),
        ("tracking=null", "Unknown tracking null; choose one of: off, offline, online"),
        ("+data=digits", "data is set already"),
        ("~data", "data cannot be removed"),
        ("algoritm=aevb", r"did you mean algorithm\b"),
        ("decoder=bernoulli", r"did you mean model/decoder\?"),
        ("n_latent=3", r"did you mean model.n_latent\?"),
        ("std=3", r"did you mean model.init.std\?"),
        ("qqq=3", "There is no setting 'qqq'; `reproduce train"),
        ("figure.panels.mine=[]", "There is no setting 'figure.panels.mine'"),
        ("algorithm.name=mine", "algorithm.name is not for setting"),
    ],
)
def test_what_cannot_be_is_refused(override, said):
    with pytest.raises(UserError, match=said):
        job(*(override.split() or [override]))


def test_a_whole_number_is_the_same_as_a_fraction_of_its_value():
    assert cell_id("algorithm.step_size=1") == cell_id("algorithm.step_size=1.0")
    assert cell_id("model.init.std=0") == cell_id("model.init.std=0.0")


def test_composing_leaves_an_application_of_hydra_as_it_was():
    from hydra.core.global_hydra import GlobalHydra

    assert GlobalHydra.instance().hydra is None
    config.compose_config([])
    assert GlobalHydra.instance().hydra is None


AWKWARD = [
    "1.10", "007", "1e3", "null", "on", "true", "2013-12-20", "1:30", "a,b", "a, b", "a#1", "a=b",
    "[a]", "{a:1}", "Zürich", "it's", 'say "a"', "~x", "a\\", "a\\'b", "$HOME", "(a)", "0x1f", "-",
]  # fmt: skip
"""Names of folders that YAML, Hydra or a shell would take for something else."""


@pytest.mark.parametrize("name", AWKWARD)
def test_places_and_names_are_taken_as_they_are_typed(name):
    given = [f"results={name}", f"++tracking.folder={name}", f"tracking.project={name}"]
    check_overrides(given)
    check_overrides(given, sweep=True)
    composed = config.compose_config(given)
    assert str(config.results_folder(composed)) == name
    assert tuple(map(str, config.tracking_places(composed))) == (name, name)
    assert as_typed(as_typed(given)) == as_typed(given)
    (job_of_a_sweep,) = multirun.expand(as_typed(given))
    assert str(config.results_folder(config.compose_config(job_of_a_sweep))) == name


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["data=mnist", "algorithm=mcem", "model.n_latent=2", "samples=1e5", "seeds=2"],
        ["model.n_latent=2", "model/decoder=gaussian", "budget=smoke", "model.n_latent=3"],
        ["algorithm=wake_sleep", "algorithm=aevb", "model.n_hidden=[30,20]"],
        ["+algorithm.clip_dreams=true", "algorithm=wake_sleep", "++algorithm.warmup_steps=3"],
        ["budget.samples={others: 5}", "results=a b", "tracking=online", "data.dir=null"],
        ["figure.algorithms.0=mcem", "figure.budgets.smoke.panels=[{data: digits, n_latent: 2}]"],
        ["figure=figure2", "figure.algorithms=[aevb]", "model.n_latent=${seeds}"],
    ],
)
def test_values_are_set_as_hydra_sets_them(given):
    whole = compose_unchecked(given, "figure")
    assert config.compose_config(given, "figure") == whole
    again = config.compose_config(given, "figure")  # what was set once is not there twice
    assert OmegaConf.to_yaml(again, resolve=True) == OmegaConf.to_yaml(whole, resolve=True)


def test_a_folder_of_data_is_a_place_or_none():
    assert config.data_dir(config.compose_config(["data.dir=007"])) == "007"
    assert config.data_dir(config.compose_config(["data.dir=null"])) is None


def test_what_is_in_quotes_is_left_to_hydra(monkeypatch):
    monkeypatch.setenv("PLACE", "there")
    for given in ("'1.10'", '"1.10"'):
        assert str(config.results_folder(config.compose_config([f"results={given}"]))) == "1.10"
    composed = config.compose_config(["results=${oc.env:PLACE}/a,b"])
    assert str(config.results_folder(composed)) == "there/a,b"


def test_places_are_never_swept():
    for given in ("choice(a,b)", "range(1,3)", "glob(*)"):
        with pytest.raises(UserError, match="cannot be swept; if") as refusal:
            check_overrides([f"results={given}"], sweep=True)
        assert f"\"results='{given}'\"" in str(refusal.value)
        check_overrides([f"results='{given}'"], sweep=True)


def test_a_leading_tilde_is_the_home_in_every_place(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA_DIR", "~/data")
    for given in ("results=~/x", "results='~/x'"):
        settings = config.compose_config([given, "tracking.folder=~/w"])
        assert config.results_folder(settings) == tmp_path / "x"
        assert config.tracking_places(settings)[0] == tmp_path / "w"
        assert config.data_dir(settings) == str(tmp_path / "data")
    assert config.data_dir(config.compose_config(["data.dir=~"])) == str(tmp_path)
    quoted = config.compose_config(["tracking.folder='~/w'"])
    assert config.job_from(quoted).tracking["folder"] == f"{tmp_path}/w"
    assert cli.parsed(["results=~/x"], "list", results="results") == {"results": f"{tmp_path}/x"}
    assert config.results_folder(config.compose_config(["results=./~"])) == Path("./~")
    nobody = config.compose_config(["results=~no-such-user/x"])  # as in a shell
    assert config.results_folder(nobody) == Path("~no-such-user/x")
