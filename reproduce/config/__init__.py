"""From Hydra's configuration to plain values: overrides, cells, jobs, folders.

What a user can get wrong is found here, before anything is trained or written.
"""

import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reproduce.common import own_files
from reproduce.common.checks import one_of
from reproduce.common.errors import UserError
from reproduce.common.names import ALGORITHM_NAMES, DATASET_NAMES
from reproduce.config.overrides import CONF as CONF
from reproduce.config.overrides import compose_config as compose_config
from reproduce.config.schema import checked, setting
from reproduce.store.cell import Cell
from reproduce.training.job import Job


def cell_from(config: DictConfig) -> Cell:
    """Return the cell that `config` describes, all interpolations resolved."""
    own_files.check_labels("algorithm", ALGORITHM_NAMES.values())
    own_files.check_labels("data", DATASET_NAMES.values())
    reading = _reading(config.data)  # first: other settings are looked up by the data set's name
    if not isinstance(config.algorithm, DictConfig):
        raise UserError("The algorithm's file is no mapping; docs/add-a-method.md has an example.")
    algorithm = _plain(config.algorithm)
    for key in ("name", "_target_"):
        if not isinstance(algorithm.get(key), str):
            raise UserError(
                f"The algorithm's file lacks {key}; docs/add-a-method.md has an example."
            )
    if not re.fullmatch(r"\w+", algorithm["name"]):
        raise UserError(
            f"algorithm.name may have letters, digits and underscores, not {algorithm['name']!r}."
        )
    plain = checked({"algorithm": algorithm, "model": _plain(config.model)})
    algorithm, model = plain["algorithm"], plain["model"]
    algorithm.pop("label", None)  # what a reader sees is no part of what is trained
    return Cell(
        dataset=config.data.name,
        algorithm=algorithm.pop("name"),
        n_latent=model.pop("n_latent"),
        n_train=setting(config, "data.n_train"),
        settings={"algorithm": algorithm, "model": model, **reading},
    )


def _reading(section: DictConfig) -> dict[str, Any]:
    """Return the split of a data set that has several; of a user's own, how it is read."""
    from reproduce.data import own  # with torch, which takes seconds
    from reproduce.data.registry import DATASETS, SPLITS

    name = section.get("name")
    if name not in DATASETS or "train" in section:
        return {"data": own.reading(_plain(section))}
    if "split" not in section:
        return {}
    return {"split": one_of("data.split", section.split, SPLITS[name])}


def job_from(config: DictConfig) -> Job:
    """Return the job that `config` describes: its cell, how far, how many seeds, and where."""
    mode = setting(config, "tracking.mode")
    if mode != "off" and "folder" not in config.tracking:
        raise UserError(
            f"tracking.mode={mode} needs a folder and a project; give tracking={mode} instead."
        )
    tracking = _plain(config.tracking)
    if "folder" in tracking:
        tracking["folder"] = str(tracking_places(config)[0])
    workers(config)
    return Job(
        cell=cell_from(config),
        seeds=tuple(range(setting(config, "seeds"))),
        samples=setting(config, "samples"),
        store=runs_folder(config),
        data_dir=data_dir(config),
        device=setting(config, "device"),
        threads=setting(config, "threads"),
        compiled=setting(config, "compile"),
        tracking=tracking,
    )


def tracking_places(config: DictConfig) -> tuple[Path, str]:
    """The folder of W&B's runs, and their project."""
    return Path(setting(config, "tracking.folder")), setting(config, "tracking.project")


def results_folder(config: DictConfig) -> Path:
    """Where all results go."""
    return Path(setting(config, "results"))


def runs_folder(config: DictConfig) -> Path:
    """The store of cells."""
    return results_folder(config) / "runs"


def data_dir(config: DictConfig) -> str | None:
    """The user's folder of data files, where one is given."""
    return os.path.expanduser(str(config.data.dir)) if config.data.dir else None


def trains(config: DictConfig) -> bool:
    """Whether to train; otherwise a study is of what is there already."""
    return setting(config, "train")


def workers(config: DictConfig) -> int | None:
    """How many processes, None for as many as fit."""
    return setting(config, "workers")


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
