"""Pareto k: whether an importance-sampling estimate can be trusted, from its largest weights.

Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto smoothed importance sampling", JMLR 25(72);
the fit of the generalised Pareto distribution: Zhang & Stephens 2009,
doi:10.1198/tech.2009.08017.
"""

import torch
from jaxtyping import Float
from torch import Tensor

FEWEST = 25  # fewest weights from which a tail can be fitted
PRIOR_STRENGTH = 10  # of k = 0.5, as in Vehtari et al., Appendix C


def pareto_k(log_weight: Float[Tensor, "seed sample batch"]) -> Float[Tensor, "seed batch"]:
    """Shape k of the generalised Pareto distribution fitted to the largest weights.

    Below 0.5 the weights' variance is finite, and the error falls with the square root of their
    number. Above 0.7 the error is too large to be trusted. NaN for fewer than 25 weights.
    """
    # The tail: the largest weights, min(S / 5, 3 sqrt(S)) of them (Vehtari et al.).
    n_samples = log_weight.shape[1]
    n_tail = int(min(0.2 * n_samples, 3 * n_samples**0.5))
    if n_samples < FEWEST or n_tail < 5:
        return torch.full_like(log_weight[:, 0], torch.nan)
    # Exceedances over the largest weight outside the tail, in ascending order. Scaling all weights
    # leaves the shape as it is, so the largest is made one.
    largest = log_weight.double().topk(n_tail + 1, 1).values
    largest = (largest - largest[:, :1]).exp()
    exceedance = (largest[:, :-1] - largest[:, -1:]).flip(1).clamp_min(1e-300)
    return _fit(exceedance).to(log_weight)


def _fit(sorted_: Float[Tensor, "seed tail batch"]) -> Float[Tensor, "seed batch"]:
    """Zhang & Stephens' posterior mean of k, shrunk towards 0.5."""
    # A grid of values of b = -k / sigma, from the data's first quartile and maximum: given b, the
    # likelihood of k has its maximum in closed form, so one dimension is left.
    n = sorted_.shape[1]
    n_grid = 30 + int(n**0.5)
    places = torch.arange(1, n_grid + 1, dtype=sorted_.dtype, device=sorted_.device)
    quartile = sorted_[:, int(n / 4 + 0.5) - 1].unsqueeze(1)
    spread = (1 - (n_grid / (places - 0.5)).sqrt()).view(1, -1, 1)
    b = spread / (3 * quartile) + 1 / sorted_[:, -1:]  # (seed, grid, batch)
    k = torch.stack([torch.log1p(-one.unsqueeze(1) * sorted_).mean(1) for one in b.unbind(1)], 1)
    # Mean of b, weighted by the profile likelihood on the grid; then k at that b.
    profile = n * ((-b / k).log() - k - 1)
    weight = torch.softmax(profile, 1)
    b = (b * weight).sum(1, keepdim=True)
    k = torch.log1p(-b * sorted_).mean(1)
    # A weak prior, worth ten observations of k = 0.5, steadies short tails.
    return (n * k + PRIOR_STRENGTH * 0.5) / (n + PRIOR_STRENGTH)
