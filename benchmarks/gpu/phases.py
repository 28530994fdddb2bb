"""The phases of a GPU run: each in a process of its own, until a deadline of its own."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.gpu.cells import cells, jobs
from benchmarks.gpu.checks import Step, checks
from benchmarks.gpu.sizes import Run
from benchmarks.gpu.speed import choose, speed, summary
from benchmarks.variants import machine
from reproduce.common.cli import sentence
from reproduce.common.files import write_json
from reproduce.common.machine import choose_device, device_name
from reproduce.common.provenance import provenance
from reproduce.training.loop import quieten_lightning

PHASES: dict[str, Callable[..., Iterator[Step]]] = {
    "checks": checks, "speed": speed, "cells": cells
}  # fmt: skip
ENDS = {"checks": 0.14, "speed": 0.28, "cells": 0.95}
"""When each phase is ended by force, as shares of the whole time."""
TRAIN_UNTIL = 0.8
"""When training stops by itself, likewise: two minutes before the end of ten."""

Report = dict[str, Any]

# A process of its own for each phase: a GPU's error can spoil the process that met it, and nothing
# else ends a phase that hangs. Forked from one that has imported what they need, and nothing more.
CONTEXT = multiprocessing.get_context("forkserver")


def run_all(run: Run, started: float, seconds: float) -> int:
    """Run all phases, of which each may fail; return 0 where all agreed and the aims were met.

    `started` is on the clock of `time.monotonic`, which all processes share.
    """
    # What can be refused is refused before time is spent.
    choose_device(run.device)
    planned = jobs(run)
    path = run.output / "report.json"
    report: Report = {**provenance(), "machine": machine()}
    write_json(path, report)
    for phase, share in ENDS.items():
        arguments: tuple[Any, ...] = ()
        if phase == "cells":
            report["cells_with"] = training_as(run, report)
            until = started + TRAIN_UNTIL * seconds
            arguments = (planned, *report["cells_with"].values(), until)
        report[phase] = {}
        for name, value in in_process(PHASES[phase], run, arguments, started + share * seconds):
            report[phase][name] = value
            print(
                f"[{time.monotonic() - started:5.1f} s] {phase}: {_shown(name, value)}", flush=True
            )
            write_json(path, report)
        if phase == "speed":
            report["summary"] = summary(report["speed"])
            print(_shown("summary", report["summary"]), flush=True)
            write_json(path, report)
    report["seconds"] = round(time.monotonic() - started, 1)
    write_json(path, report)
    return 0 if succeeded(run, report) else 1


def training_as(run: Run, report: Report) -> dict[str, Any]:
    """How cells are trained, by what was found: how many seeds, compiled or not, in graphs or not.

    A CPU has no graphs that could disagree.
    """
    seeds, compiled = choose(report["speed"])
    check = report["checks"].get("graphs_and_plain_steps")
    graphs = run.device == "cpu" or (isinstance(check, dict) and check["agrees"])
    return {"seeds": seeds, "compiled": compiled, "graphs": graphs}


def succeeded(run: Run, report: Report) -> bool:
    """Whether nothing failed, all checks agreed and, on a GPU, the aims were met."""
    found = [value for phase in ENDS for value in report[phase].values()]
    failed = any(isinstance(value, str) for value in found)
    agreed = all(value.get("agrees", True) for value in found if isinstance(value, dict))
    return not failed and agreed and (run.device == "cpu" or all(report["summary"]["met"].values()))


def _shown(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{name} {value:,.4g}"
    return f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def in_process(
    begin: Callable[..., Iterator[Step]], run: Run, arguments: tuple[Any, ...], deadline: float
) -> Iterator[tuple[str, Any]]:
    """Yield what a phase finds as it finds it; at the deadline end it, and say so."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(begin, run, arguments, there))
    process.start()
    there.close()  # here: so that its end is seen
    try:
        while here.poll(max(0.0, deadline - time.monotonic())):
            try:
                yield here.recv()
            except EOFError:
                break
        else:
            yield "ended", "The phase did not end in time, and was ended at its deadline."
            return
        process.join(5)
        if process.exitcode:
            yield "ended", f"The phase's process ended with exit status {process.exitcode}."
    finally:
        process.kill()
        process.join()


def _work(
    begin: Callable[..., Iterator[Step]], run: Run, arguments: tuple[Any, ...], found: Connection
) -> None:
    quieten_lightning()
    for outcome in outcomes(begin(run, *arguments), run):
        found.send(outcome)


def outcomes(steps: Iterator[Step], run: Run) -> Iterator[tuple[str, Any]]:
    """Take the steps of a phase, of which each may fail: then what it found is a sentence."""
    try:
        yield "device", {"name": device_name(choose_device(run.device))}
        for name, step in steps:
            try:
                found = step()
            except Exception as error:
                found = _failed(error)
            yield name, found
    except Exception as error:  # before there were any steps
        yield "failed", _failed(error)


def _failed(error: Exception) -> str:
    said = sentence(error) or f"{type(error).__name__}: {error}".partition("\n")[0]
    return f"Failed: {said}"
