"""What is known of a run, as plain containers."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from reproduce.common import identity
from reproduce.common.checks import shown
from reproduce.config.overrides import compose_unchecked, flat, groups
from reproduce.store.cell import Cell
from reproduce.store.store import Store

SPLITS = ("train", "test")


def about(store: Store, cell: Cell, whose: str) -> dict[str, Any]:
    """What a list says of a run, as plain containers."""
    folder = store.folder(cell)
    return {
        "id": cell.id,
        "whose": whose,
        "folder": str(folder),
        "settings": changed(cell),
        "members": [_record(store, cell, seed) for seed in store.seeds(cell)],
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def _record(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """How far a seed was trained when its curve was written last, and its bounds there."""
    curve = store.curve(cell, seed)
    last = {split: curve[curve["split"] == split] for split in SPLITS}
    return {
        "seed": seed,
        "samples": None if curve.empty else int(curve["samples"].max()),
        **{split: None if f.empty else _number(f["value"].iloc[-1]) for split, f in last.items()},
        "diverged_at": store.manifest(cell, seed).get("diverged_at"),
        "weights": store.checkpoint(cell, seed).exists(),
    }


def details(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """The rest of what is known of a seed."""
    manifest, folder = store.manifest(cell, seed), store.seed_folder(cell, seed)
    snapshots = (path.stem for path in folder.glob("snapshots/*.ckpt"))
    rows = store.likelihoods(cell, seed).to_dict("records")
    return {
        "marks": sorted({int(samples) for samples in store.curve(cell, seed)["samples"]}),
        "snapshots": sorted(int(stem) for stem in snapshots if stem.isdecimal()),
        "sessions": manifest.get("sessions", []),
        "manifest": {k: v for k, v in manifest.items() if k not in ("cell", "seed", "sessions")},
        "estimates": [{str(k): _number(v) for k, v in row.items()} for row in rows],
    }


def _number(value: Any) -> Any:
    """Return a value as JSON has it, which knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def settings(cell: Cell) -> dict[str, Any]:
    """A cell's settings by dotted name, as `reproduce train` takes them."""
    algorithm = identity.placed(cell.settings["algorithm"], "algorithm")
    read = {"split": cell.reading} if isinstance(cell.reading, str) else cell.reading or {}
    data = {"n_train": cell.n_train, **read}
    return _leaves({"algorithm": algorithm, "model": cell.settings["model"], "data": data})


def changed(cell: Cell) -> list[str]:
    """The settings that differ from the default, or from `settings=text` where fewer do.

    Of an algorithm or a data set that conf/ does not have, all settings are named.
    """
    ours = settings(cell)
    before = _default(cell, "text")  # a setting that is not hashed is as the text has it
    found = []
    for choice in ("published", "text"):
        theirs = _default(cell, choice)
        all_ours = {key: before[key] for key in theirs} | ours
        differ = [f"{k}={typed(v)}" for k, v in all_ours.items() if v != theirs.get(k)]
        found.append([f"settings={choice}", *differ] if choice != "published" else differ)
    return min(found, key=len)


def _default(cell: Cell, settings: str) -> dict[str, Any]:
    """The settings that a cell's data set and algorithm have where none is given."""
    sections = {"data": cell.dataset, "algorithm": cell.algorithm}
    known = {section: name in groups()[section] for section, name in sections.items()}
    plain = _composed(
        cell.dataset if known["data"] else "mnist",
        cell.algorithm if known["algorithm"] else "aevb",
        settings,
    )
    return {k: v for k, v in plain.items() if known.get(k.partition(".")[0], True)}


@cache  # composing takes half a second
def _composed(dataset: str, algorithm: str, settings: str) -> dict[str, Any]:
    chosen = [f"data={dataset}", f"algorithm={algorithm}", f"settings={settings}"]
    plain = OmegaConf.to_container(compose_unchecked(chosen, "base"), resolve=True)
    assert isinstance(plain, dict)
    sections = {str(name): plain[name] for name in ("algorithm", "model", "data")}
    not_hashed = ("algorithm.name", "model.n_latent", "data.name", "data.dir", "data.fallback")
    return {k: v for k, v in _leaves(sections).items() if k not in not_hashed}


def _leaves(sections: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat(sections) if not isinstance(value, Mapping)}


def typed(value: Any) -> str:
    """A value as one types it."""
    plain = value is None or isinstance(value, bool)
    return shown(value) if plain else str(value).replace(" ", "")
