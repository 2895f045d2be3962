"""A figure that follows a training while it runs: in a notebook it is redrawn in place, elsewhere it is a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tokdyn import checks
from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, figure, styled
from tokdyn.train import Fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LiveTraining:
    """See ``live_training``.

    Attributes:
        figure: what has been drawn.
        result: the training so far; None before its first stretch.
    """

    def __init__(self, names: tuple[str, ...], num_steps: int, show: Callable[[Figure], object] | None) -> None:
        """See ``live_training``."""
        self.names, self.num_steps = names, num_steps
        self.result: Fit | None = None
        self.figure = _panels(names, num_steps)
        self._show = _in_notebook(self.figure) if show is None else show

    def update(self, result: Fit) -> None:
        """Draw the history of a training so far.

        Args:
            result: of ``td.train.fit``.

        Raises:
            ValueError: a training without one of the names in its history, or of many members.
        """
        missing = [name for name in self.names if name not in result.history]
        if missing:
            raise bad("names", f"names of the history ({', '.join(sorted(result.history))})", repr(missing[0]))
        self.result = result
        for panel, name in zip(self.figure.axes, self.names, strict=True):
            values = np.asarray(result.history[name], float)
            if values.ndim != 1:
                raise bad("result", "one training", f"a history of shape {values.shape}")
            steps = (np.arange(len(values)) + 1) * (self.num_steps // len(values))
            seen = np.isfinite(values)
            panel.lines[0].set_data(steps[seen], values[seen])
            panel.relim()
            panel.autoscale_view(scalex=False)
        self._show(self.figure)


def live_training(
    train: Callable[[Fit | None, int], Fit],
    *,
    num_steps: int,
    every: int,
    names: Sequence[str] = ("loss",),
    show: Callable[[Figure], object] | None = None,
) -> LiveTraining:
    """Train in stretches, and draw the history after each: the training is the same to the last bit as in one call.

    Args:
        train: ``(start, until) -> Fit``: ``td.train.fit`` with these two arguments left open; jit it, so that all
            stretches share one program. ``start`` is None in the first stretch.
        num_steps: as of ``fit``.
        every: steps between two drawings, a multiple of fit's ``record_every``.
        names: of the history, a panel each: ``"loss"``, metrics of the loss, or what ``evaluate`` returns.
        show: called with the figure after each stretch. By default the figure is displayed in a notebook (IPython),
            where it is redrawn in place; elsewhere nothing is shown.

    Returns:
        The view: its ``figure``, and the training as ``result``.

    Raises:
        ValueError: no name, one that the history does not have, or steps below 1.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> class Line:
        ...     def init(self, key):
        ...         return {"params": jnp.zeros(()), "state": {}}
        >>> def loss(model, variables, x, key):
        ...     return jnp.mean((variables["params"] * x - x) ** 2), ({}, {})
        >>> def train(start, until):
        ...     return td.train.fit(
        ...         Line(), loss, jnp.arange(3.0), key=jax.random.key(0), num_steps=40, record_every=10,
        ...         hyper={"learning_rate": 0.1}, start=start, until=until,
        ...     )
        >>> view = td.plot.live_training(train, num_steps=40, every=20)
        >>> view.result is not None and int(view.result.step)
        40
    """
    total = checks.whole_number("num_steps", num_steps, at_least=1)
    stretch = checks.whole_number("every", every, at_least=1)
    if isinstance(names, str) or not names:
        raise bad("names", "at least one name of the history", repr(names))
    view = LiveTraining(tuple(names), total, show)
    for until in [*range(stretch, total, stretch), total]:
        result = train(view.result, until)
        view.update(result)
        if int(result.status) != int(checks.Status.MAX_STEPS):
            break
    return view


@styled
def _panels(names: tuple[str, ...], num_steps: int) -> Figure:
    made, axes = figure(1, len(names), width=3.6, height=2.4)
    for number, (panel, name) in enumerate(zip(axes[0], names, strict=True), 1):
        panel.plot([], [], color=COLOURS[number % len(COLOURS)], linewidth=1.4, marker="o", markersize=3)
        panel.set_xlim(0, num_steps)
        panel.set_xlabel("optimiser step")
        panel.set_ylabel(name)
    return made


def _in_notebook(made: Figure) -> Callable[[Figure], object]:
    """Shows a figure where there is a notebook, and redraws it; elsewhere does nothing."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return lambda _: None
    if get_ipython() is None:
        return lambda _: None
    handle: Any = display(made, display_id=True)
    return handle.update
