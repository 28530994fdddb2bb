import matplotlib
import pytest
from matplotlib.colors import to_rgb

from reproduce.analysis import style
from reproduce.common.names import dataset_name, short_number


def lightness(colour):
    """CIE L*, which is what a grey-scale print shows."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_the_papers_colours():
    for algorithm, channel in (("aevb", 0), ("wake_sleep", 1), ("mcem", 2)):
        colour = to_rgb(style.ALGORITHMS[algorithm].colour)
        assert max(range(3), key=colour.__getitem__) == channel


def test_algorithms_differ_without_colour():
    looks = style.ALGORITHMS.values()
    levels = sorted(lightness(look.colour) for look in looks)
    assert levels == pytest.approx([26, 42, 63], abs=2)
    assert len({look.marker for look in looks}) == 3
    for look in looks:
        assert lightness(look.light) > lightness(look.colour) + 15


def test_further_algorithms_get_styles_of_their_own_whatever_the_order():
    names = [f"other{i}" for i in range(8)]
    styles = style.algorithm_styles(["wake_sleep", *names, "aevb"])
    assert list(styles) == ["aevb", "wake_sleep", *names]
    assert len({(look.colour, look.marker) for look in styles.values()}) == 10
    assert styles == style.algorithm_styles(["aevb", *reversed(names), "wake_sleep", "aevb"])
    assert style.algorithm_styles(["full_vb"])["full_vb"].name == "Full VB"


@pytest.mark.parametrize(
    ("value", "text"), [(1e6, "1e6"), (25_000_000, "2.5e7"), (20_000, "2e4"), (123, "1.2e2")]
)
def test_numbers_of_samples(value, text):
    assert short_number(value) == text


def test_the_digits_never_pass_for_mnist():
    for dataset in ("digits", "digits_continuous"):
        assert dataset_name(dataset).startswith("scikit-learn digits")
    assert dataset_name("mine") == "mine"


def test_the_users_own_settings_neither_matter_nor_change():
    with matplotlib.rc_context({"lines.linewidth": 9, "text.color": "pink"}):
        with style.applied():
            assert matplotlib.rcParams["lines.linewidth"] == 1.4
        assert matplotlib.rcParams["lines.linewidth"] == 9
