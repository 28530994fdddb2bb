"""Cells: what is trained, known by an id that its mathematics decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reproduce.common import identity
from reproduce.common.errors import UserError


@dataclass(frozen=True)
class Cell:
    """One curve pair of a figure.

    Attributes
    ----------
    dataset, algorithm, n_latent, n_train
        The coordinates that curves are labelled with.
    settings
        Plain nested containers: everything else that changes the mathematics, in the form of
        `identity.canonical`.
    """

    dataset: str
    algorithm: str
    n_latent: int
    n_train: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse impossible sizes, and bring settings into the form that is hashed."""
        object.__setattr__(self, "settings", identity.canonical(self.settings))
        for name, value in (
            ("model.n_latent", self.n_latent),
            *(("model.n_hidden", width) for width in self.widths),
            ("data.n_train", self.n_train),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise UserError(f"{name} must be a whole number greater than zero, not {value!r}.")

    @property
    def id(self) -> str:
        """A readable name that differs whenever the mathematics does."""
        digest = identity.digest(self.as_dict())
        return f"{self.dataset}-{self.algorithm}-z{self.n_latent}-n{self.n_train}-{digest}"

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, as stored in `cell.json`."""
        return {
            "dataset": self.dataset,
            "algorithm": self.algorithm,
            "n_latent": self.n_latent,
            "n_train": self.n_train,
            "settings": dict(self.settings),
        }

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the encoder's hidden layers, from x to z; the decoder's are the reverse."""
        given = self.settings["model"]["n_hidden"]
        return tuple(given) if isinstance(given, list) else (given,)

    @property
    def reading(self) -> str | Mapping[str, Any] | None:
        """How the data set is split, of a user's own also read; None: as it first was."""
        return self.settings.get("data", self.settings.get("split"))

    @property
    def title(self) -> str:
        """A short name for people."""
        return f"{self.dataset} N_z={self.n_latent} {self.algorithm}"
