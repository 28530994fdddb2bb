"""Curves as interactive Plotly panels, each trace tagged with what the page's switches ask for."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from reproduce.analysis import style
from reproduce.analysis.comparison import matching
from reproduce.analysis.curves import by_place, over_seeds
from reproduce.analysis.panel import PAPER_AXES
from reproduce.common.names import PANEL, dataset_name, short_number

DASHES = {"train": "solid", "test": "dash"}


@dataclass(frozen=True)
class InteractivePanel:
    """One plot of the page.

    Attributes
    ----------
    name
        Unique in the page.
    title
        Above it.
    description
        For those who cannot see it.
    figure
        Plotly's JSON.
    """

    name: str
    title: str
    description: str
    figure: str


@dataclass(frozen=True)
class Kind:
    """What kind of figure the panels are of.

    Attributes
    ----------
    name
        Prefix of the panels' names.
    splits
        Published split to ours.
    quantity, log_x
        The vertical axis, and whether the horizontal one is logarithmic at first.
    """

    name: str
    splits: Mapping[str, str]
    quantity: str
    log_x: bool


def panels(kind: Kind, curves: pd.DataFrame, published: pd.DataFrame) -> list[InteractivePanel]:
    """Return a panel for each (dataset, n_latent, n_train) of `curves`, in the paper's order."""
    styles = style.algorithm_styles([*curves["algorithm"], *published["algorithm"]])
    found = []
    for place, ours in by_place(curves):
        theirs = matching(published, dict(zip(PANEL, place, strict=True)))
        dataset, n_latent, n_train = place
        title = f"{dataset_name(dataset)}, N_z = {n_latent}"
        if "n_train" in published.columns:
            title += f", N_train = {n_train:,}"
        traces = [*_published(theirs, styles), *_ours(ours, styles, kind.splits)]
        figure = go.Figure(traces, _layout(kind, dataset, ours, theirs))
        found.append(
            InteractivePanel(
                f"{kind.name}-{dataset}-{n_latent}-{n_train}",
                title,
                _description(title, kind, ours, styles),
                str(figure.to_json()),
            )
        )
    return found


def _ours(
    ours: pd.DataFrame, styles: Mapping[str, style.AlgorithmStyle], splits: Mapping[str, str]
) -> Iterator[go.Scatter]:
    """The mean of each curve, and each seed of it, which is hidden at first."""
    for algorithm, look in styles.items():
        for split, own in splits.items():
            curve = ours[(ours["algorithm"] == algorithm) & (ours["split"] == own)]
            if curve.empty:
                continue
            mean = over_seeds(curve)
            line = {"color": look.colour, "dash": DASHES[split], "width": 2}
            notes = [
                f"± {half:.2f} (95 %), {n} seeds" if half == half else "1 seed"
                for half, n in zip(mean["ci95_high"] - mean["mean"], mean["n_seeds"], strict=True)
            ]
            yield _line(
                mean["samples"], mean["mean"], f"{look.name} ({split}), mean of ours", line,
                {"algorithm": algorithm, "split": split, "kind": "mean"},
                notes,
            )  # fmt: skip
            for seed, one in curve.groupby("seed"):
                yield _line(
                    one["samples"], one["value"], f"{look.name} ({split}), seed {seed}",
                    {**line, "width": 1},
                    {"algorithm": algorithm, "split": split, "kind": "seeds"},
                    [""] * len(one), visible=False,
                )  # fmt: skip


def _published(
    theirs: pd.DataFrame, styles: Mapping[str, style.AlgorithmStyle]
) -> Iterator[go.Scatter]:
    for (algorithm, split), curve in theirs.groupby(["algorithm", "split"]):
        look = styles[str(algorithm)]
        ordered = curve.sort_values("samples")
        yield _line(
            ordered["samples"], ordered["value"], f"{look.name} ({split}), published",
            {"color": look.light, "dash": DASHES[str(split)], "width": 4},
            {"algorithm": algorithm, "split": split, "kind": "published"}, [""] * len(ordered),
        )  # fmt: skip


def _line(
    x: Sequence[Any] | pd.Series,
    y: Sequence[Any] | pd.Series,
    name: str,
    line: Mapping[str, Any],
    tags: Mapping[str, Any],
    notes: Sequence[str],
    *,
    visible: bool = True,
) -> go.Scatter:
    values = [float(v) if math.isfinite(float(v)) else None for v in y]
    return go.Scatter(
        x=[int(v) for v in x],
        y=values,
        customdata=list(notes),
        mode="lines",
        name=name,
        line=dict(line),
        meta=dict(tags),
        visible=visible,
        hovertemplate="%{x:.3~s} samples: %{y:.2f} nats %{customdata}<extra>" + name + "</extra>",
    )


def _layout(kind: Kind, dataset: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> go.Layout:
    x = [*ours["samples"], *theirs["samples"]]
    low, high = min(x), max(x)
    y_range = list(PAPER_AXES[dataset].y) if kind.log_x and dataset in PAPER_AXES else None
    if not kind.log_x and dataset == "mnist":
        y_range = [-175, -100]
    axis = {"showline": True, "linecolor": "#8a8a8a", "gridcolor": "#e9e9e9", "zeroline": False}
    return go.Layout(
        template="none",
        showlegend=False,
        height=300,
        margin={"l": 58, "r": 12, "t": 30, "b": 44},  # above: room for the tools
        font={"family": "system-ui, sans-serif", "size": 12, "color": style.TEXT},
        hovermode="closest",
        xaxis={
            "title": {"text": "training samples evaluated"},
            "type": "log" if kind.log_x else "linear",
            "range": [math.log10(max(low, 5e4) if kind.log_x else low), math.log10(high * 1.05)]
            if kind.log_x
            else [0, high * 1.02],
            "exponentformat": "power",
            "dtick": 1 if kind.log_x else None,
            **axis,
        },
        yaxis={"title": {"text": kind.quantity}, "range": y_range, **axis},
    )


def _description(
    title: str, kind: Kind, ours: pd.DataFrame, styles: Mapping[str, style.AlgorithmStyle]
) -> str:
    ends = []
    for algorithm, look in styles.items():
        curve = ours[(ours["algorithm"] == algorithm) & (ours["split"] == kind.splits["test"])]
        if not curve.empty:
            last = over_seeds(curve).iloc[-1]
            ends.append(
                f"{look.name} {last['mean']:.1f} nats on test data at "
                f"{short_number(last['samples'])} samples"
            )
    return f"{title}: {kind.quantity} against training samples. {'; '.join(ends)}."


def algorithms_of(shown: Sequence[InteractivePanel]) -> list[tuple[str, str, str]]:
    """The algorithms in some panels, as (key, name, colour), in legend order."""
    keys = {
        trace["meta"]["algorithm"] for panel in shown for trace in json.loads(panel.figure)["data"]
    }
    return [(key, look.name, look.colour) for key, look in style.algorithm_styles(keys).items()]
