"""Peer: the training loop that PyTorch's own documentation teaches.

It follows the tutorial "Optimizing Model Parameters"
(https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html) and the official
example of a variational auto-encoder (https://github.com/pytorch/examples/tree/main/vae). With
`--compile`, the loss is compiled as in the tutorial "Introduction to torch.compile"
(https://docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html).
"""

import torch
from torch import Tensor

from benchmarks.peers.model import VAE, adagrad, minibatches, negative_elbo
from benchmarks.peers.workload import Clock, Measurement, parser, report


def measure(seconds: float, threads: int, compile: bool = False) -> Measurement:
    """Train for `seconds` after a warm-up and return the speed and the memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that PyTorch may use.
    compile
        Whether torch compiles model and loss, gradients included.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    loader = minibatches()
    model = VAE()
    optimizer = adagrad(model)
    clock = Clock(seconds)
    model.train()

    def loss_of(x: Tensor) -> Tensor:
        logits, mean, log_variance = model(x)
        return negative_elbo(logits, mean, log_variance, x)

    if compile:
        loss_of = torch.compile(loss_of)
    while True:
        for (x,) in loader:
            loss = loss_of(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if clock.tick():
                return clock.measurement()


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--compile", action="store_true", help="let torch compile the loss")
    report(measure, options.parse_args())
