"""What a figure consists of, decided before anything is trained."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console

from reproduce import config, data
from reproduce.common.checks import whole_number, widths
from reproduce.common.errors import UserError
from reproduce.data.fallback import substitute_missing
from reproduce.experiments.study import Study
from reproduce.training.job import Job

DEFAULT_SETTINGS = "published"
"""A figure with other settings has a folder of its own, and says so."""
NEUTRAL = re.compile(
    r"(budget|seeds|samples|tracking|workers|threads|compile|device|results|train|data\.dir|data\.fallback|"
    r"figure|estimator|hydra|settings(?==))(?=[.=/@])"
)
"""Beginnings of overrides that a figure does not list as changed settings: they choose what is
trained and drawn, and change points of curves by rounding at most (`compile`, `device`, `threads`).
"""
SIZES = {"n_latent": "model.n_latent", "n_hidden": "model.n_hidden", "n_train": "data.n_train"}
"""From a panel's sizes to the settings that they are."""


@dataclass(frozen=True)
class PanelPlan:
    """One panel as a figure's configuration names it.

    Attributes
    ----------
    dataset, n_latent
        What every panel has.
    n_train, n_hidden, samples
        None: as the data set and the budget have it.
    """

    dataset: str
    n_latent: int
    n_train: int | None = None
    n_hidden: int | tuple[int, ...] | None = None
    samples: int | None = None

    @classmethod
    def parse(cls, name: str, given: Any) -> "PanelPlan":
        """Read one entry of a list of panels, which `name` names in complaints."""
        keys = {"data", "n_latent"}
        optional = {"n_train", "n_hidden", "samples"}
        if not isinstance(given, DictConfig) or not keys <= set(given) <= keys | optional:
            raise UserError(
                f"{name} must be a list such as "
                f"[{{data:mnist,n_latent:20}},{{data:freyface,n_latent:10}}], not {given}."
            )
        sizes: dict[str, Any] = {
            str(key): (widths if key == "n_hidden" else whole_number)(f"{key} in {name}", value)
            for key, value in given.items()
            if key != "data"
        }
        if isinstance(sizes.get("n_hidden"), list):
            sizes["n_hidden"] = tuple(sizes["n_hidden"])  # panels are compared by their hashes
        return cls(str(given.data), **sizes)

    @property
    def overrides(self) -> list[str]:
        """The panel as overrides."""
        sizes = {SIZES[name]: getattr(self, name) for name in SIZES}
        return [
            f"data={self.dataset}",
            *(
                f"{key}={list(size) if isinstance(size, tuple) else size}"
                for key, size in sizes.items()
                if size is not None
            ),
        ]

    def stand_in(self, dataset: str) -> "PanelPlan":
        """The same panel with another data set, with no more images than that has."""
        if dataset == self.dataset or self.n_train is None:
            return replace(self, dataset=dataset)
        return replace(
            self, dataset=dataset, n_train=min(self.n_train, len(data.load(dataset).train))
        )


@dataclass(frozen=True, kw_only=True)
class Plan(Study):
    """A figure's cells.

    Attributes
    ----------
    budget
        What the figure makes of the budget.
    panels
        Where the jobs' curves are drawn.
    replaced
        From data sets that could not be had to their stand-ins.
    """

    budget: DictConfig
    panels: list[PanelPlan]
    replaced: dict[str, str]

    @property
    def name(self) -> str:
        """The figure's name, such as `figure1`."""
        return str(self.settings.figure.name)

    @property
    def title(self) -> str | None:
        """What has to be said above the figure."""
        if not self.replaced:
            return None
        missing = " and ".join(self.replaced)
        return f"scikit-learn digits in place of {missing}: NOT the paper's data there"

    @property
    def changed(self) -> list[str]:
        """The overrides that may change a curve, and not only where, how far or how fast."""
        return [one for one in self.overrides if not NEUTRAL.match(one.lstrip("+~"))]

    @property
    def remarks(self) -> list[str]:
        """What has to be said below the figure."""
        return remarks_on(self.settings.settings.name, self.changed)

    @property
    def about(self) -> dict[str, Any]:
        """What the figure's manifest says of its plan."""
        budget = {**self.settings.budget, **self.budget}
        return {
            "figure": self.name,
            "title": self.title,
            "budget": OmegaConf.to_container(OmegaConf.create(budget), resolve=True),
            "datasets": sorted({panel.dataset for panel in self.panels}),
            "replaced": self.replaced,
            "settings": str(self.settings.settings.name),
            "changed_settings": self.changed,
        }


def remarks_on(settings: str, changed: Sequence[str]) -> list[str]:
    """Say what about a figure's settings one would not expect."""
    remarks = []
    if settings == "text":
        remarks.append("With the settings of the paper's text (settings=text).")
    if changed:
        remarks.append(f"Not with the committed settings: {', '.join(changed)}.")
    return remarks


def make_plan(overrides: Sequence[str], terminal: Console) -> Plan:
    """Compose the cells of the figure and find their data."""
    # What is added to an algorithm is checked against the figure's algorithms below.
    settings = config.compose_config(
        [o for o in overrides if not o.startswith("+algorithm.")], "figure"
    )
    budget = _budget(settings)
    wanted = _panels(settings, budget)
    _refuse_own_keys(overrides, wanted)
    jobs = _jobs(overrides, settings, budget, wanted)  # finds mistakes before data are fetched
    used = substitute_missing(
        [panel.dataset for panel in wanted],
        config.data_dir(settings),
        settings.data.fallback,
        terminal,
    )
    replaced = {name: stand_in for name, stand_in in used.items() if name != stand_in}
    # Without repetition: a stand-in may be among the panels already.
    panels = list(dict.fromkeys(panel.stand_in(used[panel.dataset]) for panel in wanted))
    if panels != wanted:
        jobs = _jobs(overrides, settings, budget, panels)
    _refuse_doubles(settings, jobs)
    used_settings = str(settings.settings.name)
    other = "" if used_settings == DEFAULT_SETTINGS else f"-{used_settings}"
    return Plan(
        settings=settings,
        overrides=overrides,
        jobs=jobs,
        folder=config.results_folder(settings)
        / settings.figure.name
        / f"{settings.budget.name}{other}",
        suffix="-digits" if replaced else "",
        budget=budget,
        panels=panels,
        replaced=replaced,
    )


def _refuse_own_keys(overrides: Sequence[str], panels: Sequence[PanelPlan]) -> None:
    own = ["data", "algorithm", "model.n_latent"]
    own += [key for name, key in SIZES.items() if any(getattr(p, name) for p in panels)]
    own = list(dict.fromkeys(own))
    chosen = [o for o in overrides if o.partition("=")[0].lstrip("+~") in own]
    if chosen:
        raise UserError(
            f"A figure sets {', '.join(own[:-1])} and {own[-1]} for each panel, so {chosen[0]!r} "
            "cannot be given; override figure.algorithms or the figure's panels, or train one "
            "cell with `reproduce train`."
        )


def _refuse_doubles(settings: DictConfig, jobs: Sequence[Job]) -> None:
    """Two curves of one name in one panel could not be told apart."""
    by_size = settings.figure.name != "figure1"  # panels may differ in N_train, too
    seen: set[tuple[Any, ...]] = set()
    for cell in (job.cell for job in jobs):
        place = (cell.dataset, cell.n_latent, cell.n_train if by_size else None, cell.algorithm)
        if place in seen:
            raise UserError(
                f"The figure would have two curves {cell.title} in one panel; its panels must "
                f"differ in data{', n_latent or n_train' if by_size else ' or n_latent'}, and its "
                "algorithms in the `name` in their files."
            )
        seen.add(place)


def _budget(settings: DictConfig) -> DictConfig:
    """What the figure makes of the budget."""
    name, known = str(settings.budget.name), settings.figure.budgets
    if name not in known:
        raise UserError(
            f"{settings.figure.name} has no budget {name!r}; choose one of: {', '.join(known)}."
        )
    return known[name]


def _panels(settings: DictConfig, budget: DictConfig) -> list[PanelPlan]:
    name, found = f"figure.budgets.{settings.budget.name}.panels", budget.panels
    entries: list[Any] = list(found) if isinstance(found, ListConfig) else []
    return [PanelPlan.parse(name, entry) for entry in entries or [found]]


def _jobs(
    overrides: Sequence[str],
    settings: DictConfig,
    budget: DictConfig,
    panels: Sequence[PanelPlan],
) -> list[Job]:
    algorithms = settings.figure.algorithms
    if not isinstance(algorithms, ListConfig) or not algorithms:
        raise UserError(
            f"figure.algorithms must be a list such as [aevb,wake_sleep], not {algorithms}."
        )
    return [
        _job(overrides, settings, budget, panel, str(algorithm))
        for panel in panels
        for algorithm in dict.fromkeys(algorithms)
    ]


def _job(
    overrides: Sequence[str],
    settings: DictConfig,
    budget: DictConfig,
    panel: PanelPlan,
    algorithm: str,
) -> Job:
    """One panel's cell of one algorithm; what the user overrides wins over the figure."""
    own = [] if panel.samples is None else [f"samples={panel.samples}"]
    own += [f"seeds={budget.seeds}"] if "seeds" in budget else []
    entry = settings.settings.step_size.get(f"{panel.dataset}_n{panel.n_train}", {})
    if algorithm in entry:
        own.append(f"algorithm.step_size={entry[algorithm]}")
    given = [*own, *overrides, f"algorithm={algorithm}", *panel.overrides]
    job = config.job_from(config.compose_config(given, "figure"))
    return replace(
        job,
        snapshots=_snapshots(settings, budget, panel.dataset, job.samples),
        tracking={**job.tracking, "figure": settings.figure.name},
    )


def marks_of(budget: DictConfig, limit: int) -> list[int]:
    """At how many samples a budget wants likelihoods, up to and including `limit`."""
    every = whole_number("mark_every of a budget", budget.mark_every)
    return [*range(every, limit, every), limit]


def _snapshots(
    settings: DictConfig, budget: DictConfig, dataset: str, limit: int
) -> tuple[int, ...]:
    """At how many samples to keep weights: where any budget with the data set wants them.

    So one budget can follow another without training again.
    """
    marks: set[int] = set()
    for other in settings.figure.budgets.values():
        if "mark_every" not in other or not isinstance(other.panels, ListConfig):
            continue  # a figure that needs no likelihoods, or panels that are found wrong in time
        ends = [panel.get("samples") or limit for panel in other.panels if panel.data == dataset]
        if ends or other is budget:
            own_end = limit if other is budget else max(ends)
            marks.update(mark for mark in marks_of(other, own_end) if mark <= limit)
    return tuple(sorted(marks))
