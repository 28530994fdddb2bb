"""Replay the published runs' first values: `make replay`.

Writes to results/replay: replay.csv (iteration 1 and the first hook of the 18 curves of the paper's
Figure 2), misses.csv (iteration 1 with wrong settings), likelihoods.csv (the untrained models of
its Figure 3), the picture and manifest.json. Settings: results=FOLDER, data.dir=FOLDER, workers=N.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reproduce import config
from reproduce.common import cli
from reproduce.common.files import ensure_writable, read_json, write_json, write_with
from reproduce.common.markdown import aligned
from reproduce.common.names import PLACE, algorithm_name, dataset_name
from reproduce.common.provenance import provenance
from reproduce.data.fallback import substitute_missing
from reproduce.experiments.replay import first_hook, iteration_one, likelihoods, picture, pool
from reproduce.experiments.replay.draws import FIGURE2


def main(overrides: Sequence[str]) -> int:
    """Replay what is missing, write it, draw it and print it; return the exit status."""
    settings = config.compose_config(overrides, "replay")
    terminal = cli.console()
    folder = config.results_folder(settings) / "replay"
    ensure_writable(folder)
    data_dir = config.data_dir(settings)
    substitute_missing(["mnist", "freyface"], data_dir, "error", terminal)
    place = Path(data_dir) if data_dir else None
    kept = _kept(folder)

    with terminal.status("iteration 1 of 18 runs, and with wrong settings (a minute)"):
        first = iteration_one.replay(place)
        misses = iteration_one.misses(place)
    terminal.print(_first_table(first, misses), highlight=False, soft_wrap=True)
    with terminal.status("log p(x) of untrained models (some minutes)"):
        untrained = likelihoods.replay(place)
    terminal.print(_likelihood_table(untrained), highlight=False, soft_wrap=True)
    write_json(folder / "manifest.json", {"drawn": provenance()})
    _write(misses, folder / "misses.csv")
    _write(untrained, folder / "likelihoods.csv")

    done = set() if kept.empty else set(kept[PLACE].itertuples(index=False, name=None))
    left = [run for run in FIGURE2 if (run.dataset, run.n_latent, run.algorithm) not in done]
    if kept.size:
        where = folder / "replay.csv"
        terminal.print(f"{len(done)} first hooks are there already; delete {where} to redo them.")
    table = pd.concat([first, kept], ignore_index=True)
    for rows in pool.replayed(left, place, config.workers(settings), terminal):
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        _write(_in_order(table), folder / "replay.csv")
    table = _in_order(table)
    _write(table, folder / "replay.csv")
    terminal.print(_hook_table(table), highlight=False, soft_wrap=True)
    drawn, _ = picture.draw(table, misses, folder / "replay")
    terminal.print(
        f"Written: {folder} ({drawn.name} shows it all)", highlight=False, soft_wrap=True
    )
    return 0


def _kept(folder: Path) -> pd.DataFrame:
    """Return the first hooks that this very code has replayed before."""
    table, manifest = folder / "replay.csv", folder / "manifest.json"
    now = provenance()
    if not table.exists() or not manifest.exists() or now["git"]["dirty"]:
        return pd.DataFrame()
    about = read_json(manifest, f"delete the folder {folder}")
    if about.get("drawn", {}).get("git") != now["git"]:
        return pd.DataFrame()
    frame = pd.read_csv(table)
    return frame[frame["part"] == "first_hook"]


def _write(frame: pd.DataFrame, path: Path) -> None:
    write_with(path, lambda temporary: frame.round(6).to_csv(temporary, index=False))


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by part, split and the paper's order of runs."""
    place = {(run.dataset, run.n_latent, run.algorithm): at for at, run in enumerate(FIGURE2)}
    at = [place[key] for key in frame[PLACE].itertuples(index=False, name=None)]
    ordered = frame.assign(at=at).sort_values(
        ["part", "split", "at"], ascending=[False, False, True]
    )
    return ordered.drop(columns="at").reset_index(drop=True)


def _named(row: object) -> list[str]:
    dataset, n_latent, algorithm = (getattr(row, name) for name in PLACE)
    return [dataset_name(dataset), str(n_latent), algorithm_name(algorithm)]


def _first_table(first: pd.DataFrame, misses: pd.DataFrame) -> str:
    """Iteration 1 by right and wrong settings, a Markdown table."""
    wrong = list(dict.fromkeys(misses["wrong"]))
    rows = [["dataset", "N_z", "algorithm", "published", "replayed", *wrong]]
    for row in first[first["split"] == "train"].itertuples():
        mine = misses[(misses[PLACE] == [row.dataset, row.n_latent, row.algorithm]).all(axis=1)]
        values = mine.set_index("wrong")["replayed"]
        others = [f"{values[name]:.4f}" if name in values else "" for name in wrong]
        rows.append([*_named(row), f"{row.published:.4f}", f"{row.replayed:.4f}", *others])
    caption = "Training bound at iteration 1, of an untrained network, in nats"
    return f"{caption}\n\n{aligned(rows, right=(1, *range(3, len(rows[0]))))}\n"


def _hook_table(table: pd.DataFrame) -> str:
    """The first hook, training and test bound, a Markdown table."""
    rows = [["dataset", "N_z", "algorithm", "iterations", "split", "published", "replayed",
             "difference", "allowed", "spread"]]  # fmt: skip
    for row in table[table["part"] == "first_hook"].itertuples():
        key = (str(row.dataset), int(str(row.n_latent)), str(row.algorithm))
        allowed = f"{first_hook.bar(*key):.1f}" if row.split == "train" else ""
        published, replayed = float(str(row.published)), float(str(row.replayed))
        values = [f"{published:.3f}", f"{replayed:.3f}", f"{replayed - published:+.3f}"]
        spread = f"{row.spread:.1f}" if row.spread else ""
        rows.append([*_named(row), f"{row.iterations:,}", str(row.split), *values, allowed, spread])
    caption = "Bound at the first hook after iteration 1, in nats"
    return f"{caption}\n\n{aligned(rows, right=(1, 3, 5, 6, 7, 8, 9))}\n"


def _likelihood_table(found: pd.DataFrame) -> str:
    """Log p(x) of untrained models, a Markdown table."""
    names = list(likelihoods.ESTIMATORS)
    rows = [["N_train", "algorithm", "split", "published", *names]]
    for row in found.itertuples():
        values = [f"{getattr(row, name):.2f}" for name in names]
        rows.append([f"{row.n_train:,}", algorithm_name(str(row.algorithm)), str(row.split),
                     f"{row.published:.2f}", *values])  # fmt: skip
    caption = "log p(x) of untrained models, in nats per image"
    return f"{caption}\n\n{aligned(rows, right=(0, *range(3, len(rows[0]))))}\n"
