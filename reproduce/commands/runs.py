"""The runs there are, and everything of one of them.

    reproduce list [results=FOLDER] [json=true]      # own ones, then restored ones
    reproduce show ID [results=FOLDER] [json=true]   # or run=ID; a beginning of the id will do

FOLDER is a results folder, by default `results`, or one of exported cells, such as
results/reference/cells. What differs from the default is written as `reproduce train` takes it.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

from reproduce.common import cli, identity
from reproduce.common.checks import one_of, shown
from reproduce.common.errors import UserError
from reproduce.common.names import short_number
from reproduce.config.overrides import compose_unchecked, flat, groups
from reproduce.store.cell import Cell
from reproduce.store.store import RESTORED, Store, find_cell, is_export, stored

SPLITS = ("train", "test")


def list_command(arguments: Sequence[str]) -> int:
    """Print a row for each run."""
    given, as_json = _given(arguments, "list [results=FOLDER] [json=true]", results="results")
    results, terminal = Path(given["results"]), cli.console()
    found = []
    for whose, store in _stores(results):
        rows, faults = [], []
        for name in sorted(path.parent.name for path in store.root.glob("*/cell.json")):
            try:
                rows.append(_about(store, store.cell(name), whose))
            except UserError as error:
                faults.append(f"{name} is left out: {error}")
        found += rows
        if not as_json and rows:
            _print_rows(f"{whose.capitalize()}, in {store.root}", rows, terminal)
        for fault in faults:
            print(fault, file=sys.stderr)
    if as_json:
        print(json.dumps(found, indent=2))
    elif not found:
        terminal.print(
            f"There is no run in {stored(results).root}; `reproduce figure figure=figure1` "
            "trains some."
        )
    return 0


def show_command(arguments: Sequence[str]) -> int:
    """Print everything of one run."""
    named = [a if "=" in a or a.startswith("-") else f"run={a}" for a in arguments]
    usage = "show ID [results=FOLDER] [json=true]"
    given, as_json = _given(named, usage, run=None, results="results")
    results = Path(given["results"])
    whose, store = next(_stores(results))
    cell = find_cell(store, given["run"])
    about = _about(store, cell, whose)
    for member in about["members"]:
        member |= _details(store, cell, member["seed"])
    if as_json:
        print(json.dumps({**about, "all_settings": _settings(cell)}, indent=2))
    else:
        _print_run(about, _settings(cell), cli.console())
    return 0


def _given(
    arguments: Sequence[str], usage: str, **defaults: str | None
) -> tuple[dict[str, str], bool]:
    plain = ["json=true" if argument == "--json" else argument for argument in arguments]
    given = cli.parsed(plain, usage, json="false", **defaults)
    return given, one_of("json", given["json"], ("true", "false")) == "true"


def _stores(results: Path) -> Iterator[tuple[str, Store]]:
    """Whose runs lie in a results folder, and where: those of the folder itself come first."""
    own = "restored" if results.name == RESTORED.name else "own"
    yield ("exported" if is_export(results) else own), stored(results)
    if (inner := results / RESTORED.name / "runs").is_dir():
        yield "restored", Store(inner)


def _about(store: Store, cell: Cell, whose: str) -> dict[str, Any]:
    """What a list says of a run, as plain containers."""
    folder = store.folder(cell)
    return {
        "id": cell.id,
        "whose": whose,
        "folder": str(folder),
        "settings": _changed(cell),
        "members": [_member(store, cell, seed) for seed in store.seeds(cell)],
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def _member(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """How far a member was trained when its curve was written last, and its bounds there."""
    curve = store.curve(cell, seed)
    last = {split: curve[curve["split"] == split] for split in SPLITS}
    return {
        "seed": seed,
        "samples": None if curve.empty else int(curve["samples"].max()),
        **{split: None if f.empty else _number(f["value"].iloc[-1]) for split, f in last.items()},
        "diverged_at": store.manifest(cell, seed).get("diverged_at"),
        "weights": store.checkpoint(cell, seed).exists(),
    }


def _details(store: Store, cell: Cell, seed: int) -> dict[str, Any]:
    """The rest of what is known of a member."""
    manifest, folder = store.manifest(cell, seed), store.member_folder(cell, seed)
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


def _settings(cell: Cell) -> dict[str, Any]:
    """A cell's settings by dotted name, as `reproduce train` takes them."""
    algorithm = identity.placed(cell.settings["algorithm"], "algorithm")
    read = {"split": cell.reading} if isinstance(cell.reading, str) else cell.reading or {}
    data = {"n_train": cell.n_train, **read}
    return _leaves({"algorithm": algorithm, "model": cell.settings["model"], "data": data})


def _changed(cell: Cell) -> list[str]:
    """The settings that differ from the default, or from `settings=text` where fewer do.

    Of an algorithm or a data set that conf/ does not have, all settings are named.
    """
    ours = _settings(cell)
    before = _default(cell, "text")  # a setting that is not hashed is as the text has it
    found = []
    for choice in ("published", "text"):
        theirs = _default(cell, choice)
        all_ours = {key: before[key] for key in theirs} | ours
        differ = [f"{k}={_typed(v)}" for k, v in all_ours.items() if v != theirs.get(k)]
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


def _typed(value: Any) -> str:
    """A value as one types it."""
    plain = value is None or isinstance(value, bool)
    return shown(value) if plain else str(value).replace(" ", "")


def _print_rows(title: str, rows: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    table = _table(("run", "trained", *SPLITS, "disk"), title)
    for row in rows:
        done = [member for member in row["members"] if member["samples"] is not None]
        end = max((member["samples"] for member in done), default=None)
        furthest = [member for member in done if member["samples"] == end]
        means = [_mean([member[split] for member in furthest]) for split in SPLITS]
        about = [" ".join(row["settings"])] if row["settings"] else []
        if len(done) < len(row["members"]):
            about.append(f"{len(row['members']) - len(done)} seeds are not finished")
        if lost := [str(m["seed"]) for m in row["members"] if m["diverged_at"] is not None]:
            about.append(f"diverged: seed {', '.join(lost)}")
        name = "\n".join([row["id"], *(f"  {line}" for line in about)])
        table.add_row(name, _trained(done), *means, _size(row["bytes"]))
    terminal.print(table)
    terminal.print(
        "trained: seeds × samples. train, test: bounds in nats, means over the seeds that went "
        "furthest.",
        highlight=False,
    )


def _print_run(about: Mapping[str, Any], settings: Mapping[str, Any], terminal: Console) -> None:
    def say(*lines: str) -> None:
        terminal.print(*lines, sep="\n", highlight=False)

    say(f"{about['id']}: {about['whose']}, {_size(about['bytes'])} in {about['folder']}")
    say(f"differs from the default by: {' '.join(about['settings']) or 'nothing'}", "", "settings")
    say(*(f"  {key}={_typed(value)}" for key, value in settings.items()))
    table = _table(("seed", "samples", *SPLITS, "marks", "snapshots", "weights"), "\nSeeds")
    for member in about["members"]:
        far = member["samples"]
        table.add_row(
            str(member["seed"]), "not finished" if far is None else f"{far:,}",
            *(_mean([member[split]]) for split in SPLITS), str(len(member["marks"])),
            " ".join(map(short_number, member["snapshots"])) or "–",
            "yes" if member["weights"] else "no",
        )  # fmt: skip
    terminal.print(table)
    for member in about["members"]:
        if member["diverged_at"] is not None:
            say(f"Seed {member['seed']} diverged before {member['diverged_at']:,} samples.")
    _print_sessions(about["members"], terminal)
    _print_estimates(about["members"], terminal)


def _print_sessions(members: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    table = _table(("seed", "from", "to", "commit", "by"), "\nSessions of training")
    for member in members:
        made = member["manifest"]
        before = {  # manifests of before there were sessions say what the last one was
            "from": None, "to": made.get("samples"), "git": made.get("git", {}),
            "torch": made.get("packages", {}).get("torch"), "device": made.get("device"),
        }  # fmt: skip
        for one in member["sessions"] or ([before] if made else []):
            commit = (one["git"].get("commit") or "unknown")[:9]
            edited = ", edited" if one["git"].get("dirty") else ""
            place = one.get("rounding", made.get("machine", {})).get("processor")
            how = ["compiled"] if one.get("compiled") else []
            by = ", ".join(map(str, (f"torch {one['torch']}", one["device"], place, *how)))
            span = ("–" if one[end] is None else f"{one[end]:,}" for end in ("from", "to"))
            table.add_row(str(member["seed"]), *span, f"{commit}{edited}", by)
    if table.row_count:
        terminal.print(table)


def _print_estimates(members: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    rows = [{**row, "seed": m["seed"]} for m in members for row in m["estimates"]]
    if not rows:
        return
    last = max(row["samples"] for row in rows)
    title = f"\nEstimates of log p(x) after {last:,} samples"
    columns = ("seed", "split", "estimator", "settings", "images", "log p(x)", "±", "not trusted")
    table = _table(columns, title)
    shown_rows = [row for row in rows if row["samples"] == last]
    for row in shown_rows:
        values = (_mean([row["value"]]), _mean([row["stderr"]]))
        table.add_row(
            str(row["seed"]), row["split"], row["estimator"], row["settings"],
            f"{row['n_points']:,}", *values, str(row["n_untrusted"]),
        )  # fmt: skip
    terminal.print(table)
    if len(rows) > len(shown_rows):
        rest = len(rows) - len(shown_rows)
        terminal.print(f"{rest} more at other marks: json=true prints them.", highlight=False)


def _table(columns: Sequence[str], title: str) -> Table:
    """A table without lines between columns, which leave an id no room in 80 characters."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
                  padding=(0, 1, 0, 0), show_edge=False)  # fmt: skip
    for name in columns:
        text = name in ("run", "by", "commit", "split", "estimator", "settings", "snapshots")
        table.add_column(name, justify="left" if text else "right", overflow="fold",
                         no_wrap=not text)  # fmt: skip
    return table


def _trained(members: Sequence[Mapping[str, Any]]) -> str:
    far = sorted({member["samples"] for member in members})
    if not far:
        return "–"
    reach = "…".join(dict.fromkeys((short_number(far[0]), short_number(far[-1]))))
    return f"{len(members)} × {reach}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else "–"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"
