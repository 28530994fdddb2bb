"""Hydra's launchers: what each needs, and how a sweep's jobs share the cores of the machine.

Each has a file in conf/hydra/launcher/. Jobs on this machine, however many and however launched,
use each core once: with `n` at once each has a share of `cores // n`.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from reproduce.errors import UserError
from reproduce.runtime import available_cores

# The files in conf/hydra/launcher/ bear the names of the plugins' own configurations, with which
# Hydra merges them, and warns that one day it will not. They are complete without.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against")

BASIC = "basic"
PASSED_ON = ("METHODS", "DATA_DIR")
"""Variables that configurations read, which a worker on another machine would not have."""


@dataclass(frozen=True)
class Extra:
    """An optional extra of this package.

    Attributes
    ----------
    name
        As in pyproject.toml.
    plugin
        The module that it installs.
    """

    name: str
    plugin: str


EXTRAS = {
    "joblib": Extra("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "submitit_local": Extra("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_slurm": Extra("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "ray": Extra("ray", "hydra_plugins.hydra_ray_launcher"),
}


def check_installed(launcher: str) -> None:
    """Find out before Hydra, which would say it in a traceback, whether a launcher is there.

    Raises
    ------
    UserError
        Where its extra is not installed.
    """
    extra = EXTRAS.get(launcher)
    if extra and not _is_installed(extra.plugin):
        raise UserError(
            f"hydra/launcher={launcher} needs the extra {extra.name!r}; install it with "
            f"`pip install -c constraints.txt -e '.[{extra.name}]'`."
        )


def fitting(launcher: str, n_jobs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with which `n_jobs` jobs fit this machine.

    Parameters
    ----------
    launcher
        The name of a file of conf/hydra/launcher/, or of another launcher.
    n_jobs
        How many jobs the sweep has.
    given
        The settings of Hydra's that the user gives, which stay as they are.

    Returns
    -------
    dict
        From settings of Hydra's to values. Empty where another machine's cores are shared.
    """
    cores = available_cores()
    at_once = min(cores, n_jobs)
    found: dict[str, Any] = {}
    if launcher == "joblib":
        found["hydra.launcher.n_jobs"] = at_once
    elif launcher == "submitit_local":
        # It would start all jobs of a batch at once.
        key = "hydra.launcher.cpus_per_task"
        each = int(given.get(key) or cores // at_once)
        found[key] = each
        found["hydra.sweeper.max_batch_size"] = cores // each or 1
    elif launcher == "ray":
        address = given.get("hydra.launcher.ray.init.address", os.environ.get("RAY_ADDRESS"))
        if address in (None, "local"):  # a cluster started for this sweep, on this machine
            found["hydra.launcher.ray.init.num_cpus"] = cores
            found["hydra.launcher.ray.remote.num_cpus"] = cores // at_once
    return {key: value for key, value in found.items() if key not in given}


def passed_on() -> list[str]:
    """Return the variables of the environment that jobs should have wherever they run."""
    return [name for name in PASSED_ON if os.environ.get(name)]


def share(hydra: Any) -> int | None:
    """Return how many cores a job of a sweep may use; None for all of this machine's.

    Parameters
    ----------
    hydra
        Hydra's own configuration, in the job.
    """
    name = hydra.runtime.choices["hydra/launcher"]
    if name == BASIC:
        return None  # one job after another
    settings, cores = hydra.launcher, available_cores()
    if name == "joblib":
        at_once = int(settings.n_jobs)
        if at_once < 0:  # as joblib counts: -1 is one for each core
            at_once = max(1, cores + 1 + at_once)
        allowed = cores // at_once
    elif name.startswith("submitit"):
        allowed = int(settings.cpus_per_task or 1)
    elif name == "ray":
        allowed = int(settings.ray.remote.get("num_cpus") or 1)
    else:
        allowed = 1  # a launcher that we do not know
    return max(1, min(allowed, cores))


def _is_installed(plugin: str) -> bool:
    try:
        return find_spec(plugin) is not None
    except ModuleNotFoundError:  # there are no plugins at all
        return False
