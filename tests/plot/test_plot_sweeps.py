"""Figures of sweeps show the numbers of their Dataset; the front is what no other point betters."""

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tokdyn import plot
from tokdyn.plot.sweeps import mean_and_interval

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@pytest.fixture
def values():
    data = np.random.default_rng(0).normal(size=(3, 4, 5, 30)) + np.arange(4)[:, None, None]
    coords = {"p": [0.0, 0.5, 0.9], "a": [0.1, 1.0, 10.0, 100.0], "b": np.arange(5.0), "seed": np.arange(30)}
    return xarray.DataArray(data, coords, ("p", "a", "b", "seed"))


@given(POINTS)
def test_the_front_is_what_no_other_betters(points):
    """Against the definition; of equal points one is kept."""
    cost, quality = np.array(points, float).T
    front = plot.pareto_front(cost, quality)
    for i in range(len(points)):
        no_worse = (cost <= cost[i]) & (quality >= quality[i])
        better = no_worse & ((cost < cost[i]) | (quality > quality[i]))
        same = (cost == cost[i]) & (quality == quality[i])
        if better.any():
            assert not front[i]
        else:
            assert front[same].sum() == 1
    assert not plot.pareto_front([1.0], [np.nan]).any()


def test_intervals_are_students_or_clopper_and_pearsons(values):
    mean, low, high = mean_and_interval(values, "seed")
    runs = values.values[1, 2, 3]
    expected = stats.t.interval(0.95, 29, runs.mean(), stats.sem(runs))
    np.testing.assert_allclose([mean[1, 2, 3], low[1, 2, 3], high[1, 2, 3]], [runs.mean(), *expected])
    truth = values > 0
    mean, low, high = mean_and_interval(truth, "seed")
    hits = int(truth.values[0, 0, 0].sum())
    exact = stats.binomtest(hits, 30).proportion_ci(method="exact")
    np.testing.assert_allclose([mean[0, 0, 0], low[0, 0, 0], high[0, 0, 0]], [hits / 30, *exact])


def test_a_phase_diagram_shows_the_means(values):
    made = plot.phase_diagram(values, "a", "b", panels="p", label="score", log=("a",), levels=(1.5,))
    panels = made.axes[:3]
    for i, panel in enumerate(panels):
        shown = panel.collections[0].get_array().reshape(5, 4)
        np.testing.assert_allclose(shown, values[i].mean("seed").transpose("b", "a"))
        assert panel.get_xscale() == "log"
    assert [panel.get_title() for panel in panels] == ["p 0", "p 0.5", "p 0.9"]
    assert made.axes[3].get_ylabel() == "score"


def test_a_legend_says_what_contours_and_lines_are(values):
    lines = {"theory": ([0.1, 1.0, 1e9], [0.0, 1.0, 2.0]), "bound": ([1.0, 1.0], [0.0, 4.0])}
    made = plot.phase_diagram(values, "a", "b", panels="p", label="score", log=("a",), levels=(1.5, 9.0), curves=lines)
    assert [text.get_text() for text in made.legends[0].get_texts()] == [
        "mean = 1.5",
        "an end of its 95 % interval = 1.5",
        "theory",
        "bound",
    ]
    plain = plot.phase_diagram(values, "a", "b", panels="p", label="score", log=("a",))
    assert not plain.legends
    for panel, bare in zip(made.axes[:3], plain.axes[:3], strict=True):
        for line, (across, up) in zip(panel.lines, lines.values(), strict=True):
            np.testing.assert_allclose(line.get_xydata(), np.c_[across, up])
        assert panel.get_xlim() == bare.get_xlim()
    made.canvas.draw()
    box, size = made.get_tightbbox(made.canvas.get_renderer()), made.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert (np.array([box.x1, box.y1]) <= size + 0.01).all()


def test_cells_lie_around_their_values_on_the_scale_that_is_shown(values):
    """On a logarithmic axis of powers of ten the borders are half a decade away; the outermost cells are whole."""
    panel = plot.phase_diagram(values, "a", "b", panels="p", label="score", log=("a",), levels=(1.5,)).axes[0]
    borders = panel.collections[0].get_coordinates()
    np.testing.assert_allclose(borders[0, :, 0], 10.0 ** np.arange(-1.5, 3))
    np.testing.assert_allclose(borders[:, 0, 1], np.arange(-0.5, 5))
    np.testing.assert_allclose(panel.get_xlim(), [10**-1.5, 10**2.5])
    one = plot.phase_diagram(values.isel(p=0, a=[0], drop=True), "a", "b", label="score")
    np.testing.assert_allclose(one.axes[0].get_xlim(), [-0.4, 0.6])


def test_curves_that_cannot_be_drawn_get_a_sentence(values):
    shown = values.sel(p=0.0, drop=True)
    with pytest.raises(ValueError, match=r"curves\['one'\]\[1\]: expected numbers \[n\] with n = 2"):
        plot.phase_diagram(shown, "a", "b", label="score", curves={"one": ([1, 2], [1])})
    with pytest.raises(ValueError, match="curves: expected at most 4 of them, got 5"):
        plot.phase_diagram(shown, "a", "b", label="score", curves={str(i): ([1], [1]) for i in range(5)})


def test_lines_that_coincide_are_all_seen(values):
    """Each is thinner than those beneath it."""
    made = plot.slices(values.sel(b=2.0), "a", lines="p", label="score", log=True)
    widths = [line.get_linewidth() for line in made.axes[0].lines]
    assert widths == sorted(set(widths), reverse=True)


def test_slices_and_bands(values):
    made = plot.slices(values.sel(b=2.0), "a", lines="p", label="score", log=True)
    for i, line in enumerate(made.axes[0].lines):
        np.testing.assert_allclose(line.get_ydata(), values[i, :, 2].mean("seed"))
    assert len(made.axes[0].collections) == 3


def test_the_pareto_figure_draws_its_front(values):
    cost = values + 10
    made = plot.pareto(cost, values, colour="p", cost_label="cost", quality_label="quality")
    step = next(line for line in made.axes[0].lines if line.get_drawstyle().startswith("steps"))
    x, y = (v.mean("seed").values.ravel() for v in (cost, values))
    front = plot.pareto_front(x, y)
    np.testing.assert_allclose(np.sort(step.get_xdata()), np.sort(x[front]))


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (
            lambda v: plot.phase_diagram(v, "z", "b", label=""),
            "x: expected one of the dimensions p, a, b, seed, got 'z'",
        ),
        (lambda v: plot.slices(v, "a", lines="p", label=""), "values: expected no other dimension .* got b"),
        (lambda v: plot.slices(v.isel(b=0), "a", lines="w", label=""), "lines: expected one of the dimensions"),
        (
            lambda v: plot.pareto(v, v, colour="q", cost_label="", quality_label=""),
            "colour: expected one of the dimensions",
        ),
    ],
)
def test_bad_dimensions_get_a_sentence(values, draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(values)
