"""Interface of all estimators of log p(x): their target and the estimate that they return."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reproduce.common.errors import UserError
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.decoders import (
    AnyImages,
    AnyLatents,
    Images,
    Latents,
    LogLikelihood,
    NoiseKind,
    SharedLatents,
)
from reproduce.models.gaussian import DiagonalGaussian, standard_normal_log_prob

Progress = Callable[[int], None]
"""Callback with the number of datapoints finished since the last call."""

CACHED = 512
"""Images per seed to decode at once on a CPU without gradients, so that they stay in caches."""


@runtime_checkable
class Likelihood(Protocol):
    """p(x|z) of a stack of models: any decoder of `reproduce.models`, or an exact test model."""

    noise_kind: ClassVar[NoiseKind]

    def mean(self, z: AnyLatents) -> AnyImages:
        """E[x|z]."""
        ...

    def log_likelihood(self, x: Images, z: Latents) -> LogLikelihood:
        """log p(x|z) in nats; each datapoint has latent samples of its own."""
        ...

    def shared_log_likelihood(self, x: Images, z: SharedLatents) -> LogLikelihood:
        """log p(x|z) in nats of every datapoint under every one of the shared samples."""
        ...

    def sample(self, z: AnyLatents, noise: AnyImages) -> AnyImages:
        """Draw x ~ p(x|z) from noise of the kind `noise_kind`."""
        ...


@dataclass(frozen=True)
class Target:
    """log p(x, z) = log p(x|z) + log N(z; 0, I) of a stack of models.

    Attributes
    ----------
    likelihood
        p(x|z).
    n_seeds, n_latent
        Sizes.
    device
        Device of its tensors.
    encoder
        q(z|x), for proposals that use it; None where a model has none (Monte Carlo EM).
    """

    likelihood: Likelihood
    n_seeds: int
    n_latent: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    encoder: Callable[[Tensor], DiagonalGaussian] | None = None

    @classmethod
    def of(cls, model: Autoencoder, *, has_encoder: bool = True) -> "Target":
        """Return the target of a trained model."""
        weight = next(model.parameters())
        require_single(weight)
        encoder = model.encoder if has_encoder else None
        return cls(model.decoder, model.n_seeds, model.n_latent, weight.device, encoder)

    def log_joint(self, x: Images, z: Latents) -> LogLikelihood:
        """log p(x, z) = log p(x|z) + log p(z) in nats."""
        if not torch.is_grad_enabled() and self.device.type == "cpu":
            parts = z.split(max(1, CACHED // z.shape[2]), 1)
            likelihood = torch.cat([self.likelihood.log_likelihood(x, part) for part in parts], 1)
        else:
            likelihood = self.likelihood.log_likelihood(x, z)
        return likelihood + standard_normal_log_prob(z)


def require_single(tensor: Tensor) -> None:
    """Refuse weights or images that are not float32, which all grids and proposals are in."""
    if tensor.dtype != torch.float32:
        raise UserError(
            "Estimators of log p(x) take models and images in float32, not "
            f"{str(tensor.dtype).removeprefix('torch.')}; convert both by .float()."
        )


def in_steps(progress: Progress, n_points: int, n_steps: int) -> Callable[[], None]:
    """Return what to call after each of `n_steps`, for datapoints that are finished together.

    So that a bar moves while they are on the way: all together the calls tell of `n_points`.
    """
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if told := n_points * taken // n_steps - n_points * (taken - 1) // n_steps:
            progress(told)

    return step


def require_at_least(least: float, **settings: float) -> None:
    """Refuse settings of an estimator that lie below `least`."""
    for name, value in settings.items():
        if not value >= least:
            raise UserError(f"estimator.{name} must be at least {least}, not {value}.")


@dataclass(frozen=True)
class Estimate:
    """Estimates of log p(x) for each seed and datapoint.

    Attributes
    ----------
    value
        In nats, (seed, batch).
    stderr
        Standard error of each value as the estimator itself knows it, nats, (seed, batch).
    trusted
        False where the estimator's own diagnostic flags a value as unreliable.
    diagnostics
        By name, each (seed, batch).
    """

    value: Float[Tensor, "seed batch"]
    stderr: Float[Tensor, "seed batch"]
    trusted: Bool[Tensor, "seed batch"]
    diagnostics: Mapping[str, Float[Tensor, "seed batch"]] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence["Estimate"], dim: int = 1) -> "Estimate":
        """Join estimates of batches in turn; with `dim=0`, of seeds."""
        return cls(
            torch.cat([part.value for part in parts], dim),
            torch.cat([part.stderr for part in parts], dim),
            torch.cat([part.trusted for part in parts], dim),
            {
                name: torch.cat([part.diagnostics[name] for part in parts], dim)
                for name in parts[0].diagnostics
            },
        )


class Estimator(ABC):
    """Estimates log p(x) for all seeds and datapoints, in bounded memory.

    Attributes
    ----------
    name
        As in conf/estimator/.
    version
        Raised when the same settings come to give other numbers, so that no older estimate is
        taken for a current one.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    def check(self, n_latent: int, has_encoder: bool) -> None:  # noqa: B027
        """Refuse models that this estimator cannot be used with; by default none."""

    @torch.no_grad()
    def __call__(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress = lambda _: None,
    ) -> Estimate:
        """Estimate log p(x).

        Parameters
        ----------
        target
            The models.
        x
            The data; may be one data set expanded over seeds.
        seeds
            One per model; with the image they name all random streams
            (`random_streams.ImageStreams`), so that an estimate can be repeated, and does not
            depend on which other images are asked for.
        progress
            Called as datapoints are finished, with as many as there are in all.

        Raises
        ------
        UserError
            Where the models are refused by `check`, or the data are not float32.
        """
        self.check(target.n_latent, target.encoder is not None)
        require_single(x)
        return self.estimate(target, x, seeds, progress)

    @abstractmethod
    def estimate(
        self,
        target: Target,
        x: Float[Tensor, "seed batch pixel"],
        seeds: Sequence[int],
        progress: Progress,
    ) -> Estimate:
        """Estimate log p(x) of what `__call__` has checked, without gradients."""
