"""Checks that every method has to pass: each runs it on small models and says what is wrong."""

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from reproduce.algorithms.base import Algorithm
from reproduce.algorithms.schedule import BLOCK_STEPS, FIRST_MARK, marks
from reproduce.commands.check_method.probes import (
    REPEATS,
    Draws,
    difference,
    frozen_steps,
    global_states,
    globals_kept,
    log_p,
    mean_and_error,
    weights,
)
from reproduce.common.machine import has_cpp_compiler
from reproduce.data.images import ImageData
from reproduce.store.cell import Cell
from reproduce.store.checkpoints import read_checkpoint
from reproduce.store.seed_state import seed_state
from reproduce.store.store import Store
from reproduce.training.job import Job
from reproduce.training.loop import block_samples, build, train

Verdict = Literal["right", "wrong", "not checked"]
SEEDS = (0, 1)
BLOCKS = 5
"""Blocks of steps after Adagrad's warm-up."""
TRAINED = 100
"""Blocks after which z says something of x."""
MORE = 8
"""Times the samples with which a bound may not be lower."""
STANDARD_ERRORS = 4.0
SLACK = 0.01
"""Nats: what the numerical log p(x) may be off by."""
COMPILED_AGREES = 0.01
"""Share of the change of the weights that compiled steps may differ by: they round differently."""


class Result(NamedTuple):
    """What a check found, in a sentence."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Subject:
    """A method as its file describes it, on a small data set.

    Attributes
    ----------
    cell
        N_z is at most 2, so that log p(x) can be integrated.
    images
        The data set, with all its test images.
    """

    cell: Cell
    images: ImageData

    def built(self, seeds: tuple[int, ...] = SEEDS, **settings: Any) -> Algorithm:
        """Build the method with its optimisers, ready for steps; `settings` replace its own."""
        algorithm = {**self.cell.settings["algorithm"], **settings}
        cell = dataclasses.replace(
            self.cell, settings={**self.cell.settings, "algorithm": algorithm}
        )
        return build(cell, self.images, seeds).without_trainer()

    def taken(self, algorithm: Algorithm, blocks: int = BLOCKS) -> Algorithm:
        """Train for some blocks after the warm-up."""
        warm_up = -(-algorithm.warmup_steps // BLOCK_STEPS)
        algorithm.training_step(range(warm_up + blocks), 0)
        return algorithm

    @cached_property
    def trained(self) -> Algorithm:
        """The method, trained until z says something of x."""
        return self.taken(self.built(), TRAINED)

    @property
    def takes_steps(self) -> bool:
        """Whether it has a minibatch step, which not every method does."""
        return type(self.trained).step is not Algorithm.step


def returns_what_is_wanted(subject: Subject) -> Result:
    """Run everything once: what methods return is checked where it is used."""
    points = subject.taken(subject.built()).points()
    if bad := [name for name, values in points.items() if not values.isfinite().all()]:
        return Result("wrong", f"The curve {bad[0]} is not finite after a few steps.")
    return Result("right", "What its methods return has the shapes that are wanted.")


def draws_from_its_noise_alone(subject: Subject) -> Result:
    """Look for random numbers that are not of a seed's own stream."""
    with globals_kept():
        algorithm = subject.taken(subject.built())
        before = global_states()
        with Draws() as draws:
            algorithm.train_block(TRAINED)
            algorithm.points()
        moved = [name for name, state in global_states().items() if state != before[name]]
    if draws.found or moved:
        who = " and ".join(dict.fromkeys(draws.found)) or f"A step draws from {moved[0]}"
        return Result(
            "wrong",
            f"{who}, outside the given noise: a run would depend on what else is trained, and an "
            "interrupted one would not be continued; ask for the numbers in noise_shapes.",
        )
    ends = []
    for seed in (1, 2):
        with globals_kept(seed):
            ends.append(subject.taken(subject.built()).state_dict())
    if name := difference(*ends):
        return Result("wrong", f"The same steps taken twice differ in {name}; what do they read?")
    return Result("right", "It draws no random number but the given noise.")


def seeds_are_independent(subject: Subject) -> Result:
    """Train a seed beside others, beside yet others, and alone."""
    beside, others, alone = (
        seed_state(subject.taken(subject.built(seeds)).state_dict(), place)
        for seeds, place in (((0, 1, 2), 1), ((7, 1, 9), 1), ((1,), 0))
    )
    if name := difference(beside, others):
        return Result(
            "wrong", f"Seeds are mixed: {name} of a seed depends on the seeds stacked beside it."
        )
    if name := difference(beside, alone):
        apart = float((beside[name].double() - alone[name].double()).abs().max())
        return Result(
            "wrong",
            f"A seed depends on how many are stacked: {name} differs by {apart:.1g} from the same "
            "seed alone. Is the loss a mean over seeds, where it should be a sum? A difference "
            "by rounding is mended by reproduce.models.kernels.seedwise.",
        )
    return Result("right", "Each seed is to the last bit what it is alone.")


def continues(subject: Subject) -> Result:
    """Train in two runs, and in one."""
    block = block_samples(subject.cell)
    first, *_, last = marks(max(2 * FIRST_MARK, 4 * block), block)
    with tempfile.TemporaryDirectory() as folder:
        stores = [Path(folder) / name for name in ("once", "twice")]
        for store, ends in zip(stores, ((last,), (first, last)), strict=True):
            for samples in ends:
                train(Job(subject.cell, SEEDS, samples, store), lambda kind, payload: None)
        once, twice = (Store(store) for store in stores)
        for seed in SEEDS:
            curves = [store.curve(subject.cell, seed) for store in (once, twice)]
            states = [
                read_checkpoint(store, subject.cell, seed)["state_dict"] for store in (once, twice)
            ]
            name = difference(*states) or ("its curve" if not curves[0].equals(curves[1]) else "")
            if name:
                return Result(
                    "wrong",
                    f"A run that is interrupted and continued differs in {name} from one that is "
                    "not: what a step remembers must be a buffer with a seed axis.",
                )
    return Result("right", f"Continued at {first:,} samples it is the same to the last bit.")


def bound_is_below_log_p(subject: Subject) -> Result:
    """Hold the curve `test`, and what a step returns, against log p(x) by quadrature."""
    if not type(subject.trained).trains_encoder:
        return Result("not checked", "It trains no encoder, and so has no bound.")
    algorithm = subject.trained
    seen = algorithm.samples_seen.clone()
    tests = []
    for number in range(REPEATS):  # the samples name the noise of an evaluation
        algorithm.samples_seen.fill_(number)
        tests.append(algorithm.evaluate("test"))
    algorithm.samples_seen.copy_(seen)
    gaps = {"The curve test": torch.stack(tests) - log_p(algorithm, subject.images.test).mean(1)}
    if subject.takes_steps:
        exact = log_p(algorithm, subject.images.train)
        returned, index, _ = frozen_steps(algorithm)
        theirs = torch.stack([exact.gather(1, one).mean(1) for one in index])
        gaps["What step returns"] = returned - theirs
    for what, gap in gaps.items():
        mean, error = mean_and_error(gap)
        if (mean - STANDARD_ERRORS * error > SLACK).any():
            return Result(
                "wrong",
                f"{what} is no bound: it lies {mean.max():.2f} nats above log p(x), which "
                "quadrature gives for N_z = 2.",
            )
    below = " and ".join(f"{-mean_and_error(gap)[0].mean():.2f}" for gap in gaps.values())
    names = " and what step returns lie" if len(gaps) > 1 else " lies"
    return Result("right", f"The curve test{names} {below} nats below log p(x).")


def more_samples_do_not_lower_it(subject: Subject) -> Result:
    """Compare what a step returns, and what it ascends, with a few samples of z and with more."""
    few = subject.cell.settings["algorithm"].get("n_samples")
    if few is None or not subject.takes_steps:
        return Result("not checked", "It has no setting n_samples.")
    found = []
    for n_samples in (few, MORE * few):
        algorithm = subject.built(n_samples=n_samples)
        algorithm.model.load_state_dict(subject.trained.model.state_dict())
        returned, _, ascended = frozen_steps(algorithm)
        found.append({"what step returns": returned, "what it ascends": ascended})
    changes = []
    for what, before in found[0].items():
        after = found[1][what]
        if before is None or after is None:
            continue
        (low, low_error), (high, high_error) = mean_and_error(before), mean_and_error(after)
        change, error = high - low, (low_error**2 + high_error**2).sqrt()
        if (change + STANDARD_ERRORS * error < -SLACK).any():
            return Result(
                "wrong",
                f"n_samples={MORE * few} in place of {few} lowers {what} by {-change.min():.2f} "
                "nats; more samples of z never lower a bound.",
            )
        changes.append(f"{what} by {change.mean():+.2f}".replace("-", "−"))
    said = " and ".join(changes)
    return Result("right", f"n_samples={MORE * few} in place of {few} changes {said} nats.")


def compiled_is_the_same(subject: Subject) -> Result:
    """Take the same steps compiled and not."""
    plain, compiled = (subject.taken(subject.built()) for _ in range(2))
    if not plain.static_step:
        return Result("not checked", "static_step = False, so it is never compiled.")
    if not has_cpp_compiler():
        return Result("not checked", "Compiled steps need a C++ compiler, which CXX names.")
    start = weights(plain)
    compiled.compile_steps()
    for algorithm in (plain, compiled):
        algorithm.start_new_mark()
        algorithm.training_step(range(TRAINED, TRAINED + BLOCKS), 0)
    moved = weights(plain) - start
    apart = float((weights(compiled) - weights(plain)).norm() / moved.norm())
    bounds = float((compiled.running_bound() - plain.running_bound()).abs().max())
    if not apart < COMPILED_AGREES or not bounds < SLACK:
        return Result(
            "wrong",
            f"Compiled steps go elsewhere than plain ones: by {100 * apart:.0f} % of the way, and "
            f"by {bounds:.2f} nats of the bound. If a step depends on a Python value that changes, "
            "set static_step = False.",
        )
    return Result("right", f"Compiled steps go the same way, within {100 * apart:.2g} %.")


CHECKS: dict[str, Callable[[Subject], Result]] = {
    "shapes": returns_what_is_wanted,
    "noise": draws_from_its_noise_alone,
    "seeds": seeds_are_independent,
    "resume": continues,
    "bound": bound_is_below_log_p,
    "samples": more_samples_do_not_lower_it,
    "compiled": compiled_is_the_same,
}
"""In the order in which they are made; without the first the others say nothing."""
