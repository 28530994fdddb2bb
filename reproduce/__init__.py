"""A reproduction of Auto-Encoding Variational Bayes (Kingma & Welling, 2013)."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproduce.store.load import load_model

# Threads of one operator wait for each other by spinning, by default for milliseconds: on a machine
# that is busy with something else they so keep the thread they wait for from its core. This makes
# them sleep sooner. GNU's OpenMP reads it when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Import on demand: torch takes seconds, and not every command needs it."""
    if name == "load_model":
        from reproduce.store.load import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
