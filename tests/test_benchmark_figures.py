"""Figures of benchmarks: dots are what was timed, and texts of any length stay whole, inside and apart."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from benchmarks.drawing import DOTS_PER_INCH, broken, figure_of, in_columns, main

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MACHINE = {"processor": "A processor", "cores": 2, "versions": {"jax": "0"}}


def entry(form, *wall, count=1):
    middle = float(np.median(wall)) / count
    return {
        "form": form, "count": count, "wall": list(wall), "cpu": list(wall), "missing": "",
        "seconds_per_unit": middle, "cpu_per_unit": middle,
    }  # fmt: skip


def section(title, *entries, in_seconds=False):
    return {"title": title, "unit": "runs", "entries": list(entries), "goals": [], "in_seconds": in_seconds}


def results(*sections):
    return {"machine": MACHINE, "rows": {str(i): one for i, one in enumerate(sections)}}


def boxes(figure):
    """Each text that is drawn, and where `[texts, 4]`: left, bottom, right, top, in pixels."""
    figure.canvas.draw()
    ends = {axes: axes.get_xlim() for axes in figure.axes}
    hidden = {  # labels of ticks beyond the limits exist, but are not drawn
        tick.label1
        for axes, (low, high) in ends.items()
        for tick in [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
        if not low <= tick.get_loc() <= high
    }
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in hidden]
    return [text.get_text() for text in shown], np.array([text.get_window_extent().extents for text in shown])


def overlaps(texts, places):
    """The pairs of texts that share more than a pixel across and down."""
    low, high = places[:, None, :2], places[:, None, 2:]
    shared = np.minimum(high, high.swapaxes(0, 1)) - np.maximum(low, low.swapaxes(0, 1))
    return [(texts[i], texts[j]) for i, j in np.argwhere((shared > 1).all(axis=-1)) if i < j]


@pytest.mark.parametrize("words", [1, 20])
def test_texts_of_any_length_are_inside_and_apart(words):
    long = " ".join(["a rather long description"] * words) + " " + "x" * 90
    made = figure_of(
        results(
            section(long, entry(f"tokdyn {long}", 1.0, 2.0, 3.0), entry(long, 1e3), entry("short", 1e-3)),
            section(long, entry(long, 5.0), entry("y" * 100, 0.1), in_seconds=True),
        )
    )
    width, height = made.get_size_inches() * DOTS_PER_INCH
    texts, places = boxes(made)
    assert sum(text.count("x") for text in texts) >= 5 * 90  # no letter is lost
    assert places.min() >= 0
    assert (places[:, 2:] <= [width, height]).all()
    assert overlaps(texts, places) == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.png")), ids=lambda path: path.stem)
def test_every_figure_of_a_result_fits_a_page(path):
    made = figure_of(json.loads(path.with_suffix(".json").read_text()))
    width, height = made.get_size_inches() * DOTS_PER_INCH
    assert width <= 1600
    assert height <= 1600
    assert overlaps(*boxes(made)) == []


def test_dots_are_medians_and_lines_the_range_of_calls():
    """4 units of work in a call of 2, 4 and 6 seconds: 1 s each, twice what the first tokdyn form takes."""
    rows = section("row", entry("other", 2.0, 4.0, 6.0, count=4), entry("tokdyn", 0.5, 0.5))
    panel = figure_of(results(rows)).axes[0]
    drawn = [line.get_xdata() for line in panel.lines]
    assert [list(np.atleast_1d(x)) for x in drawn[1:4]] == [[1.0, 2.0], [1.0, 3.0], [2.0]]  # bar, range, dot
    assert panel.texts[0].get_text() == "row (1 = 2 runs a second)"
    assert [text.get_text() for text in panel.texts[1:5]] == ["other", "2 x", "tokdyn", "1 x"]


@given(st.text(alphabet="ab ", max_size=60), st.integers(1, 12))
def test_breaking_loses_no_letter_and_keeps_to_the_width(text, width):
    lines = broken(text, width, len).split("\n")
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_columns_keep_the_order_and_share_the_height():
    from benchmarks.drawing import Group, Row

    groups = [Group(str(i), False, [Row("form", 1.0, 1.0, 1.0, True)] * (1 + 7 * i % 11)) for i in range(30)]
    columns = in_columns(groups)
    assert [group for column in columns for group in column] == groups
    heights = [sum(group.height() for group in column) for column in columns]
    assert len(columns) > 1
    assert max(heights) - min(heights) <= 2 * max(group.height() for group in groups)


def test_results_are_drawn_beside_their_json(tmp_path, monkeypatch, capsys):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(results(section("row", entry("tokdyn", 1.0)))))
    monkeypatch.setattr("sys.argv", ["drawing", str(path)])
    assert main() == 0
    assert (tmp_path / "one.png").stat().st_size
    path.write_text(json.dumps({"rows": []}))
    assert main() == 1
    assert "has no rows" in capsys.readouterr().err
