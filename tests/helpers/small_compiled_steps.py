"""What becomes of small steps when they are compiled, as JSON; run by `test_compiled.py`."""

import enum
import json

import torch

from reproduce.algorithms import compiled
from reproduce.algorithms.compiled import CompiledStep
from reproduce.common.errors import UserError

Kind = enum.Enum("Kind", "A B")
STEPS = 4


class Tensors:
    """Depends on nothing but tensors, one of which it replaces."""

    def __init__(self):
        self.mean = torch.zeros(3)

    def step(self, noise):
        self.mean = 0.9 * self.mean + 0.1 * noise["x"]
        return noise["x"] - self.mean


class Number(Tensors):
    taken = 0

    def step(self, noise):
        self.taken += 1
        return noise["x"] * self.taken


class Length(Tensors):
    def __init__(self):
        self.history = []

    def step(self, noise):
        self.history.append(1.0)
        return noise["x"] * len(self.history)


class Attribute(Tensors):
    def step(self, noise):
        if not hasattr(self, "seen"):
            self.seen = True
            return noise["x"] * 100
        return noise["x"]


class Choice(Tensors):
    kind = Kind.A

    def step(self, noise):
        self.kind = Kind.B if self.kind is Kind.A else Kind.A
        return noise["x"] * (2 if self.kind is Kind.A else 3)


class WaitsLater(Tensors):
    taken = 0

    def step(self, noise):
        self.taken += 1
        return noise["x"] * noise["x"].sum().item() if self.taken > 2 else noise["x"]


def outcome(kind):
    """What eager and compiled steps of `kind` say of each other."""
    noises = [{"x": torch.arange(3.0) + 1 + i} for i in range(STEPS)]
    eager = kind()
    expected = [eager.step(noise) for noise in noises]
    take = CompiledStep(kind().step, torch.device("cpu"), 1, "these steps")
    try:
        found = [take(noise).clone() for noise in noises]
    except UserError as error:
        return str(error)
    same = all(torch.allclose(a, b) for a, b in zip(expected, found, strict=True))
    return "the same" if same else "another"


if __name__ == "__main__":
    given = []
    original = compiled.compile_fx

    def recorded(graph, inputs, config_patches):
        given.append(config_patches)
        return original(graph, inputs, config_patches=config_patches)

    compiled.compile_fx = recorded
    kinds = (Tensors, Number, Length, Attribute, Choice, WaitsLater)
    found = {kind.__name__: outcome(kind) for kind in kinds}
    twelve = [outcome(Tensors) for _ in range(12)]  # torch by itself compiles one code 8 times
    print(json.dumps({**found, "twelve stacks": twelve, "options": given[0]}))
