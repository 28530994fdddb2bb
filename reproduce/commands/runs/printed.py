"""The tables of `reproduce list` and `reproduce show`, at most 80 characters wide."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from reproduce.commands.runs.facts import SPLITS, typed
from reproduce.common.names import short_number


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    """Print a row for each run."""
    table = _table(("run", "trained", *SPLITS, "disk"), title)
    for row in rows:
        done = [record for record in row["members"] if record["samples"] is not None]
        end = max((record["samples"] for record in done), default=None)
        furthest = [record for record in done if record["samples"] == end]
        means = [_mean([record[split] for record in furthest]) for split in SPLITS]
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


def print_run(about: Mapping[str, Any], settings: Mapping[str, Any], terminal: Console) -> None:
    """Print one run with its settings, seeds, sessions and estimates."""

    def say(*lines: str) -> None:
        terminal.print(*lines, sep="\n", highlight=False)

    say(f"{about['id']}: {about['whose']}, {_size(about['bytes'])} in {about['folder']}")
    say(f"differs from the default by: {' '.join(about['settings']) or 'nothing'}", "", "settings")
    say(*(f"  {key}={typed(value)}" for key, value in settings.items()))
    table = _table(("seed", "samples", *SPLITS, "marks", "snapshots", "weights"), "\nSeeds")
    for record in about["members"]:
        far = record["samples"]
        table.add_row(
            str(record["seed"]), "not finished" if far is None else f"{far:,}",
            *(_mean([record[split]]) for split in SPLITS), str(len(record["marks"])),
            " ".join(map(short_number, record["snapshots"])) or "–",
            "yes" if record["weights"] else "no",
        )  # fmt: skip
    terminal.print(table)
    for record in about["members"]:
        if record["diverged_at"] is not None:
            say(f"Seed {record['seed']} diverged before {record['diverged_at']:,} samples.")
    _print_sessions(about["members"], terminal)
    _print_estimates(about["members"], terminal)


def _print_sessions(records: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    table = _table(("seed", "from", "to", "commit", "by"), "\nSessions of training")
    for record in records:
        made = record["manifest"]
        before = {  # manifests of before there were sessions say what the last one was
            "from": None, "to": made.get("samples"), "git": made.get("git", {}),
            "torch": made.get("packages", {}).get("torch"), "device": made.get("device"),
        }  # fmt: skip
        for one in record["sessions"] or ([before] if made else []):
            commit = (one["git"].get("commit") or "unknown")[:9]
            edited = ", edited" if one["git"].get("dirty") else ""
            place = one.get("rounding", made.get("machine", {})).get("processor")
            how = ["compiled"] if one.get("compiled") else []
            by = ", ".join(map(str, (f"torch {one['torch']}", one["device"], place, *how)))
            span = ("–" if one[end] is None else f"{one[end]:,}" for end in ("from", "to"))
            table.add_row(str(record["seed"]), *span, f"{commit}{edited}", by)
    if table.row_count:
        terminal.print(table)


def _print_estimates(records: Sequence[Mapping[str, Any]], terminal: Console) -> None:
    rows = [{**row, "seed": m["seed"]} for m in records for row in m["estimates"]]
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


def _trained(records: Sequence[Mapping[str, Any]]) -> str:
    far = sorted({record["samples"] for record in records})
    if not far:
        return "–"
    reach = "…".join(dict.fromkeys((short_number(far[0]), short_number(far[-1]))))
    return f"{len(records)} × {reach}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else "–"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"
