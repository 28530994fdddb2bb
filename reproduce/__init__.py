"""A reproduction of Auto-Encoding Variational Bayes (Kingma & Welling, 2013)."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproduce.store.load import load_model

# Threads of one operator wait for each other by spinning, by default for milliseconds: on a machine
# that is busy with something else they so keep the thread they wait for from its core. This makes
# them sleep sooner. GNU's OpenMP reads it when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _forget_folder_of_compiled_steps() -> None:
    """Have torch use its default folder where the one that is named cannot be used.

    Torch makes the folder when parts of it are loaded, whether or not anything is compiled, and
    fails if it cannot. What we compile goes elsewhere (`algorithms/compiled.py`).
    """
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if folder is None:
        return
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        del os.environ["TORCHINDUCTOR_CACHE_DIR"]


_forget_folder_of_compiled_steps()

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Import on demand: torch takes seconds, and not every command needs it."""
    if name == "load_model":
        from reproduce.store.load import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
