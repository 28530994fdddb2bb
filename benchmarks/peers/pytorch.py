"""Peer: the training loop that PyTorch's own documentation teaches.

It follows the tutorial "Optimizing Model Parameters"
(https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html) and the official
example of a variational auto-encoder (https://github.com/pytorch/examples/tree/main/vae).
"""

import torch

from benchmarks.peers.model import VAE, adagrad, minibatches, negative_elbo
from benchmarks.peers.workload import Clock, Measurement, parser, report


def measure(seconds: float, threads: int) -> Measurement:
    """Train for `seconds` after a warm-up and return the speed and the memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that PyTorch may use.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    loader = minibatches()
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
                return clock.measurement()


if __name__ == "__main__":
    report(measure, parser(__doc__).parse_args())
