"""Peer: the training loop that PyTorch's own documentation teaches.

It follows the tutorial "Optimizing Model Parameters"
(https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html) and the official
example of a variational auto-encoder (https://github.com/pytorch/examples/tree/main/vae).
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.model import VAE, adagrad, negative_elbo
from benchmarks.peers.workload import BATCH_SIZE, Clock, images, parser, report


def measure(seconds: float, threads: int) -> float:
    """Train for `seconds` after a warm-up and return the speed in samples/s.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that PyTorch may use.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(images()), batch_size=BATCH_SIZE, shuffle=True, num_workers=0)
    model = VAE()
    optimizer = adagrad(model)
    clock = Clock(seconds)
    model.train()
    while True:
        for (x,) in loader:
            logits, mean, log_variance = model(x)
            loss = negative_elbo(logits, mean, log_variance, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if clock.tick():
                return clock.samples_per_second


if __name__ == "__main__":
    report(measure, parser(__doc__).parse_args())
