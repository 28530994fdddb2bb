"""The base of every algorithm: stacked members trained by one Lightning module.

An algorithm says how one minibatch step changes the parameters (`step`) and what bound its
curves show (`bound`). The base owns the rest: random streams, minibatches, Adagrad with warm-up
and weight prior, the running mean of the training bound, evaluation, and the stop of members
that diverge.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reproduce.algorithms.adagrad import Adagrad
from reproduce.algorithms.compiled import CompiledStep
from reproduce.algorithms.cuda_graphs import BlockGraph
from reproduce.algorithms.schedule import BLOCK_STEPS
from reproduce.common.errors import UserError
from reproduce.data.images import ImageData
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.bounds import BOUNDS
from reproduce.models.decoders import NoiseKind
from reproduce.models.random_streams import generator

EVALUATED_TRAINING_IMAGES = 10_000
EVALUATION_BATCH = 1_000

Noise = Mapping[str, Tensor]


class Algorithm(pl.LightningModule):
    """Trains a stack of members on one data set.

    Parameters
    ----------
    model
        The stack; member r belongs to `seeds[r]`.
    images
        The data set. It stays on the device as bytes.
    seeds
        One for each member; they name all random streams.
    step_size
        Adagrad's eta (Kingma & Welling 2013, section 5).
    warmup_steps
        Steps during which Adagrad accumulates squared gradients and updates nothing.
    batch_size
        M, the images in a minibatch.
    n_samples
        L, the samples of z a datapoint.
    estimator
        The SGVB estimator, `A` or `B`.
    """

    trains_encoder: ClassVar[bool] = True
    """Whether q(z|x) means anything after training."""
    graphs_allowed: ClassVar[bool] = True
    """Whether `step` may be compiled, or captured in a CUDA graph: it does the same operations
    every time, depends on no Python value that changes, and never waits for the device."""

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
        estimator: str = "B",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.seeds = tuple(seeds)
        self.step_size = step_size
        self.warmup_steps = warmup_steps
        self.batch_size = batch_size
        self.n_samples = n_samples
        self.estimator = BOUNDS[estimator]
        self.image_scale = images.scale
        self._compiled: CompiledStep | None = None
        self._graph: BlockGraph | None = None
        self._own_optimizers: list[Adagrad] | None = None
        self._warm = False  # nothing is left that a first step after the warm-up sets up
        n_members = len(self.seeds)
        # Buffers below with a member axis are state: a checkpoint keeps a slice for each member.
        self.register_buffer("samples_seen", torch.zeros(n_members, dtype=torch.int64))
        self.register_buffer("running_sum", torch.zeros(n_members, dtype=torch.float64))
        self.register_buffer("running_steps", torch.zeros(n_members, dtype=torch.int64))
        self.register_buffer("train_images", images.train, persistent=False)
        self.register_buffer("test_images", images.test, persistent=False)

    # What an algorithm defines.

    def step(
        self, x: Float[Tensor, "member batch pixel"], noise: Noise
    ) -> Float[Tensor, " member"]:
        """Update the parameters on one minibatch; return its mean bound before the update."""
        raise NotImplementedError

    def noise_shapes(self) -> dict[str, tuple[NoiseKind, tuple[int, ...]]]:
        """Name the random numbers a step needs: kind, and shape without the member axis."""
        return {"posterior": ("normal", (self.n_samples, self.batch_size, self.model.n_latent))}

    def bound(
        self,
        x: Float[Tensor, "member batch pixel"],
        noise: Float[Tensor, "member sample batch latent"],
    ) -> Float[Tensor, "member batch"]:
        """Estimate the variational bound in nats, as the curves show it."""
        return self.estimator(self.model, x, noise)

    # Optimisation.

    def configure_optimizers(self) -> list[Adagrad]:
        """One Adagrad over all parameters."""
        return [self.adagrad(self.model)]

    def adagrad(self, module: nn.Module) -> Adagrad:
        """Adagrad on `module`, with the weight prior of minibatches of M among N images."""
        return Adagrad(module, self.step_size, self.batch_size / len(self.train_images))

    def descend(self, loss: Tensor, optimizer_index: int = 0) -> None:
        """One Adagrad step on the gradient of `loss`, for that optimizer's parameters."""
        optimizer = self._raw_optimizers()[optimizer_index]
        optimizer.update(torch.autograd.grad(loss, optimizer.parameters, allow_unused=True))

    def without_trainer(self) -> "Algorithm":
        """Set up optimisers of its own, for steps outside of a Lightning trainer."""
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
        """Samples in a block of steps, from a cell's settings of the algorithm."""
        if "batch_size" not in settings:
            raise UserError(
                "The algorithm's file lacks batch_size; docs/add-a-method.md has an example."
            )
        return BLOCK_STEPS * settings["batch_size"]

    @property
    def block_samples(self) -> int:
        """Samples in a block of steps."""
        settings = {"batch_size": self.batch_size}
        return self.block_samples_of(settings, len(self.train_images))

    def training_step(self, blocks: range, batch_index: int) -> None:
        """Run the blocks of steps named by `blocks` (see `schedule.Chunks`).

        Lightning costs as much a call as several steps, so a call is many steps.
        """
        for block in blocks:
            self.train_block(block)
        self.samples_seen += len(blocks) * self.block_samples

    def compile_steps(self, threads: int = 1) -> None:
        """Have steps compiled from the end of Adagrad's warm-up on, where `step` allows it.

        Until then the step size differs, so steps are few and others.
        """
        if self.graphs_allowed:
            what = f"the steps of {type(self).__name__}"
            self._compiled = CompiledStep(self._take, self.device, threads, what)

    @property
    def is_compiled(self) -> bool:
        """Whether steps are compiled."""
        return self._compiled is not None

    def train_block(self, block: int) -> None:
        """Run one block of minibatch steps."""
        warming_up = max(0, self.warmup_steps - block * BLOCK_STEPS)
        if self._captures() and self._warm and not warming_up:
            if self._graph is None:
                self._graph = BlockGraph(self._run_steps, self._draw(block))
            self._draw(block, self._graph.noise)
            self._graph.replay()
        else:
            self._run_steps(self._draw(block), warming_up)
            self._warm = warming_up < BLOCK_STEPS

    def _captures(self) -> bool:
        return self.graphs_allowed and self.device.type == "cuda"

    def _run_steps(self, noise: Noise, warming_up: int = 0) -> None:
        """Run a block's steps, in the first `warming_up` of which no parameter moves."""
        for offset in range(BLOCK_STEPS):
            now = {name: values[:, offset] for name, values in noise.items()}
            self.running_sum += self.one_step(now, moves=offset >= warming_up).double()
        self.running_steps += BLOCK_STEPS

    def one_step(self, noise: Noise, *, moves: bool = True) -> Float[Tensor, " member"]:
        """Take one minibatch step; return its mean bound before the update, in nats.

        Parameters
        ----------
        noise
            All its random numbers: `index` (member, batch), which images, and `noise_shapes`.
        moves
            False during the warm-up: Adagrad accumulates squared gradients, no parameter moves.
        """
        self._set_step_size(self.step_size if moves else 0.0)
        take = self._compiled if self._compiled and moves else self._take
        return take(noise)

    def _take(self, noise: Noise) -> Float[Tensor, " member"]:
        rest = {name: values for name, values in noise.items() if name != "index"}
        return self.step(self.pixels(noise["index"]), rest)

    def pixels(self, index: Int[Tensor, "member batch"]) -> Float[Tensor, "member batch pixel"]:
        """Gather a minibatch for each member, as grey levels in [0, 1]."""
        # Whole rows are copied, which indexing with a table of indices does pixel by pixel.
        rows = self.train_images.index_select(0, index.flatten())
        return rows.float().mul_(self.image_scale).unflatten(0, index.shape)

    def _draw(self, block: int, into: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Draw all random numbers of a block, each (member, step, ...)."""
        needed = {"index": ("index", (self.batch_size,)), **self.noise_shapes()}
        # Filled in place: to stack the members' numbers would copy megabytes of pixel noise.
        noise = into or {
            name: torch.empty(
                (len(self.seeds), BLOCK_STEPS, *shape),
                dtype=torch.int64 if kind == "index" else torch.float32,
                device=self.device,
            )
            for name, (kind, shape) in needed.items()
        }
        for name, (kind, _) in needed.items():
            for member, seed in zip(noise[name], self.seeds, strict=True):
                self._fill(member, kind, seed, "train", name, block)
        return noise

    def _random(self, kind: str, shape: Sequence[int], seed: int, *key: str | int) -> Tensor:
        drawn = torch.empty(tuple(shape), device=self.device)
        self._fill(drawn, kind, seed, *key)
        return drawn

    def _fill(self, target: Tensor, kind: str, seed: int, *key: str | int) -> None:
        source = generator(self.device, seed, *key)
        if kind == "index":  # drawn with replacement
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
        """A range of blocks needs no transfer."""
        return batch

    # What the curves show.

    def measure(self) -> dict[str, Float[Tensor, " member"]]:
        """Return a mark's point of each curve, by the curve's name."""
        return {
            "train_running": self.running_bound(),
            "train": self.evaluate("train"),
            "test": self.evaluate("test"),
        }

    def facts(self) -> dict[str, Any]:
        """What a manifest should say of this algorithm beside its settings."""
        return {}

    def running_bound(self) -> Float[Tensor, " member"]:
        """Mean bound of the minibatches since the last mark (the published *train* curves)."""
        return self.running_sum / self.running_steps

    def start_new_mark(self) -> None:
        """Forget the running mean."""
        self.running_sum.zero_()
        self.running_steps.zero_()

    @torch.no_grad()
    def evaluate(self, split: Literal["train", "test"]) -> Float[Tensor, " member"]:
        """Mean bound (L = 1) over all test or the first 10,000 training images, in nats."""
        images = self.test_images if split == "test" else self.train_images
        images = images[:EVALUATED_TRAINING_IMAGES] if split == "train" else images
        samples = int(self.samples_seen[0])
        total = torch.zeros(len(self.seeds), dtype=torch.float64, device=self.device)
        for number, batch in enumerate(images.split(EVALUATION_BATCH)):
            shape = (1, len(batch), self.model.n_latent)
            noise = [
                self._random("normal", shape, seed, "evaluate", split, samples, number)
                for seed in self.seeds
            ]
            # Products of odd sizes round differently in different stacks on the CPU; those of
            # whole hundreds do not, which `tests/algorithms/test_base.py` holds for all our sizes.
            padding = (0, 0, 0, -len(batch) % 100)
            x = functional.pad(batch.float().mul_(self.image_scale), padding)
            x = x.expand(len(self.seeds), -1, -1)
            bound = self.bound(x, functional.pad(torch.stack(noise), padding))
            total += bound[:, : len(batch)].double().sum(1)
        return total / len(images)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out Lightning's loop counters: `samples_seen` says where training is."""
        checkpoint.pop("loops", None)
