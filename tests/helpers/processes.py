"""Starting, finding and waiting for processes of a session."""

import signal
import time
from pathlib import Path


def heed_ctrl_c():
    """A shell that starts something in the background has it ignore SIGINT, and so its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes(session):
    """The processes of a session, from /proc: [(pid, command line)]."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if folder.name.isdigit() and int(fields[3]) == session and fields[0] != "Z":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append((int(folder.name), line))
        except (OSError, IndexError):
            continue
    return found


def assert_no_process_is_left(session):
    """The killed take a moment to die: the system frees their memory first."""
    deadline = time.monotonic() + 20
    while processes(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes(session) == []
