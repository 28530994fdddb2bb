"""Adagrad (Duchi, Hazan & Singer 2011, JMLR 12, p. 2121) with the paper's weight prior."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adagrad import adagrad

EPSILON = 1e-8


class Adagrad(torch.optim.Adagrad):
    """G += g²; theta += step_size · g / sqrt(G + 1e-8), for stacked seeds.

    Parameters
    ----------
    module
        The module to train; its parameters named `weight` are matrices.
    step_size
        Eta (Kingma & Welling 2013, section 5).
    prior
        M/N. The prior N(0, I) on matrices adds (M/N) log p(theta) to the sum of a minibatch's
        bounds (section 5). Its gradient -(M/N) theta is a weight decay of exactly M/N.
    """

    def __init__(self, module: nn.Module, step_size: float, prior: float) -> None:
        named = list(module.named_parameters())
        matrices = [parameter for name, parameter in named if name.endswith("weight")]
        biases = [parameter for name, parameter in named if not name.endswith("weight")]
        # Epsilon lies under the root, G + 1e-8. torch adds its `eps` outside, so ours is 0 and G
        # starts at 1e-8 instead: the same numbers.
        fused = _fused_runs_on(named[0][1].device)
        super().__init__(
            [{"params": matrices, "weight_decay": prior}, {"params": biases}],
            lr=step_size,
            initial_accumulator_value=EPSILON,
            eps=0,
            fused=fused or None,
            foreach=None if fused else True,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load sums and settings, but keep this device's choice of kernels."""
        own = {name: self.param_groups[0][name] for name in ("fused", "foreach")}
        groups = [{**group, **own} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})

    @property
    def parameters(self) -> list[Tensor]:
        """All trained parameters, in the order in which `update` takes gradients."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor | None]) -> None:
        """Take one step along `gradients`; a parameter whose gradient is None stays as it is.

        The arithmetic is that of `step`. Left out are its bookkeeping, which on a CPU takes as long
        as the arithmetic, and the copies of gradients in `parameter.grad`.
        """
        rest = iter(gradients)
        compiling = torch.compiler.is_compiling()  # a compiled step is fused by the compiler
        for group in self.param_groups:
            # A parameter without a gradient is left out of both sides: not even its weight decays.
            used = [(p, g) for p, g in zip(group["params"], rest, strict=False) if g is not None]
            adagrad(
                [parameter for parameter, _ in used],
                [gradient for _, gradient in used],
                [self.state[parameter]["sum"] for parameter, _ in used],
                [self.state[parameter]["step"] for parameter, _ in used],
                fused=group["fused"] and not compiling,
                foreach=group["foreach"] or compiling,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                lr_decay=group["lr_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )


def _fused_runs_on(device: torch.device) -> bool:
    """Whether this build of torch has the fused kernel for `device`."""
    probe = nn.Parameter(torch.zeros(1, device=device))
    probe.grad = torch.zeros(1, device=device)
    try:
        torch.optim.Adagrad([probe], fused=True).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True
