"""A reproduction of Auto-Encoding Variational Bayes (Kingma & Welling, 2013)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproduce.trained import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Import on demand: torch takes seconds, and not every command needs it."""
    if name == "load_model":
        from reproduce.trained import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
