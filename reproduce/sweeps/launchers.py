"""Hydra's launchers: what each needs, and how a sweep's jobs share the cores of the machine.

Each has a file in conf/hydra/launcher/. Jobs on this machine, however many and however launched,
use each core once: with `n` at once each has a share of `cores // n`.
"""

import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from reproduce.common.checks import shown
from reproduce.common.errors import UserError
from reproduce.common.machine import available_cores

# The files in conf/hydra/launcher/ bear the names of the plugins' own configurations, with which
# Hydra merges them, and warns that one day it will not. They are complete without.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against")

BASIC = "basic"
POOL = "pool"
"""Not Hydra's: our own processes, where no launcher is named."""
ON_THIS_MACHINE = ("joblib", "submitit_local")
"""Launchers whose jobs are other processes of this machine."""
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
    constraints
        The file with the exact versions that it was tested with.
    """

    name: str
    plugin: str
    constraints: str = "constraints.txt"


EXTRAS = {
    "joblib": Extra("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "submitit_local": Extra("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_slurm": Extra("submitit", "hydra_plugins.hydra_submitit_launcher"),
    "ray": Extra("ray", "hydra_plugins.hydra_ray_launcher", "constraints-ray.txt"),
}


def check_installed(launcher: str) -> None:
    """Find out before Hydra, which would say it in a traceback, whether a launcher is there."""
    extra = EXTRAS.get(launcher)
    if extra and not _is_installed(extra.plugin):
        raise UserError(
            f"hydra/launcher={launcher} needs the extra {extra.name!r}; install it with "
            f"`pip install -c {extra.constraints} -e '.[{extra.name}]'`."
        )
    if launcher == "submitit_slurm" and shutil.which("srun") is None:
        raise UserError(
            "hydra/launcher=submitit_slurm needs Slurm, and there is no srun here; start the sweep "
            "on a cluster's login node, or use hydra/launcher=submitit_local."
        )


def check_counts(given: Mapping[str, Any]) -> None:
    """Find out before Hydra, which would say it in a traceback, whether counts are counts."""
    for name in ("hydra.sweeper.max_batch_size", "hydra.launcher.n_jobs"):
        _count(name, given)
    batch = given.get("hydra.launcher.batch_size")
    if batch != "auto":
        _count("hydra.launcher.batch_size", given)


@dataclass(frozen=True)
class Division:
    """How the jobs of a sweep divide this machine.

    Attributes
    ----------
    at_once, cores
        How many jobs run at a time, and how many cores each of them has.
    """

    at_once: int
    cores: int

    def __str__(self) -> str:
        """For people: `2 at once on 1 core each`."""
        return f"{self.at_once} at once on {self.cores} core{'s' if self.cores > 1 else ''} each"


def division(launcher: str, n_jobs: int, given: Mapping[str, Any]) -> Division | None:
    """Return how `n_jobs` jobs divide this machine; None where they run on others.

    Parameters
    ----------
    launcher
        The name of a file of conf/hydra/launcher/, or of another launcher.
    n_jobs
        How many jobs the sweep has.
    given
        The settings of Hydra's that the user gives, which stay as they are.
    """
    cores = available_cores()
    fair = cores // min(cores, n_jobs)
    if launcher == BASIC:
        return Division(1, cores)
    if launcher in ("joblib", POOL):
        at_once = _joblib_at_once(_count("hydra.launcher.n_jobs", given) or min(cores, n_jobs))
        return Division(at_once, cores // at_once or 1)
    if launcher == "submitit_local":
        each = _count("hydra.launcher.cpus_per_task", given) or fair
        return Division(_count("hydra.sweeper.max_batch_size", given) or cores // each or 1, each)
    address = given.get("hydra.launcher.ray.init.address", os.environ.get("RAY_ADDRESS"))
    if launcher == "ray" and address in (None, "local"):  # a cluster started for this sweep
        each = _count("hydra.launcher.ray.remote.num_cpus", given) or fair
        return Division(cores // each or 1, each)
    return None


def fitting(launcher: str, divided: Division | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of Hydra's, beside those `given`, that divide this machine so."""
    if divided is None:
        return {}
    found: dict[str, dict[str, Any]] = {
        "joblib": {"hydra.launcher.n_jobs": divided.at_once},
        "submitit_local": {
            "hydra.launcher.cpus_per_task": divided.cores,
            "hydra.sweeper.max_batch_size": divided.at_once,  # it starts all of a batch at once
        },
        "ray": {
            "hydra.launcher.ray.init.num_cpus": available_cores(),
            "hydra.launcher.ray.remote.num_cpus": divided.cores,
        },
    }
    settings = found.get(launcher, {})
    return {key: value for key, value in settings.items() if key not in given}


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
        allowed = cores // _joblib_at_once(int(settings.n_jobs))
    elif name.startswith("submitit"):
        allowed = int(settings.cpus_per_task or 1)
    elif name == "ray":
        allowed = int(settings.ray.remote.get("num_cpus") or 1)
    else:
        allowed = 1  # a launcher that we do not know
    return max(1, min(allowed, cores))


def _joblib_at_once(n_jobs: int) -> int:
    """Count as joblib does: -1 is one for each core, -2 one fewer."""
    return n_jobs if n_jobs > 0 else max(1, available_cores() + 1 + n_jobs)


def _count(name: str, given: Mapping[str, Any]) -> int | None:
    """Return a number of jobs or cores that the user gives; None where there is none."""
    value = given.get(name)
    if value is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value == 0 or (value < 0 and not name.endswith("n_jobs")):
        raise UserError(f"{name} must be a whole number greater than zero, not {shown(value)}.")
    return int(value)


def _is_installed(plugin: str) -> bool:
    try:
        return find_spec(plugin) is not None
    except ModuleNotFoundError:  # there are no plugins at all
        return False
