"""Print the tables of a drawn figure: `python -m reproduce.commands.tables results/figure1/laptop`.

The tables of docs/results.md are this command's output for the committed results.
"""

import sys
from pathlib import Path

import pandas as pd

from reproduce.analysis.comparison import markdown_summary, markdown_table
from reproduce.common import cli
from reproduce.common.checks import check_number
from reproduce.common.errors import UserError
from reproduce.experiments.likelihood.comparison import markdown_likelihood_table


def tables(folder: Path, at: float | None = 1e6) -> str:
    """Return the comparison of the figure in `folder`, as Markdown.

    Figure 1's at `at` samples (None: the last mark of each curve), figure 2's at the last mark of
    each curve; then how far each panel is from the paper.

    Raises
    ------
    UserError
        Where the folder holds no readable comparison.
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


def main() -> int:
    """Print the table of the folder, and at the number of samples, given as arguments."""
    arguments = sys.argv[1:]
    if not 1 <= len(arguments) <= 2:
        raise UserError("Usage: python -m reproduce.commands.tables FOLDER [SAMPLES].")
    try:
        at = float(arguments[1]) if len(arguments) == 2 else 1e6
    except ValueError as error:
        raise UserError(f"SAMPLES must be a number, not {arguments[1]!r}.") from error
    check_number("SAMPLES", at, zero=False)
    print(tables(Path(arguments[0]), at))
    return 0


if __name__ == "__main__":
    cli.command(main)
