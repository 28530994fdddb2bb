"""A block of training steps as one CUDA graph.

On a GPU the kernels of a minibatch step take less time than launching them one by one. A graph
launches those of a whole block at once. It repeats the same kernels on the same memory, so what
differs between blocks, the random numbers, is written into the tensors that it reads.
"""

import gc
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class BlockGraph:
    """The steps of a block, captured once and replayed for every block.

    Parameters
    ----------
    steps
        Runs the steps on random numbers; must not wait for the device, nor copy to or from it.
        It must have run once before, so that nothing is set up for the first time in a capture.
    noise
        The tensors that it reads its random numbers from. Capturing executes nothing.
    """

    def __init__(
        self, steps: Callable[[Mapping[str, Tensor]], None], noise: dict[str, Tensor]
    ) -> None:
        self.noise = noise
        gc.collect()  # a graph of an earlier cell that is destroyed during a capture spoils it
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            steps(noise)

    def replay(self) -> None:
        """Run the steps on what `noise` holds now."""
        self._graph.replay()
