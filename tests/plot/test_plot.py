"""Figures: what is drawn is what was given, and text is not cut."""

import numpy as np
import pytest
import xarray
from matplotlib import rcParams

from tokdyn import plot

RNG = np.random.default_rng(0)
FEATURES, LABELS = RNG.normal(size=(30, 4)), np.arange(30) % 3
PATHS = RNG.normal(size=(2, 5, 3, 4))
DATASET = xarray.Dataset(
    {"ari": (("rule", "noise", "clusters", "seed"), RNG.uniform(size=(2, 3, 2, 8)))},
    {"rule": ["one", "two_words"], "noise": [0.3, 0.6, 0.9], "clusters": [3, 4]},
)


def every_text_is_inside(figure):
    """No text of the figure leaves the canvas."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    # Labels of ticks beyond the limits exist, but are not drawn.
    ticks = {label for axes in figure.axes for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]}
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        if text.get_visible() and box.width and text not in ticks and not inside:
            return False
    return True


def test_scores_are_means_with_intervals():
    figure = plot.score_against_noise(DATASET, "ari", label="adjusted Rand index", names={"one": "The first"})
    panel = figure.axes[1]
    drawn = panel.containers[1].lines[0]
    np.testing.assert_allclose(drawn.get_ydata(), DATASET.ari.sel(rule="two_words", clusters=4).mean("seed"))
    low, high = np.array([segment[:, 1] for segment in panel.containers[1].lines[2][0].get_segments()]).T
    from scipy import stats

    values = DATASET.ari.sel(rule="two_words", clusters=4).values
    half = stats.t.ppf(0.975, 7) * values.std(axis=1, ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(high - low, 2 * half)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["The first", "two_words"]
    assert every_text_is_inside(figure)


@pytest.mark.parametrize("width", [2.4, 5.0])
def test_paths_run_from_start_to_end_and_text_fits(width):
    figure = plot.token_paths(FEATURES, LABELS, PATHS, ["my_rule", "T = 2 T_c"], width=width)
    assert [axes.get_title() for axes in figure.axes] == ["my_rule", "T = 2 T_c"]
    assert every_text_is_inside(figure)
    from tokdyn.plot.dynamics import principal_plane

    project, shares = principal_plane(FEATURES)
    path = figure.axes[1].lines[3]  # after the features of three clusters
    np.testing.assert_allclose(path.get_xydata(), project(PATHS[1][:, 0]))
    variances = np.linalg.eigvalsh(np.cov(FEATURES.T))[::-1]
    np.testing.assert_allclose(shares, (variances / variances.sum())[:2])


def test_the_users_settings_stay(tmp_path):
    before = dict(rcParams)
    plot.save(plot.convergence([1.0, 0.1, 0.0], 1e-3), tmp_path / "x.png")
    assert dict(rcParams) == before


def test_a_gif_has_a_frame_for_each_step(tmp_path):
    from PIL import Image

    with Image.open(plot.save_animation(FEATURES, LABELS, PATHS, ["a", "b"], tmp_path / "x.gif")) as image:
        assert image.n_frames == 5


@pytest.mark.parametrize(
    ("paths", "names", "sentence"),
    [
        (PATHS[0], ["a"], r"paths: expected an array \[rule, step, K, D\], got shape \(5, 3, 4\)"),
        (PATHS, ["a"], r"names: expected a list of 2 names, one for each rule, got \['a'\]"),
        (PATHS, "ab", "names: expected a list of 2 names, one for each rule, got 'ab'"),
    ],
)
def test_bad_paths_get_a_sentence(paths, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        plot.token_paths(FEATURES, LABELS, paths, names)


def test_one_dimension_and_one_point_can_be_drawn(tmp_path):
    plot.save(plot.token_paths(np.zeros((3, 1)), np.zeros(3), np.zeros((1, 2, 1, 1)), ["x"]), tmp_path / "x.png")
