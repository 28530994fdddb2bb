"""Measure this suite's training speed beside its peers: `python -m benchmarks.bench`.

Every variant runs in a fresh process, and all variants run once before any runs again, so that a
slow spell of the machine falls on all of them. The figure of a variant is the median of its runs,
in training samples per second, summed over seeds; its memory is the most that was resident in
each of its processes, summed over them. A peer whose package is not installed is left out.
"""

import os
import sys
from collections.abc import Sequence

from benchmarks import command
from benchmarks.summary import judge, sentences, summarise, table
from benchmarks.variants import VARIANTS
from reproduce.common.files import write_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, print its table and write `results/bench.json`; return the status."""
    output = command.RESULTS / "bench.json"
    parser = command.parser("benchmarks.bench", __doc__, output, repeats=5, seconds=4.0)
    options = parser.parse_args(arguments)

    def work() -> None:
        able = {name: variant for name, variant in VARIANTS.items() if not variant.missing}
        summary = summarise(command.run_in_turn(able, options.repeats, options.seconds))
        terminal = command.console()
        terminal.print(table(summary))
        for line in sentences(summary):
            terminal.print(line, markup=False, highlight=False, soft_wrap=True)
        found = {**summary, "bars": judge(summary), **command.circumstances(options)}
        write_json(options.output, found)
        print(f"Written to {os.path.relpath(options.output)}.")

    return command.status_of(work)


if __name__ == "__main__":
    sys.exit(main())
