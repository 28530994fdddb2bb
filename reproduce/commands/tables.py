"""Print the tables of a drawn figure: `reproduce tables folder=results/figure1/laptop`.

The tables of docs/results.md are this command's output for the committed results.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reproduce.analysis.comparison import markdown_summary, markdown_table
from reproduce.common import cli
from reproduce.common.checks import number
from reproduce.common.errors import UserError
from reproduce.experiments.likelihood.comparison import markdown_likelihood_table


def tables(folder: Path, at: float | None = 1e6) -> str:
    """Return the comparison of the figure in `folder`, as Markdown.

    Figure 1's at `at` samples (None: the last mark of each curve), figure 2's at the last mark of
    each curve; then how far each panel is from the paper.
    """
    path = folder / "comparison.csv"
    try:
        comparison = pd.read_csv(path)
        if "our_split" not in comparison.columns:
            table = markdown_likelihood_table(comparison, last_only=True)
        else:
            table = markdown_table(comparison, at)
        return f"{table}\n\n{markdown_summary(comparison)}"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is no comparison ({error}); give the folder of a drawn figure, such as "
            "results/figure1/laptop."
        ) from error


def main(arguments: Sequence[str]) -> int:
    """Print the table of a folder at a number of samples."""
    given = cli.parsed(arguments, "tables folder=FOLDER [at=SAMPLES]", folder=None, at="1e6")
    try:
        at = float(given["at"])
    except ValueError as error:
        raise UserError(f"at must be a number of samples, not {given['at']!r}.") from error
    number("at", at, zero=False)
    print(tables(Path(given["folder"]), at))
    return 0
