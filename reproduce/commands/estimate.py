"""Estimate log p(x) of a finished cell: `reproduce estimate run=<id> estimator=ais`.

It prints, and when it has finished leaves nothing behind, so results=FOLDER may be committed cells,
results/reference/cells. Interrupted, it keeps the seeds that are done in FOLDER/unfinished.
Other settings are in conf/estimate.yaml, those of the estimators in conf/estimator/.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from reproduce import config
from reproduce.analysis.curves import spread
from reproduce.common import cli, plugins
from reproduce.common.checks import one_of, whole_number
from reproduce.common.errors import UserError
from reproduce.common.machine import MOST_THREADS, available_cores, choose_device, prepare
from reproduce.common.markdown import with_interval
from reproduce.data.fallback import substitute_missing
from reproduce.likelihood import evaluate
from reproduce.likelihood.evaluate import ConfiguredEstimator, Question
from reproduce.likelihood.target import Estimate
from reproduce.likelihood.unfinished import Unfinished, checksum
from reproduce.models.decoders import BernoulliDecoder
from reproduce.store.cell import Cell
from reproduce.store.load import load_snapshots, snapshots_of
from reproduce.store.store import Store, find_cell, stored


def main(overrides: Sequence[str]) -> int:
    """Estimate what the command line asks for, and print it; return the exit status."""
    arguments = list(overrides)
    terminal = cli.console()
    settings = config.compose_config(arguments, "estimate")
    store = stored(config.results_folder(settings))
    question, seeds = ask(settings, store)
    estimator = ConfiguredEstimator.from_config(settings.estimator)
    device = choose_device(str(settings.device))
    threads = available_cores() if settings.threads is None else settings.threads
    prepare(whole_number("threads", threads, most=MOST_THREADS))
    substitute_missing(
        [question.cell.dataset], config.data_dir(settings), fallback="error", terminal=terminal
    )
    x = evaluate.points(question, config.data_dir(settings))
    n_points = len(x)
    unfinished = Unfinished(config.results_folder(settings))
    keys = {seed: _key(store, question, seed, estimator, x, device) for seed in seeds}
    left = [seed for seed in seeds if not unfinished.path(keys[seed]).exists()]
    with cli.progress(terminal, estimator.name, n_points * len(left)) as advance:

        def make(seed: int) -> tuple[dict[str, Any], float]:
            place = config.data_dir(settings)
            found, seconds = evaluate.estimate(
                store, question, [seed], estimator, place, device, advance
            )
            return asdict(found), seconds

        parts = [unfinished.made(keys[seed], partial(make, seed)) for seed in seeds]
    found = Estimate.joined([Estimate(**part) for part, _ in parts], dim=0)
    show(question, n_points, seeds, estimator, found, sum(took for _, took in parts), terminal)
    unfinished.finish()
    if _is_no_density(question.cell, x):
        terminal.print(
            "Grey levels under a Bernoulli are no normalised density: these values compare with "
            "each other and with the paper's only.",
            highlight=False,
        )
    return 0


def _key(
    store: Store,
    question: Question,
    seed: int,
    estimator: ConfiguredEstimator,
    x: torch.Tensor,
    device: torch.device,
) -> dict[str, Any]:
    """What an estimate of one seed depends on."""
    weights = load_snapshots(store, question.cell, [seed], question.samples).parameters()
    return {
        "seed": seed,
        "model": checksum(*weights),
        "images": checksum(x),
        "estimator": estimator.settings,
        "device": device.type,
    }


def _is_no_density(cell: Cell, x: torch.Tensor) -> bool:
    """Tell whether pixels between 0 and 1 are given to a Bernoulli."""
    decoder = plugins.named_class(cell.settings["model"]["decoder"]["_target_"], "model.decoder")
    return issubclass(decoder, BernoulliDecoder) and bool(((x > 0) & (x < 1)).any())


def ask(settings: DictConfig, store: Store) -> tuple[Question, list[int]]:
    """Return what is asked, and of which seeds."""
    if settings.get("run") is None or str(settings.run) == "???":
        raise UserError("Say which run: run=ID, where ID is the name of a folder in results/runs.")
    one_of("split", settings.split, ("train", "test"))
    n_points = whole_number("n_points", settings.n_points)
    cell = find_cell(store, str(settings.run))
    known = snapshots_of(store, cell)
    if not known:
        raise UserError(f"{store.folder(cell)} holds no trained weights; train it first.")
    samples = max(known) if settings.at is None else whole_number("at", settings.at)
    if samples not in known:
        listed = ", ".join(f"{one}" for one in sorted(known))
        raise UserError(f"{cell.id} has no snapshot at {samples} samples; choose one of: {listed}.")
    seeds = known[samples]
    if settings.seeds is not None:
        wanted = whole_number("seeds", settings.seeds)
        if wanted > len(seeds):
            raise UserError(f"{cell.id} has {len(seeds)} trained seeds, not {wanted}.")
        seeds = seeds[:wanted]
    return Question(cell, samples, settings.split, n_points), seeds


def show(
    question: Question,
    n_points: int,
    seeds: Sequence[int],
    estimator: ConfiguredEstimator,
    found: Estimate,
    seconds: float,
    terminal: Console,
) -> None:
    """Print estimate, both standard errors, diagnostics and time."""
    cell: Cell = question.cell
    terminal.print(
        f"{cell.id} after {question.samples:,} samples, {question.split} points 1 to "
        f"{n_points:,}, by {estimator.name}. Nats a datapoint.",
        highlight=False,
    )
    values = ("seed", "log p(x)", "± points", "± estimator", "not trusted")
    diagnostics = ("seed", *found.diagnostics)
    # Two tables: in one, a terminal of 80 columns would have no room for the estimate.
    table, medians = (cli.table(names, names) for names in (values, diagnostics))
    for index, seed in enumerate(seeds):
        value = found.value[index].double().cpu().numpy()
        own = found.stderr[index].double().square().mean().sqrt() / len(value) ** 0.5
        table.add_row(
            str(seed),
            f"{value.mean():.3f}",
            f"{evaluate.standard_error(value):.3f}",
            f"{float(own):.4f}",
            f"{int((~found.trusted[index]).sum())} of {len(value)}",
        )
        own_medians = (_median(one[index]) for one in found.diagnostics.values())
        medians.add_row(str(seed), *(f"{median:.3g}" for median in own_medians))
    terminal.print(table)
    over = spread(found.value.double().mean(1, keepdim=True).cpu().numpy())
    mean, n, std, half = (float(one[0]) for one in over)
    if n > 1:
        terminal.print(
            f"Over {n:.0f} seeds: {with_interval(mean, half, digits=3)} (95 % interval), standard "
            f"error {std / n**0.5:.3f}.",
            highlight=False,
        )
    if found.diagnostics:
        terminal.print(medians)
    terminal.print(
        f"± points: standard error over datapoints; ± estimator: of the mean, as the estimator "
        f"knows it; diagnostics: medians. {seconds:.1f} s.",
        highlight=False,
    )


def _median(values: torch.Tensor) -> float:
    return float(values.double().nanmedian())
