"""Jobs: what to train, how far and where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reproduce.store.cell import Cell

Report = Callable[[str, Any], None]


@dataclass(frozen=True)
class Job:
    """Train some seeds of a cell up to a number of samples.

    Attributes
    ----------
    cell, seeds, samples
        What, which seeds, and how far.
    store, data_dir
        Folders: of the cells, and of the user's data files.
    device, threads
        Where, and how many threads torch's operators may use.
    compiled
        Whether to compile the steps of algorithms that allow it; "auto": where it pays.
    tracking
        The configuration of W&B.
    snapshots
        At how many samples to keep the weights, each rounded up to what training can stop at.
    """

    cell: Cell
    seeds: tuple[int, ...]
    samples: int
    store: Path
    data_dir: str | None = None
    device: str = "auto"
    threads: int = 1
    compiled: bool | Literal["auto"] = False
    tracking: Mapping[str, Any] = field(default_factory=lambda: {"mode": "off"})
    snapshots: tuple[int, ...] = ()
