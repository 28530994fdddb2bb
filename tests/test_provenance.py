"""What results say of where they come from."""

import torch

from reproduce.provenance import provenance


def test_packages_name_the_build_of_torch(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    assert provenance.__wrapped__()["packages"]["torch"] == "2.13.0+cu130"
