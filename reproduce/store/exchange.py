"""Finished cells that can be committed, and put back: `python -m reproduce.store.exchange`.

    python -m reproduce.store.exchange export FOLDER [RESULTS]    # from RESULTS/runs to FOLDER
    python -m reproduce.store.exchange restore FOLDER [RESULTS]   # and back

Exchanged are a member's curve, manifest and estimates of log p(x), the cell's settings, and, where
it is small, its checkpoint: a restored member counts as done as far as its curve goes, and with its
checkpoint it can be loaded and trained further. Without, training it further starts anew. A member
that is there already is left alone, unless what is exported goes further or has more files.
"""

import shutil
import sys
from pathlib import Path

from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import read_json, write_with

FILES = ("checkpoint.ckpt", "likelihood.csv", "manifest.json", "curve.csv")
"""The curve, which means "done", comes last."""
MOST_BYTES = 2_000_000
"""Larger files are left out."""


def export(runs: Path, folder: Path) -> list[Path]:
    """Copy finished members from a store to `folder`; return their folders there."""
    return _copy(runs, folder, replace=True)


def restore(folder: Path, runs: Path) -> list[Path]:
    """Copy members from `folder` to a store that does not have them; return their folders."""
    return _copy(folder, runs, replace=False)


def _copy(source: Path, target: Path, *, replace: bool) -> list[Path]:
    found = (path.parent for path in source.glob("*/seed-*/curve.csv"))
    members = sorted(path for path in found if path.name.removeprefix("seed-").isdecimal())
    if not members:
        raise UserError(f"{source} holds no members; give a folder with <cell>/seed-<n>/curve.csv.")
    copied = []
    for member in members:
        there = target / member.relative_to(source)
        known = (there / "curve.csv").exists()
        if not known and not replace and (there / "checkpoint.ckpt").exists():
            continue  # in training
        further = not known or (replace and _samples(member) > _samples(there))
        if further:
            (there / "checkpoint.ckpt").unlink(missing_ok=True)  # of what did not go as far
            _put(member.parent / "cell.json", there.parent / "cell.json")
        for name in FILES:
            if further or (replace and _adds(member, there, name)):
                _put(member / name, there / name)
        if further:
            copied.append(there)
    return copied


def _adds(member: Path, there: Path, name: str) -> bool:
    """Tell whether a file of the same run is new or, of estimates, has more of them."""
    curves = [folder / "curve.csv" for folder in (member, there)]
    if curves[0].read_bytes() != curves[1].read_bytes():
        return False
    if name == "likelihood.csv":
        return _lines(member / name) > _lines(there / name)
    return not (there / name).exists()


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _put(source: Path, target: Path) -> None:
    if source.exists() and source.stat().st_size <= MOST_BYTES:
        write_with(target, lambda temporary: shutil.copyfile(source, temporary))


def _samples(member: Path) -> int:
    path = member / "manifest.json"
    try:
        return int(read_json(path, "delete the member's folder")["samples"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is no manifest of a member ({error}).") from error


def main() -> int:
    """Export or restore, as the arguments say."""
    arguments = sys.argv[1:]
    if len(arguments) not in (2, 3) or arguments[0] not in ("export", "restore"):
        raise UserError(
            "Usage: python -m reproduce.store.exchange export|restore FOLDER [RESULTS]."
        )
    folder, runs = Path(arguments[1]), Path(*arguments[2:] or ["results"]) / "runs"
    copied = export(runs, folder) if arguments[0] == "export" else restore(folder, runs)
    for member in copied:
        print(member)
    print(f"{len(copied)} members copied.")
    return 0


if __name__ == "__main__":
    cli.command(main)
