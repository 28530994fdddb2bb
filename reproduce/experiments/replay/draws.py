"""The published runs' random numbers, drawn again in their order.

The author's code drew everything from NumPy's legacy generator with one seed: the shuffle of Frey
Face, the initial weights, then minibatch and noise of each iteration. Only facts about that order
are taken from his code (https://github.com/dpkingma/anglepy); that they are right is shown by the
values they lead to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.wake_sleep import WakeSleep
from reproduce import data
from reproduce.algorithms.aevb import AEVB
from reproduce.algorithms.base import Algorithm
from reproduce.data.freyface import N_TRAIN
from reproduce.data.images import ImageData
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.decoders import BernoulliDecoder, Decoder, GaussianDecoder
from reproduce.models.encoder import GaussianEncoder
from reproduce.models.layers import Activation, StackedLinear

FIRST_POINTS = 1_000
"""Images of a split whose log p(x) Figure 3 shows."""


@dataclass(frozen=True)
class Run:
    """A published run, with the settings that its first values depend on.

    Attributes
    ----------
    dataset, n_latent, algorithm
        Which curve.
    n_hidden, batch_size, activation, step_size, warmup_steps, log_variance_scale
        Of the model and of training; in the defaults of `published`, as recovered.
    n_test, n_evaluations
        Of a hook: the first so many images that test, each with so many samples of z in turn.
    std
        Standard deviation of the initial weights.
    scale
        The value of a pixel is its byte times this.
    seed
        Of NumPy's generator.
    """

    dataset: str
    n_latent: int
    algorithm: str
    n_hidden: int
    batch_size: int
    activation: Activation
    log_variance_scale: float
    n_test: int = 10_000
    n_evaluations: int = 1
    step_size: float = 0.02
    warmup_steps: int = 101
    std: float = 0.01
    scale: float = 1 / 256
    seed: int = 0

    @property
    def title(self) -> str:
        """A short name for people."""
        return f"{self.dataset} N_z={self.n_latent} {self.algorithm}"


def published(dataset: str, n_latent: int, algorithm: str, n_hidden: int | None = None) -> Run:
    """Return a run of Figure 2 with the recovered settings; Figure 3's has 100 hidden units."""
    mnist = dataset == "mnist"
    return Run(
        dataset,
        n_latent,
        algorithm,
        n_hidden=n_hidden or (500 if mnist else 200),
        batch_size=100 if mnist else 500,
        activation="tanh" if mnist else "softplus",
        log_variance_scale=1.0 if algorithm == "aevb" else 0.1,
        n_test=10_000 if mnist else 365,
        n_evaluations=1 if mnist else 10,
    )


FIGURE2 = [
    published(dataset, n_latent, algorithm)
    for dataset, sizes in {"mnist": (3, 5, 10, 20, 200), "freyface": (2, 5, 10, 20)}.items()
    for n_latent in sizes
    for algorithm in ("aevb", "wake_sleep")
]
"""The 18 runs of Figure 2."""


class Stream:
    """What one run drew, in its order: `images`, `initial_weights`, then `iteration` by iteration,
    with a `hook` after the first and then whenever the clock called for one.

    Parameters
    ----------
    run
        Whose.
    data_dir
        The user's folder of data files.
    """

    def __init__(self, run: Run, data_dir: Path | None) -> None:
        self.run, self.data_dir = run, data_dir
        self.source = np.random.RandomState(run.seed)
        images = data.load(run.dataset, data_dir, "published")
        if run.dataset == "freyface":
            images = self._shuffled(images)
        self.images = replace(images, scale=run.scale)

    def _shuffled(self, images: ImageData) -> ImageData:
        """Split Frey Face as the published runs, whatever the seed.

        The data come in the order of seed 0; that is undone before they are shuffled with this
        run's, so that the generator moves on as it did.
        """
        rows = torch.cat([images.train, images.test]).numpy()
        order = np.arange(len(rows))
        np.random.RandomState(0).shuffle(order)
        original = np.empty_like(rows)
        original[order] = rows
        self.source.shuffle(original)
        train, test = original[:N_TRAIN], original[N_TRAIN:]
        return replace(images, train=torch.from_numpy(train), test=torch.from_numpy(test))

    def initial_weights(self, model: Autoencoder) -> None:
        """Fill every seed of `model` with the run's initial weights.

        AEVB drew encoder, then decoder; wake-sleep drew the decoder first, then the encoder, and
        then the decoder's numbers once more, which it did not use.
        """
        if self.run.algorithm == "aevb":
            self._encoder(model.encoder)
            self._decoder(model.decoder, output_bias=False)
        else:
            self._decoder(model.decoder, output_bias=True)
            self._encoder(model.encoder)
            unused = _built(self.run, self.images.train.shape[1])
            self._decoder(unused.decoder, output_bias=True)

    def _encoder(self, encoder: GaussianEncoder) -> None:
        # The log-variance layer started at zero: nothing was drawn for it.
        for layer in (encoder.hidden, encoder.mean):
            self._fill(layer, bias=True)

    def _decoder(self, decoder: Decoder, *, output_bias: bool) -> None:
        self._fill(decoder.hidden, bias=True)
        self._fill(decoder.output, bias=output_bias)
        if isinstance(decoder, GaussianDecoder):
            self._fill(decoder.log_variance, bias=False)

    @torch.no_grad()
    def _fill(self, layer: nn.Module, *, bias: bool) -> None:
        assert isinstance(layer, StackedLinear)  # the paper has one hidden layer
        # The author's matrices are (out, in), filled row by row.
        n_in, n_out = layer.weight.shape[1:]
        layer.weight.copy_(torch.from_numpy(self._normal(n_out, n_in).T))
        if bias:
            layer.bias.copy_(torch.from_numpy(self._normal(n_out, 1).T))

    def _normal(self, *shape: int) -> NDArray[np.float64]:
        return self.source.normal(0, self.run.std, size=shape)

    def iteration(self) -> dict[str, Tensor]:
        """Draw one iteration's random numbers, as `Algorithm.one_step` takes them, for one seed.

        Minibatches were drawn with replacement. The author's samples are columns.
        """
        n, m = self.run.n_latent, self.run.batch_size
        drawn = {
            "index": torch.from_numpy(self.source.randint(0, len(self.images.train), m)),
            "posterior": self._columns(n, m),
        }
        if self.run.algorithm == "wake_sleep":
            drawn["prior"] = self._columns(n, m)
            n_pixels = self.images.train.shape[1]
            if self.run.dataset == "mnist":  # one uniform number per binary pixel
                drawn["pixel"] = torch.from_numpy(self.source.uniform(size=(n_pixels, m)).T)[None]
            else:
                drawn["pixel"] = self._columns(n_pixels, m)
        return drawn

    def _columns(self, rows: int, columns: int) -> Tensor:
        """Draw normal numbers (rows, columns); return them as (sample 1, columns, rows)."""
        return torch.from_numpy(self.source.standard_normal((rows, columns)).T)[None]

    def hook(self) -> list[Tensor]:
        """Draw a hook's noise: for each evaluation one number (sample 1, image, latent)."""
        n_test = min(self.run.n_test, len(self.images.test))
        return [self._columns(self.run.n_latent, n_test) for _ in range(self.run.n_evaluations)]


class LegacyBernoulli(BernoulliDecoder):
    """The Bernoulli decoder, dreaming as NumPy's legacy `binomial` and the author's code did."""

    def sample(
        self,
        z: Float[Tensor, "seed *batch latent"],
        noise: Float[Tensor, "seed *batch pixel"],
    ) -> Float[Tensor, "seed *batch pixel"]:
        """Binary images from one uniform number per pixel; probabilities keep off 0 and 1."""
        p = 0.001 + 0.998 * self.mean(z)
        # `binomial` inverts the distribution of whichever outcome is the less likely.
        return torch.where(p > 0.5, noise <= p, noise > 1 - p).to(noise.dtype)


@torch.no_grad()
def test_bound(algorithm: Algorithm, run: Run, hook: Sequence[Tensor]) -> float:
    """Return the mean bound over the images of a hook, in nats, of the only seed."""
    dtype = next(algorithm.parameters()).dtype
    x = algorithm.test_images[: run.n_test].to(dtype)[None] * run.scale
    values = [algorithm.bound(x, noise[None].to(dtype)).mean() for noise in hook]
    return float(torch.stack(values).mean())


def build(run: Run, stream: Stream, dtype: torch.dtype = torch.float32) -> Algorithm:
    """Build the suite's own model and algorithm of `run`, with the run's initial weights."""
    model = _built(run, stream.images.train.shape[1]).to(dtype)
    stream.initial_weights(model)
    kind = {"aevb": AEVB, "wake_sleep": WakeSleep}[run.algorithm]
    return kind(
        model,
        stream.images,
        [0],
        step_size=run.step_size,
        warmup_steps=run.warmup_steps,
        batch_size=run.batch_size,
        sgvb="B" if run.algorithm == "aevb" else "A",
    ).without_trainer()


def single(drawn: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a stream drew for a stack of one seed, in single precision."""
    return {
        name: values[None] if name == "index" else values[None].float()
        for name, values in drawn.items()
    }


def _built(run: Run, n_pixels: int) -> Autoencoder:
    sizes = (1, n_pixels, run.n_hidden, run.n_latent)
    encoder = GaussianEncoder(
        *sizes, log_variance_scale=run.log_variance_scale, activation=run.activation
    )
    kind = LegacyBernoulli if run.dataset == "mnist" else GaussianDecoder
    decoder = kind(1, run.n_latent, run.n_hidden, n_pixels, activation=run.activation)
    return Autoencoder(encoder, decoder, run.n_latent)
