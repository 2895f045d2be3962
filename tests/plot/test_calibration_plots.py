"""Figures of calibration: what is drawn is what was given, and nonsense is refused in a sentence."""

import numpy as np
import pytest

from tokdyn.plot import calibration as draw


def test_reasoners_that_use_latents_come_first_in_the_map():
    made = draw.alarm_map([[0.1, 0.9], [np.nan, 0.4]], ["a", "b"], ["masked", "content"], bears=[False, True])
    panel = made.axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["content", "masked"]
    assert [text.get_text() for text in panel.texts][:3] == ["0.90", "0.10", "0.40"]  # and none for what is not there


def test_what_ties_with_the_best_looks_different():
    made = draw.scores(
        {"best": (1.0, 0.9, 1.0), "near": (0.9, 0.6, 1.0), "coin": (0.5, 0.4, 0.6)}, ties=["best", "near"]
    )
    names = [text.get_text() for text in made.legends[0].get_texts()]
    assert set(names) == {"always, never, or a coin", "not shown to be behind the best", "behind the best"}
    tied, behind = (box.lines[0].get_xdata() for box in made.axes[0].containers)
    assert tied.tolist() == [1.0, 0.9]
    assert behind.tolist() == [0.5]
    assert made.axes[0].get_ylim()[0] > made.axes[0].get_ylim()[1]  # the first on top


def test_curves_have_their_values():
    value = np.array([[0.0, 0.5, 1.0], [0.0, 0.3, 0.9], [0.1, 0.7, 1.0]])
    made = draw.sensitivity_curves(["a", "b", "c"], {"arms": {"donor lift": value}}, label="x")
    np.testing.assert_array_equal(made.axes[0].containers[0].lines[0].get_ydata(), value[0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: draw.alarm_map([[1.5]], ["a"], ["b"], bears=[True]), "shares: expected numbers from 0 to 1, got 1.5"),
        (lambda: draw.alarm_map([[1.0]], ["a", "c"], ["b"], bears=[True]), "shares: expected numbers"),
        (lambda: draw.scores({"a": (0.1, 0.2)}), "rows: expected numbers"),
        (
            lambda: draw.sensitivity_curves(["a", "b"], {"x": {str(i): np.zeros((3, 2)) for i in range(8)}}, label="x"),
            r"curves\['x'\]: expected from 1 to 7",
        ),
        (
            lambda: draw.sensitivity_curves(["a", "b"], {"x": {"a": np.zeros((3, 3))}}, label="x"),
            r"curves\['a'\]: expected numbers",
        ),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call()
