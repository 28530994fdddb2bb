"""Monte Carlo EM with HMC, as the paper compares with it (Kingma & Welling 2013, Appendix E).

No encoder is learned. Each iteration moves one persistent Markov chain for every training point
by one HMC proposal (E step), and then makes a few full-batch Adagrad updates of the decoder on the
chains' positions (M step). Counted are n_leapfrog + n_updates evaluations of each training point.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from reproduce.algorithms.adagrad import Adagrad
from reproduce.algorithms.base import Algorithm
from reproduce.data.images import ImageData
from reproduce.models.autoencoder import Autoencoder
from reproduce.models.gaussian import standard_normal_log_prob
from reproduce.models.random_streams import generator
from reproduce.samplers.hmc import TARGET_ACCEPTANCE, Chains, adapted, hmc_step


class MonteCarloEM(Algorithm):
    """Full-batch EM whose E step is a step of a Markov chain.

    Parameters
    ----------
    model, images, seeds, step_size
        As for `Algorithm`; the encoder stays as it was initialised.
    n_leapfrog
        Position updates in a proposal.
    n_updates
        Adagrad updates in an iteration.
    warmup_updates
        First of these updates, in which Adagrad accumulates squared gradients and moves nothing.
    target_acceptance
        What the step size of the leapfrog integrator, one for all points of a member, is tuned to.
    initial_leapfrog_step
        That step size at the start.
    chunk
        Training points handled at once. Changes memory and rounding, nothing else.
    """

    trains_encoder: ClassVar[bool] = False
    graphs_allowed: ClassVar[bool] = False

    chain_position: Tensor
    leapfrog_step: Tensor
    accepted_sum: Tensor

    def __init__(
        self,
        model: Autoencoder,
        images: ImageData,
        seeds: Sequence[int],
        *,
        step_size: float,
        n_leapfrog: int = 10,
        n_updates: int = 5,
        warmup_updates: int = 0,
        target_acceptance: float = TARGET_ACCEPTANCE,
        initial_leapfrog_step: float = 0.01,
        chunk: int = 500,
    ) -> None:
        n_train = len(images.train)
        # A "minibatch" of all points makes the base's weight prior (M/N) log p(theta) a whole one.
        super().__init__(
            model, images, seeds, step_size=step_size, warmup_steps=0, batch_size=n_train
        )
        self.n_leapfrog, self.n_updates, self.chunk = n_leapfrog, n_updates, chunk
        self.warmup_updates = warmup_updates
        self.target_acceptance = target_acceptance
        n_members, shape = len(self.seeds), (n_train, model.n_latent)
        start = [torch.randn(shape, generator=generator("cpu", s, "chains")) for s in self.seeds]
        self.register_buffer("chain_position", torch.stack(start))
        self.register_buffer("leapfrog_step", torch.full((n_members,), initial_leapfrog_step))
        self.register_buffer("accepted_sum", torch.zeros(n_members, dtype=torch.float64))

    def configure_optimizers(self) -> list[Adagrad]:
        """Adagrad over the decoder alone."""
        return [self.adagrad(self.model.decoder)]

    @classmethod
    def block_samples_of(cls, settings: Mapping[str, Any], n_train: int) -> int:
        """Samples in an iteration: 15 N with the paper's settings."""
        return (settings["n_leapfrog"] + settings["n_updates"]) * n_train

    @property
    def block_samples(self) -> int:
        """Samples in an iteration."""
        settings = {"n_leapfrog": self.n_leapfrog, "n_updates": self.n_updates}
        return self.block_samples_of(settings, len(self.train_images))

    def train_block(self, block: int) -> None:
        """Run one iteration."""
        log_joint, acceptance_rate = self.sample_posterior(block)
        for update in range(block * self.n_updates, (block + 1) * self.n_updates):
            self._set_step_size(self.step_size if update >= self.warmup_updates else 0.0)
            self.update_decoder()
        self.running_sum += log_joint
        self.accepted_sum += acceptance_rate
        self.running_steps += 1

    @torch.no_grad()
    def sample_posterior(
        self, iteration: int
    ) -> tuple[Float[Tensor, " member"], Float[Tensor, " member"]]:
        """E step: one HMC proposal for every chain, then tune the integrator's step.

        Returns
        -------
        tuple
            Mean log p(x, z) over the chains after the step, in nats, and the acceptance rate.
        """
        momentum = self._stacked("normal", self.chain_position.shape[1:], "momentum", iteration)
        uniform = self._stacked("uniform", self.chain_position.shape[1:2], "accept", iteration)
        log_joint = torch.zeros_like(self.running_sum)
        accepted = torch.zeros_like(self.running_sum)
        self.model.requires_grad_(False)  # gradients in z alone
        for rows, x in self._chunks():
            here = momentum[:, rows]
            step = self.leapfrog_step.unsqueeze(1).expand(here.shape[:2])

            def log_density(z: Tensor, x: Tensor = x) -> Tensor:
                log_likelihood = self.model.decoder.log_likelihood(x, z.unsqueeze(1)).squeeze(1)
                return log_likelihood + standard_normal_log_prob(z)

            chains = Chains.at(log_density, self.chain_position[:, rows])
            chains, moved = hmc_step(
                log_density, chains, step, self.n_leapfrog, here, uniform[:, rows]
            )
            self.chain_position[:, rows] = chains.position
            log_joint += chains.log_density.double().sum(1)
            accepted += moved.double().sum(1)
        self.model.requires_grad_(True)
        n_train = len(self.train_images)
        rate = accepted / n_train
        self.leapfrog_step.copy_(adapted(self.leapfrog_step, rate, self.target_acceptance))
        return log_joint / n_train, rate

    def update_decoder(self) -> None:
        """M step: one Adagrad update on the sum of log p(x|z) over all points, and the prior."""
        (optimizer,) = self._raw_optimizers()
        optimizer.zero_grad(set_to_none=True)
        for rows, x in self._chunks():
            z = self.chain_position[:, rows].unsqueeze(1)
            loss = -self.model.decoder.log_likelihood(x, z).sum()
            loss.backward()
        optimizer.step()

    def measure(self) -> dict[str, Float[Tensor, " member"]]:
        """Mean log p(x, z) over the chains and their acceptance since the last mark."""
        return {
            "train_log_joint": self.running_bound(),
            "acceptance_rate": self.accepted_sum / self.running_steps,
            "leapfrog_step": self.leapfrog_step.double(),
        }

    def start_new_mark(self) -> None:
        """Forget the running means."""
        super().start_new_mark()
        self.accepted_sum.zero_()

    def facts(self) -> dict[str, Any]:
        """How many chains there are, and how often they have moved."""
        return {
            "chains": len(self.train_images),
            "iterations": int(self.samples_seen[0]) // self.block_samples,
            "samples_an_iteration": self.block_samples,
        }

    def _chunks(self) -> Iterator[tuple[slice, Float[Tensor, "member batch pixel"]]]:
        """Slices of the training set with their images, the same for all members."""
        for start in range(0, len(self.train_images), self.chunk):
            rows = slice(start, start + self.chunk)
            x = self.train_images[rows].float().mul_(self.image_scale)
            yield rows, x.expand(len(self.seeds), -1, -1)

    def _stacked(self, kind: str, shape: Sequence[int], name: str, iteration: int) -> Tensor:
        draws = [self._random(kind, shape, seed, "train", name, iteration) for seed in self.seeds]
        return torch.stack(draws)
