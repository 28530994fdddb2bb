"""Make the paper's published curves again: python -m studies.published_curves PDF [out=FOLDER].

PDF is a copy of arXiv 1312.6114v10. Writes figure2.csv and figure3.csv, every vertex of the
paper's Figures 2 and 3, to FOLDER (by default results/published) and says whether they equal the
files that were there.
"""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.generic import ContentStream

from reproduce.analysis.published import PUBLISHED_FOLDER
from reproduce.common import cli
from reproduce.common.errors import UserError
from reproduce.common.files import write_text
from studies.published_curves.curves import (
    FIGURE2_COLUMNS,
    FIGURE3_COLUMNS,
    figure2_rows,
    figure3_rows,
    table,
)
from studies.published_curves.drawing import Drawing

SHA256 = "187e8a9243936aca4e5e2b5a2b44d6cdc4449cad121c51b9c7d065905e73b803"
_WANTED = "give the PDF of arXiv 1312.6114v10 (https://arxiv.org/pdf/1312.6114v10)"


def read_paper(path: Path) -> bytes:
    """Return the bytes of the paper's PDF."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {_WANTED}.") from error
    if not content.startswith(b"%PDF-"):
        raise UserError(f"{path} is no PDF; {_WANTED}.")
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"{path} is another PDF: expected sha256 {SHA256}, got {found}; {_WANTED}.")
    return content


def tables(content: bytes) -> dict[str, str]:
    """Return the text of both files by name, from the paper's PDF."""
    paper = PdfReader(io.BytesIO(content))
    return {
        "figure2.csv": table(FIGURE2_COLUMNS, figure2_rows(_figure(paper, 7))),
        "figure3.csv": table(FIGURE3_COLUMNS, figure3_rows(_figure(paper, 8))),
    }


def _figure(paper: PdfReader, page: int) -> Drawing:
    """Read the one figure on a page (from 1)."""
    resources: Any = paper.pages[page - 1]["/Resources"]
    (form,) = (form.get_object() for form in resources["/XObject"].values())
    return Drawing(ContentStream(form, paper).operations, float(form["/BBox"][2]))


def main() -> int:
    """Write both files, once all is read."""
    arguments = sys.argv[1:]
    folders = [argument for argument in arguments if argument.startswith("out=")]
    paths = [argument for argument in arguments if argument not in folders]
    if len(paths) != 1 or len(folders) > 1 or "out=" in folders:
        raise UserError("Usage: python -m studies.published_curves PDF [out=FOLDER].")
    folder = Path(folders[0].removeprefix("out=")) if folders else PUBLISHED_FOLDER
    for name, text in tables(read_paper(Path(paths[0]))).items():
        path = folder / name
        before = path.read_bytes() if path.is_file() else None
        write_text(path, text)
        points = len(text.splitlines()) - 1
        print(f"{path}: {points:,} points, {_compared(before, text)}.")
    return 0


def _compared(before: bytes | None, text: str) -> str:
    if before is None:
        return "where there was no file"
    same = before == text.encode()
    return "equal to the file that was there" if same else "different from the file that was there"


if __name__ == "__main__":
    cli.command(main)
