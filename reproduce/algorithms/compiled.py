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
FOLDER = f"aevb-compiled-{platform.node()}-"  # its process's number and something random follow


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

        # torch keeps what it compiled with the code, and no more than a few of them: each stack
        # has code of its own, since one process compiles many.
        run.__code__ = run.__code__.replace()
        self._options: dict[str, Any] = {}
        if device.type == "cpu":
            # One process, so that none is left where this one is killed.
            self._options = {
                "cpp_wrapper": True,
                "cpp.threads": threads,
                "compile_threads": 1,
                # 150 MB a compiler command, for good, in torch's shared folder.
                "cpp_cache_precompile_headers": False,
            }
        checked: dict[str, Any] = {"guard_filter_fn": _all_but_tensors}
        self._run = torch.compile(
            run, fullgraph=True, dynamic=False, backend=self._generate, options=checked
        )
        self._what = what
        self._ready = False

    def __call__(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Take the step."""
        if self._ready:
            return self._again(noise)
        try:
            # What Dynamo leaves out in torch's releases: code that calls `torch.autograd.grad`.
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
        self._ready = True
        return found

    def _again(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Take the step that is compiled already, or refuse where it is another one by now."""
        try:
            return self._run(noise)
        except TorchDynamoException as error:  # traced again, if it could be
            raise UserError(
                f"compile=true, but {self._what} depend on a Python value that changes from "
                "step to step; set graphs_allowed = False in the class "
                "(docs/add-a-method.md), or train with compile=false."
            ) from error

    def _generate(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        """Compile what was traced, by torch's own compiler, the first time that it was."""
        if self._ready:
            raise _AnotherStep
        return compile_fx(graph, inputs, config_patches=self._options)


class _AnotherStep(Exception):
    """A step was traced again."""


def _all_but_tensors(guards: Sequence[Any]) -> list[bool]:
    """Choose what is checked at a call: all that a method might change but its tensors.

    Within a stack no shape ever changes, and to check all of them took a tenth of a step.
    """
    return [guard.guard_type != "TENSOR_MATCH" for guard in guards]


@cache
def _folder_of(process: int) -> Path:
    """Make a folder for what this process compiles; remove those of processes that are gone.

    torch's own folder is shared and kept: a process killed while the compiler links would leave a
    broken library there, which every later one would load.
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
    if os.name != "posix":  # where the signal below would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _reason(error: BaseException) -> str:
    """What kind of fault it was in the end, and the line of it that says what."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"No space|error:|not found|No such", line)]
    said = ": ".join([type(error).__name__, *(telling or lines)[:1]])
    return said if said.endswith((".", "!", "?")) else f"{said}."
