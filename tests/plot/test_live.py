"""A figure that follows a training: what it shows, that the training is the same, and what a notebook gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key

import tokdyn as td
from tokdyn import plot

STEPS, RECORD = 40, 5
X = np.arange(3, dtype=np.float32)


class Line:
    def init(self, key):
        return {"params": jnp.zeros(()), "state": {}}


def loss(model, variables, x, key):
    error = jnp.mean((variables["params"] * x - x) ** 2)
    return error, ({}, {"doubled": 2 * error})


@jax.jit
def stretch(start, until):
    return td.train.fit(
        Line(), loss, X, key=constant_key(0), num_steps=STEPS, record_every=RECORD, hyper={"learning_rate": 0.05},
        start=start, until=until,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen():
    drawn = []

    def show(figure):
        drawn.append([np.array(panel.lines[0].get_xydata()) for panel in figure.axes])

    begun = stretch(None, 0)
    view = plot.live_training(
        lambda start, until: stretch(begun if start is None else start, until),
        num_steps=STEPS, every=2 * RECORD, names=("loss", "doubled"), show=show,
    )  # fmt: skip
    return view, drawn, stretch(begun, STEPS)


def test_it_is_the_training_of_one_call(seen):
    view, _, whole = seen
    assert int(view.result.step) == STEPS
    np.testing.assert_array_equal(view.result.history["loss"], whole.history["loss"])


def test_every_stretch_adds_its_records(seen):
    view, drawn, whole = seen
    assert [len(of[0]) for of in drawn] == [2, 4, 6, 8]
    for place, name in enumerate(("loss", "doubled")):
        np.testing.assert_allclose(drawn[-1][place][:, 1], whole.history[name])
        np.testing.assert_array_equal(drawn[-1][place][:, 0], np.arange(RECORD, STEPS + 1, RECORD))
    panel = view.figure.axes[0]
    low, high = panel.get_ylim()
    assert low <= min(panel.lines[0].get_ydata()) <= max(panel.lines[0].get_ydata()) <= high


def test_without_a_notebook_nothing_is_shown(seen):
    from tokdyn.plot.live import _in_notebook

    assert _in_notebook(seen[0].figure)(seen[0].figure) is None


def test_a_notebook_gets_one_display_that_is_redrawn(seen, monkeypatch):
    display = pytest.importorskip("IPython.display", reason="no IPython here to show a figure in")
    import IPython

    calls = []

    class Handle:
        def update(self, figure):
            calls.append(("update", figure))

    def shown(figure, display_id):
        calls.append(("display", figure))
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(display, "display", shown)
    result = seen[2]
    view = plot.live_training(lambda *_: result, num_steps=STEPS, every=STEPS // 2)
    assert [name for name, _ in calls] == ["display", "update", "update"]
    assert all(figure is view.figure for _, figure in calls)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"names": ()}, "names: expected at least one name"),
        ({"names": "loss"}, "names: expected at least one name"),
        ({"names": ("x",)}, "names: expected names of the history .doubled, loss., got 'x'"),
        ({"every": 0}, "every"),
    ],
)
def test_bad_input(seen, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        plot.live_training(lambda *_: seen[2], **{"num_steps": STEPS, "every": STEPS} | options)
