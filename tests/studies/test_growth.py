"""How time grows: the points, what is fitted to them, and the picture."""

import argparse
import json

import pytest

from benchmarks import command
from benchmarks.peers.workload import Measurement
from reproduce import config
from studies.growth import __main__ as growth
from studies.growth import picture as growth_figure


def row(panel, series, x, seconds):
    return {"panel": panel, "series": series, "x": x, "seconds": seconds, "runs": [seconds]}


def law(panel, series, power):
    return [row(panel, series, x, 3 * x**power) for x in (1, 10, 50, 700)]


def test_exponents_of_exact_powers():
    rows = [*law("members", "one_thread", 1.0), *law("members", "two_processes", 0.5),
            *law("n_train", "aevb", 0.0)]  # fmt: skip
    found = growth.exponents(rows)
    assert found["members"] == pytest.approx({"one_thread": 1.0, "two_processes": 0.5})
    assert found["n_train"]["aevb"] == pytest.approx(0.0, abs=1e-9)


def test_a_point_tells_the_time_of_its_samples_whatever_the_speed_is_summed_over():
    (one,) = [p for p in growth.points() if p[:3] == ("members", "one_thread", 4)]
    runs = {one.program: [Measurement(speed, 1) for speed in (20_000.0, 40_000.0, 10_000.0)]}
    (found,) = growth.rows_of([one], runs)
    assert found["seconds"] == 2.0  # 10,000 of each of the four at 20,000 a second
    assert found["runs"] == [2.0, 1.0, 4.0]


def test_an_iteration_of_monte_carlo_em_counts_fifteen_times_the_data():
    heights = {p.x: p.samples for p in growth.points() if p.series == "mcem"}
    assert heights == {n: 15 * n for n in (1_000, 5_000, 20_000, 50_000)}
    others = [p for p in growth.points() if p.panel == "n_train" and p.series != "mcem"]
    assert {p.samples for p in others} == {10_000}


@pytest.mark.slow
def test_every_point_is_a_cell_that_the_suite_accepts_and_no_program_runs_twice():
    measured = growth.points()
    assert len({p[:3] for p in measured}) == len(measured)
    shared = [p.panel for p in measured if p.options == ("--threads", "1", "--seeds", "1")]
    assert shared == ["members", "n_latent"]
    wanted = (
        {
            tuple(option for option in p.options if "=" in option): p
            for p in measured
            if p.panel == "n_latent"  # all algorithms but Monte Carlo EM, all sizes
        }
        | {p.options[6:]: p for p in measured if p.panel == "n_train"}
    )
    for overrides, point in wanted.items():
        job = config.job_from(config.compose_config(["data=mnist", "algorithm=aevb", *overrides]))
        assert job.cell.algorithm == point.series
        if point.panel == "n_latent" and overrides and point.x != 20:  # 20 it is anyway
            assert job.cell.n_latent == point.x


def test_the_picture_has_a_line_and_an_exponent_for_each_series():
    measured = growth.points()
    runs = {p.program: [Measurement(1e4 / (1 + p.x), 1), Measurement(2e4 / (1 + p.x), 1)]
            for p in measured}  # fmt: skip
    rows = growth.rows_of(measured, runs)
    found = growth.exponents(rows)
    figure = growth_figure.build(rows, found)
    assert len(figure.axes) == 3
    for ax, (panel, series) in zip(figure.axes, found.items(), strict=True):
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert len(texts) == len(series)
        for text, exponent in zip(texts, series.values(), strict=True):
            assert f"{exponent:.2f}" in text, panel


@pytest.mark.slow
def test_the_command_writes_numbers_and_picture(monkeypatch, tmp_path, capsys):
    def measured(name, variant, seconds):
        options = argparse.ArgumentParser()
        options.add_argument("--seeds", type=int)
        seeds = options.parse_known_args(variant.options)[0].seeds
        return Measurement(1000.0 * seeds**0.5, 200.0)

    monkeypatch.setattr(command, "run", measured)
    path = tmp_path / "growth.json"
    assert growth.main(["--repeats", "2", "--output", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["exponents"]["members"]["one_thread"] == pytest.approx(0.5)
    assert found["exponents"]["n_train"]["mcem"] == pytest.approx(1.0)
    assert len(found["points"]) == len(growth.points())
    assert "cpu" in found["machine"]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "growth.png" in capsys.readouterr().out
