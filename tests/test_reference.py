"""The committed results come from this code: train their beginning again and compare."""

import json
import os
import re
from pathlib import Path
from statistics import median

import pandas as pd
import pytest

from reproduce import config
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
ABLATIONS = sorted(
    f"ablations/{table.parent.name}"
    for table in (ROOT / "results" / "reference" / "ablations").glob("*/table.md")
)
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


def sessions(members):
    """Each piece of training; members that were finished before these were noted have none."""
    return [session for member in members for session in member.get("sessions", [])]


FIGURE1 = sorted(path.parent for path in ROOT.glob("results/reference/**/figure1/*/manifest.json"))


@pytest.mark.parametrize("folder", FIGURE1, ids=lambda path: "-".join(path.parts[-3:]))
def test_reference_results_were_made_from_committed_code(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    # A seed that no one has trained yet has no manifest, and no curve.
    members = [member for cell in manifest["cells"] for member in cell["members"] if member]
    curves = pd.read_csv(folder / "curves.csv")
    drawn = curves.groupby(["dataset", "n_latent", "algorithm", "seed"]).ngroups
    assert len(members) == drawn > 0
    for made in [manifest["drawn"], *members, *sessions(members)]:
        assert made["git"]["dirty"] is False
        assert len(made["git"]["commit"]) == 40


@pytest.mark.parametrize("budget", sorted(p.name for p in FIGURE2.glob("*") if p.is_dir()))
def test_figure_2_was_made_from_committed_code_and_says_how_far_it_goes(budget):
    manifest = json.loads((FIGURE2 / budget / "manifest.json").read_text())
    members = [member for cell in manifest["cells"] for member in cell["members"] if member]
    assert members
    for made in [manifest["drawn"], *members, *sessions(members)]:
        assert made["git"]["dirty"] is False
    curves = pd.read_csv(FIGURE2 / budget / "curves.csv")
    assert set(curves["algorithm"]) == {"aevb", "wake_sleep", "mcem"}
    assert set(curves["estimator"]) == {"quadrature", "hmc_kde"}
    for member in members:
        if member["cell"]["algorithm"] == "mcem":
            n_train = member["cell"]["n_train"]
            assert member["chains"] == n_train
            assert member["samples"] == 15 * n_train * member["iterations"]


def test_step_sizes_are_what_the_selections_chose():
    chosen = config.compose_config([]).step_sizes
    for folder in ("step_sizes", "step_sizes_figure2"):
        path = ROOT / "results" / "reference" / folder / "step_sizes.csv"
        for row in choose(pd.read_csv(path)).itertuples():
            assert chosen[row.entry][row.algorithm] == row.step_size


TABLES = {
    "figure1/laptop": 1e6, "figure1/desktop": 1e7, "figure1/paper": 5e7,
    "compiled/figure1/paper": 1e8, "figure2/laptop": 1e6, "figure2/paper": 1e6,
}  # fmt: skip
"""Folders below `TEXT` with a table, and at how many samples."""


@pytest.mark.parametrize(("folder", "at"), TABLES.items())
def test_tables_are_what_the_command_prints(folder, at):
    table = (TEXT / folder / "table.md").read_text(encoding="utf-8")
    assert table.strip() == tables(TEXT / folder, at).strip()


def test_docs_show_the_estimators_table():
    docs = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    printed = (ROOT / "results" / "reference" / "estimators" / "tables.md").read_text("utf-8")
    assert printed.strip() in docs


def test_readme_and_docs_quote_the_speeds_that_were_measured():
    reference = ROOT / "results" / "reference"
    bench = json.loads((reference / "bench.json").read_text())
    older = json.loads((reference / "bench_amd.json").read_text())["bars"]
    pages = [ROOT / "README.md", ROOT / "docs" / "speed.md"]
    readme, speed = (" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    bars = {name: bar["reached"] for name, bar in bench["bars"].items()}
    assert list(bars) == ["over_lightning", "over_jax", "over_jax_processes", "of_ceiling"]
    lightning, jax, jax_processes, ceiling = bars.values()
    assert f"with `compile=true` {lightning:.1f} × and {jax:.2f} ×. Users" in readme
    three = f"({lightning:.1f} ×, {jax:.2f} × and {ceiling:.2f}), though over two JAX processes"
    assert f"{three} it is only {jax_processes:.2f} ×." in readme
    assert [bar["met"] for bar in bench["bars"].values()] == [True, True, False, True]
    three = f"{lightning:.2f}, {jax:.2f} and {ceiling:.2f}"
    assert f"all three are met on this machine: {three}." in speed
    plain = bench["ours_4"]
    speeds = {
        name: bench[name]["samples_per_second"]
        for name in ("ours_4", "ours_4_compiled", "lightning_processes", "jax_processes")
    }
    over_jax = plain["samples_per_second"] / max(
        bench[name]["samples_per_second"] for name in ("jax_1", "jax_4")
    )
    three = f"{plain['over_lightning']:.2f}, {over_jax:.2f} and {plain['of_ceiling']:.2f}"
    assert f"none is: {three}." in speed
    by_hand = speeds["ours_4"] / speeds["jax_processes"]
    said = f"this repository is {jax_processes:.2f} × as fast (we would have liked 1.3), without"
    assert f"{said} {by_hand:.2f} ×." in speed
    twice = [speeds[name] / speeds["lightning_processes"] for name in ("ours_4_compiled", "ours_4")]
    assert "Lightning it leaves behind {:.2f} × and {:.2f} ×.".format(*twice) in speed
    nearer = f"then it is {twice[1]:.1f} × and {by_hand:.2f} ×, and with `compile=true`"
    assert f"{nearer} {twice[0]:.1f} × and {jax_processes:.2f} ×." in readme
    assert f"{plain['over_lightning']:.1f} × as fast as by idiomatic Lightning" in readme
    assert f"{over_jax:.2f} × as fast as by the better JAX program there" in readme
    eager, compiled = (
        round(1e6 / bench[name]["samples_per_second"]) for name in ("ours_1", "ours_1_compiled")
    )
    assert f"take {eager} seconds on one core of an Intel Xeon, and {compiled} with" in readme
    assert f"take {compiled} seconds on one core, compiled" in speed
    lightning, jax, ceiling = (bar["reached"] for bar in older.values())
    assert f"nor on AMD's ({lightning:.1f} ×, {jax:.2f} ×, {ceiling:.2f})." in readme
    assert f"{lightning:.2f} × Lightning, {jax:.2f} × JAX and {ceiling:.2f} of the" in speed


def test_readme_and_docs_quote_the_speeds_of_the_estimators_that_were_measured():
    reference = ROOT / "results" / "reference"
    runs = json.loads((reference / "bench_likelihood.json").read_text())["runs"]
    pages = [ROOT / "README.md", ROOT / "docs" / "speed.md"]
    readme, speed = (" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    loop = median(runs["ours_modes"]) / median(runs["loop"])
    assert f"20 × as fast as a loop over images and is {loop:.1f} ×." in readme
    shown = [f"{median(runs[name]):.1f}" for name in ("ours", "ours_modes", "loop", "loop_100")]
    encoder, modes, at_once, in_parts = shown
    assert f"{encoder} images a second with the encoder as proposal and {modes} with the" in speed
    assert f"{at_once} for a loop" in speed
    assert f"and {in_parts} for one that takes 100" in speed
    gradients, share = median(runs["hmc"]), median(runs["hmc"]) / median(runs["products"])
    assert f"HMC makes {gradients / 1e3:.0f},000 gradients a second, {share:.0%}" in speed.replace(
        " %", "%"
    )


def test_docs_quote_how_time_grew():
    growth = json.loads((ROOT / "results" / "reference" / "growth.json").read_text())["exponents"]
    speed = " ".join((ROOT / "docs" / "speed.md").read_text(encoding="utf-8").split())
    assert f"(exponent {growth['members']['one_thread']:.2f} on one thread), hardly" in speed
    assert f"in proportion to N_train ({growth['n_train']['mcem']:.2f};" in speed
    assert max(growth["n_latent"].values()) < 0.1  # "hardly with N_z"


def test_the_verdicts_are_what_the_command_prints():
    findings = check_all(gather(TEXT))
    printed = f"{details_table(findings)}\n\n{summary_table(findings)}"
    assert printed in (TEXT / "claims.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        *ABLATIONS,
        "text/diagnostics/wake_sleep_z200",
        "text/manifolds/desktop",
        "text/samples/laptop",
        "text/diagnostics",
    ],
)
def test_pictures_were_made_from_committed_code(path):
    text = (ROOT / "results" / "reference" / path / "manifest.json").read_text(encoding="utf-8")
    assert '"dirty": false' in text
    assert '"dirty": true' not in text


def test_links_of_readme_and_docs_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            if link.startswith("http"):
                continue
            target = (page.parent / file) if file else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
                slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
                assert anchor in slugs, f"{page.name}: {link}"


def test_the_table_of_speeds_holds_the_committed_numbers():
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    bench = json.loads((ROOT / "results" / "reference" / "bench.json").read_text())
    order = ["ours_1", "ours_4", "ours_8", "ours_1_compiled", "ours_4_compiled", "pytorch",
             "pytorch_compiled", "lightning", "lightning_processes", "pyro", "jax_1", "jax_4",
             "jax_processes", "ceiling_processes", "ceiling_onednn"]  # fmt: skip
    rows = [line.replace("*", "").split("|") for line in text.splitlines() if " MiB |" in line]
    for name, row in zip(order, rows, strict=True):
        speed, times, share, memory = (re.sub(r"[^\d.]", "", cell) for cell in row[2:6])
        found = bench[name]
        assert int(speed) == round(found["samples_per_second"])
        assert float(times) == pytest.approx(found["over_lightning"], abs=0.0051)
        assert float(share) == pytest.approx(100 * found["of_ceiling"], abs=0.51)
        assert int(memory) == round(found["peak_memory_mib"])


def test_compiled_curves_are_as_near_to_uncompiled_ones_as_the_docs_say():
    compiled = COMPILED / "laptop"
    manifest = json.loads((compiled / "manifest.json").read_text())
    members = [member for cell in manifest["cells"] for member in cell["members"]]
    assert len(members) == 36
    assert all(one["compiled"] for member in members for one in member["sessions"])
    assert all(one["git"]["dirty"] is False for one in members)
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
    ((member,),) = (cell["members"] for cell in manifest["cells"])
    assert [one["compiled"] for one in member["sessions"]] == [True]
    assert (member["git"]["dirty"], member["samples"]) == (False, 100_000_000)
    assert round(member["wall_seconds"] / 60) == 69
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
