"""Validate the estimators of log p(x): `reproduce estimators`, or `make estimators`.

(a) linear-Gaussian models with closed forms; (b) a model with two modes, by one-dimensional
integration; (c) trained models of N_z = 3, against quadrature; (d) trained models on data simulated
from them, by bounds from both sides. Prints the tables, first the targets and whether they are met,
and writes them to results/reference/estimators/, or to FOLDER/estimators/ with results=FOLDER.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from reproduce import config
from reproduce.common import cli
from reproduce.common.machine import available_cores, prepare
from reproduce.common.markdown import aligned
from reproduce.data.fallback import substitute_missing
from reproduce.experiments import study
from reproduce.experiments.estimators.targets import targets
from reproduce.experiments.study import Outcome, Study
from reproduce.likelihood.ais import Ais, bidirectional, simulate
from reproduce.likelihood.evaluate import Question, points
from reproduce.likelihood.exact import LinearGaussian, Square
from reproduce.likelihood.hmc_kde import HmcKde
from reproduce.likelihood.importance import Importance
from reproduce.likelihood.quadrature import MOST_LATENT, Quadrature
from reproduce.likelihood.target import Estimate, Estimator, Target
from reproduce.likelihood.unfinished import Unfinished, checksum
from reproduce.store.load import load_snapshots
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import last_mark
from reproduce.training.pool import Divergence

FOLDER = Path("results/reference/estimators")
"""Of the suite's own tables, on MNIST. The digits', and those of another results folder, are in
RESULTS/estimators."""
LATENTS = (1, 2, 3, 5, 10, 20)
N_PIXELS, STD = 64, 0.25
MISSED = 0.5  # nats
REFERENCE = Quadrature(log2_grid=17, n_local=2048, n_starts=48, n_modes=12, scramble=1)
"""Of part (c): the default with more of everything, and points of its own."""
GAP_CHAINS, GAP_POINTS = 16, 20
PLACES = ("data.dir=", "results=", "tracking")  # settings of where things lie, not of what they are
MODELS = {  # name: overrides, samples; the first two are cells of figure 2
    "N_train = 1,000, N_z = 3": ("n1000", 3, 3_000_000),
    "N_train = 50,000, N_z = 3": ("n50000", 3, 3_000_000),
    "N_train = 1,000, N_z = 20": ("n1000", 20, 1_000_000),
}


def simple_estimators(n_latent: int) -> dict[str, Estimator]:
    """Return the estimators with their default settings, as far as they go."""
    found: dict[str, Estimator] = {
        "importance": Importance(), "ais": Ais(), "hmc_kde": HmcKde()
    }  # fmt: skip
    return ({"quadrature": Quadrature()} if n_latent <= MOST_LATENT else {}) | found


def known_models(unfinished: Unfinished, terminal: Console) -> list[dict[str, Any]]:
    """Parts (a) and (b): errors against the known log p(x)."""
    rows = []
    cases: list[tuple[str, str, LinearGaussian | Square]] = [
        ("a", f"linear-Gaussian, N_z = {n}", LinearGaussian.random(n, N_PIXELS, STD))
        for n in LATENTS
    ]
    cases.append(("b", "x = z² + noise", Square(0.05, n_seeds=2)))
    for part, name, model in cases:
        target = model.target
        _, x = simulate(target, 50, (0, 1))
        exact = model.exact(x)
        for label, estimator in simple_estimators(target.n_latent).items():
            what = f"({part}) {name}: {label}"
            found, seconds = timed(estimator, target, x, (0, 1), what, unfinished, terminal)
            rows.append(
                {"part": part, "model": name, "split": "", "estimator": label}
                | errors(found, exact, seconds)
            )
    return rows


def trained_models(
    jobs: dict[str, Job], data_dir: str | None, unfinished: Unfinished, terminal: Console
) -> list[dict[str, Any]]:
    """Part (c): errors against quadrature on trained models of three latent dimensions."""
    rows = []
    for name, job in jobs.items():
        if job.cell.n_latent > MOST_LATENT:
            continue
        target = trained_target(job)
        for split in ("train", "test"):
            x = points(Question(job.cell, last_mark(job), split, 200), data_dir).unsqueeze(0)
            what = f"(c) {name}, {split}"
            reference, seconds = timed(
                REFERENCE, target, x, job.seeds, f"{what}: reference", unfinished, terminal
            )
            label = {"part": "c", "model": name, "split": split}
            self_check = (reference.stderr.mean(), reference.stderr.max())
            terminal.print(
                f"{what}: reference {reference.value.mean():.3f} nats, its standard error "
                f"{self_check[0]:.4f} (at most {self_check[1]:.3f})",
                highlight=False,
            )
            rows.append(
                label
                | {"estimator": "reference (its own ±)"}
                | errors(reference, reference.value + reference.stderr, seconds)
                | {"mean_error": math.nan, "missed": math.nan, "missed_unflagged": math.nan}
            )
            for kind, estimator, n_points in (
                ("quadrature", Quadrature(), 200),
                ("importance", Importance(), 200),
                ("importance, encoder", Importance(proposal="encoder"), 200),
                ("hmc_kde", HmcKde(), 200),
                ("hmc_kde, 200 + 200", HmcKde(n_fit=200, n_score=200), 200),
                ("ais", Ais(), 10),
            ):
                found, seconds = timed(
                    estimator, target, x[:, :n_points], job.seeds, f"{what}: {kind}", unfinished,
                    terminal,
                )  # fmt: skip
                exact = reference.value[:, :n_points]
                rows.append(label | {"estimator": kind} | errors(found, exact, seconds))
    return rows


def gaps(jobs: dict[str, Job], unfinished: Unfinished, terminal: Console) -> list[dict[str, Any]]:
    """Part (d): upper minus lower bound on data simulated from trained models."""
    rows = []
    for name, job in jobs.items():
        target, ais = trained_target(job), Ais(n_chains=GAP_CHAINS)

        def row(name: str, target: Target, ais: Ais, seeds: Sequence[int]) -> dict[str, Any]:
            start = time.perf_counter()
            with cli.progress(terminal, f"(d) {name}", 2 * GAP_POINTS) as advance:
                found = bidirectional(target, ais, GAP_POINTS, seeds, advance)
            gap = (found.upper - found.lower)[0]
            return {
                "model": name,
                "n_points": len(gap),
                "lower": float(found.lower.mean()),
                "upper": float(found.upper.mean()),
                "gap": float(gap.mean()),
                "stderr": float(gap.std() / len(gap) ** 0.5),
                "largest": float(gap.abs().max()),
                "seconds": round(time.perf_counter() - start, 1),
            }

        key = {"what": f"(d) {name}", "n_points": GAP_POINTS, **named(ais, target, job.seeds)}
        made = unfinished.made(key, partial(row, name, target, ais, job.seeds))
        rows.append(made)
        terminal.print(
            f"(d) {name}: gap {made['gap']:.3f}, {made['seconds']:.1f} s", highlight=False
        )
    return rows


def timed(
    estimator: Estimator,
    target: Target,
    x: Tensor,
    seeds: Sequence[int],
    what: str,
    unfinished: Unfinished,
    terminal: Console,
) -> tuple[Estimate, float]:
    """Estimate, unless that has been done before; return how long it took, and print it."""

    def make() -> tuple[dict[str, Any], float]:
        start = time.perf_counter()
        with cli.progress(terminal, what, x.shape[1]) as advance:
            found = estimator(target, x, seeds, advance)
        return asdict(found), time.perf_counter() - start

    key = {"what": what, "images": checksum(x), **named(estimator, target, seeds)}
    found, seconds = unfinished.made(key, make)
    terminal.print(f"{what} {seconds:.1f} s", highlight=False)
    return Estimate(**found), seconds


def named(estimator: Estimator, target: Target, seeds: Sequence[int]) -> dict[str, Any]:
    """What an estimate depends on beside its images and an exact model's name."""
    model = target.likelihood
    return {
        "estimator": {**vars(estimator), "name": estimator.name, "version": estimator.version},
        "model": checksum(*model.parameters()) if isinstance(model, torch.nn.Module) else None,
        "seeds": list(seeds),
    }


def errors(found: Estimate, exact: Tensor, seconds: float) -> dict[str, Any]:
    """Summarise estimate − exact over all points, in nats, and what the diagnostic says."""
    error = (found.value.double() - exact.double()).flatten()
    distance, trusted = error.abs(), found.trusted.flatten()
    missed = distance > MISSED
    return {
        "n_points": error.numel(),
        "mean_error": float(error.mean()),
        "rmse": float(error.square().mean().sqrt()),
        "p99": float(distance.quantile(0.99)),
        "largest": float(distance.max()),
        "missed": int(missed.sum()),
        "missed_unflagged": int((missed & trusted).sum()),
        "flagged": int((~trusted).sum()),
        "seconds_per_1000": round(1000 * seconds / error.numel(), 1),
    }


def trained_target(job: Job) -> Target:
    """The models of a job after its training."""
    model = load_snapshots(Store(job.store), job.cell, job.seeds, last_mark(job))
    return Target.of(model.requires_grad_(False))


def make(overrides: list[str], terminal: Console) -> Study:
    """Name what has to be trained for parts (c) and (d); on the digits where there is no MNIST."""
    settings = config.compose_config(overrides)
    used = substitute_missing(
        ["mnist"], config.data_dir(settings), settings.data.fallback, terminal
    )["mnist"]
    sizes = {"n1000": 1000, "n50000": 50_000 if used == "mnist" else 1500}
    jobs, labels = [], []
    for name, (entry, n_latent, samples) in MODELS.items():
        step_size = settings.step_sizes[f"mnist_{entry}"].aevb
        job = config.job_from(
            config.compose_config(
                ["settings=text", *overrides, f"data={used}", "algorithm=aevb",
                 f"data.n_train={sizes[entry]}",
                 "model.n_hidden=100", f"model.n_latent={n_latent}", "seeds=1",
                 f"algorithm.step_size={step_size}", f"samples={samples}"]
            )
        )  # fmt: skip
        jobs.append(replace(job, snapshots=(samples,)))
        labels.append({"model": name if used == "mnist" else f"{used}: {name}"})
    results = config.results_folder(settings)
    own = used == "mnist" and results == FOLDER.parents[1]
    folder = FOLDER if own else results / "estimators"
    return Study(settings=settings, overrides=overrides, jobs=jobs, folder=folder, labels=labels)


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """A table of rows with the same keys."""
    rows = list(rows)
    numbers = [n for n, value in enumerate(rows[0].values()) if not isinstance(value, str)]
    body = [
        ["" if v != v else f"{v:.4f}" if isinstance(v, float) and "seconds" not in k else str(v)
         for k, v in row.items()]
        for row in rows
    ]  # fmt: skip
    return aligned([list(rows[0]), *body], right=numbers)


def main(overrides: Sequence[str]) -> int:
    """Train what is missing, validate, write and print; return the exit status."""
    return study.run(overrides, make, finish)


def finish(trained: Study, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Validate all estimators."""
    jobs = {labels["model"]: job for job, labels in trained.labelled()}
    threads = available_cores()
    prepare(threads)
    unfinished = Unfinished(config.results_folder(trained.settings))
    data_dir = config.data_dir(trained.settings)
    with torch.no_grad():
        errors_table = known_models(unfinished, terminal)
        errors_table += trained_models(jobs, data_dir, unfinished, terminal)
        gap_table = gaps(jobs, unfinished, terminal)
    found, bdmc = pd.DataFrame(errors_table), pd.DataFrame(gap_table)
    given = [one for one in trained.overrides if not one.startswith(PLACES)]
    text = "\n\n".join(map(markdown, (targets(found, bdmc), errors_table, gap_table)))
    return Outcome(
        tables={"errors.csv": found, "bdmc.csv": bdmc, "tables.md": text},
        about={"overrides": given, "threads": threads},
        draw=unfinished.finish,  # when the tables are written
        shown=text,
    )
