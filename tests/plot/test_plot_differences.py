"""A forest plot shows the differences and the intervals that it was given, and cuts no text."""

import numpy as np
import pytest

from tokdyn import plot

NAMES = ["noise 0.3", "noise 0.6", "noise 0.9"]
MIDDLE = np.array([[0.01, -0.02, 0.0], [0.05, 0.03, 0.2]])
LOW, HIGH = MIDDLE - np.array([[0.02], [0.01]]), MIDDLE + np.array([[0.03], [0.3]])
OVERALL = ("all conditions, by seed", [-0.003, 0.09], [-0.0105, 0.05], [0.004, 0.13])


def drawn(**options):
    arguments = {"high": HIGH, "label": "difference in accuracy", "panels": ["one minus none", "two minus none"]}
    return plot.paired_differences(NAMES, MIDDLE, LOW, **arguments | options)


def segments(panel):
    """The ends of each interval, from the top row to the last."""
    return np.concatenate([[segment[:, 0] for segment in lines.get_segments()] for lines in panel.collections])


def points(panel):
    """Difference, row and whether it is filled, of each marker by rising row."""
    marked = [line for line in panel.lines if line.get_linestyle() == "None" and line.get_marker() in ("o", "D")]
    return sorted(
        (float(y), float(x), line.get_markerfacecolor() != "white") for line in marked for x, y in line.get_xydata()
    )


def test_every_row_has_its_difference_and_its_interval():
    made = drawn(overall=OVERALL)
    assert [panel.get_title() for panel in made.axes] == ["one minus none", "two minus none"]
    for i, panel in enumerate(made.axes):
        np.testing.assert_allclose(segments(panel), np.c_[[*LOW[i], OVERALL[2][i]], [*HIGH[i], OVERALL[3][i]]])
        np.testing.assert_allclose([x for _, x, _ in points(panel)], [*MIDDLE[i], OVERALL[1][i]])
        assert panel.get_xlabel() == "difference in accuracy"
        assert panel.lines[0].get_xdata() == [0.0, 0.0]
    first = made.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == [*NAMES, OVERALL[0]]
    assert first.get_yticklabels()[-1].get_fontweight() == "bold"
    assert first.get_ylim()[0] > first.get_ylim()[1]  # the first row on top
    assert made.axes[0].texts[0].get_text() == "\N{MINUS SIGN}0.0030 [\N{MINUS SIGN}0.0105, +0.0040]"
    assert made.axes[0].get_xlim() == made.axes[1].get_xlim()


def test_filled_markers_are_those_that_are_sure():
    sure = np.array([[True, False, False], [False, True, True]])
    made = drawn(sure=sure, sure_label="p < 0.05 after Holm", overall=OVERALL)
    for i, panel in enumerate(made.axes):
        assert [filled for _, _, filled in points(panel)] == [*sure[i], True]
    assert "filled: p < 0.05 after Holm" in made.legends[0].get_texts()[0].get_text().replace("\n", " ")
    assert all(filled for _, _, filled in points(drawn().axes[0]))


def test_intervals_that_leave_the_limits_end_in_arrows():
    made = drawn(limits=(-0.02, 0.25))
    heads = [
        [(line.get_marker(), *line.get_xydata()[0]) for line in panel.lines if line.get_marker() in "<>"]
        for panel in made.axes
    ]
    assert heads == [[("<", -0.02, 1.0)], [(">", 0.25, 0.0), (">", 0.25, 1.0), (">", 0.25, 2.0)]]
    assert made.axes[1].get_xlim() == (-0.02, 0.25)


def test_one_panel_takes_plain_lists():
    made = plot.paired_differences(["a", "b"], [1.0, 2.0], [0.0, float("nan")], high=[2.0, float("nan")], label="steps",
                                   overall=("both", 1.5, 1.0, 2.0), zero=None)  # fmt: skip
    assert [x for _, x, _ in points(made.axes[0])] == [1.0, 2.0, 1.5]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_long_texts_are_broken_not_cut(count):
    long = "a condition with a name that is longer than any figure is wide, as names of conditions like to be"
    rows, overall = np.zeros((count, 2)), [np.full(count, x) for x in (0.0, -1e-6, 1e-6)]
    made = plot.paired_differences(
        [long, "short"], rows, rows - 1e-5, high=rows + 1e-5, label=long, panels=[long] * count,
        overall=(long, *overall), sure=rows > 0, sure_label=long,
    )  # fmt: skip
    made.canvas.draw()
    box, (width, height) = made.get_tightbbox(made.canvas.get_renderer()), made.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
    for panel in made.axes:
        assert panel.get_window_extent().width > 1.2 * made.dpi  # room is left for what is shown


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"high": HIGH[:1]}, r"high: expected the shape of differences, \(2, 3\), got shape \(1, 3\)"),
        ({"high": LOW - 1}, r"differences: expected each from its low to its high \(-0.01 to -1.01\), got 0.01"),
        ({"panels": ["one"]}, "panels: expected a list of 2 names"),
        ({"overall": ("all", [0.0], [0.0], [0.0])}, r"overall\[1\]: expected numbers \[panels\] with panels = 2"),
        ({"overall": ("all", [0.0, 0.0])}, "overall: expected a name, differences, lower ends, upper ends, got 2"),
        ({"sure": [[True] * 3]}, r"sure: expected the shape of differences, \(2, 3\), got shape \(1, 3\)"),
        ({"limits": (1.0, 0.0)}, "limits: expected a lower and a higher number"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        drawn(**options)
