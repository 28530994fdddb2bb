"""Part 2: the first hook after iteration 1, by the suite's own model and algorithm.

The author's code evaluated by the clock: the first published point after iteration 1 is the mean of
the minibatch bounds from iteration 2 on, and the test images' bound there. Fed with his random
numbers, our gradients, Adagrad and warm-up must lead to the same values, but for the rounding of
single precision, which training amplifies.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from reproduce.analysis.published import load_vertices
from reproduce.experiments.replay.draws import Run, Stream, build, single, test_bound
from reproduce.experiments.replay.iteration_one import row

Advance = Callable[[int], None]
UNKNOWN = (("mnist", 3, "aevb"), ("mnist", 5, "aevb"))
"""Runs that drew something else between iteration 1 and the hook, we do not know what."""
CONTINUATIONS = 5
"""Of a run whose stream is unknown; the others have one."""


def bar(dataset: str, n_latent: int, algorithm: str) -> float:
    """Return how far a replayed training value may be off, in nats, as set beforehand."""
    if dataset == "freyface":
        return 2.0 if algorithm == "wake_sleep" else 12.0
    return 1.5 if n_latent >= 10 else 4.0


def first_hook(run: Run) -> tuple[int, dict[str, float]]:
    """Return the iteration of the first hook after the first, and its values by split.

    Of an aborted and a final run the final one is replayed: both began with the same numbers, and
    differ in when the clock called for the hook.
    """
    frame = load_vertices("figure2")
    mine = frame[
        (frame["dataset"] == run.dataset)
        & (frame["n_latent"] == run.n_latent)
        & (frame["algorithm"] == run.algorithm)
        & (frame["iterations"] > 1)
    ]
    mine = mine[mine["run"] == mine["run"].max()]
    iterations = int(mine["iterations"].min())
    here = mine[mine["iterations"] == iterations]
    return iterations, dict(zip(here["split"], here["value"].astype(float), strict=True))


def replayed(
    run: Run, iterations: int, data_dir: Path | None, advance: Advance, hooks: int = 1
) -> dict[str, float]:
    """Train up to the hook; return its values by split, in nats.

    After iteration 1 the stream goes on as if as many `hooks` had drawn their noise there.
    """
    stream = Stream(run, data_dir)
    algorithm = build(run, stream)
    total = 0.0
    for iteration in range(1, iterations + 1):
        moves = iteration > run.warmup_steps
        bound = float(algorithm.one_step(single(stream.iteration()), moves=moves))
        if iteration == 1:
            for _ in range(hooks):
                stream.hook()
        else:
            total += bound
        advance(1)
    test = test_bound(algorithm, run, stream.hook())
    return {"train": total / (iterations - 1), "test": test}


def continuations(run: Run) -> int:
    """Return with how many streams after iteration 1 a run is replayed."""
    return CONTINUATIONS if (run.dataset, run.n_latent, run.algorithm) in UNKNOWN else 1


def replay(
    data_dir: Path | None, runs: list[Run], advance: Advance = lambda _: None
) -> list[dict[str, Any]]:
    """Replay the first hook of `runs`; one row per run and split, as `replay.csv` has them.

    Values are means over continuations, `spread` their standard deviation.
    """
    rows = []
    for run in runs:
        iterations, published = first_hook(run)
        found = pd.DataFrame(
            replayed(run, iterations, data_dir, advance, hooks)
            for hooks in range(1, continuations(run) + 1)
        )
        for split in found:
            theirs, mine = published.get(str(split), float("nan")), found[split]
            spread = float(mine.std()) if len(mine) > 1 else 0.0
            rows.append(
                row(run, "first_hook", str(split), iterations, theirs, float(mine.mean()), spread)
            )
    return rows
