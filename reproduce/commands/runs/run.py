"""The runs there are, and everything of one of them.

    reproduce list [results=FOLDER] [json=true]      # own ones, then restored ones
    reproduce show ID [results=FOLDER] [json=true]   # or run=ID; a beginning of the id will do

FOLDER is a results folder, by default `results`, or one of exported cells, such as
results/reference/cells. What differs from the default is written as `reproduce train` takes it.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from reproduce.commands.runs import facts, printed
from reproduce.common import cli
from reproduce.common.checks import one_of
from reproduce.common.errors import UserError
from reproduce.store.store import RESTORED, Store, find_cell, is_export, stored


def list_command(arguments: Sequence[str]) -> int:
    """Print a row for each run."""
    given, as_json = _given(arguments, "list [results=FOLDER] [json=true]", results="results")
    results, terminal = Path(given["results"]), cli.console()
    found = []
    for whose, store in _stores(results):
        rows, faults = [], []
        for name in sorted(path.parent.name for path in store.root.glob("*/cell.json")):
            try:
                rows.append(facts.about(store, store.cell(name), whose))
            except UserError as error:
                faults.append(f"{name} is left out: {error}")
        found += rows
        if not as_json and rows:
            printed.print_rows(f"{whose.capitalize()}, in {store.root}", rows, terminal)
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
    about = facts.about(store, cell, whose)
    for record in about["members"]:
        record |= facts.details(store, cell, record["seed"])
    if as_json:
        print(json.dumps({**about, "all_settings": facts.settings(cell)}, indent=2))
    else:
        printed.print_run(about, facts.settings(cell), cli.console())
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
