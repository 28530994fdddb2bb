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
        Runs a block's steps on random numbers. It must not wait for the device, nor copy to or
        from it, and must have run once before, so that the capture sets nothing up.
    noise
        The tensors that hold its random numbers. Capturing executes nothing.
    """

    def __init__(
        self, steps: Callable[[Mapping[str, Tensor]], None], noise: dict[str, Tensor]
    ) -> None:
        self.noise = noise
        # An earlier cell's graph, collected during the capture, would spoil it.
        gc.collect()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            steps(noise)

    def replay(self) -> None:
        """Run the steps on what `noise` holds now."""
        self._graph.replay()
