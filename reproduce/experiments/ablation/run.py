"""Train variants of the same cells and draw them together: `reproduce ablation`.

`make ablation ABLATION=<name>` calls this. What varies is in conf/ablation/; results go to
results/ablations/<name>/.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf

from reproduce import config
from reproduce.analysis.comparison import FIGURE2_SPLITS, compare, published_value
from reproduce.analysis.curves import mean_over, value_at
from reproduce.analysis.published import load_published
from reproduce.common import cli
from reproduce.common.checks import shown, texts
from reproduce.common.errors import UserError
from reproduce.common.files import ensure_writable, write_json, write_text, write_with
from reproduce.common.markdown import aligned, nats, or_blank
from reproduce.common.names import algorithm_name, dataset_name, short_number
from reproduce.common.provenance import provenance
from reproduce.data.fallback import substitute_missing
from reproduce.experiments.ablation import picture as drawing
from reproduce.experiments.plan import NOTHING_TO_DRAW
from reproduce.store.store import Store
from reproduce.training import pool
from reproduce.training.job import Job
from reproduce.training.loop import last_mark
from reproduce.training.pool import report_divergence

OWN = ("data", "algorithm", "model.n_latent", "train")
"""Settings that would be ignored."""


@dataclass(frozen=True)
class Variant:
    """One cell of an ablation.

    Attributes
    ----------
    name
        What varies, for a reader.
    job
        The training.
    """

    name: str
    job: Job


def variants(settings: DictConfig, overrides: Sequence[str]) -> list[Variant]:
    """Return every variant of every panel."""
    about = settings.ablation
    panels, changed = _panels(about.panels), _changes(about.variants)
    return [
        Variant(
            name,
            config.job_from(
                config.compose_config(
                    [
                        f"samples={about.samples}",
                        f"seeds={about.seeds}",
                        f"settings={about.settings}",
                        *overrides,
                        f"data={panel.data}",
                        f"model.n_latent={panel.n_latent}",
                        f"algorithm={panel.algorithm}",
                        *changes,
                    ]
                )
            ),
        )
        for panel in panels
        for name, changes in changed.items()
    ]


def _panels(given: Any) -> list[DictConfig]:
    entries: list[Any] = list(given) if isinstance(given, ListConfig) else [None]
    for entry in entries:
        if not isinstance(entry, DictConfig) or set(entry) != {"data", "n_latent", "algorithm"}:
            raise UserError(
                "ablation.panels must be a list such as "
                f"[{{data:mnist,n_latent:10,algorithm:aevb}}], not {shown(given)}."
            )
        if entries.count(entry) > 1:
            raise UserError(f"ablation.panels has {entry} twice.")
    return entries


def _changes(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, DictConfig):
        raise UserError(
            "ablation.variants must map names to lists of overrides, such as "
            f"{{wide:[model.n_hidden=1000]}}, not {shown(given)}."
        )
    return {
        str(name): texts(f"ablation.variants.{name}", changes, "[model.n_hidden=1000]")
        for name, changes in given.items()
    }


def collect(found: Sequence[Variant]) -> pd.DataFrame:
    """Read the curves of all variants, with a column `variant`; one without a point has no row."""
    frames = [
        Store(v.job.store).curves(v.job.cell, v.job.seeds, last_mark(v.job)).assign(variant=v.name)
        for v in found
    ]
    # Beside a frame without rows pandas knows no types.
    numbers = {"n_latent": int, "n_train": int, "seed": int, "samples": int, "value": float}
    return pd.concat(frames, ignore_index=True).astype(numbers)


def without_points(found: Sequence[Variant], curves: pd.DataFrame) -> str:
    """Name the variants that no curve is of, in a sentence; empty where there are none."""
    keys = ["dataset", "n_latent", "algorithm", "variant"]
    known = set(curves[keys].itertuples(index=False, name=None))
    lost = [
        f"{v.job.cell.title}, {v.name}"
        for v in found
        if (v.job.cell.dataset, v.job.cell.n_latent, v.job.cell.algorithm, v.name) not in known
    ]
    return f"Diverged before the first mark: {'; '.join(lost)}." if lost else ""


def compared(curves: pd.DataFrame) -> pd.DataFrame:
    """Each variant beside the published curves (see `compare`), with a column `variant`."""
    published = load_published("figure2")
    parts = [
        compare(mine, published).assign(variant=name)
        for name, mine in curves.groupby("variant", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def markdown(curves: pd.DataFrame) -> str:
    """The bound of each variant at the end, beside the published values, as a Markdown table.

    As in figure 1, running means are compared with the published training curves.
    """
    published = load_published("figure2")
    rows = [["dataset", "N_z", "algorithm", "variant", "train", "published", "test", "published"]]
    # Training stops at whole blocks of minibatches: a variant may end a little after the others.
    ends = curves.groupby(["dataset", "n_latent", "algorithm", "variant"])["samples"].max()
    at = float(ends[ends > 0.9 * ends.max()].min())
    for place, variant, mine in _by_variant(curves):
        values = []
        for theirs, ours in FIGURE2_SPLITS.items():
            curve = mine[mine["split"] == ours]
            values.append(_mean(curve, at))
            shown_there = published_value(
                _of(published, place, theirs), ours, sorted(set(curve["samples"])), at
            )
            values.append(or_blank(shown_there))
        rows.append([*_named(place), variant, *values])
    caption = (
        "Variational bound in nats per datapoint (train: running mean of the minibatches) at "
        f"{short_number(at)} samples"
    )
    return f"{caption}{_seeds_noted(curves)}\n\n{aligned(rows, right=(1, 4, 5, 6, 7))}"


def first_points(curves: pd.DataFrame) -> str:
    """The first point of each published training curve, and ours over the same samples.

    A published training point is the mean of the minibatch bounds since the previous evaluation,
    so the first is the mean from the start: it tells how long a run stayed near its initial bound.
    """
    published = load_published("figure2")
    rows = [["dataset", "N_z", "algorithm", "variant", "samples", "ours", "published"]]
    for place, variant, mine in _by_variant(curves):
        theirs = _of(published, place, "train").nsmallest(1, "samples")
        if theirs.empty:
            continue
        end = int(theirs["samples"].iloc[0])
        running = mine[mine["split"] == "train_running"]
        ours = [mean_over(seed, 0, end) for _, seed in running.groupby("seed")]
        value = theirs["value"].iloc[0]
        rows.append([*_named(place), variant, short_number(end), _range(ours), nats(value)])
    if len(rows) == 1:
        return "The paper has no curves of these panels."
    caption = "Mean of the minibatch bounds from the start to the first published point, in nats"
    return f"{caption}{_seeds_noted(curves)}\n\n{aligned(rows, right=(1, 4, 5, 6))}"


def _by_variant(curves: pd.DataFrame) -> Iterator[tuple[pd.Series, str, pd.DataFrame]]:
    keys = ["dataset", "n_latent", "algorithm"]
    for _, mine in curves.groupby([*keys, "variant"], sort=False):
        yield mine[keys].iloc[0], str(mine["variant"].iloc[0]), mine


def _of(published: pd.DataFrame, place: pd.Series, split: str) -> pd.DataFrame:
    same = (published[place.index] == place).all(axis=1)
    return published[same & (published["split"] == split)]


def _named(place: pd.Series) -> list[str]:
    dataset, n_latent, algorithm = place
    return [dataset_name(dataset), str(n_latent), algorithm_name(algorithm)]


def _seeds_noted(curves: pd.DataFrame) -> str:
    seeds = curves["seed"].nunique()
    if seeds == 1:
        return ", of one seed."
    return f": mean over {seeds} seeds and, in brackets, the lowest and highest."


def _mean(curve: pd.DataFrame, at: float) -> str:
    if curve.empty:
        return ""  # Monte Carlo EM has no bound
    return _range([value_at(seed, at) for _, seed in curve.groupby("seed")]) or "diverged"


def _range(values: Sequence[float]) -> str:
    """Mean over seeds that have a value and, where several do, the lowest and highest."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    mean = nats(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean} [{nats(min(known))}, {nats(max(known))}]"


def main(arguments: Sequence[str]) -> int:
    """Train what is missing of an ablation, and write and print its outcome."""
    overrides = list(arguments)
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    settings = config.compose_config(overrides)
    for override in overrides:
        if override.partition("=")[0].lstrip("+~") in OWN:
            raise UserError(
                f"An ablation trains, and sets {', '.join(OWN[:-1])} for each panel, so "
                f"{override!r} cannot be given; override ablation.panels, or train one cell with "
                "`reproduce train`."
            )
    found = variants(settings, overrides)
    if not found:
        raise UserError("The ablation has no panels or no variants, so there is nothing to train.")
    jobs = [variant.job for variant in found]
    datasets = dict.fromkeys(job.cell.dataset for job in jobs)
    substitute_missing(datasets, config.data_dir(settings), "error", terminal)
    name = str(settings.ablation.name)
    if not re.fullmatch(r"\w+", name):
        raise UserError(
            f"ablation.name may have letters, digits and underscores, not {shown(name)}."
        )
    folder = config.results_folder(settings) / "ablations" / name
    ensure_writable(folder)
    diverged = pool.run(jobs, config.workers(settings), terminal)
    curves = collect(found)
    if curves.empty:
        report_divergence(diverged, terminal)
        raise UserError(
            "All members diverged; try smaller step sizes." if diverged else NOTHING_TO_DRAW
        )
    write_with(folder / "curves.csv", lambda path: curves.to_csv(path, index=False))
    comparison = compared(curves)
    write_with(folder / "comparison.csv", lambda path: comparison.to_csv(path, index=False))
    drawing.draw(curves, load_published("figure2"), folder / name)
    tables = [markdown(curves)]
    if settings.ablation.get("first_points"):
        tables.append(first_points(curves))
    text = "\n\n".join(filter(None, [*tables, without_points(found, curves)]))
    write_text(folder / "table.md", text + "\n")
    about = {
        "ablation": OmegaConf.to_container(settings.ablation, resolve=True),
        "drawn": provenance(),
        "diverged": [{"cell": d.job.cell.id, "seed": d.seed, "at": d.samples} for d in diverged],
        "cells": [
            {
                "variant": v.name,
                "id": v.job.cell.id,
                "members": [Store(v.job.store).manifest(v.job.cell, s) for s in v.job.seeds],
            }
            for v in found
        ],
    }
    write_json(folder / "manifest.json", about)
    report_divergence(diverged, terminal)
    terminal.print(text, highlight=False)
    terminal.print(f"Written: {folder}", highlight=False)
    return 0
