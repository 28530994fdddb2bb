"""Peer: a LightningModule with automatic optimisation, trained by the Trainer.

It follows "Train a model (basic)"
(https://lightning.ai/docs/pytorch/stable/model/train_model_basic.html). Progress bar, logger,
checkpoints and the model summary are off, and nothing is logged, so that only training is timed.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from benchmarks.peers.model import VAE, adagrad, minibatches, negative_elbo
from benchmarks.peers.workload import Clock, Measurement, parser, report


class LitVAE(pl.LightningModule):
    """The variational auto-encoder as Lightning's documentation would organise it."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = VAE()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one minibatch; Lightning does the rest."""
        (x,) = batch
        logits, mean, log_variance = self.vae(x)
        return negative_elbo(logits, mean, log_variance, x)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the one optimiser."""
        return adagrad(self)


class StopOnTime(pl.Callback):
    """Ends training when the clock says that the measurement is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: list[Tensor],
        batch_idx: int,
    ) -> None:
        """Count the step."""
        if self.clock.tick():
            trainer.should_stop = True


def measure(seconds: float, threads: int) -> Measurement:
    """Train for `seconds` after a warm-up and return the speed and the memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that PyTorch may use.
    """
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_num_threads(threads)
    pl.seed_everything(0, verbose=False)
    loader = minibatches()
    clock = Clock(seconds)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[StopOnTime(clock)],
    )
    trainer.fit(LitVAE(), loader)
    return clock.measurement()


if __name__ == "__main__":
    report(measure, parser(__doc__).parse_args())
