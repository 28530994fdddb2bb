"""Peer: several processes of another peer at once, each on a core of its own, as this suite trains.

What a user of that peer could do by hand with `taskset` for several seeds. Nothing makes them start
together, so a slow start of one gives the others a core more for a moment: if anything, their sum
is too high.
"""

import importlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from benchmarks.peers.workload import Measurement, parser, report, together

PEERS = ("jax_scan", "lightning")


def measure(seconds: float, threads: int, peer: str) -> Measurement:
    """Run `threads` processes of one thread each; return the sum of their speeds, and memory.

    Parameters
    ----------
    seconds
        How long each measures.
    threads
        CPU threads in all.
    peer
        A name in `PEERS`.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, context) as pool:
        running = [pool.submit(_measure_on, place, peer, seconds) for place in range(threads)]
        return together(result.result() for result in running)


def _measure_on(place: int, peer: str, seconds: float) -> Measurement:
    if hasattr(os, "sched_setaffinity"):  # Linux; elsewhere the system shares out the cores
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [cores[place % len(cores)]])
    found: Measurement = importlib.import_module(f"benchmarks.peers.{peer}").measure(seconds, 1)
    return found


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("peer", choices=PEERS, help="which peer")
    report(measure, options.parse_args())
