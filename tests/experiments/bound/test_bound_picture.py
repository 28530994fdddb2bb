import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex

from reproduce.analysis import style
from reproduce.analysis.published import load_published
from reproduce.common.errors import UserError
from reproduce.experiments.bound.picture import Panel, build, draw

MARKS = np.array([20_000, 50_000, 100_000, 300_000, 1_000_000])
PUBLISHED = load_published("figure2")
SMOKE = [Panel("digits", 5), Panel("digits_continuous", 5)]


def curves(panels, *, algorithms=("aevb", "wake_sleep"), seeds=2, marks=MARKS, level=-130.0):
    """Made-up curves rising to `level`, half a nat between seeds."""
    return pd.DataFrame(
        [
            (p.dataset, p.n_latent, 1000, algorithm, seed, split, samples, value)
            for p in panels
            for algorithm in algorithms
            for seed in range(seeds)
            for split in ("train", "test", "train_running")
            for samples, value in zip(
                marks, level + np.linspace(-15, 0, len(marks)) + seed / 2, strict=True
            )
        ],
        columns=[
            "dataset",
            "n_latent",
            "n_train",
            "algorithm",
            "seed",
            "split",
            "samples",
            "value",
        ],
    )


def axes_of(figure):
    return {str(ax.get_label()): ax for ax in figure.axes}


def lines_of(ax):
    return {line.get_gid(): line for line in ax.lines}


def note_of(ax):
    return next(text.get_text() for text in ax.texts if text.get_gid() == "note")


def legend_of(figure):
    return [text.get_text() for text in axes_of(figure)["legend"].get_legend().get_texts()]


def footnote_of(figure):
    texts = (text for text in figure.texts if text.get_gid() == "footnote")
    return next(texts).get_text().replace("\n", " ")


@pytest.fixture(scope="module")
def nine():
    # One panel of ours: the other eight must say so.
    return build(curves([Panel("mnist", 10)]), PUBLISHED, title="Experiment 1")


def test_nine_panels_stand_as_in_the_paper(nine):
    axes = axes_of(nine)
    assert len(axes) == 10
    grid = {label: ax.get_subplotspec() for label, ax in axes.items()}
    places = {
        label: (spec.rowspan.start, spec.colspan.start) for label, spec in grid.items() if spec
    }
    for column, n_latent in enumerate((3, 5, 10, 20, 200)):
        assert places[f"mnist-{n_latent}"] == (0, column)
    for column, n_latent in enumerate((2, 5, 10, 20)):
        assert places[f"freyface-{n_latent}"] == (1, column)
    assert places["legend"] == (1, 4)
    assert axes["mnist-200"].get_title() == "MNIST, $N_z$=200"
    assert axes["freyface-2"].get_title() == "Frey Face, $N_z$=2"


def test_the_papers_axes(nine):
    for label, ax in axes_of(nine).items():
        if label == "legend":
            continue
        assert ax.get_xscale() == "log"
        assert ax.get_xlim() == (1e5, 1e8)
        mnist = label.startswith("mnist")
        assert ax.get_ylim() == ((-150, -100) if mnist else (0, 1600))
        expected = range(-150, -99, 10) if mnist else range(0, 1601, 200)
        assert ax.get_yticks().tolist() == list(expected)
    assert "nats" in axes_of(nine)["mnist-3"].get_ylabel()
    assert nine.get_supxlabel() == "# Training samples evaluated"


def test_colours_dashes_and_shades(nine):
    lines = lines_of(axes_of(nine)["mnist-10"])
    kinds = ("ours:{}:{}", "end:{}:{}", "published:{}:{}", "seed:{}:{}:0", "seed:{}:{}:1")
    assert set(lines) == {
        kind.format(a, s)
        for kind in kinds
        for a in ("aevb", "wake_sleep")
        for s in ("train", "test")
    }
    for algorithm in ("aevb", "wake_sleep"):
        look = style.ALGORITHMS[algorithm]
        for kind, colour in (("ours", look.colour), ("published", look.light)):
            train, test = (lines[f"{kind}:{algorithm}:{split}"] for split in ("train", "test"))
            assert to_hex(train.get_color()) == to_hex(test.get_color()) == colour
            assert train.get_linestyle() == "-"
            assert test.get_linestyle() == "--"
        published = lines[f"published:{algorithm}:train"]
        assert published.get_zorder() < lines[f"ours:{algorithm}:train"].get_zorder()


def test_each_seed_is_a_thin_line_where_there_are_several():
    panels = [Panel("mnist", 10)]
    frame = curves(panels, algorithms=["aevb"], seeds=3)
    frame.loc[frame["seed"] == 1, "value"] -= 100
    lines = lines_of(axes_of(build(frame, PUBLISHED, panels))["mnist-10"])
    train = frame[(frame["split"] == "train_running")]
    for seed in range(3):
        drawn = lines[f"seed:aevb:train:{seed}"]
        assert drawn.get_ydata().tolist() == train[train["seed"] == seed]["value"].tolist()
        assert drawn.get_linewidth() < lines["ours:aevb:train"].get_linewidth()
    alone = build(frame[frame["seed"] == 0], PUBLISHED, panels)
    assert not [gid for gid in lines_of(axes_of(alone)["mnist-10"]) if gid.startswith("seed")]


def test_seeds_below_the_axis_are_counted():
    panels = [Panel("mnist", 10)]
    frame = curves(panels, algorithms=["wake_sleep"], seeds=3)
    frame.loc[frame["seed"] == 1, "value"] -= 100
    note = note_of(axes_of(build(frame, PUBLISHED, panels))["mnist-10"])
    assert note.splitlines()[1] == "Wake-Sleep: 1e6, 3 seeds, 1 below −150"


def test_ours_is_the_mean_with_a_band_and_train_is_the_running_mean():
    frame = curves([Panel("mnist", 10)], algorithms=["aevb"])
    frame.loc[frame["split"] == "train", "value"] = 0.0
    ax = axes_of(build(frame, PUBLISHED, [Panel("mnist", 10)]))["mnist-10"]
    line = lines_of(ax)["ours:aevb:train"]
    np.testing.assert_array_equal(line.get_xdata(), MARKS)
    np.testing.assert_allclose(line.get_ydata(), -130 + np.linspace(-15, 0, len(MARKS)) + 0.25)
    # The band is the range of the two seeds, 0.25 on both sides of their mean.
    top = max(path.vertices[:, 1].max() for path in ax.collections[0].get_paths())
    assert top == pytest.approx(-129.75 + 0.25, abs=1e-9)


def test_a_panel_says_how_far_ours_goes(nine):
    axes = axes_of(nine)
    assert note_of(axes["mnist-10"]) == "ours: 1e6 samples, 2 seeds"
    assert note_of(axes["mnist-20"]) == note_of(axes["freyface-5"]) == "not run"
    assert set(lines_of(axes["freyface-5"])) == {
        f"published:{a}:{s}" for a in ("aevb", "wake_sleep") for s in ("train", "test")
    }


def test_notes_where_algorithms_differ():
    panel = Panel("mnist", 10)
    frame = curves([panel], seeds=3)
    aevb = frame["algorithm"] == "aevb"
    frame.loc[aevb & (frame["seed"] == 1) & (frame["samples"] > 1e5), "value"] = np.nan
    frame.loc[~aevb, "value"] -= 40

    def drawn(rows):
        return note_of(axes_of(build(rows, PUBLISHED, [panel]))["mnist-10"])

    assert drawn(frame) == "AEVB: 1e6, 2 of 3 seeds\nWake-Sleep: 1e6, 3 seeds, below −150"
    assert drawn(frame[aevb & (frame["seed"] == 0)]) == "AEVB: 1e6, 1 seed\nWake-Sleep: not run"
    assert drawn(frame[~aevb].assign(value=np.inf)).endswith("Wake-Sleep: diverged")


def test_legend_and_footnote_explain_what_is_drawn(nine):
    assert legend_of(nine) == ["AEVB (train)", "AEVB (test)", "Wake-Sleep (train)",
                               "Wake-Sleep (test)", "published (light)"]  # fmt: skip
    footnote = footnote_of(nine)
    for word in ("lowest to the highest seed", "running means", "Kingma & Welling"):
        assert word in footnote
    own = build(curves(SMOKE), PUBLISHED, SMOKE, footnote="Budget smoke.")
    assert legend_of(own)[-1] == "Wake-Sleep (test)"
    assert footnote_of(own).startswith("Budget smoke. Lines")
    assert "Kingma" not in footnote_of(own)
    # Intervals are in the comparison with the paper, in which its panels only appear.
    assert "comparison.csv" in footnote
    assert "comparison.csv" not in footnote_of(own)


def test_smoke_panels_stand_side_by_side_on_axes_from_the_data():
    frame = curves(SMOKE, level=-20.0)
    # One seed that runs away must not flatten the panel.
    away = frame["seed"].eq(1) & frame["samples"].eq(20_000) & frame["algorithm"].eq("aevb")
    frame.loc[away, "value"] = -1e6
    axes = axes_of(build(frame, PUBLISHED, SMOKE))
    assert list(axes) == ["digits-5", "digits_continuous-5", "legend"]
    for ax in list(axes.values())[:2]:
        assert ax.get_subplotspec().rowspan.start == 0
        assert ax.get_title().startswith("scikit-learn digits")
        low, high = ax.get_ylim()
        assert -120 < low < -35
        assert -19.5 < high < -10
        assert 10_000 < ax.get_xlim()[0] < 20_000
        assert 1e6 < ax.get_xlim()[1] < 2e6
        assert ax.get_ylabel()


def test_a_panel_says_that_ours_ends_before_its_axis_begins():
    panel = Panel("freyface", 2)
    figure = build(curves([panel], marks=MARKS[:2], level=560.0), PUBLISHED, [panel])
    (note,) = axes_of(figure)["freyface-2"].findobj(lambda artist: artist.get_gid() == "note")
    assert note.get_text() == "ours: 5e4 samples, 2 seeds, left of 1e5"


def test_a_panel_says_that_ours_goes_on_after_its_axis_ends():
    panel = Panel("mnist", 10)
    figure = build(curves([panel], marks=[10**7, 2 * 10**8]), PUBLISHED, [panel])
    (note,) = axes_of(figure)["mnist-10"].findobj(lambda artist: artist.get_gid() == "note")
    assert note.get_text() == "ours: 2e8 samples, 2 seeds, right of 1e8"


def test_a_curve_of_one_mark_has_ticks_that_differ():
    panels = SMOKE[:1]
    figure = build(curves(panels, marks=MARKS[:1]), PUBLISHED, panels)
    figure.canvas.draw()
    ax = axes_of(figure)["digits-5"]
    low, high = ax.get_xlim()
    labels = [t.get_text() for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)
    assert r"$2{\cdot}10^4$" in labels


def test_a_further_algorithm_is_drawn_beside_the_papers():
    panel = Panel("mnist", 10)
    figure = build(curves([panel], algorithms=("aevb", "mine")), PUBLISHED, [panel])
    lines = lines_of(axes_of(figure)["mnist-10"])
    colours = [lines[f"ours:{a}:test"].get_color() for a in ("aevb", "mine")]
    assert colours[0] != colours[1]
    assert "mine (test)" in legend_of(figure)
    assert "published:mine:test" not in lines


def test_no_text_overlaps_another(nine):
    axes = [ax for label, ax in axes_of(nine).items() if label != "legend"]
    texts = [text for ax in axes for text in (ax.title, *ax.texts)]
    texts += nine.texts  # title, label of the horizontal axes, footnote
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [ax.bbox for ax in axes]
    ticks = [(ax, label) for ax in axes for label in ax.get_xticklabels()]
    boxes += [
        label.get_window_extent()
        for ax, label in ticks
        if ax.get_xlim()[0] <= label.get_position()[0] <= ax.get_xlim()[1]
    ]
    boxes += [ax.yaxis.label.get_window_extent() for ax in axes if ax.get_ylabel()]
    boxes += [axes_of(nine)["legend"].get_legend().get_window_extent()]
    for i, box in enumerate(boxes):
        assert nine.bbox.x0 <= box.x0 <= box.x1 <= nine.bbox.x1
        assert nine.bbox.y0 <= box.y0 <= box.y1 <= nine.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_both_files_with_the_same_bytes_every_time(tmp_path):
    panels = SMOKE[:1]
    frame = curves(panels)
    first = draw(frame, PUBLISHED, panels, tmp_path / "a" / "figure1.smoke", title="Smoke")
    assert [path.name for path in first] == ["figure1.smoke.png", "figure1.smoke.pdf"]
    assert sorted(first[0].parent.iterdir()) == sorted(first)  # no temporary file is left
    again = draw(
        frame.sample(frac=1, random_state=1), PUBLISHED, panels, tmp_path / "b", title="Smoke"
    )
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"CreationDate" not in first[1].read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")


def test_misuse_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one panel"):
        build(curves(SMOKE), PUBLISHED, [])
    mixed = pd.concat([curves(SMOKE), curves(SMOKE).assign(n_train=50)])
    with pytest.raises(ValueError, match="n_train differs"):
        build(mixed, PUBLISHED, SMOKE)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Could not write"):
        draw(curves(SMOKE), PUBLISHED, SMOKE[:1], tmp_path / "file" / "figure1")


def test_drawing_leaves_no_global_state(tmp_path):
    before, managed = dict(matplotlib.rcParams), len(Gcf.figs)
    draw(curves(SMOKE[:1], marks=MARKS[:1], seeds=1), PUBLISHED, SMOKE[:1], tmp_path / "figure1")
    assert dict(matplotlib.rcParams) == before
    assert len(Gcf.figs) == managed
