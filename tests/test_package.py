"""The installed package works in any folder, without the repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("reproduce", "baselines", "conf", "results/published",
          "pyproject.toml", "setup.py", "README.md", "LICENSE")  # fmt: skip
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")


def run(*command, folder, expected=0, **variables):
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


@pytest.mark.integration
def test_a_wheel_makes_figures_in_an_empty_folder(tmp_path):
    source, site, empty = (tmp_path / name for name in ("source", "site", "empty"))
    empty.mkdir()
    for name in NEEDED:  # a copy, since a build leaves files beside its source
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, source / name)
    alone = ("--no-deps", "--no-index")
    run(*PIP, "wheel", *alone, "--no-build-isolation", "-w", tmp_path, ".", folder=source)
    (wheel,) = tmp_path.glob("*.whl")
    run(*PIP, "install", *alone, "--target", site, wheel, folder=empty)
    shutil.rmtree(source)
    # Around the package lies a repository that is not this suite's.
    for command in (("init", "-q"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
                                     "--allow-empty", "-m", "other")):  # fmt: skip
        run("git", *command, folder=tmp_path)
    files = {str(path.relative_to(site)) for path in site.rglob("*")}
    for folder, copy in (("conf", "_conf"), ("results/published", "_published")):
        for path in (ROOT / folder).rglob("*.[yc]*"):
            assert f"reproduce/{copy}/{path.relative_to(ROOT / folder)}" in files

    def reproduce(*arguments, expected=0):
        command = (site / "bin" / "reproduce", *arguments)
        return run(*command, folder=empty, expected=expected, PYTHONPATH=str(site))

    given = ("samples=20000", "seeds=1", "workers=1", "tracking=off")
    reproduce("figure", "figure=figure1", "budget=smoke", *given)
    drawn = empty / "results" / "figure1" / "smoke"
    assert (drawn / "figure1.png").stat().st_size > 10_000
    assert json.loads((drawn / "manifest.json").read_text())["drawn"]["git"]["commit"] is None
    assert "No panel can be compared" in reproduce("tables", f"folder={drawn}")
    assert "needs the repository" in reproduce("step-sizes", expected=2)
    ask = "from reproduce.analysis import published as p; print(p.load_published('figure2').shape)"
    assert run(sys.executable, "-c", ask, folder=empty, PYTHONPATH=str(site)) == run(
        sys.executable, "-c", ask, folder=empty, PYTHONPATH=str(ROOT)
    )
