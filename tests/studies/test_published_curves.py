import hashlib
import os
import sys
from pathlib import Path

import pytest

import studies.published_curves.__main__ as command
from reproduce.analysis.published import PUBLISHED_FOLDER
from reproduce.common import cli
from studies.published_curves.curves import figure2_rows
from studies.published_curves.drawing import Drawing

FIGURES = ("figure2.csv", "figure3.csv")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process, as from a shell; return status, stdout and stderr."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it; this restores it

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["published_curves", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.command(command.main)
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def paper():
    """The paper's PDF, which is not committed."""
    path = Path(os.environ["AEVB_TEST_DATA_DIR"]) / "kingma_welling_2013_v10.pdf"
    if not path.is_file():
        pytest.skip(f"needs the PDF of arXiv 1312.6114v10: DATA_DIR does not hold {path.name}")
    return path


def test_the_committed_curves_are_made_again_byte_for_byte(run, paper, tmp_path):
    committed = {name: (PUBLISHED_FOLDER / name).read_bytes() for name in FIGURES}
    for name, content in committed.items():
        (tmp_path / name).write_bytes(content)
    status, out, err = run(paper, f"out={tmp_path}")
    assert (status, err) == (0, "")
    for (name, content), line in zip(committed.items(), out.splitlines(), strict=True):
        made = (tmp_path / name).read_bytes()
        assert set(made.splitlines()) ^ set(content.splitlines()) == set()  # easy to read
        same = made == content
        assert same
        points = content.count(b"\n") - 1
        assert line == f"{tmp_path / name}: {points:,} points, equal to the file that was there."
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FIGURES)


@pytest.fixture
def made_up(monkeypatch):
    """Any file will do as the paper, with two points in Figure 2 and three in Figure 3."""
    texts = {"figure2.csv": "value\r\n0\r\n1\r\n", "figure3.csv": "value\r\n2\r\n3\r\n4\r\n"}
    monkeypatch.setattr(command, "read_paper", lambda path: b"")
    monkeypatch.setattr(command, "tables", lambda content: texts)
    return texts


def test_what_was_there_is_compared(run, made_up, tmp_path):
    out = f"out={tmp_path / 'new'}"
    new, equal = "where there was no file", "equal to the file that was there"
    for figure2, figure3 in (
        (new, new),
        (equal, equal),
        ("different from the file that was there", equal),
    ):
        status, said, _ = run("paper.pdf", out)
        assert status == 0
        assert said == (
            f"{tmp_path}/new/figure2.csv: 2 points, {figure2}.\n"
            f"{tmp_path}/new/figure3.csv: 3 points, {figure3}.\n"
        )
        made = {path.name: path.read_bytes().decode() for path in (tmp_path / "new").iterdir()}
        assert made == made_up
        if figure2 == equal:
            (tmp_path / "new" / "figure2.csv").write_text("value\n")


def test_killed_while_writing_nothing_is_changed(run, made_up, tmp_path, monkeypatch):
    (tmp_path / "figure2.csv").write_text("before\n")
    monkeypatch.setattr(Path, "replace", stopped)
    status, out, _ = run("paper.pdf", f"out={tmp_path}")
    assert (status, out) == (cli.INTERRUPTED, "")
    assert [path.name for path in tmp_path.iterdir()] == ["figure2.csv"]
    assert (tmp_path / "figure2.csv").read_text() == "before\n"


def stopped(*_):
    raise KeyboardInterrupt


OTHER = b"%PDF-1.5\nof another paper\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (No such file or directory); give the PDF of arXiv 1312.6114v10"),
        (b"", "is no PDF; give the PDF"),
        (b"<html>not found</html>", "is no PDF; give the PDF"),
        (OTHER, f"sha256 {command.SHA256}, got {hashlib.sha256(OTHER).hexdigest()}; give the"),
    ],
)
def test_another_file_is_refused_in_one_sentence(run, tmp_path, content, sentence):
    path = tmp_path / "paper.pdf"
    if content is not None:
        path.write_bytes(content)
    assert_refused(run(path, f"out={tmp_path / 'out'}"), str(path), sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["out=folder"], ["a.pdf", "b.pdf"], ["a.pdf", "out=a", "out=b"], ["a", "out="]],
)
def test_other_arguments_are_refused(run, arguments):
    assert_refused(run(*arguments), "Usage: python -m studies.published_curves PDF [out=FOLDER].")


def test_a_folder_is_no_pdf(run, tmp_path):
    assert_refused(run(tmp_path), "Is a directory")


def assert_refused(outcome, *parts):
    status, out, err = outcome
    assert (status, out) == (cli.USER_ERROR, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_a_small_drawing_is_read_as_the_figures_are():
    # MNIST axes of 40 points for 10^5 to 10^6 and for -150 to -110, on a page 60 points wide.
    def path(*vertices):
        return [(vertex, b"l" if place else b"m") for place, vertex in enumerate(vertices)]

    def text(words):
        return [([], b"BT"), ([words], b"Tj"), ([], b"ET")]

    def tick(start, end, *label):
        return [*path(start, end), ([], b"B"), *label]

    minus = ([], b"Do")
    drawing = Drawing(
        [
            *[([], b"q"), ([10, 10, 40, 40], b"re"), ([1, 0, 0], b"RG"), ([[6, 6], 0], b"d")],
            *path((0, -1), (10, 9), (50, 30), (50, 30), (50, -1)),  # the first run leaves the page
            *path((20, -1), (50, 50), (61, 50)),  # the second leaves it on the right
            *[([], b"S"), ([], b"q")],
            *tick((10, 10), (10, 14), *text("105")),
            *tick((20, 10), (20, 12)),  # a minor tick
            *tick((50, 10), (50, 14), *text("106")),
            *tick((10, 10), (14, 10), *text("150"), minus),
            *tick((10, 50), (14, 50), *text("110"), minus),
            *text("MNIST, Nz=7"),
            *[([1, 0, 0], b"RG"), ([[6, 6], 0], b"d"), *path((0, 0), (1, 0)), ([], b"S")],
            *text("AEVB (test)"),
        ],
        60,
    )
    line = ("mnist", 7, "aevb", "test")
    # Iteration 1, 100 samples, is three decades or 120 points left of 10^5, at x = -110.
    first = "first iteration, from the slope of the clipped segment"
    assert list(figure2_rows(drawing)) == [
        (*line, 0, 100, 1, "-271.0000", 0, first),
        (*line, 0, 100_000, 1000, "-151.000", 0, "exact"),
        (*line, 0, 1_000_000, 10_000, "-130.000", 1, "exact"),
        (*line, 1, 1_000_000, 10_000, "-110.000", 1, "exact"),
    ]
