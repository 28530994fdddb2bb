"""Generated numbers of README.md and docs/: `python -m docs.tables` writes them into the pages.

A table or a number that comes from a committed result stands between `<!-- name -->` and
`<!-- /name -->`; `GENERATED` has what belongs there. A test compares, so prose is free to change.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from reproduce.analysis.comparison import compare
from reproduce.analysis.published import END, load_published
from reproduce.common.markdown import aligned, nats
from reproduce.common.names import PLACE, algorithm_name, dataset_name, short_number
from reproduce.experiments.replay import first_hook
from reproduce.experiments.replay.run import _hook_table, _likelihood_table
from reproduce.store.store import Store
from studies.figure3_settings import __main__ as figure3_settings

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARKED = re.compile(r"<!-- (\w+) -->(.*?)<!-- /\1 -->", re.DOTALL)

PROGRAMS = {
    "ours_1": "this repository, 1 seed (one thread)",
    "ours_4": "this repository, 4 seeds (two processes of one thread)",
    "ours_8": "this repository, 8 seeds (two processes of one thread)",
    "ours_1_compiled": "this repository, 1 seed, `compile=true` (one thread)",
    "ours_4_compiled": "**this repository, 4 seeds, `compile=true`** (two processes of one thread)",
    "figure1": "the same as `make figure1` has it, 2 seeds to 1e6 with all that it does",
    "pytorch": "idiomatic PyTorch loop (two threads)",
    "pytorch_compiled": "the same, model and loss by `torch.compile` (two threads)",
    "lightning": "idiomatic Lightning (two threads)",
    "lightning_processes": "the same, two models in two processes of one thread",
    "pyro": "Pyro SVI (two threads)",
    "jax_1": "JAX, jit + scan, 1 model (two threads)",
    "jax_4": "JAX, jit + scan, vmap over 4 (two threads)",
    "jax_processes": "JAX, jit + scan, two models in two processes of one thread",
    "ceiling_processes": "the ceiling: the five large matrix products of a step alone, by MKL",
    "ceiling_onednn": "the same by oneDNN",
}


def _json(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / name).read_text(encoding="utf-8"))


def _speed(program: str) -> float:
    return _json("bench.json")[program]["samples_per_second"]


def speeds() -> str:
    """All programs of `make bench`, a row each."""
    bench = _json("bench.json")
    rows = [["program", "samples/s", "× Lightning", "of the ceiling", "peak memory"]]
    for name, title in PROGRAMS.items():
        if name not in bench:
            continue
        found = bench[name]
        rows.append(
            [title, f"{found['samples_per_second']:,.0f}", f"{found['over_lightning']:.2f}",
             f"{100 * found['of_ceiling']:.0f} %", f"{found['peak_memory_mib']:,.0f} MiB"]
        )  # fmt: skip
    return aligned(rows, right=(1, 2, 3, 4))


def _ratios(bench: dict[str, Any], ours: str) -> dict[str, float | None]:
    """What a machine reached with one way of training, by the names of the targets."""

    def over(*peers: str) -> float | None:
        found = [bench[name]["samples_per_second"] for name in peers if name in bench]
        return bench[ours]["samples_per_second"] / max(found) if found else None

    return {
        "over_lightning": over("lightning"),
        "over_jax": over("jax_1", "jax_4"),
        "over_jax_processes": over("jax_processes"),
        "of_ceiling": over("ceiling"),
    }


def speed_targets() -> str:
    """The targets that were set, beside what each machine reached with four seeds."""
    intel, amd, avx2 = (_json(f"bench{name}.json") for name in ("", "_amd", "_avx2"))
    titles = {
        "over_lightning": "× idiomatic Lightning",
        "over_jax": "× the better JAX program of one process",
        "over_jax_processes": "× two JAX processes of one thread",
        "of_ceiling": "share of the ceiling",
    }
    measured = {
        "Intel, `compile=true`": _ratios(intel, "ours_4_compiled"),
        "AMD with AVX2, `compile=true`": _ratios(avx2, "ours_4_compiled"),
        "Intel": _ratios(intel, "ours_4"),
        "AMD with AVX2": _ratios(avx2, "ours_4"),
        "AMD with AVX-512": _ratios(amd, "ours_4"),
    }
    rows = [["four seeds on two cores", "target", *measured]]
    for key, title in titles.items():
        shown = ["" if one[key] is None else f"{one[key]:.2f}" for one in measured.values()]
        rows.append([title, str(intel["bars"][key]["at_least"]), *shown])
    return aligned(rows, right=range(1, 2 + len(measured)))


def processes() -> str:
    """Four seeds of ours beside two processes of the peers that a user starts by hand."""
    rows = [["two processes of one thread", "`compile=true`", "plain"]]
    for peer, title in (("lightning", "× two Lightning processes"), ("jax", "× two JAX processes")):
        times = [
            _speed(ours) / _speed(f"{peer}_processes") for ours in ("ours_4_compiled", "ours_4")
        ]
        rows.append([title, *(f"{value:.2f}" for value in times)])
    return aligned(rows, right=(1, 2))


def likelihood_speeds() -> str:
    """Images a second of importance sampling, ours and plain loops."""
    runs = _json("bench_likelihood.json")["runs"]
    titles = {
        "ours": "ours, proposal from the encoder",
        "ours_modes": "ours, proposal from searched modes (the default)",
        "loop": "a loop over images, all samples at once",
        "loop_100": "a loop over images, 100 samples at a time",
    }
    rows = [["program", "images/s"], *([t, f"{median(runs[n]):.1f}"] for n, t in titles.items())]
    return aligned(rows, right=(1,))


def _hmc_share() -> str:
    runs = _json("bench_likelihood.json")["runs"]
    return f"{100 * median(runs['hmc']) / median(runs['products']):.0f} %"


def growth() -> str:
    """Exponents of training time."""
    found = _json("../../studies/growth/results/growth.json")["exponents"]
    rows = [
        ["time against", "exponent"],
        ["number of seeds, one thread", f"{found['members']['one_thread']:.2f}"],
        ["N_z, AEVB", f"{found['n_latent']['aevb']:.2f}"],
        ["N_z, wake-sleep", f"{found['n_latent']['wake_sleep']:.2f}"],
        ["N_train, Monte Carlo EM", f"{found['n_train']['mcem']:.2f}"],
    ]
    return aligned(rows, right=(1,))


def _hooks() -> pd.DataFrame:
    table = pd.read_csv(REFERENCE / "replay" / "replay.csv")
    return table[(table["part"] == "first_hook") & (table["split"] == "train")]


def _hooks_within(bar: Callable[[Any], float]) -> str:
    rows = list(_hooks().itertuples())
    within = sum(abs(row.replayed - row.published) < bar(row) for row in rows)
    return f"{within} of {len(rows)}"


def _without_caption(table: str) -> str:
    return table.split("\n\n", 1)[1].strip()


def _experiment_2() -> str:
    table = pd.read_csv(REFERENCE / "text" / "figure2" / "paper" / "comparison.csv")
    ends = table[table["hmc_kde_minus_quadrature"].notna() & (table["samples"] >= 6e7)]
    ends = ends.sort_values("samples").groupby(["n_train", "algorithm", "split"]).last()
    return f"{ends['difference'].min():.1f} to {ends['difference'].max():.1f}"


def _mnist_with_the_texts_settings(query: str) -> str:
    table = pd.read_csv(REFERENCE / "text" / "figure1" / "desktop" / "comparison.csv")
    ends = table.query("dataset == 'mnist' and samples == 1e7").query(query)
    return f"{ends['difference'].abs().max():.1f}"


def _first_million(query: str) -> str:
    """Training bound at 1e6 samples with the published settings, each seed next to the paper."""
    folder = REFERENCE / "figure1" / "laptop"
    published = pd.read_csv(folder / "comparison.csv").query(f"{query} and samples == 1e6")
    ours = pd.read_csv(folder / "curves.csv").query(f"{query} and samples == 1e6")
    rows = [["N_z", "algorithm", "published", "seed 0", "seed 1"]]
    for row in published.query("split == 'train'").itertuples():
        mine = ours.query(
            f"n_latent == {row.n_latent} and algorithm == '{row.algorithm}' "
            "and split == 'train_running'"
        ).sort_values("seed")
        values = [nats(value) for value in (row.published, *mine["value"])]
        rows.append([str(row.n_latent), algorithm_name(str(row.algorithm)), *values])
    return aligned(rows, right=(0, 2, 3, 4))


def _worst_plateau() -> str:
    table = pd.read_csv(REFERENCE / "figure1" / "laptop" / "comparison.csv")
    plateau = table.query("dataset == 'freyface' and algorithm == 'wake_sleep' and samples >= 5e5")
    return f"{plateau['difference'].abs().max():.1f}"


def _worst_mnist() -> str:
    table = pd.read_csv(REFERENCE / "figure1" / "laptop" / "comparison.csv")
    ends = table.query("dataset == 'mnist' and samples == 1e6")
    return f"{ends['difference'].abs().max():.1f}"


@cache
def _far_curves() -> pd.DataFrame:
    """Curves of experiment 1 with the published settings as far as they are committed."""
    store = Store(REFERENCE / "cells")
    names = {cell["id"] for cell in _json("figure1/laptop/manifest.json")["cells"]}
    cells = [store.cell(name) for name in sorted(names) if (store.root / name).is_dir()]
    return pd.concat(
        [store.curves(cell, store.seeds(cell), int(END)) for cell in cells], ignore_index=True
    )


@cache
def _far() -> pd.DataFrame:
    return compare(_far_curves(), load_published("figure2")).query("samples >= 1e7")


def _far_table() -> str:
    """One row per curve pair: the difference where it ends, and its mean size from 1e7 on."""
    splits = ("train", "test")
    numbers = [f"{what}, {split}" for what in ("at the end", "mean size") for split in splits]
    rows = [["dataset", "N_z", "algorithm", "samples", "seeds", *numbers]]
    for place, mine in _far().groupby(PLACE, sort=False):
        dataset, n_latent, algorithm = place
        by_split = [mine[mine["split"] == split] for split in splits]
        end = by_split[0].iloc[-1]
        rows.append(
            [dataset_name(str(dataset)), str(n_latent), algorithm_name(str(algorithm)),
             short_number(end["samples"]), str(end["n_seeds"]),
             *(nats(one["difference"].iloc[-1], "+") for one in by_split),
             *(nats(one["difference"].abs().mean()) for one in by_split)]
        )  # fmt: skip
    return aligned(rows, right=(1, 3, 4, 5, 6, 7, 8))


def _finished() -> str:
    ends = _far_curves().groupby([*PLACE, "seed"])["samples"].max()
    return str(int((ends >= END).sum()))


def _far_worst(query: str) -> str:
    return f"{_far().query(query)['difference'].abs().max():.1f}"


def _estimator_targets() -> str:
    return (REFERENCE / "estimators" / "tables.md").read_text("utf-8").split("\n\n")[0].strip()


GENERATED: dict[str, Callable[[], str]] = {
    "hooks_within_bars": lambda: _hooks_within(
        lambda row: first_hook.bar(row.dataset, row.n_latent, row.algorithm)
    ),
    "hooks_within_half": lambda: _hooks_within(lambda row: 0.5),
    "first_hooks": lambda: _without_caption(_hook_table(_hooks())),
    "untrained": lambda: _without_caption(
        _likelihood_table(pd.read_csv(REFERENCE / "replay" / "likelihoods.csv"))
    ),
    "figure3_settings": lambda: figure3_settings.markdown(pd.read_csv(figure3_settings.RESULTS)),
    "experiment_2": _experiment_2,
    "mnist_text": lambda: _mnist_with_the_texts_settings("n_latent < 200 or algorithm == 'aevb'"),
    "mnist_aevb": lambda: _mnist_with_the_texts_settings("algorithm == 'aevb'"),
    "estimator_targets": _estimator_targets,
    "first_million_mnist": lambda: _first_million("dataset == 'mnist'"),
    "first_million_freyface": lambda: _first_million("dataset == 'freyface'"),
    "worst_mnist": _worst_mnist,
    "worst_plateau": _worst_plateau,
    "far": _far_table,
    "finished": _finished,
    "far_curves": lambda: str(len(_far().groupby(PLACE))),
    "far_mnist": lambda: _far_worst("dataset == 'mnist'"),
    "far_plateau": lambda: _far_worst("dataset == 'freyface' and algorithm == 'wake_sleep'"),
    "far_freyface": lambda: _far_worst("dataset == 'freyface' and algorithm == 'aevb'"),
    "speeds": speeds,
    "speed_targets": speed_targets,
    "processes": processes,
    "likelihood_speeds": likelihood_speeds,
    "hmc_share": _hmc_share,
    "growth": growth,
    "million_compiled": lambda: f"{1e6 / _speed('ours_1_compiled'):.0f}",
    "million_plain": lambda: f"{1e6 / _speed('ours_1'):.0f}",
}
"""From a name between markers to what belongs there."""


def filled(text: str) -> str:
    """Return a page's text with everything between markers generated."""

    def fill(place: re.Match[str]) -> str:
        value = GENERATED[place[1]]()
        ends = "\n" if "\n" in value else ""  # a table stands on lines of its own
        return f"<!-- {place[1]} -->{ends}{value}{ends}<!-- /{place[1]} -->"

    return MARKED.sub(fill, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
