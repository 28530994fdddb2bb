"""What results say of where they come from."""

import torch

from reproduce import provenance as module
from reproduce.provenance import provenance


def test_packages_name_the_build_of_torch(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    assert provenance.__wrapped__()["packages"]["torch"] == "2.13.0+cu130"


def test_without_git_nothing_is_said_of_commit_and_edits(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)  # no repository
    assert provenance.__wrapped__()["git"] == {"commit": None, "dirty": None}
