"""Minibatch steps compiled by torch (`compile=true`).

Step by step, torch runs about a hundred operators, each of which reads and writes whole tensors.
`torch.compile` traces a step once, with its gradient and Adagrad's update, and generates the loops
between the matrix products, each as one pass over the memory: C++ on a CPU, Triton on a GPU.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.runtime import is_out_of_memory

Step = Callable[[Mapping[str, Tensor]], Tensor]


class CompiledStep:
    """`step`, compiled when it is first called.

    Parameters
    ----------
    step
        Takes the random numbers of one minibatch step. Every call must do the same operations on
        tensors of the same shapes, and read nothing back from the device.
    device
        Where.
    threads
        Of the generated loops on a CPU.
    what
        What is compiled, for messages.
    """

    def __init__(self, step: Step, device: torch.device, threads: int, what: str) -> None:
        def run(noise: Mapping[str, Tensor]) -> Tensor:
            return step(noise)

        # torch keeps what it compiled with the code, which two stacks of members must not share:
        # nothing is checked at a call whether it was compiled for this one.
        run.__code__ = run.__code__.replace()
        options: dict[str, Any] = {"guard_filter_fn": _none_of_them}
        if device.type == "cpu":
            # One process, so that none is left where this one is killed.
            options |= {"cpp_wrapper": True, "cpp.threads": threads, "compile_threads": 1}
        self._run = torch.compile(run, fullgraph=True, dynamic=False, options=options)
        self._what = what
        self._ready = False

    def __call__(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Take the step.

        Raises
        ------
        UserError
            Where torch cannot compile it.
        """
        if self._ready:
            return self._run(noise)
        _allow_gradients()
        try:
            found = self._run(noise)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"compile=true, but torch could not compile {self._what}. It needs a C++ compiler "
                "on a CPU (CXX names it), room for temporary files, and steps that never wait "
                "for a number (docs/add-a-method.md); compile=false trains without. torch says: "
                f"{_reason(error)}"
            ) from error
        self._ready = True
        return found


def _none_of_them(guards: list[object]) -> list[bool]:
    """Check nothing at a call: within a stack no shape and no setting ever changes."""
    return [False] * len(guards)


def _allow_gradients() -> None:
    """Let torch compile what calls `torch.autograd.grad`, which is off in its releases."""
    import torch._dynamo.config  # not before it is needed: half a second

    torch._dynamo.config.trace_autograd_ops = True


def _reason(error: BaseException) -> str:
    """What kind of fault it was, and what torch says of it first."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return said if said.endswith((".", "!", "?")) else f"{said}."
