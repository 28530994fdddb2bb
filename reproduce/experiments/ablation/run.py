"""Train variants of the same cells and draw them together: `reproduce ablation`.

`make ablation ABLATION=<name>` calls this. What varies is in conf/ablation/; results go to
results/ablations/<name>/.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console

from reproduce import config
from reproduce.analysis.comparison import FIGURE2_SPLITS, compare, published_value
from reproduce.analysis.curves import mean_over, value_at
from reproduce.analysis.published import load_published
from reproduce.common.checks import shown, texts
from reproduce.common.errors import UserError
from reproduce.common.markdown import aligned, nats, or_blank
from reproduce.common.names import PLACE, algorithm_name, dataset_name, short_number
from reproduce.experiments import study
from reproduce.experiments.ablation import picture as drawing
from reproduce.experiments.study import NOTHING_TO_DRAW, Outcome, Study
from reproduce.training.job import Job
from reproduce.training.pool import Divergence

OWN = ("data", "algorithm", "model.n_latent", "train")
"""Settings that would be ignored."""


def variants(settings: DictConfig, overrides: Sequence[str]) -> list[tuple[str, Job]]:
    """Return every variant of every panel: its name, and the training."""
    about = settings.ablation
    panels, changed = _panels(about.panels), _changes(about.variants)
    return [
        (
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
                    ],
                    "ablation",
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


def without_points(ablation: Study, curves: pd.DataFrame) -> str:
    """Name the variants that no curve is of, in a sentence; empty where there are none."""
    keys = [*PLACE, "variant"]
    known = set(curves[keys].itertuples(index=False, name=None))
    lost = [
        f"{job.cell.title}, {labels['variant']}"
        for job, labels in ablation.labelled()
        if (job.cell.dataset, job.cell.n_latent, job.cell.algorithm, labels["variant"]) not in known
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
    ends = curves.groupby([*PLACE, "variant"])["samples"].max()
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
    for _, mine in curves.groupby([*PLACE, "variant"], sort=False):
        yield mine[PLACE].iloc[0], str(mine["variant"].iloc[0]), mine


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
    return study.run(arguments, make, finish)


def make(overrides: list[str], terminal: Console) -> Study:
    """Name the trainings of the ablation that the command line asks for."""
    settings = config.compose_config(overrides, "ablation")
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
    name = str(settings.ablation.name)
    if not re.fullmatch(r"\w+", name):
        raise UserError(
            f"ablation.name may have letters, digits and underscores, not {shown(name)}."
        )
    return Study(
        settings=settings,
        overrides=overrides,
        jobs=[job for _, job in found],
        folder=config.results_folder(settings) / "ablations" / name,
        labels=[{"variant": variant} for variant, _ in found],
    )


def finish(ablation: Study, diverged: Sequence[Divergence], terminal: Console) -> Outcome:
    """Collect the curves, and compare the variants with each other and the published curves."""
    curves = ablation.curves()
    if curves.empty:
        raise UserError(
            "All seeds diverged; try smaller step sizes." if diverged else NOTHING_TO_DRAW
        )
    about = ablation.settings.ablation
    tables = [markdown(curves)]
    if about.get("first_points"):
        tables.append(first_points(curves))
    text = "\n\n".join(filter(None, [*tables, without_points(ablation, curves)]))
    return Outcome(
        tables={"curves.csv": curves, "comparison.csv": compared(curves), "table.md": text},
        about={"ablation": OmegaConf.to_container(about, resolve=True)},
        draw=lambda: drawing.draw(curves, load_published("figure2"), ablation.path(about.name)),
        shown=text,
    )
