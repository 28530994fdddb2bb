"""From Hydra's configuration to plain values: cells, jobs, folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from reproduce.errors import UserError
from reproduce.provenance import REPOSITORY
from reproduce.store import Cell
from reproduce.training import Job

CONF = REPOSITORY / "conf"


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose conf/config.yaml with `overrides`, outside of a Hydra application."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def cell_from(config: DictConfig) -> Cell:
    """Return the cell that `config` describes, all interpolations resolved."""
    algorithm = _plain(config.algorithm)
    model = _plain(config.model)
    return Cell(
        dataset=config.data.name,
        algorithm=algorithm.pop("name"),
        n_latent=model.pop("n_latent"),
        n_train=config.data.n_train,
        settings={"algorithm": algorithm, "model": model},
    )


def job_from(config: DictConfig) -> Job:
    """Return the job that `config` describes: its cell, how far, how many seeds, and where."""
    return Job(
        cell=cell_from(config),
        seeds=tuple(range(positive_integer("seeds", config.seeds))),
        samples=positive_integer("samples", config.samples),
        store=runs_folder(config),
        data_dir=data_dir(config),
        device=config.device,
        threads=positive_integer("threads", config.threads),
        tracking={**_plain(config.tracking), "figure": config.figure.name},
    )


def runs_folder(config: DictConfig) -> Path:
    """The store of cells."""
    return Path(config.results) / "runs"


def data_dir(config: DictConfig) -> str | None:
    """The user's folder of data files, where one is given."""
    return str(config.data.dir) if config.data.dir else None


def workers(config: DictConfig) -> int | None:
    """How many processes, None for as many as fit."""
    return None if config.workers is None else positive_integer("workers", config.workers)


def positive_integer(name: str, value: Any) -> int:
    """Return `value` as an integer; 1e6 is one.

    Raises
    ------
    UserError
        Unless it is a whole number greater than zero.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value != value // 1 or value <= 0:
        raise UserError(f"{name} must be a whole number greater than zero, not {value!r}.")
    return int(value)


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
