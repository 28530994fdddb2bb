"""Estimates of commands that have not finished: found again, and gone when they have."""

import pytest
import torch

from reproduce.likelihood.unfinished import Unfinished, checksum
from reproduce.store import store


def refused():
    raise AssertionError("made again")


def made(value):
    return {"value": torch.tensor([[value]])}, 2.0


def test_what_is_made_is_found_again_until_the_command_has_finished(tmp_path):
    first = Unfinished(tmp_path / "results")
    assert first.made({"seed": 0}, lambda: made(1.0)) == made(1.0)
    with pytest.raises(KeyboardInterrupt):
        first.made({"seed": 1}, interrupted)
    second = Unfinished(tmp_path / "results")
    assert second.path({"seed": 0}).exists()
    assert not second.path({"seed": 1}).exists()
    assert second.made({"seed": 0}, refused) == made(1.0)
    assert second.made({"seed": 1}, lambda: made(2.0)) == made(2.0)
    (tmp_path / "results" / "runs").mkdir()
    second.finish()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["runs"]


def interrupted():
    raise KeyboardInterrupt


def test_what_another_command_has_made_stays(tmp_path):
    one, other = Unfinished(tmp_path), Unfinished(tmp_path)
    one.made({"run": "a"}, lambda: made(1.0))
    other.made({"run": "b"}, lambda: made(2.0))
    one.finish()
    assert other.made({"run": "b"}, refused) == made(2.0)
    assert one.made({"run": "a"}, lambda: made(3.0)) == made(3.0)


def test_a_damaged_file_is_made_again(tmp_path):
    unfinished = Unfinished(tmp_path)
    unfinished.made({}, lambda: made(1.0))
    path = unfinished.path({})
    path.write_bytes(path.read_bytes()[:50])
    assert unfinished.made({}, lambda: made(2.0)) == made(2.0)


def test_an_estimate_is_had_where_nothing_can_be_written(tmp_path):
    (tmp_path / "unfinished").write_text("no folder")
    unfinished = Unfinished(tmp_path)
    assert unfinished.made({}, lambda: made(1.0)) == made(1.0)
    unfinished.finish()


def test_nothing_is_written_into_exported_cells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells" / "a").mkdir(parents=True)
    (tmp_path / "cells" / "a" / "cell.json").touch()
    unfinished = Unfinished(tmp_path / "cells")
    unfinished.made({}, lambda: made(1.0))
    assert unfinished.path({}).is_relative_to(store.RESTORED)
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["a"]
    unfinished.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


def test_a_checksum_tells_tensors_apart():
    zero, one = torch.zeros(3), torch.ones(3)
    assert checksum(zero, one) == checksum(zero.clone(), one)
    assert checksum(zero, one) != checksum(one, zero)
