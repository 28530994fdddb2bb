"""Finished cells that can be committed, and put back: `python -m reproduce.exchange`.

    python -m reproduce.exchange export FOLDER [RESULTS]    # from RESULTS/runs to FOLDER
    python -m reproduce.exchange restore FOLDER [RESULTS]   # and back

Exchanged are a member's curve, manifest and estimates of log p(x), and the cell's settings, not its
weights: a restored member counts as done as far as its curve goes, and training it further starts
anew. A member that is there already is left alone, unless what is exported goes further.
"""

import json
import shutil
import sys
from pathlib import Path

from reproduce import cli
from reproduce.errors import UserError
from reproduce.files import write_with

FILES = ("curve.csv", "likelihood.csv", "manifest.json")


def export(runs: Path, folder: Path) -> list[Path]:
    """Copy finished members from a store to `folder`; return their folders there."""
    return _copy(runs, folder, replace=True)


def restore(folder: Path, runs: Path) -> list[Path]:
    """Copy members from `folder` to a store that does not have them; return their folders."""
    return _copy(folder, runs, replace=False)


def _copy(source: Path, target: Path, *, replace: bool) -> list[Path]:
    members = sorted(path.parent for path in source.glob("*/seed-*/curve.csv"))
    if not members:
        raise UserError(f"{source} holds no members; give a folder with <cell>/seed-<n>/curve.csv.")
    copied = []
    for member in members:
        there = target / member.relative_to(source)
        if (there / "curve.csv").exists() and not (replace and _samples(member) > _samples(there)):
            if replace:
                _put(member / "likelihood.csv", there / "likelihood.csv")
            continue
        _put(member.parent / "cell.json", there.parent / "cell.json")
        for name in sorted(FILES, key=lambda name: name == "curve.csv"):  # which means "done"
            _put(member / name, there / name)
        copied.append(there)
    return copied


def _put(source: Path, target: Path) -> None:
    if source.exists():
        write_with(target, lambda temporary: shutil.copyfile(source, temporary))


def _samples(member: Path) -> int:
    path = member / "manifest.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["samples"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no manifest of a member ({error}).") from error


def main() -> int:
    """Export or restore, as the arguments say."""
    arguments = sys.argv[1:]
    if len(arguments) not in (2, 3) or arguments[0] not in ("export", "restore"):
        raise UserError("Usage: python -m reproduce.exchange export|restore FOLDER [RESULTS].")
    folder, runs = Path(arguments[1]), Path(*arguments[2:] or ["results"]) / "runs"
    copied = export(runs, folder) if arguments[0] == "export" else restore(folder, runs)
    for member in copied:
        print(member)
    print(f"{len(copied)} members copied.")
    return 0


if __name__ == "__main__":
    cli.command(main)
