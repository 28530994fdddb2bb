"""Monte Carlo EM with HMC (Kingma & Welling 2013, Appendix E).

No encoder is learned. Each iteration moves one persistent Markov chain per training point by one
HMC proposal (E step). It then makes a few full-batch Adagrad updates of the decoder on the chains'
positions (M step). An iteration counts n_leapfrog + n_updates evaluations of each training point.
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

INITIAL_LEAPFROG_STEP = 0.01
CHUNK = 500
"""Training points handled at once. Changes memory and rounding, nothing else."""


class MonteCarloEM(Algorithm):
    """Full-batch EM whose E step is a step of a Markov chain.

    Parameters
    ----------
    model, images, seeds, step_size
        As for `Algorithm`; the encoder stays as it was initialised.
    n_leapfrog
        Position updates per proposal.
    n_updates
        Adagrad updates per iteration.
    warmup_updates
        The first updates of all, during which Adagrad accumulates squared gradients and moves
        nothing.
    target_acceptance
        Acceptance rate to which the integrator's step size is tuned. All chains of a seed share
        one step size.
    """

    trains_encoder: ClassVar[bool] = False
    static_step: ClassVar[bool] = False

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
    ) -> None:
        super().__init__(model, images, seeds, step_size=step_size, warmup_steps=0)
        self.n_leapfrog, self.n_updates = n_leapfrog, n_updates
        self.warmup_updates = warmup_updates
        self.target_acceptance = target_acceptance
        # Chains start from the prior and persist: an iteration goes on where the last one ended.
        n_seeds, shape = len(self.seeds), (len(images.train), model.n_latent)
        start = [torch.randn(shape, generator=generator("cpu", s, "chains")) for s in self.seeds]
        self.register_buffer("chain_position", torch.stack(start))
        self.register_buffer("leapfrog_step", torch.full((n_seeds,), INITIAL_LEAPFROG_STEP))
        self.register_buffer("accepted_sum", torch.zeros(n_seeds, dtype=torch.float64))

    def configure_optimizers(self) -> list[Adagrad]:
        """Adagrad over the decoder alone, with the whole weight prior."""
        # An update sees all N points, so log p(theta) counts in full: M/N = 1.
        return [Adagrad(self.model.decoder, self.step_size, prior=1.0)]

    @classmethod
    def block_samples_of(cls, settings: Mapping[str, Any], n_train: int) -> int:
        """Samples in an iteration: 15 N with the paper's settings."""
        return (settings["n_leapfrog"] + settings["n_updates"]) * n_train

    def train_block(self, block: int) -> None:
        """Run one iteration: the E step, then `n_updates` M steps on its samples."""
        log_joint, acceptance_rate = self.sample_posterior(block)
        # Updates are counted over all iterations, and the first of them only warm Adagrad up.
        for update in range(block * self.n_updates, (block + 1) * self.n_updates):
            self._set_step_size(self.step_size if update >= self.warmup_updates else 0.0)
            self.update_decoder()
        self.running_sum += log_joint
        self.accepted_sum += acceptance_rate
        self.running_steps += 1

    @torch.no_grad()
    def sample_posterior(
        self, iteration: int
    ) -> tuple[Float[Tensor, " seed"], Float[Tensor, " seed"]]:
        """E step: one HMC proposal per chain, then one tuning of the integrator's step size.

        Returns
        -------
        tuple
            Mean log p(x, z) over the chains after the step, in nats, and the acceptance rate.
        """
        momentum = self._stacked("normal", self.chain_position.shape[1:], "momentum", iteration)
        uniform = self._stacked("uniform", self.chain_position.shape[1:2], "accept", iteration)
        log_joint = torch.zeros_like(self.running_sum)
        accepted = torch.zeros_like(self.running_sum)
        self.model.requires_grad_(False)  # HMC needs gradients in z alone
        for rows, x in self._chunks():
            here = momentum[:, rows]
            step = self.leapfrog_step.unsqueeze(1).expand(here.shape[:2])

            # The posterior up to the constant log p(x): its gradient in z is the one that
            # Appendix E names, grad log p(z) + grad log p(x|z).
            def log_density(z: Tensor, x: Tensor = x) -> Tensor:
                log_likelihood = self.model.decoder.log_likelihood(x, z.unsqueeze(1)).squeeze(1)
                return log_likelihood + standard_normal_log_prob(z)

            # Evaluated again, since the M step has changed p(x|z) since the last iteration.
            chains = Chains.at(log_density, self.chain_position[:, rows])
            chains, moved = hmc_step(
                log_density, chains, step, self.n_leapfrog, here, uniform[:, rows]
            )
            self.chain_position[:, rows] = chains.position
            log_joint += chains.log_density.double().sum(1)
            accepted += moved.double().sum(1)
        self.model.requires_grad_(True)
        # "Automatically tuned such that the acceptance rate was 90 %": the paper names no rule.
        # It changes the kernel at every iteration, so these chains are only nearly stationary.
        n_train = len(self.train_images)
        rate = accepted / n_train
        self.leapfrog_step.copy_(adapted(self.leapfrog_step, rate, self.target_acceptance))
        return log_joint / n_train, rate

    def update_decoder(self) -> None:
        """M step: one Adagrad update on the sum of log p(x|z) over all points, and the prior."""
        # log p(z) does not depend on the decoder. Gradients add up over chunks before the update.
        (optimizer,) = self._raw_optimizers()
        optimizer.zero_grad(set_to_none=True)
        for rows, x in self._chunks():
            z = self.chain_position[:, rows].unsqueeze(1)
            loss = -self.model.decoder.log_likelihood(x, z).sum()
            loss.backward()
        optimizer.step()

    def measure(self) -> dict[str, Float[Tensor, " seed"]]:
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
        """Number of chains and of iterations, and samples per iteration."""
        return {
            "chains": len(self.train_images),
            "iterations": int(self.samples_seen[0]) // self.block_samples,
            "samples_an_iteration": self.block_samples,
        }

    def _chunks(self) -> Iterator[tuple[slice, Float[Tensor, "seed batch pixel"]]]:
        """Slices of the training set with their images, the same for all seeds."""
        for start in range(0, len(self.train_images), CHUNK):
            rows = slice(start, start + CHUNK)
            x = self.train_images[rows].float() * self.image_scale  # not in place: a view
            yield rows, x.expand(len(self.seeds), -1, -1)

    def _stacked(self, kind: str, shape: Sequence[int], name: str, iteration: int) -> Tensor:
        draws = [self._random(kind, shape, seed, "train", name, iteration) for seed in self.seeds]
        return torch.stack(draws)
