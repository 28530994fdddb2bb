"""The whole GPU run, and its checks: `python -m benchmarks.gpu --minutes 25`.

In this order: training speed, with and without CUDA graphs and compiled steps, beside idiomatic
Lightning and the device's fp32 ceiling; members
trained on the GPU beside those of the committed CPU run, which must agree within their intervals;
then cells of experiments 1 and 2 at the `paper` budget, whole cells at a time, the quickest first,
each exported when it is finished, until the time is over. Run it again to go on.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.cells import paper_cells
from benchmarks.gpu.speed import BARS, MEMBERS, compiling_pays, speed
from benchmarks.variants import ROOT, machine
from reproduce.common import cli
from reproduce.common.checks import quoted
from reproduce.common.errors import UserError
from reproduce.common.files import write_json
from reproduce.common.machine import device_name
from reproduce.common.provenance import provenance

CELLS = ROOT / "results" / "reference" / "cells"


def main() -> int:
    """Run everything that the time allows and write `results/gpu.json`; return the status."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    options.add_argument("--minutes", type=float, default=25.0, help="begin no cell after these")
    options.add_argument("--seconds", type=float, default=10.0, help="of each speed measurement")
    options.add_argument("--data-dir", default=None, help="folder with MNIST and Frey Face")
    options.add_argument("--output", type=Path, default=ROOT / "results" / "gpu.json")
    options.add_argument("--speed-only", action="store_true", help="measure, train nothing")
    given = options.parse_args()
    if not (given.minutes > 0 and given.seconds > 0 and math.isfinite(given.minutes)):
        raise UserError("--minutes and --seconds must be greater than zero.")
    if not torch.cuda.is_available():
        raise UserError("torch sees no CUDA device here; this script needs one.")
    deadline = time.monotonic() + 60 * given.minutes
    terminal = cli.console()
    where = {"device": device_name(torch.device("cuda")), "machine": machine(), **provenance()}
    report: dict[str, Any] = {**where, "speed": speed(given.seconds)}
    write_json(given.output, report)
    if not given.speed_only:
        settings = ["device=cuda", "tracking=off"]
        settings += ["compile=true"] if compiling_pays(report["speed"]) else []
        settings += [f"data.dir={quoted(given.data_dir)}"] if given.data_dir else []
        report["agreement"] = agreement(ROOT / "results" / "gpu", settings, terminal)
        write_json(given.output, report)
        rate = report["speed"]["samples_per_second"]
        report["paper_cells"] = paper_cells(deadline, rate, settings, CELLS, terminal)
        write_json(given.output, report)
    _print(report, terminal)
    disagree = [row for row in report.get("agreement", []) if not row["agrees"]]
    return 1 if disagree or not all(report["speed"]["met"].values()) else 0


def _print(report: dict[str, Any], terminal: Console) -> None:
    table = Table(title=f"Training on {report['device']}, 784-500-20, {MEMBERS} members, fp32")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for name, value in report["speed"].items():
        if name != "met":
            table.add_row(name.replace("_", " "), f"{value:,.3g}")
    terminal.print(table)
    for name, met in report["speed"]["met"].items():
        terminal.print(f"{name} >= {BARS[name]:,.3g}: {'met' if met else 'not met'}")
    for row in report.get("agreement", []):
        terminal.print(
            f"{row['dataset']} N_z={row['n_latent']} {row['algorithm']} {row['split']}: GPU "
            f"{row['gpu']:.2f}, CPU {row['cpu']:.2f}, difference in "
            f"[{row['difference_low']:.2f}, {row['difference_high']:.2f}]: "
            f"{'agrees' if row['agrees'] else 'DIFFERS'}",
            highlight=False,
        )


if __name__ == "__main__":
    cli.command(main)
