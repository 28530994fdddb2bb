"""What the tests of sweeps share: a small sweep, and what it leaves in the store."""

from pathlib import Path

SMALL = ["data=digits", "model.n_hidden=20", "samples=2000", "tracking=off"]
LAUNCHERS = ["basic", "joblib", "submitit_local"]


def curves(results):
    """Each seed's curve, by cell and seed."""
    files = sorted(Path(results).glob("runs/*/*/curve.csv"))
    return {f"{path.parts[-3]}/{path.parts[-2]}": path.read_text() for path in files}


def checkpoints(results):
    """When each seed's checkpoint was written."""
    return {p: p.stat().st_mtime_ns for p in Path(results).glob("runs/*/*/checkpoint.ckpt")}
