"""Figures of trained autoencoders: what is drawn is what was given, colours can be told apart, nothing is cut."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from tokdyn import plot
from tokdyn.plot.autoencoder import PALETTE, _ink
from tokdyn.plot.training import numbers

RNG = np.random.default_rng(0)
WORDS = ["the", "and", "strawberry", "of"]
ONE_HOT = np.eye(3)[RNG.integers(0, 3, size=(2, 4, 25))]
LAYERS = ["encoder.embedding", "encoder.dense_1.kernel", "decoder.head"]
STEPS = np.arange(0, 100, 5)
LEVELS = {"ln V": 5.2575, "H(f)": 4.61, "surely wrong": 5.272, "surely right": 4.272, 'constant "the"': 5.2166}


def nothing_is_cut(made):
    """All that is drawn, tick labels and legends too, lies on the canvas."""
    made.canvas.draw()
    box = made.get_tightbbox(made.canvas.get_renderer())
    width, height = made.get_size_inches()
    return box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def legend_of(made):
    return [text.get_text() for text in made.legends[0].get_texts()]


def images_of(made):
    return [panel.images[0].get_array() for panel in made.axes if panel.images]


# Patterns


def test_a_gallery_shows_every_pattern_in_its_channels_colours():
    made = plot.pattern_gallery(ONE_HOT, side=5, words=WORDS, rows=["published start", "trained, repaired"])
    palette = np.array([to_rgb(colour) for colour in PALETTE[:3]])
    expected = palette[ONE_HOT.argmax(-1)].reshape(8, 5, 5, 3)
    np.testing.assert_allclose(images_of(made), expected)
    assert [panel.get_title() for panel in made.axes[:4]] == WORDS
    assert [made.axes[i].get_ylabel() for i in (0, 4)] == ["published start", "trained,\nrepaired"]
    assert legend_of(made) == ["channel 1", "channel 2", "channel 3"]
    assert nothing_is_cut(made)


def test_shares_mix_the_palette():
    colours, kind = plot.pattern_colours(np.array([[0.25, 0.75], [1.0, 0.0]]))
    first, second = np.array([to_rgb(colour) for colour in PALETTE[:2]])
    assert kind == "shares"
    np.testing.assert_allclose(colours, [0.25 * first + 0.75 * second, first])


def test_numbers_fade_to_white_and_show_their_largest_channel():
    colours, kind = plot.pattern_colours(np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.5, -1.0]]))
    first, second = np.array([to_rgb(colour) for colour in PALETTE[:2]])
    assert kind == "numbers"
    np.testing.assert_allclose(colours[:3], [[1, 1, 1], first, second])
    np.testing.assert_allclose(colours[3], 1 - 0.75 * (1 - first))  # 0.5 is three quarters of the way from -1 to 1


def test_one_channel_has_a_colour_bar_and_a_few_large_numbers_do_not_hide_the_rest():
    values = RNG.normal(size=(2, 4, 25, 1))
    values[0, 0, 0] = 1e6
    made = plot.pattern_gallery(values, side=5, words=WORDS, rows=["start", "trained"])
    assert made.axes[-1].get_ylabel() == "value of the cell"
    low, high = made.axes[-1].get_ylim()
    np.testing.assert_allclose([low, high], np.percentile(values, [1, 99]))
    assert np.ptp(images_of(made)[1]) > 0.5
    assert nothing_is_cut(made)


def test_constant_and_sparse_patterns_have_colours():
    for values in (np.zeros((1, 4, 1)), np.full((1, 4, 2), 7.0)):
        assert np.isfinite(plot.pattern_colours(values)[0]).all()
    sparse = np.zeros((1, 400, 1))
    sparse[0, 0] = 3.0
    colours, _ = plot.pattern_colours(sparse)
    assert np.abs(colours[0, 0] - colours[0, 1]).max() > 0.5


def test_the_channels_colours_differ_in_lightness_or_hue_for_the_colour_blind():
    """Machado, Oliveira, Fernandes 2009: red- and green-blindness as matrices on linear colours."""
    blind = {
        "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    linear = np.array([to_rgb(colour) for colour in PALETTE[:5]]) ** 2.2
    for matrix in blind.values():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert apart[~np.eye(5, dtype=bool)].min() > 0.15


@pytest.mark.parametrize("values", [None, np.linspace(0.0, 1.0, 6)])
def test_an_animation_has_a_frame_for_each_step_and_is_small(tmp_path, values):
    share = np.linspace(0, 1, 6)[:, None, None, None]
    patterns = (1 - share) / 3 + share * ONE_HOT[0]
    path = plot.save_pattern_animation(
        tmp_path / "x.gif", patterns, side=5, words=WORDS, steps=10 * np.arange(6), values=values
    )
    with Image.open(path) as image:
        assert image.n_frames == 6
        pages = []
        for frame in range(6):
            image.seek(frame)
            pages.append(np.asarray(image.convert("RGB"), float))
    assert path.stat().st_size < 1e6
    pages = np.array(pages)
    assert pages[:, [0, -1]].min() > 250  # white at the edges: nothing is cut
    assert pages[:, :, [0, -1]].min() > 250
    # A third of each colour at first, the pure palette at last.
    for colour in PALETTE[:3]:
        near = np.abs(pages - 255 * np.array(to_rgb(colour))).max(axis=-1) < 12
        assert near[5].sum() > 2 * near[0].sum()


def test_association_matrices_share_one_scale():
    matrices = np.stack([np.eye(4), np.full((4, 4), -0.5), np.ones((4, 4))])
    made = plot.association_matrices(
        matrices, titles=["start", "collapsed", "repaired"], label="cosine", chance=0.25, words=WORDS
    )
    np.testing.assert_allclose(images_of(made)[:3], matrices)
    assert {panel.images[0].get_clim() for panel in made.axes[:3]} == {(-0.5, 1.0)}
    assert [panel.get_title() for panel in made.axes[:3]] == ["start", "collapsed", "repaired"]
    assert made.axes[3].get_ylabel() == "cosine"
    assert 0.25 in [line.get_ydata()[0] for line in made.axes[3].lines]
    assert legend_of(made) == ["chance (0.25), on the colour bar"]
    assert nothing_is_cut(made)


@pytest.mark.parametrize("shape", [(1, 3), (6, 8), (10, 32)])
def test_a_fault_matrix_writes_its_numbers_where_they_can_be_read(shape):
    values = RNG.uniform(0, 1, shape)
    values[0, 1] = np.nan
    rows = [f"straight_through {i}" for i in range(shape[0])]
    columns = [f"double softmax, tiny start {i}" for i in range(shape[1])]
    made = plot.fault_matrix(values, row_names=rows, column_names=columns, label="validation accuracy")
    panel = made.axes[0]
    shown = panel.collections[0].get_array().reshape(shape)
    np.testing.assert_array_equal(shown.filled(np.nan), values)
    assert [text.get_text() for text in panel.texts][:3] == [f"{values[0, 0]:.2f}", "–", f"{values[0, 2]:.2f}"]
    assert panel.yaxis_inverted()
    assert [label.get_text() for label in panel.get_yticklabels()] == rows
    assert nothing_is_cut(made)
    bare = plot.fault_matrix(values, row_names=rows, column_names=columns, label="", annotate=False)
    assert not bare.axes[0].texts


def test_ink_stands_out():
    from matplotlib import colormaps

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for share in np.linspace(0, 1, 41):
        colour = colormaps["cividis"](share)[:3]
        bright = {"white": 1.0, "black": 0.0}[_ink(colour)]
        light, dark = sorted([bright, luminance(colour)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, level AA


def test_usage_is_sorted_shares_with_perplexities():
    counts = {"vector": [0, 10, 30, 0, 0, 0, 0, 0], "scalar": [5, 5, 5, 5]}
    made = plot.usage_bars(counts)
    panel = made.axes[0]
    np.testing.assert_allclose(panel.lines[0].get_xydata(), [[1, 0.75], [2, 0.25]])
    np.testing.assert_allclose(panel.lines[1].get_xydata(), np.c_[1:5, [0.25] * 4])
    perplexity = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert legend_of(made) == [
        f"vector: perplexity {perplexity:.1f}, 2 of 8 used",
        "scalar: perplexity 4.0, 4 of 4 used",
        "even use",
    ]
    assert sorted(line.get_ydata()[0] for line in panel.lines[2:]) == [1 / 8, 1 / 4]
    assert panel.get_xscale() == "log"
    assert nothing_is_cut(made)


# Training


def test_outcomes_are_dots_with_intervals_and_published_diamonds():
    values, low, high = np.array([0.05, 0.3, 0.5]), np.array([0.02, 0.2, np.nan]), np.array([0.1, 0.35, np.nan])
    names = ["published run, as it was", "rate repaired", "all repaired"]
    made = plot.outcomes(
        names, values, low, high, label="validation accuracy", lines={"chance": 0.005, "ceiling": 0.48},
        published={"published run, as it was": 0.0455, "rate repaired": 0.23, "all repaired": None},
    )  # fmt: skip
    panel = made.axes[0]
    dots, _, (bars,) = panel.containers[0].lines
    np.testing.assert_allclose(dots.get_xydata(), np.c_[values, [0, 1, 2]])
    ends = np.array([segment[:, 0] for segment in bars.get_segments() if len(segment)])
    np.testing.assert_allclose(ends, np.c_[low, high][:2])  # the third has no interval
    diamonds = next(line for line in panel.lines if line.get_label() == "published")
    np.testing.assert_allclose(diamonds.get_xydata(), [[0.0455, 0], [0.23, 1]])
    straight = {line.get_label(): line.get_xdata()[0] for line in panel.lines if len(set(line.get_xdata())) == 1}
    assert straight.items() >= {"chance": 0.005, "ceiling": 0.48}.items()
    assert [text.get_text() for text in panel.get_yticklabels()] == names
    bottom, top = panel.get_ylim()
    assert bottom > top  # the first on top
    assert panel.get_xlabel() == "validation accuracy"
    assert nothing_is_cut(made)


def test_loss_curves_are_means_with_the_range_of_the_seeds():
    runs = {"verbatim": RNG.normal(5.2, 0.02, (5, 20)), "repaired": RNG.uniform(0.5, 5.0, (3, 20))}
    made = plot.loss_curves(STEPS, runs, levels=LEVELS, published=([0, 50], [5.26, 5.22]))
    panel = made.axes[0]
    for line, band, losses in zip(panel.lines, panel.collections, runs.values(), strict=False):
        np.testing.assert_allclose(line.get_xydata(), np.c_[STEPS, losses.mean(axis=0)])
        path = band.get_paths()[0].vertices
        np.testing.assert_allclose([path[:, 1].min(), path[:, 1].max()], [losses.min(), losses.max()])
    np.testing.assert_allclose(panel.lines[2].get_xydata(), [[0, 5.26], [50, 5.22]])
    assert sorted(line.get_ydata()[0] for line in panel.lines[3:]) == sorted(LEVELS.values())
    assert legend_of(made) == ["verbatim (5 seeds)", "repaired (3 seeds)", "published"]
    assert nothing_is_cut(made)


@pytest.mark.parametrize("count", [1, 5, 9])
def test_names_of_near_levels_do_not_overlap_and_keep_their_order(count):
    levels = {f"level {i}": 5.2 + 0.001 * i for i in range(count)}
    made = plot.loss_curves(STEPS, {"one": RNG.uniform(0.5, 5.0, (1, 20))}, levels=levels)
    made.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in made.axes[0].texts]  # without their leaders
    assert [text.get_text().rsplit(" ", 1)[0] for text in made.axes[0].texts] == list(levels)
    assert all(upper.y0 >= lower.y0 + 0.8 * lower.height for lower, upper in itertools.pairwise(boxes))
    assert nothing_is_cut(made)


def test_gradients_of_exactly_zero_stand_apart():
    norms = {
        "no gradient": [0.0, 0.0, 0.1],
        "straight-through": [[0.02, 0.05, 0.3], [0.01, 0.0, 0.2], [0.04, 0.1, 0.5]],
    }
    made = plot.gradient_flow(LAYERS, norms, label="gradient / weights")
    panel = made.axes[0]
    by_name = {line.get_label(): line.get_xdata() for line in panel.lines}
    np.testing.assert_allclose(by_name["straight-through"], norms["straight-through"][0])
    zero = by_name["no gradient"][0]
    assert by_name["no gradient"][2] == 0.1
    assert zero < 0.01 / 9  # a decade below the smallest number
    ticks = dict(zip(panel.get_xticks(), [label.get_text() for label in panel.get_xticklabels()], strict=True))
    assert ticks[zero] == "0"
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in hollow] == [2]
    ends = np.array([segment[:, 0] for segment in panel.containers[0].lines[2][0].get_segments()])
    np.testing.assert_allclose(ends, [[0.01, 0.04], [zero, 0.1], [0.2, 0.5]])
    assert panel.get_xscale() == "log"
    assert [label.get_text() for label in panel.get_yticklabels()] == LAYERS
    assert nothing_is_cut(made)
    assert nothing_is_cut(plot.gradient_flow(LAYERS, {"none": np.zeros(3)}))
    assert "0" not in [
        text.get_text() for text in plot.gradient_flow(LAYERS, {"a": [1, 2, 3]}).axes[0].get_xticklabels()
    ]


def test_a_landscape_of_lines_marks_the_middle():
    steps = np.linspace(-1, 1, 11)
    losses = {"collapsed": 5 + 0.1 * steps**2, "repaired": steps**2}
    panel = plot.landscape(steps, losses).axes[0]
    for line, values in zip(panel.lines[1:], losses.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.c_[steps, values])
        assert line.get_markevery() == [5]


def test_a_landscape_of_planes_has_one_scale_and_the_first_direction_across():
    steps = np.linspace(-1, 1, 21)
    slope = np.broadcast_to(steps[:, None], (21, 21))  # rises along the first direction only
    made = plot.landscape(steps, {"slope": slope, "bowl": 3 * np.add.outer(steps**2, steps**2)})
    first, second = made.axes[:2]
    assert first.collections[0].get_clim() == second.collections[0].get_clim()
    borders = np.concatenate([path.vertices for path in first.collections[1].get_paths() if len(path.vertices)])
    for x in np.unique(np.round(borders[:, 0], 6)):
        assert np.ptp(borders[np.isclose(borders[:, 0], x), 1]) > 1.9  # contours stand upright
    assert first.lines[-1].get_xydata().tolist() == [[0.0, 0.0]]
    assert made.axes[2].get_ylabel() == "loss (nats)"
    assert nothing_is_cut(made)
    assert nothing_is_cut(plot.landscape(steps, {"flat": np.full((21, 21), 2.0)}))


def test_scaling_curves_show_means_every_seed_and_the_range():
    sizes, values = np.array([20, 192, 5000]), RNG.uniform(0.8, 1.0, (3, 4))
    seconds = sizes[:, None] * RNG.uniform(0.9, 1.1, (3, 4))
    made = plot.scaling_curves(sizes, values, seconds, label="share of words recovered")
    for panel, array in zip(made.axes, (values, seconds), strict=True):
        mean, dots = panel.lines
        np.testing.assert_allclose(mean.get_xydata(), np.c_[sizes, array.mean(axis=1)])
        np.testing.assert_allclose(dots.get_xydata(), np.c_[np.repeat(sizes, 4), array.ravel()])
        vertices = panel.collections[0].get_paths()[0].vertices
        np.testing.assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], [array.min(), array.max()])
        assert panel.get_xscale() == "log"
    assert made.axes[1].get_yscale() == "log"
    assert [panel.get_ylabel() for panel in made.axes] == ["share of words recovered", "training time (s)"]
    assert nothing_is_cut(made)


def test_long_names_are_broken_not_cut():
    name = "a condition with a name that is longer than any figure is wide, as names of conditions like to be"
    assert nothing_is_cut(plot.outcomes([name], [0.5], [0.4], [0.6], label=name, lines={name: 0.1}))
    assert nothing_is_cut(plot.usage_bars({name: [1, 2]}))
    assert nothing_is_cut(plot.loss_curves(STEPS, {name: np.ones((1, 20))}))
    square = np.ones((2, 2))
    assert nothing_is_cut(plot.fault_matrix(square, row_names=[name] * 2, column_names=[name] * 2, label=name))
    assert nothing_is_cut(plot.association_matrices(square[None], titles=[name], label=name))
    assert nothing_is_cut(plot.pattern_gallery(ONE_HOT[:1, :1], side=5, words=["incomprehensibilities"], rows=[name]))


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (
            lambda: plot.pattern_gallery(ONE_HOT[0], side=5, words=WORDS, rows=["a"]),
            r"patterns: expected numbers \[rows, words, cells, channels\], got shape \(4, 25, 3\)",
        ),
        (
            lambda: plot.pattern_gallery(ONE_HOT, side=4, words=WORDS, rows=["a", "b"]),
            "side: expected the root of the number of cells, 25, got 4",
        ),
        (lambda: plot.pattern_gallery(ONE_HOT, side=5, words=WORDS, rows="ab"), "rows: expected a list of 2 names"),
        (lambda: plot.pattern_colours(np.ones((4, 9))), r"patterns: expected .* 1 to 8 channels .* got shape \(4, 9\)"),
        (lambda: plot.pattern_colours([[np.nan, 1.0]]), "patterns: expected finite numbers, got NaN or infinity"),
        (
            lambda: plot.association_matrices(np.ones((1, 2, 3)), titles=["a"], label=""),
            r"matrices: expected square ones .* got shape \(1, 2, 3\)",
        ),
        (
            lambda: plot.fault_matrix(np.ones((2, 3)), row_names=["a", "b"], column_names=["c"], label=""),
            r"column_names: expected a list of 3 names, got \['c'\]",
        ),
        (lambda: plot.usage_bars({"a": [0, 0]}), r"counts\['a'\]: expected counts from 0, not all 0, got 0 to 0"),
        (lambda: plot.usage_bars({}), "counts: expected from 1 to 7 of them, got 0"),
        (
            lambda: plot.outcomes(["a"], [0.5], [0.6], [0.7], label=""),
            r"values: expected each from its low to its high \(0.6 to 0.7\), got 0.5",
        ),
        (
            lambda: plot.outcomes(["a"], [0.5, 1], [0.4], [0.7], label=""),
            r"values: expected numbers \[n\] with n = 1, got shape \(2,\)",
        ),
        (
            lambda: plot.outcomes(["a"], [0.5], [0.4], [0.7], label="", published={"b": 1.0}),
            "published: expected names of conditions only, got 'b'",
        ),
        (
            lambda: plot.loss_curves(STEPS, {"a": np.ones(20)}),
            r"curves\['a'\]: expected numbers \[seeds, n\] with n = 20, got shape \(20,\)",
        ),
        (
            lambda: plot.gradient_flow(LAYERS, {"a": [1.0, -1.0, 2.0]}),
            r"norms\['a'\]: expected finite numbers of at least 0, got -1 to 2",
        ),
        (
            lambda: plot.landscape([0, 1], {"a": [1, 2], "b": np.ones((2, 2))}),
            r"losses\['b'\]: expected numbers \[n\] with n = 2, got shape \(2, 2\)",
        ),
        (lambda: plot.landscape([0, 1], {"a": [np.nan] * 2}), "losses: expected at least one finite number, got none"),
        (
            lambda: plot.scaling_curves([0, 1], np.ones((2, 3)), np.ones((2, 3)), label=""),
            "sizes: expected positive numbers, got 0",
        ),
        (lambda: numbers("x", [[1], [1, 2]], "[a, b]"), r"x: expected numbers \[a, b\], got a list that is no such"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()
