"""How far compiled and eager steps are from the same steps in float64; run by test_compiled.py.

A program of its own: torch cannot compile what checks shapes at run time, as tests do.
"""

import json
import sys

import torch

from building import algorithm, parameters
from reproduce.common.machine import prepare
from reproduce.data.images import ImageData
from reproduce.models import decoders, kernels

STEPS = 3


def errors(name: str, decoder: str, onednn: bool) -> dict[str, dict[str, float]]:
    """Largest error of a weight, and of a datapoint's bound in nats, after a few steps."""
    prepare(threads=1)
    kernels._serves = torch.compiler.assume_constant_result(lambda: onednn)
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (340, 64), generator=source, dtype=torch.uint8)
    images = ImageData("made_up", pixels[:300], pixels[300:], 1 / 256, (8, 8), "", "")
    settings = {"hidden": 100, "std": 0.01, "batch_size": 100, "warmup_steps": 0}
    eager, compiled, exact = (
        algorithm(name, images, decoder=getattr(decoders, decoder), step_size=0.02, **settings)
        for _ in range(3)
    )
    compiled.compile_steps()
    exact.model.double()
    optimizers = exact.configure_optimizers()
    exact._raw_optimizers = lambda: optimizers
    drawn = eager._draw(0)
    for step in range(STEPS):
        noise = {key: values[:, step] for key, values in drawn.items()}
        bounds = {"eager": eager._minibatch_step(noise), "compiled": compiled._compiled(noise)}
        wide = {key: values.double() for key, values in noise.items() if key != "index"}
        reference = exact.step(exact.pixels(noise["index"]).double(), wide)
    # A smaller stack, after the first in the same process.
    settings["hidden"] = 80
    twins = [
        algorithm(
            name, images, (7, 8), decoder=getattr(decoders, decoder), step_size=0.02, **settings
        )
        for _ in range(2)
    ]
    twins[1].compile_steps()
    for step in range(STEPS):
        noise = {key: values[:, step] for key, values in drawn.items()}
        for take in (twins[0]._minibatch_step, twins[1]._compiled):
            take(noise)
    found = {
        way: {
            "weight": (parameters(built) - parameters(exact)).abs().max().item(),
            "bound": (bounds[way] - reference).abs().max().item(),
        }
        for way, built in (("eager", eager), ("compiled", compiled))
    }
    found["second stack"] = {
        "weight": (parameters(twins[0]) - parameters(twins[1])).abs().max().item()
    }
    return found


if __name__ == "__main__":
    print(json.dumps(errors(sys.argv[1], sys.argv[2], sys.argv[3] == "onednn")))
