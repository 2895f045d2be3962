"""Figures of calibration: what is drawn is what was given, and nonsense is refused in a sentence."""

import numpy as np
import pytest

from tokdyn.plot import calibration as draw


def test_reasoners_that_use_latents_come_first_in_the_map():
    made = draw.alarm_map([[0.1, 0.9], [np.nan, 0.4]], ["a", "b"], ["masked", "content"], bears=[False, True])
    panel = made.axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["content", "masked"]
    assert [text.get_text() for text in panel.texts][:3] == ["0.90", "0.10", "0.40"]  # and none for what is not there


def test_false_alarms_above_the_level_look_different():
    made = draw.false_alarms({"kept": (0.02, 0.0, 0.08), "broken": (0.3, 0.2, 0.4)}, alpha=0.05)
    names = [text.get_text() for text in made.legends[0].get_texts()]
    assert set(names) == {"level 0.05", "interval reaches the level", "above the level"}
    assert made.axes[0].get_ylim()[0] > made.axes[0].get_ylim()[1]  # the first on top


def test_curves_have_their_values():
    value = np.array([[0.0, 0.5, 1.0], [0.0, 0.3, 0.9], [0.1, 0.7, 1.0]])
    made = draw.sensitivity_curves([0, 0.5, 1], {"arms": {"donor lift": value}})
    np.testing.assert_array_equal(made.axes[0].containers[0].lines[0].get_ydata(), value[0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: draw.alarm_map([[1.5]], ["a"], ["b"], bears=[True]), "shares: expected numbers from 0 to 1, got 1.5"),
        (lambda: draw.alarm_map([[1.0]], ["a", "c"], ["b"], bears=[True]), "shares: expected numbers"),
        (lambda: draw.false_alarms({"a": (0.1, 0.2)}, alpha=0.05), "rates: expected numbers"),
        (
            lambda: draw.sensitivity_curves([0, 1], {"x": {str(i): np.zeros((3, 2)) for i in range(8)}}),
            r"curves\['x'\]: expected from 1 to 7",
        ),
        (lambda: draw.sensitivity_curves([0, 1], {"x": {"a": np.zeros((3, 3))}}), r"curves\['a'\]: expected numbers"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call()
