"""The committed results come from this code: train their beginning again and compare."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from docs import tables as generated
from reproduce import config
from reproduce.__main__ import VERBS
from reproduce.commands.tables import tables
from reproduce.experiments.claims.evidence import gather
from reproduce.experiments.claims.paper import check_all
from reproduce.experiments.claims.tables import details_table, summary_table
from reproduce.experiments.step_sizes import choose
from reproduce.models import kernels
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import train

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference" / "figure1"
TEXT = ROOT / "results" / "reference" / "text"
FIGURE2 = TEXT / "figure2"
COMPILED = TEXT / "compiled" / "figure1"
ABLATIONS = [path.parent for path in sorted(ROOT.glob("studies/ablations/results/*/table.md"))]
# The same numbers to the last bit on the same kind of processor. Another rounds otherwise, which
# 200 steps amplify: to about this (nats) with Bernoulli pixels, to whole nats with Gaussian ones
# (docs/history.md). There the same training with initial weights a millionth larger or smaller
# shows how far rounding may move a curve.
TOLERANCE = 0.02
NUDGES = (1e-6, -1e-6)
# conftest takes DATA_DIR out of the environment, for all tests but these.
DATA_DIR = os.environ.get("AEVB_TEST_DATA_DIR", "")


def reference(folder, dataset, algorithm, n_latent):
    curves = pd.read_csv(folder / "curves.csv")
    mine = (curves["dataset"] == dataset) & (curves["algorithm"] == algorithm)
    return curves[mine & (curves["n_latent"] == n_latent) & (curves["samples"] <= 20_000)]


def trained_again(folder, dataset, algorithm, settings, data_dir=None, nudge=0.0):
    composed = config.job_from(
        config.compose_config(
            [f"data={dataset}", f"algorithm={algorithm}", "model.n_latent=10", f"results={folder}",
             "tracking=off", f"model.init.std={0.01 * (1 + nudge)!r}", f"settings={settings}"]
        )
    )  # fmt: skip
    job = Job(composed.cell, (0, 1), 20_000, composed.store, data_dir=data_dir)
    train(job, lambda kind, payload: None)
    return job.cell, Store(job.store).curves(job.cell, job.seeds, 20_000)


def distance(ours, theirs):
    keys = ["dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples"]
    both = ours.merge(theirs, on=keys, how="outer", indicator=True)
    assert len(both) == 6
    assert (both["_merge"] == "both").all()
    return (both["value_x"] - both["value_y"]).abs().max()


def assert_trained_again(folder, committed, dataset, algorithm, settings, data_dir=None):
    cell, curves = trained_again(folder, dataset, algorithm, settings, data_dir)
    manifest = json.loads((committed / "manifest.json").read_text())
    assert cell.id in [entry["id"] for entry in manifest["cells"]]
    off = distance(curves, reference(committed, dataset, algorithm, 10))
    alike = kernels._serves()  # only on the reference's kind of processor
    if off >= TOLERANCE and not alike:
        nudged = [
            trained_again(folder, dataset, algorithm, settings, data_dir, nudge)[1]
            for nudge in NUDGES
        ]
        assert off < 2 * max(distance(curves, moved) for moved in nudged)
    else:
        assert off < TOLERANCE


@pytest.mark.integration
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
@pytest.mark.parametrize("dataset", ["digits", "digits_continuous"])
@pytest.mark.parametrize("settings", ["published", "text"])
def test_smoke_reference_cells_can_be_trained_again(tmp_path, settings, dataset, algorithm):
    committed = (TEXT / "figure1" if settings == "text" else REFERENCE) / "smoke"
    assert_trained_again(tmp_path, committed, dataset, algorithm, settings)


@pytest.mark.slow
@pytest.mark.skipif(not DATA_DIR, reason="DATA_DIR does not name a folder with the real data")
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
@pytest.mark.parametrize("dataset", ["mnist", "freyface"])
def test_real_data_reference_cells_can_be_trained_again(tmp_path, dataset, algorithm):
    committed = TEXT / "figure1" / "laptop"
    assert_trained_again(tmp_path, committed, dataset, algorithm, "text", DATA_DIR)


def sessions(records):
    """Each piece of training; seeds that were finished before these were noted have none."""
    return [session for record in records for session in record.get("sessions", [])]


FIGURE1 = sorted(path.parent for path in ROOT.glob("results/reference/**/figure1/*/manifest.json"))


@pytest.mark.parametrize("folder", FIGURE1, ids=lambda path: "-".join(path.parts[-3:]))
def test_reference_results_were_made_from_committed_code(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    # A seed that no one has trained yet has no manifest, and no curve.
    records = [record for cell in manifest["cells"] for record in cell["members"] if record]
    curves = pd.read_csv(folder / "curves.csv")
    drawn = curves.groupby(["dataset", "n_latent", "algorithm", "seed"]).ngroups
    assert len(records) == drawn > 0
    for made in [manifest["drawn"], *records, *sessions(records)]:
        assert made["git"]["dirty"] is False
        assert len(made["git"]["commit"]) == 40


@pytest.mark.parametrize("budget", sorted(p.name for p in FIGURE2.glob("*") if p.is_dir()))
def test_figure_2_was_made_from_committed_code_and_says_how_far_it_goes(budget):
    manifest = json.loads((FIGURE2 / budget / "manifest.json").read_text())
    records = [record for cell in manifest["cells"] for record in cell["members"] if record]
    assert records
    for made in [manifest["drawn"], *records, *sessions(records)]:
        assert made["git"]["dirty"] is False
    curves = pd.read_csv(FIGURE2 / budget / "curves.csv")
    assert set(curves["algorithm"]) == {"aevb", "wake_sleep", "mcem"}
    assert set(curves["estimator"]) == {"quadrature", "hmc_kde"}
    for record in records:
        if record["cell"]["algorithm"] == "mcem":
            n_train = record["cell"]["n_train"]
            assert record["chains"] == n_train
            assert record["samples"] == 15 * n_train * record["iterations"]


def test_step_sizes_are_what_the_selections_chose():
    chosen = config.compose_config([]).step_sizes
    for folder in ("step_sizes", "step_sizes_figure2"):
        path = ROOT / "results" / "reference" / folder / "step_sizes.csv"
        for row in choose(pd.read_csv(path)).itertuples():
            assert chosen[row.entry][row.algorithm] == row.step_size


TABLES = {
    "figure1/laptop": 1e6, "figure1/paper": 1e7, "figure2/laptop": 1e6,
    "text/figure1/laptop": 1e6, "text/figure1/desktop": 1e7, "text/figure1/paper": 5e7,
    "text/compiled/figure1/paper": 1e8, "text/figure2/laptop": 1e6, "text/figure2/paper": 1e6,
}  # fmt: skip
"""Folders of the reference with a table, and at how many samples."""


@pytest.mark.parametrize(("folder", "at"), TABLES.items())
def test_tables_are_what_the_command_prints(folder, at):
    table = (ROOT / "results" / "reference" / folder / "table.md").read_text(encoding="utf-8")
    assert table.strip() == tables(ROOT / "results" / "reference" / folder, at).strip()


def test_the_verdicts_are_what_the_command_prints():
    findings = check_all(gather(TEXT))
    printed = f"{details_table(findings)}\n\n{summary_table(findings)}"
    assert printed in (TEXT / "claims.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        *ABLATIONS,
        TEXT / "diagnostics" / "wake_sleep_z200",
        TEXT / "manifolds" / "desktop",
        TEXT / "samples" / "laptop",
        TEXT / "diagnostics",
    ],
    ids=lambda path: path.name,
)
def test_pictures_were_made_from_committed_code(path):
    text = (path / "manifest.json").read_text(encoding="utf-8")
    assert '"dirty": false' in text
    assert '"dirty": true' not in text


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md",
         *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("studies/*/README.md"))]  # fmt: skip


def each_page(test):
    return pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))(test)


@each_page
def test_tables_and_numbers_between_markers_are_generated(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- ") == 2 * len(generated.MARKED.findall(text))
    assert generated.filled(text) == text, "python -m docs.tables writes them"


def test_every_generated_value_stands_somewhere_and_replaces_another():
    pages = [page.read_text(encoding="utf-8") for page in generated.PAGES]
    found = {place[1] for text in pages for place in generated.MARKED.finditer(text)}
    assert found == set(generated.GENERATED)
    text = "ours end <!-- mnist_text -->0.0<!-- /mnist_text --> nats off"
    assert generated.filled(text) == "ours end <!-- mnist_text -->4.2<!-- /mnist_text --> nats off"


def heading_anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in heading_anchors(target), link


@each_page
def test_commands_and_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])reproduce ([a-z][a-z-]+) (?=[a-z.]+=|-)", text)
    assert set(named) <= set(VERBS)
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", text, re.M)) <= targets
    for module in re.findall(
        r"python -m ((?:reproduce|benchmarks|studies)(?:\.[a-z0-9_]+)*)", text
    ):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    files = r"\b((?:reproduce|baselines|benchmarks|tests|conf|studies)/[a-z0-9_/]+\.(?:py|yaml))"
    for file in re.findall(files, text):
        assert (ROOT / file).exists(), file


def test_the_trees_name_every_room():
    readme, built = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("README.md", "docs/how-it-is-built.md")
    )
    rooms = {path.parent.name for path in ROOT.glob("reproduce/*/__init__.py")}
    experiments = {path.parent.name for path in ROOT.glob("reproduce/experiments/*/__init__.py")}
    assert {room for room in rooms if f"  {room}/ " not in readme} == set()
    assert {room for room in rooms | experiments if f"  {room}/ " not in built} == set()
    assert len(readme.splitlines()) <= 150


def test_compiled_curves_are_as_near_to_uncompiled_ones_as_the_docs_say():
    compiled = COMPILED / "laptop"
    manifest = json.loads((compiled / "manifest.json").read_text())
    records = [record for cell in manifest["cells"] for record in cell["members"]]
    assert len(records) == 36
    assert all(one["compiled"] for record in records for one in record["sessions"])
    assert all(one["git"]["dirty"] is False for one in records)
    keys = ["dataset", "n_latent", "n_train", "algorithm", "seed", "split", "samples"]
    curves, plain = (
        pd.read_csv(folder / "curves.csv") for folder in (compiled, TEXT / "figure1" / "laptop")
    )
    both = curves.merge(plain, on=keys, validate="1:1")
    assert len(both) == len(curves) == len(plain)
    ends = both[both["samples"] == both["samples"].max()]
    off = (ends["value_x"] - ends["value_y"]).abs()
    aevb, mnist = ends["algorithm"] == "aevb", ends["dataset"] == "mnist"
    assert off[mnist & aevb & (ends["n_latent"] <= 20)].max() < 3e-3
    assert off[mnist & aevb & (ends["n_latent"] <= 5)].max() < 9e-6
    assert off[mnist & aevb].max() < 0.4
    assert off[mnist & ~aevb].max() < 0.08
    assert off[~mnist & aevb].groupby(ends["n_latent"]).max().between(0.9, 35).all()
    assert off[~mnist & ~aevb].max() < 7


def test_the_longest_run_on_mnist_with_the_texts_settings_is_near_to_the_published_curves():
    manifest = json.loads((COMPILED / "paper" / "manifest.json").read_text())
    ((record,),) = (cell["members"] for cell in manifest["cells"])
    assert [one["compiled"] for one in record["sessions"]] == [True]
    assert (record["git"]["dirty"], record["samples"]) == (False, 100_000_000)
    assert round(record["wall_seconds"] / 60) == 69
    table = pd.read_csv(COMPILED / "paper" / "comparison.csv")
    late = table[table["samples"] >= 1e7].groupby("split")["difference"]
    assert late.size().to_dict() == {"test": 4, "train": 4}
    assert late.min()["test"] > -0.5
    assert late.max()["test"] < 0
    assert -late.max()["train"] == pytest.approx(1.4, abs=0.05)
    assert -late.min()["train"] == pytest.approx(1.5, abs=0.05)
    (end,) = table[(table["samples"] == 1e8) & (table["split"] == "test")]["difference"]
    assert f"{-end:.1f}" == "0.2"


def test_the_papers_method_is_as_near_to_quadrature_as_the_docs_say():
    table = pd.read_csv(FIGURE2 / "paper" / "comparison.csv").dropna(
        subset="hmc_kde_minus_quadrature"
    )
    assert len(table) == 12  # the ends of all curves
    worst = table["n_train"].eq(1000) & table["algorithm"].eq("aevb") & table["split"].eq("test")
    distance = table["hmc_kde_minus_quadrature"].abs()
    assert distance[worst].max() < 0.11
    assert distance[~worst].max() < 0.03
