"""The whole GPU run in ten minutes: `python -m benchmarks.gpu --data-dir FOLDER --output FOLDER`.

In this order: checks of CUDA graphs by plain steps and of the GPU by the CPU; training speed beside
idiomatic Lightning and the device's fp32 ceiling; then cells of experiment 1 at the `paper` budget.
Each finished cell is exported, and the one in progress stops in time and can be continued, also on
a CPU. Run it again with the same folder to go on. `--rehearse` does all of it on a CPU, in seconds.
"""

import time

STARTED = time.monotonic()  # importing what training needs takes seconds

import argparse  # noqa: E402
import math  # noqa: E402
import multiprocessing  # noqa: E402
import sys  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from multiprocessing import forkserver  # noqa: E402
from pathlib import Path  # noqa: E402

NEEDED = {
    "torch": "torch", "pytorch_lightning": "pytorch-lightning", "hydra": "hydra-core",
    "omegaconf": "omegaconf", "antlr4": "antlr4-python3-runtime", "pandas": "pandas",
    "rich": "rich", "filelock": "filelock", "jaxtyping": "jaxtyping", "scipy": "scipy",
}  # fmt: skip
"""What the run imports, and the packages that hold it."""


def main() -> int:
    """Run all phases and write `report.json` into the output folder; return the status."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n")[0]
    )
    options.add_argument("--minutes", type=float, default=10.0, help="in all, from the start")
    options.add_argument("--data-dir", default=None, help="folder with MNIST and Frey Face")
    options.add_argument("--output", type=Path, default=Path("results/gpu"), help="folder")
    options.add_argument("--cells", nargs="*", default=[], help="beginnings of ids, in order")
    options.add_argument("--rehearse", action="store_true", help="on a CPU, at tiny sizes")
    given = options.parse_args()
    if not (given.minutes > 0 and math.isfinite(given.minutes)):
        options.error("--minutes must be greater than zero")
    # What the phases need is imported once, beside this process, which needs it too.
    multiprocessing.get_context("forkserver").set_forkserver_preload(["benchmarks.gpu.phases"])
    forkserver.ensure_running()
    from benchmarks.gpu.phases import run_all
    from benchmarks.gpu.sizes import Run, rehearsal

    run = Run(given.output.resolve(), given.data_dir, tuple(given.cells))
    return run_all(rehearsal(run) if given.rehearse else run, STARTED, 60 * given.minutes)


def refusal() -> str | None:
    """Name the packages that the run needs and this Python lacks; None where it has all."""
    lacking = [package for name, package in NEEDED.items() if find_spec(name) is None]
    if not lacking:
        return None
    return (
        f"error: this Python lacks {', '.join(lacking)}; where there is a network, `pip install "
        f"--no-deps --target FOLDER -c constraints.txt {' '.join(lacking)}` puts them into a "
        "folder, which PYTHONPATH=FOLDER names here."
    )


if __name__ == "__main__":
    if said := refusal():
        print(said, file=sys.stderr)
        sys.exit(2)
    from reproduce.common import cli

    cli.command(main)
