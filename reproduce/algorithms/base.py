"""The base of every algorithm: stacked seeds trained by one Lightning module.

An algorithm says how one minibatch step changes the parameters (`step`) and which bound its
curves show (`bound`). The base does the rest: random streams, minibatches, Adagrad with warm-up
and weight prior, the running mean of the training bound, and evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reproduce.algorithms import returned
from reproduce.algorithms.adagrad import Adagrad
from reproduce.algorithms.cuda_graphs import BlockGraph
from reproduce.algorithms.schedule import BLOCK_STEPS
from reproduce.common.errors import UserError
from reproduce.common.lightning import pl
from reproduce.data.images import ImageData
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.bounds import BOUNDS
from reproduce.models.decoders import NoiseKind
from reproduce.models.random_streams import generator

if TYPE_CHECKING:
    from reproduce.algorithms.compiled import CompiledStep

EVALUATED_TRAINING_IMAGES = 10_000
EVALUATION_BATCH = 1_000

Noise = Mapping[str, Tensor]


class Algorithm(pl.LightningModule):
    """Trains a stack of seeds on one data set.

    Parameters
    ----------
    model
        The stack; slice r of its leading axis belongs to `seeds[r]`.
    images
        The data set, kept on the device as bytes.
    seeds
        One per slice of the stack; they name all random streams.
    step_size
        Adagrad's eta (Kingma & Welling 2013, section 5).
    warmup_steps
        Steps during which Adagrad accumulates squared gradients and updates nothing.
    batch_size
        M, the images in a minibatch.
    n_samples
        L, the samples of z per datapoint.
    sgvb
        The SGVB estimator, `A` or `B`.
    """

    trains_encoder: ClassVar[bool] = True
    """Whether q(z|x) means anything after training."""
    static_step: ClassVar[bool] = True
    """Whether `step` does the same operations every time, depends on no Python value that changes,
    and never waits for the device: only then is it compiled, or captured in a CUDA graph."""

    model: Autoencoder
    samples_seen: Tensor
    running_sum: Tensor
    running_steps: Tensor
    train_images: Tensor
    test_images: Tensor

    def __init__(
        self,
        model: Autoencoder,
        images: ImageData,
        seeds: Sequence[int],
        *,
        step_size: float,
        warmup_steps: int = 101,
        batch_size: int = 100,
        n_samples: int = 1,
        sgvb: str = "B",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.seeds = tuple(seeds)
        self.step_size = step_size
        self.warmup_steps = warmup_steps
        self.batch_size = batch_size
        self.n_samples = n_samples
        self.sgvb = BOUNDS[sgvb]
        self.image_scale = images.scale
        self._compiled: CompiledStep | None = None
        self._compiling_optional = False
        self._graph: BlockGraph | None = None
        self._own_optimizers: list[Adagrad] | None = None
        self._warm = False  # whether a step after the warm-up has set up all that it needs
        n_seeds = len(self.seeds)
        # Buffers with a seed axis are state: each seed's checkpoint holds its slice of them.
        self.register_buffer("samples_seen", torch.zeros(n_seeds, dtype=torch.int64))
        self.register_buffer("running_sum", torch.zeros(n_seeds, dtype=torch.float64))
        self.register_buffer("running_steps", torch.zeros(n_seeds, dtype=torch.int64))
        self.register_buffer("train_images", images.train, persistent=False)
        self.register_buffer("test_images", images.test, persistent=False)

    # To be defined, or overridden, by an algorithm.

    def step(self, x: Float[Tensor, "seed batch pixel"], noise: Noise) -> Float[Tensor, " seed"]:
        """Update the parameters on one minibatch; return its mean bound before the update."""
        raise NotImplementedError

    def noise_shapes(self) -> dict[str, tuple[NoiseKind, tuple[int, ...]]]:
        """Random numbers that a step needs, by name: kind, and shape without the seed axis."""
        return {"posterior": ("normal", (self.n_samples, self.batch_size, self.model.n_latent))}

    def bound(
        self,
        x: Float[Tensor, "seed batch pixel"],
        noise: Float[Tensor, "seed sample batch latent"],
    ) -> Float[Tensor, "seed batch"]:
        """Estimate the variational bound in nats, as the curves show it."""
        return self.sgvb(self.model, x, noise)

    # Optimisation.

    def configure_optimizers(self) -> list[Adagrad]:
        """One Adagrad over all parameters."""
        return [self.adagrad(self.model)]

    def adagrad(self, module: nn.Module) -> Adagrad:
        """Adagrad on `module`, with the weight prior of minibatches of M among N images."""
        # Eq. 8 scales a minibatch's sum of bounds by N/M. The step ascends that sum unscaled, so
        # log p(theta), which eq. 8 would leave as it is, is scaled by M/N instead.
        return Adagrad(module, self.step_size, self.batch_size / len(self.train_images))

    def adagrad_step(self, loss: Tensor, optimizer_index: int = 0) -> None:
        """One Adagrad step on the gradient of `loss`, for that optimizer's parameters."""
        optimizer = self._raw_optimizers()[optimizer_index]
        optimizer.update(torch.autograd.grad(loss, optimizer.parameters, allow_unused=True))

    def without_trainer(self) -> "Algorithm":
        """Set up the optimisers here, for steps outside a Lightning trainer; return self."""
        self._own_optimizers = self.configure_optimizers()
        return self

    def _raw_optimizers(self) -> list[Adagrad]:
        if self._own_optimizers is not None:
            return self._own_optimizers
        found = self.optimizers(use_pl_optimizer=False)
        return cast(list[Adagrad], found if isinstance(found, list) else [found])

    # The loop.

    @classmethod
    def block_samples_of(cls, settings: Mapping[str, Any], n_train: int) -> int:
        """Samples in a block of steps, from the algorithm's settings: known before it is built."""
        if "batch_size" not in settings:
            raise UserError(
                "The algorithm's file lacks batch_size; docs/add-a-method.md has an example."
            )
        return BLOCK_STEPS * settings["batch_size"]

    @property
    def block_samples(self) -> int:
        """Samples in a block of steps."""
        return self.block_samples_of(vars(self), len(self.train_images))

    def training_step(self, blocks: range, batch_index: int) -> None:
        """Run a range of blocks (see `schedule.Chunks`)."""
        # One call of Lightning costs as much as several minibatch steps, so it makes many.
        for block in blocks:
            self.train_block(block)
        self.samples_seen += len(blocks) * self.block_samples

    def compile_steps(self, threads: int = 1, *, optional: bool = False) -> None:
        """Compile the steps after Adagrad's warm-up, if `static_step`.

        Those of the warm-up are few, and have another step size, which is compiled in. With
        `optional` steps that torch cannot compile are taken as they are.
        """
        if self.static_step:
            self._compiling_optional = optional
            from reproduce.algorithms.compiled import CompiledStep  # torch's compilers take seconds

            what = f"the steps of {type(self).__name__}"
            self._compiled = CompiledStep(self._minibatch_step, self.device, threads, what)

    @property
    def is_compiled(self) -> bool:
        """Whether steps are compiled."""
        return self._compiled is not None

    def train_block(self, block: int) -> None:
        """Run one block of minibatch steps."""
        warming_up = max(0, self.warmup_steps - block * BLOCK_STEPS)
        if self._captures() and self._warm and not warming_up:
            # A GPU launches the whole block at once; only the random numbers are drawn anew.
            if self._graph is None:
                self._graph = BlockGraph(self._run_steps, self._draw(block))
            self._draw(block, self._graph.noise)
            self._graph.replay()
        else:
            self._run_steps(self._draw(block), warming_up)
            self._warm = warming_up < BLOCK_STEPS

    def _captures(self) -> bool:
        return self.static_step and self.device.type == "cuda"

    def _run_steps(self, noise: Noise, warming_up: int = 0) -> None:
        """Run a block's steps, in the first `warming_up` of which no parameter moves."""
        for offset in range(BLOCK_STEPS):
            now = {name: values[:, offset] for name, values in noise.items()}
            self.running_sum += self.one_step(now, moves=offset >= warming_up).double()
        self.running_steps += BLOCK_STEPS

    def one_step(self, noise: Noise, *, moves: bool = True) -> Float[Tensor, " seed"]:
        """Take one minibatch step; return its mean bound before the update, in nats.

        Parameters
        ----------
        noise
            All its random numbers: `index` (seed, batch), which images, and `noise_shapes`.
        moves
            False during the warm-up: Adagrad accumulates squared gradients, no parameter moves.
        """
        self._set_step_size(self.step_size if moves else 0.0)
        step = self._compiled_step if self._compiled and moves else self._minibatch_step
        return self.checked("step", step(noise))

    def _compiled_step(self, noise: Noise) -> Float[Tensor, " seed"]:
        assert self._compiled is not None
        try:
            return self._compiled(noise)
        except UserError:
            if not self._compiling_optional or self._compiled.ready:
                raise
        self._compiled = None  # it is compiled before it is taken: nothing has changed so far
        return self._minibatch_step(noise)

    def checked(self, method: str, value: Any, **sizes: int) -> Tensor:
        """Refuse what a method returned unless it has an axis of seeds, and then of `sizes`."""
        if torch.compiler.is_compiling():  # steps of the warm-up have been checked
            return value
        name = f"{type(self).__name__}.{method}"
        return returned.floats(name, value, self.device, seed=len(self.seeds), **sizes)

    def _minibatch_step(self, noise: Noise) -> Float[Tensor, " seed"]:
        rest = {name: values for name, values in noise.items() if name != "index"}
        bound = self.step(self.pixels(noise["index"]), rest)
        # Without its graph, which the running sum would keep, and torch would refuse to compile.
        return bound.detach() if isinstance(bound, Tensor) else bound

    def pixels(self, index: Int[Tensor, "seed batch"]) -> Float[Tensor, "seed batch pixel"]:
        """Gather each seed's minibatch, as grey levels in [0, 1]."""
        # `index_select` copies whole rows; indexing with a table copies pixel by pixel.
        rows = self.train_images.index_select(0, index.flatten())
        return rows.float().mul_(self.image_scale).unflatten(0, index.shape)

    def _draw(self, block: int, into: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Draw all random numbers of a block, each (seed, step, ...)."""
        own = returned.noise_shapes(f"{type(self).__name__}.noise_shapes", self.noise_shapes())
        needed = {"index": ("index", (self.batch_size,)), **own}
        # Filled in place: stacking the seeds' draws would copy megabytes of pixel noise.
        noise = into or {
            name: torch.empty(
                (len(self.seeds), BLOCK_STEPS, *shape),
                dtype=torch.int64 if kind == "index" else torch.float32,
                device=self.device,
            )
            for name, (kind, shape) in needed.items()
        }
        for name, (kind, _) in needed.items():
            for target, seed in zip(noise[name], self.seeds, strict=True):
                self._fill(target, kind, seed, "train", name, block)
        return noise

    def _random(self, kind: str, shape: Sequence[int], seed: int, *key: str | int) -> Tensor:
        drawn = torch.empty(tuple(shape), device=self.device)
        self._fill(drawn, kind, seed, *key)
        return drawn

    def _fill(self, target: Tensor, kind: str, seed: int, *key: str | int) -> None:
        source = generator(self.device, seed, *key)
        # Minibatches are drawn with replacement, from all N images.
        if kind == "index":
            target.random_(len(self.train_images), generator=source)
        elif kind == "normal":
            target.normal_(generator=source)
        else:
            target.uniform_(generator=source)

    def _set_step_size(self, step_size: float) -> None:
        for optimizer in self._raw_optimizers():
            for group in optimizer.param_groups:
                group["lr"] = step_size

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """Leave a range of blocks as it is: there is nothing to transfer."""
        return batch

    # The curves.

    def measure(self) -> dict[str, Float[Tensor, " seed"]]:
        """Evaluate each curve's point at a mark, in nats, by the curve's name."""
        return {
            "train_running": self.running_bound(),
            "train": self.checked("evaluate", self.evaluate("train")),
            "test": self.checked("evaluate", self.evaluate("test")),
        }

    def points(self) -> dict[str, Float[Tensor, " seed"]]:
        """`measure`, of which every point is one number for each seed."""
        name = f"{type(self).__name__}.measure"
        return returned.points(name, self.measure(), self.device, len(self.seeds))

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest besides the settings; by default none."""
        return {}

    def running_bound(self) -> Float[Tensor, " seed"]:
        """Mean bound of the minibatches since the last mark (the published *train* curves)."""
        return self.running_sum / self.running_steps

    def start_new_mark(self) -> None:
        """Forget the running mean."""
        self.running_sum.zero_()
        self.running_steps.zero_()

    @torch.no_grad()
    def evaluate(self, split: Literal["train", "test"]) -> Float[Tensor, " seed"]:
        """Mean bound (L = 1) over all test or the first 10,000 training images, in nats."""
        images = self.test_images if split == "test" else self.train_images
        images = images[:EVALUATED_TRAINING_IMAGES] if split == "train" else images
        return self.mean_bound(images, split, self.bound)

    def mean_bound(
        self, images: Tensor, purpose: str, bound_of: Callable[[Tensor, Tensor], Tensor]
    ) -> Float[Tensor, " seed"]:
        """Mean over `images` of what `bound_of` finds, in nats.

        Parameters
        ----------
        images
            As bytes, (image, pixel).
        purpose
            Names the noise, with the seed and the samples seen.
        bound_of
            From x (seed, batch, pixel) and noise (seed, 1, batch, latent) to (seed, batch).
        """
        samples = int(self.samples_seen[0])
        total = torch.zeros(len(self.seeds), dtype=torch.float64, device=self.device)
        for number, batch in enumerate(images.split(EVALUATION_BATCH)):
            shape = (1, len(batch), self.model.n_latent)
            noise = [
                self._random("normal", shape, seed, "evaluate", purpose, samples, number)
                for seed in self.seeds
            ]
            # On the CPU, products of odd sizes round differently in stacks of different sizes.
            # Those of whole hundreds do not; `tests/algorithms/test_base.py` checks all our sizes.
            padding = (0, 0, 0, -len(batch) % 100)
            x = functional.pad(batch.float() * self.image_scale, padding)  # not in place: a view
            x = x.expand(len(self.seeds), -1, -1)
            bound = bound_of(x, functional.pad(torch.stack(noise), padding))
            bound = self.checked("bound", bound, image=x.shape[1])
            total += bound[:, : len(batch)].double().sum(1)
        return total / len(images)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drop Lightning's loop counters: `samples_seen` says where training is."""
        checkpoint.pop("loops", None)
