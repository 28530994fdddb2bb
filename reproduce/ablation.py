"""Train variants of the same cells and draw them together: `python -m reproduce.ablation`.

`make ablation ABLATION=<name>` calls this. What varies is in conf/ablation/; results go to
results/ablations/<name>/.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from reproduce import cli, config, runner
from reproduce.comparison import aligned, nats, over_seeds
from reproduce.figures import ablation as drawing
from reproduce.figures.style import algorithm_name, dataset_name, short_number
from reproduce.files import write_json, write_text, write_with
from reproduce.provenance import provenance
from reproduce.published import load_published, value_at
from reproduce.store import Store
from reproduce.training import Job


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
    return [
        Variant(
            str(name),
            config.job_from(
                config.compose_config(
                    [
                        f"samples={about.samples}",
                        f"seeds={about.seeds}",
                        *overrides,
                        f"data={panel.data}",
                        f"model.n_latent={panel.n_latent}",
                        f"algorithm={panel.algorithm}",
                        *changes,
                    ]
                )
            ),
        )
        for panel in about.panels
        for name, changes in about.variants.items()
    ]


def collect(found: Sequence[Variant]) -> pd.DataFrame:
    """Read the curves of all variants, with a column `variant`."""
    frames = [
        Store(v.job.store).curves(v.job.cell, v.job.seeds, v.job.samples).assign(variant=v.name)
        for v in found
    ]
    return pd.concat(frames, ignore_index=True)


def markdown(curves: pd.DataFrame) -> str:
    """The bound of each variant at the end, with the published value, as a Markdown table."""
    published = load_published("figure2")
    rows = [["dataset", "N_z", "algorithm", "variant", "train", "test", "published train"]]
    keys = ["dataset", "n_latent", "algorithm", "variant"]
    end = float(curves["samples"].max())
    for key, mine in curves.groupby(keys, sort=False):
        dataset, n_latent, algorithm, variant = key  # type: ignore[misc]
        theirs = published[
            (published["dataset"] == dataset)
            & (published["n_latent"] == n_latent)
            & (published["algorithm"] == algorithm)
            & (published["split"] == "train")
        ]
        at = value_at(theirs, end)
        rows.append(
            [
                dataset_name(str(dataset)),
                str(n_latent),
                algorithm_name(str(algorithm)),
                str(variant),
                *(_mean(mine[mine["split"] == split]) for split in ("train", "test")),
                nats(at) if at == at else "",
            ]
        )
    seeds = curves["seed"].nunique()
    caption = f"Variational bound in nats per datapoint at {short_number(end)} samples" + (
        ", of one seed."
        if seeds == 1
        else f": mean over {seeds} seeds and, in brackets, the lowest and highest."
    )
    return f"{caption}\n\n{aligned(rows, right=(1, 4, 5, 6))}"


def _mean(curve: pd.DataFrame) -> str:
    if curve.empty:
        return "diverged"
    last = over_seeds(curve).iloc[-1]
    if curve["seed"].nunique() == 1:
        return nats(last["mean"])
    return f"{nats(last['mean'])} [{nats(last['lowest'])}, {nats(last['highest'])}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing of an ablation, and write and print its outcome."""
    overrides = list(sys.argv[1:] if arguments is None else arguments)
    terminal = cli.console()
    provenance()  # of the code that runs, should somebody edit it meanwhile
    settings = config.compose_config(overrides)
    found = variants(settings, overrides)
    jobs = [variant.job for variant in found]
    datasets = dict.fromkeys(job.cell.dataset for job in jobs)
    cli.substitute_missing(datasets, config.data_dir(settings), "error", terminal)
    name = str(settings.ablation.name)
    folder = config.results_folder(settings) / "ablations" / name
    cli.ensure_writable(folder)
    diverged = runner.run(jobs, config.workers(settings), terminal)
    curves = collect(found)
    write_with(folder / "curves.csv", lambda path: curves.to_csv(path, index=False))
    drawing.draw(curves, load_published("figure2"), folder / name)
    table = markdown(curves)
    write_text(folder / "table.md", table + "\n")
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
    cli.report_divergence(diverged, terminal)
    terminal.print(table, markup=False, highlight=False)
    terminal.print(f"Written: {folder}", highlight=False)
    return 0


if __name__ == "__main__":
    cli.command(main)
