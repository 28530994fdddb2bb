"""What results say of where they come from."""

import subprocess

import torch

from reproduce.common import provenance as module
from reproduce.common.provenance import provenance


def test_packages_name_the_build_of_torch():
    """Such as 2.13.0+cu130, which the version of its package may leave out."""
    assert provenance()["packages"]["torch"] == torch.__version__


def test_a_package_that_is_not_there_has_no_version(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("torch", "no-such-package"))
    found = provenance.__wrapped__()["packages"]
    assert found == {"torch": torch.__version__, "no-such-package": None}


def test_new_results_are_no_edits_of_the_code(monkeypatch, tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "results" / "reference").mkdir(parents=True)
    tracked = [tmp_path / "results" / "reference" / "old.csv", tmp_path / "code.py"]
    for path in tracked:
        path.write_text("1\n")
    git("add", ".")
    git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-m", "x")
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    tracked[0].write_text("2\n")
    (tmp_path / "results" / "reference" / "new.csv").touch()
    assert provenance.__wrapped__()["git"]["dirty"] is False
    tracked[1].write_text("2\n")
    assert provenance.__wrapped__()["git"]["dirty"] is True


def test_without_git_nothing_is_said_of_commit_and_edits(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)  # no repository
    assert provenance.__wrapped__()["git"] == {"commit": None, "dirty": None}


def test_variables_that_change_rounding_are_named(monkeypatch):
    assert provenance.__wrapped__()["machine"]["rounding"] == {}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert provenance.__wrapped__()["machine"]["rounding"] == {"ONEDNN_MAX_CPU_ISA": "AVX2"}
