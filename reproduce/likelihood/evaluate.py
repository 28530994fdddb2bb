"""Estimates of log p(x) of stored models, cached next to them so that none is made twice.

A seed's `likelihood.csv` has one row per (snapshot, split, estimator with its settings, number
of points). Estimators read snapshots: nothing here trains.
"""

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from reproduce import data
from reproduce.common import identity
from reproduce.common.checks import number, shown, whole_number, yes_or_no
from reproduce.common.errors import UserError
from reproduce.data.images import ImageData
from reproduce.likelihood.target import Estimate, Estimator, Progress, Target
from reproduce.store.cell import Cell
from reproduce.store.load import load_snapshots, trains_encoder
from reproduce.store.store import Store

Split = Literal["train", "test"]


@dataclass(frozen=True)
class ConfiguredEstimator:
    """An estimator with its settings.

    Attributes
    ----------
    name
        As in conf/estimator/.
    estimate
        The estimator.
    settings
        Plain containers; with the estimator's `version` if that has been raised.
    """

    name: str
    estimate: Estimator
    settings: dict[str, Any]

    @classmethod
    def from_config(cls, config: DictConfig) -> "ConfiguredEstimator":
        """Build the estimator that a file of conf/estimator/ describes."""
        plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
        settings = {str(key): value for key, value in plain.items()}
        target = settings.pop("_target_")
        if not isinstance(target, str):
            raise UserError(f"estimator._target_ must name a class, not {shown(target)}.")
        made_of = get_class(target)
        parameters = inspect.signature(made_of).parameters
        for name, value in settings.items():
            settings[name] = _typed_setting(parameters[name].default, name, value)
        estimator = made_of(**settings)
        version = {"version": estimator.version} if estimator.version > 1 else {}
        named = identity.canonical({identity.TARGET: target, **settings, **version})
        return cls(estimator.name, estimator, named)

    @property
    def digest(self) -> str:
        """Eight characters that differ whenever the settings or the version do."""
        return identity.digest(self.settings)

    def check(self, cell: Cell) -> None:
        """Refuse a cell whose models the estimator cannot be used with, trained or not."""
        self.estimate.check(cell.n_latent, trains_encoder(cell))


def _typed_setting(default: Any, name: str, value: Any) -> Any:
    """Convert a setting to its default's type, or refuse it."""
    setting = f"estimator.{name}"
    if isinstance(default, bool):
        return yes_or_no(setting, value)
    if isinstance(default, int):
        return whole_number(setting, value, least=0)
    if isinstance(default, float):
        number(setting, value, zero=True)
    return value


@dataclass(frozen=True)
class Question:
    """A request for log p(x): the models and the datapoints.

    Attributes
    ----------
    cell, samples
        The models: the cell's seeds after that many samples.
    split, n_points
        The first `n_points` images of the training or the test set, or all if there are fewer.
    """

    cell: Cell
    samples: int
    split: Split
    n_points: int


def points(question: Question, data_dir: str | None) -> torch.Tensor:
    """Return the images of a question, (batch, pixel), as grey levels in [0, 1]."""
    images = _images(question.cell, data_dir)
    chosen = images.train if question.split == "train" else images.test
    return chosen[: question.n_points].float() * images.scale


def _images(cell: Cell, data_dir: str | None) -> ImageData:
    return data.load(cell.dataset, data_dir, cell.reading).first(cell.n_train)


def estimate(
    store: Store,
    question: Question,
    seeds: Sequence[int],
    estimator: ConfiguredEstimator,
    data_dir: str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = lambda _: None,
) -> tuple[Estimate, float]:
    """Estimate log p(x) of `seeds` as one stack; return it and the seconds it took."""
    model = load_snapshots(store, question.cell, seeds, question.samples).to(device)
    cell = question.cell
    store.check_data(cell, seeds, _images(cell, data_dir).checksum)
    target = Target.of(model, has_encoder=trains_encoder(cell))
    x = points(question, data_dir).to(device).expand(len(seeds), -1, -1)
    start = time.perf_counter()
    found = estimator.estimate(target, x, seeds, progress)
    return found, time.perf_counter() - start


def keep(
    store: Store,
    question: Question,
    seeds: Sequence[int],
    estimator: ConfiguredEstimator,
    found: Estimate,
    seconds: float,
) -> None:
    """Write an estimate's means into the seeds' `likelihood.csv`."""
    for index, seed in enumerate(seeds):
        value = found.value[index].double().cpu().numpy()
        row = {
            "split": question.split,
            "samples": question.samples,
            "estimator": estimator.name,
            "settings": estimator.digest,
            "n_points": question.n_points,
            "value": value.mean(),
            "stderr": standard_error(value),
            "n_untrusted": int((~found.trusted[index]).sum()),
            "seconds": round(seconds / len(seeds), 2),
        }
        store.add_likelihood(question.cell, seed, row)


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean over datapoints; NaN for one."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def kept(
    store: Store, question: Question, seed: int, estimator: ConfiguredEstimator
) -> dict[str, Any] | None:
    """Look up the cached row of an estimate, or None."""
    frame = store.likelihoods(question.cell, seed)
    found = frame[
        (frame["split"] == question.split)
        & (frame["samples"] == question.samples)
        & (frame["estimator"] == estimator.name)
        & (frame["settings"] == estimator.digest)
        & (frame["n_points"] == question.n_points)
    ]
    return None if found.empty else dict(found.iloc[-1])


def kept_or_made(
    store: Store,
    question: Question,
    seed: int,
    estimator: ConfiguredEstimator,
    data_dir: str | None,
) -> dict[str, Any]:
    """Look up the cached row of an estimate; where there is none, estimate and cache it."""
    known = kept(store, question, seed, estimator)
    if known is None:
        found, seconds = estimate(store, question, [seed], estimator, data_dir)
        keep(store, question, [seed], estimator, found, seconds)
        known = kept(store, question, seed, estimator)
    assert known is not None
    return known
