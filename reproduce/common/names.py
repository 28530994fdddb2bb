"""Names: of the columns of curves, and of data sets and algorithms as a reader sees them."""

from collections.abc import Iterable

from reproduce.common import own_files

CURVES: dict[str, type] = {
    "dataset": str, "n_latent": int, "n_train": int, "algorithm": str, "seed": int, "split": str,
    "samples": int, "value": float,
}  # fmt: skip
"""Columns of any table of curves, one row per evaluation point; values in nats per datapoint."""
PANEL = ["dataset", "n_latent", "n_train"]
"""Columns that name a panel of a figure."""
PLACE = ["dataset", "n_latent", "algorithm"]
"""Columns that name a cell of experiment 1, whose panels are all of one N_train."""
CURVE = [*PANEL, "algorithm", "split"]
"""Columns that name a curve, of which every seed has one."""

DATASET_NAMES = {
    "mnist": "MNIST",
    "freyface": "Frey Face",
    # Always by its full name: nobody may take these 8×8 digits for MNIST.
    "digits": "scikit-learn digits",
    "digits_continuous": "scikit-learn digits, continuous",
}
PAPER_DATASETS = ("mnist", "freyface")
"""The others stand in for them, or are the user's own."""
ALGORITHM_NAMES = {
    "aevb": "AEVB",
    "wake_sleep": "Wake-Sleep",
    "mcem": "MCEM",
    "full_vb": "Full VB",
}
PAPER_ALGORITHMS = ("aevb", "wake_sleep", "mcem")
"""Those of its figures."""


def dataset_name(dataset: str) -> str:
    """Name of a dataset for a reader; a user's own has its file's label, or else its name."""
    return DATASET_NAMES.get(dataset) or own_files.label("data", dataset) or dataset


def algorithm_name(algorithm: str) -> str:
    """Name of an algorithm for a reader; a user's own has its file's label, or else its name."""
    return ALGORITHM_NAMES.get(algorithm) or own_files.label("algorithm", algorithm) or algorithm


def in_order(values: Iterable[str], known: Iterable[str]) -> list[str]:
    """Distinct `values`: those in `known` in its order, then the others by the alphabet."""
    distinct, first = set(values), list(known)
    return [value for value in first if value in distinct] + sorted(distinct - set(first))


def short_number(value: float) -> str:
    """Write a number of samples as people say it: 1e6, 2.5e7."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
