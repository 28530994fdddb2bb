"""Minibatch steps compiled by torch (`compile=true`).

Step by step, torch runs about a hundred operators, each of which reads and writes whole tensors.
`torch.compile` traces a step once, with its gradient and Adagrad's update, and generates the loops
between the matrix products, each as one pass over the memory: C++ on a CPU, Triton on a GPU.
"""

import atexit
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch._dynamo.config
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.compile_fx import compile_fx

from reproduce.common.errors import UserError
from reproduce.common.machine import is_out_of_memory

Step = Callable[[Mapping[str, Tensor]], Tensor]
FOLDER = f"aevb-compiled-{platform.node()}-"  # the process id and a random part follow


class CompiledStep:
    """`step`, compiled when it is first called.

    Parameters
    ----------
    step
        One minibatch step, from its random numbers. Every call must do the same operations on
        tensors of the same shapes, and read nothing back from the device.
    device
        The device to compile for.
    threads
        Threads of the generated loops on a CPU.
    what
        Name of the step, for messages.

    Attributes
    ----------
    ready
        Whether it has been compiled.
    """

    def __init__(self, step: Step, device: torch.device, threads: int, what: str) -> None:
        def run(noise: Mapping[str, Tensor]) -> Tensor:
            return step(noise)

        # torch caches a few compiled versions per code object. One process compiles many stacks, so
        # each gets a code object of its own.
        run.__code__ = run.__code__.replace()
        self._options: dict[str, Any] = {}
        if device.type == "cpu":
            # `compile_threads` 1: no helper processes, which would outlive this one if killed.
            self._options = {
                "cpp_wrapper": True,
                "cpp.threads": threads,
                "compile_threads": 1,
                # Precompiled headers: 150 MB per compiler command, never removed.
                "cpp_cache_precompile_headers": False,
                # The processor is asked which vectors it has; torch would also compile a program
                # per kind of vector, in every process, to see that the compiler knows it.
                "cpp.vec_isa_ok": True,
            }
        checked: dict[str, Any] = {"guard_filter_fn": _keep_guards}
        self._run = torch.compile(
            run, fullgraph=True, dynamic=False, backend=self._generate, options=checked
        )
        self._what = what
        self.ready = False

    def __call__(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Take the step."""
        if self.ready:
            return self._repeat(noise)
        try:
            # torch's releases do not trace `torch.autograd.grad` unless told to.
            torch._dynamo.config.trace_autograd_ops = True
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_folder_of(os.getpid()))
            found = self._run(noise)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"compile=true, but torch could not compile {self._what}. It needs a C++ compiler "
                "(CXX names it), a few MB for temporary files (TMPDIR says where), and steps that "
                "never wait for a number (docs/add-a-method.md); "
                f"compile=false trains without. torch says: {_reason(error)}"
            ) from error
        self.ready = True
        return found

    def _repeat(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Take the compiled step; refuse one that would have to be traced again."""
        try:
            return self._run(noise)
        except TorchDynamoException as error:  # `_generate` refused a second trace
            raise UserError(
                f"compile=true, but {self._what} depend on a Python value that changes from "
                "step to step; set static_step = False in the class "
                "(docs/add-a-method.md), or train with compile=false."
            ) from error

    def _generate(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        """Compile the traced step by torch's own compiler, once."""
        if self.ready:
            raise _TracedAgain
        return compile_fx(graph, inputs, config_patches=self._options)


class _TracedAgain(Exception):
    """A compiled step changed, so that torch traced it a second time."""


def _keep_guards(guards: Sequence[Any]) -> list[bool]:
    """Guard on everything except tensor metadata, which never changes within a stack.

    Checking it took a tenth of a step.
    """
    return [guard.guard_type != "TENSOR_MATCH" for guard in guards]


@cache
def _folder_of(process: int) -> Path:
    """Make a folder for this process's libraries; remove those of processes that are gone.

    torch's own folder is shared and permanent: a process killed while linking would leave a broken
    library there, which every later process would load.
    """
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{FOLDER}*"):
        found = re.match(rf"{re.escape(FOLDER)}(\d+)-", folder.name)
        if found and not _is_alive(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{process}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _reason(error: BaseException) -> str:
    """Type of the innermost error, and the line of its text that says what is wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"No space|error:|not found|No such", line)]
    said = ": ".join([type(error).__name__, *(telling or lines)[:1]])
    return said if said.endswith((".", "!", "?")) else f"{said}."
