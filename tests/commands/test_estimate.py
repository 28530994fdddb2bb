"""What `reproduce estimate` prints: whole at 80 columns, with the interval of the suite."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from scipy import stats

from reproduce import config
from reproduce.commands import estimate
from reproduce.common import cli
from reproduce.likelihood.evaluate import Question
from reproduce.likelihood.target import Estimate


def printed(show, width=80):
    """What a terminal of this width shows."""
    file = io.StringIO()
    show(Console(file=file, width=width, soft_wrap=True, markup=False))
    return file.getvalue()


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_the_estimate_is_whole_at_80_columns(n_seeds):
    source = torch.Generator().manual_seed(0)
    value = -1234 + torch.randn(n_seeds, 50, generator=source)
    names = ("ess", "pareto_k", "n_modes", "mode_excess", "acceptance_rate")
    diagnostics = {name: torch.full((n_seeds, 50), 0.125) for name in names}
    found = Estimate(value, value.abs(), torch.ones(n_seeds, 50) > 0, diagnostics)
    cell = config.cell_from(config.compose_config([]))
    asked = (Question(cell, 1000, "test", 50), 50, range(n_seeds))
    said = printed(
        lambda terminal: estimate.show(
            *asked, SimpleNamespace(name="importance"), found, 1.0, terminal
        )
    )
    assert "…" not in said
    means = value.double().mean(1).numpy()
    for number in (f"{mean:.3f}" for mean in means):
        assert number in said
    assert all(name in said for name in (*names, "± estimator", "not trusted", "0 of 50", "0.125"))
    assert ("Over" in said) == (n_seeds > 1)
    if n_seeds > 1:
        low, high = stats.t.interval(0.95, 2, loc=means.mean(), scale=stats.sem(means))
        interval = f"{means.mean():.3f} ± {(high - low) / 2:.3f} (95 % interval)"
        assert f"Over 3 seeds: {interval}".replace("-", "−") in said
        assert f"error {stats.sem(means):.3f}." in said


@pytest.mark.parametrize("watched", [True, False])
def test_a_long_evaluation_says_how_long_it_will_take(watched):
    """Also where its steps are farther apart than any window of a running mean."""
    now = [0.0]
    file = io.StringIO()
    terminal = Console(file=file, width=80, force_terminal=watched, get_time=lambda: now[0])
    with cli.progress(terminal, "estimating log p(x)", 1000) as advance:
        for _ in range(3):
            now[0] += 120
            advance(100)
    said = file.getvalue()
    if watched:
        assert "0:14:00" in said
    else:
        assert said.splitlines() == ["estimating log p(x): about 18 minutes left"]


def test_a_short_evaluation_says_nothing_in_a_file():
    file = io.StringIO()
    with cli.progress(Console(file=file), "estimating log p(x)", 2) as advance:
        advance(1)
        advance(1)
    assert not file.getvalue()


def test_a_narrow_table_folds_text_and_keeps_numbers_whole():
    name, value = "mnist-wake_sleep-z200-n50000-f52c72b2", "−1234.5 ± 1234.5"
    table = cli.table(("cell", "train", "test", "status"), ("train", "test"), "Bounds")
    table.add_row(name, value, value, "done before; diverged: seed 1 before 1,000,000 samples")
    said = printed(lambda terminal: terminal.print(table))
    assert "…" not in said
    assert said.count(value) == 2
    cells = [line.split("│")[1].strip() for line in said.splitlines() if line.startswith("│")]
    assert "".join(cells) == name
