"""Figures of trained models: what came out, how the loss fell, where the gradient goes, what size costs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTERS_PER_INCH = 15  # at 9 points
_DASHES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (8, 3)))


@styled
def outcomes(
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    label: str,
    published: Mapping[str, float | None] | None = None,
    lines: Mapping[str, float] | None = None,
) -> Figure:
    """One number with its interval for every condition, the published numbers beside them.

    Args:
        names: of the conditions, the first on top.
        values: `[n]`.
        low: lower ends of the 95 % intervals `[n]`; NaN where there is none.
        high: upper ends `[n]`.
        label: of the horizontal axis, with its unit.
        published: a condition's published value; conditions without one may be left out, or be None.
        lines: vertical lines by their label, for example ``{"chance": 0.05, "ceiling": 0.48}``.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another length, a value outside its interval, or a published name that is no condition.

    Example:
        >>> from tokdyn import plot
        >>> made = plot.outcomes(["start", "repaired"], [0.1, 0.5], [0.0, 0.4], [0.2, 0.6], label="accuracy")
        >>> [text.get_text() for text in made.axes[0].get_yticklabels()]
        ['start', 'repaired']
    """
    names = name_list("names", names, None)
    values, low, high = (
        numbers(name, array, "[n]", n=len(names)) for name, array in (("values", values), ("low", low), ("high", high))
    )
    wrong = (low > values + 1e-9) | (high < values - 1e-9)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise bad("values", f"each from its low to its high ({low[i]:g} to {high[i]:g})", f"{values[i]:g}")
    reported = {name: value for name, value in (published or {}).items() if value is not None}
    if unknown := sorted(set(reported) - set(names)):
        raise bad("published", "names of conditions only", repr(unknown[0]))
    shown, inches = name_lines(names, 36)
    made, axes = figure(width=5.6, height=0.5 + inches * len(names))
    panel = axes[0, 0]
    for (name, at), dashes in zip((lines or {}).items(), _DASHES * len(lines or {}), strict=False):
        panel.axvline(at, color="0.4", linewidth=1.2, linestyle=dashes, label=name, zorder=1)
    rows = np.arange(len(names))
    panel.errorbar(
        values, rows, xerr=np.maximum([values - low, high - values], 0), color=COLOURS[1], marker=MARKERS[0],
        markersize=5, linestyle="none", elinewidth=1.2, capsize=2.5, zorder=3,
        label="here, with 95 % interval" if reported else "value and 95 % interval",
    )  # fmt: skip
    if reported:
        places = [names.index(name) for name in reported]
        panel.plot(
            list(reported.values()), places, linestyle="none", marker="D", markersize=7, markerfacecolor="none",
            markeredgecolor=COLOURS[5], markeredgewidth=1.3, label="published", zorder=4,
        )  # fmt: skip
    panel.set_yticks(rows, shown)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.set_xlabel(wrap(label, 3.6))
    panel.grid(False, axis="y")
    legend_below(made, *panel.get_legend_handles_labels())
    return made


@styled
def loss_curves(
    steps: ArrayLike,
    curves: Mapping[str, Any],
    *,
    label: str = "loss (nats)",
    levels: Mapping[str, float] | None = None,
    published: tuple[Any, Any] | None = None,
    log: bool = False,
) -> Figure:
    """Means over seeds, with the range of the seeds, against levels that explain where a curve rests.

    Args:
        steps: `[n]`.
        curves: name -> losses `[seeds, n]`, at most seven.
        label: of the vertical axis, with its unit.
        levels: name -> height of a horizontal line, such as those of ``diagnose.loss_levels``.
        published: steps and losses of the published curve, `[m]` each.
        log: a logarithmic horizontal axis (steps must be positive).

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, no curve, or more than seven.

    Example:
        >>> import numpy as np
        >>> from tokdyn import plot
        >>> made = plot.loss_curves([0, 1], {"repaired": np.array([[5.0, 1.0], [5.0, 3.0]])}, levels={"ln V": 5.26})
        >>> np.asarray(made.axes[0].lines[0].get_ydata()).tolist()
        [5.0, 2.0]
    """
    steps = numbers("steps", steps, "[n]")
    runs = {name: numbers(f"curves[{name!r}]", runs, "[seeds, n]", n=len(steps)) for name, runs in curves.items()}
    at_most_seven("curves", runs)
    made, axes = figure(width=5.4, height=2.7)
    panel = axes[0, 0]
    for i, (name, losses) in enumerate(runs.items(), 1):
        seeds = f"{len(losses)} seed{'s' if len(losses) > 1 else ''}"
        panel.plot(
            steps, losses.mean(axis=0), color=COLOURS[i], linewidth=1.4, marker=MARKERS[i], markersize=4,
            markevery=(i % 3, max(1, len(steps) // 8)), label=f"{name} ({seeds})",
        )  # fmt: skip
        panel.fill_between(steps, losses.min(axis=0), losses.max(axis=0), color=COLOURS[i], alpha=0.2, linewidth=0)
    if published is not None:
        at = numbers("published[0]", published[0], "[m]")
        panel.plot(
            at, numbers("published[1]", published[1], "[m]", m=len(at)), linestyle="none", marker=MARKERS[0],
            markersize=5, markerfacecolor="white", markeredgecolor=COLOURS[0], label="published", zorder=4,
        )  # fmt: skip
    if log:
        panel.set_xscale("log")
    panel.set_xlabel("optimiser step")
    panel.set_ylabel(wrap(label, 2.4))
    handles = panel.get_legend_handles_labels()
    _levels(panel, levels or {})
    legend_below(made, *handles, title="mean and range of seeds")
    return made


@styled
def gradient_flow(layers: Sequence[str], norms: Mapping[str, Any], *, label: str = "norm of the gradient") -> Figure:
    """How large the gradient is in every layer, on a logarithmic scale; gradients of exactly 0 stand apart, open.

    Args:
        layers: names, the first on top.
        norms: name of a condition -> `[layers]`, or `[3, layers]`: value, and the ends of its interval. At most seven.
        label: of the horizontal axis, with its unit.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, a negative or infinite number, no condition, or more than seven.
    """
    layers = name_list("layers", layers, None)
    at_most_seven("norms", norms)
    drawn = {}
    for name, given in norms.items():
        three = np.ndim(given) == 2
        array = numbers(
            f"norms[{name!r}]", given, "[bounds, layers]" if three else "[layers]", bounds=3, layers=len(layers)
        )
        if not ((array >= 0) & np.isfinite(array)).all():
            raise bad(f"norms[{name!r}]", "finite numbers of at least 0", f"{array.min():g} to {array.max():g}")
        drawn[name] = array if three else np.stack([array] * 3)
    everything = np.concatenate([array.ravel() for array in drawn.values()])
    positive = everything[everything > 0] if everything.any() else np.ones(1)
    lowest, highest = int(np.floor(np.log10(positive.min()))), int(np.ceil(np.log10(positive.max())))
    highest = max(highest, lowest + 1)
    with_zero = bool((everything == 0).any())
    apart = max(1.0, (highest - lowest) / 8)  # decades between zero and the lowest tick
    zero = 10.0 ** (lowest - apart)
    shown, inches = name_lines(layers, 36)
    made, axes = figure(width=5.6, height=0.6 + inches * len(layers))
    panel = axes[0, 0]
    spread = min(0.16, 0.7 / len(drawn)) * (np.arange(len(drawn)) - (len(drawn) - 1) / 2)
    for i, (name, array) in enumerate(drawn.items(), 1):
        value, low, high = np.where(array > 0, array, zero)
        rows = np.arange(len(layers)) + spread[i - 1]
        panel.plot(value, rows, color=COLOURS[i], linewidth=0.7, marker=MARKERS[i], markersize=5, label=name)
        if (array[1:] != array[0]).any():
            ends = np.maximum([value - low, high - value], 0)
            panel.errorbar(value, rows, xerr=ends, color=COLOURS[i], linestyle="none", elinewidth=1, capsize=2)
        none = array[0] == 0
        panel.plot(value[none], rows[none], color=COLOURS[i], marker=MARKERS[i], markersize=5, linestyle="none",
                   markerfacecolor="white", zorder=4)  # fmt: skip
    panel.set_xscale("log")
    decades = np.arange(lowest, highest + 1, max(1, (highest - lowest) // 5))
    ticks = [(10.0**k, f"$10^{{{k}}}$") for k in decades]
    if with_zero:
        ticks.insert(0, (zero, "0"))
        panel.axvspan(zero / 10 ** (0.4 * apart), 10 ** (lowest - 0.5 * apart), color="0.93", linewidth=0, zorder=0)
    panel.set_xticks(*zip(*ticks, strict=True))
    panel.minorticks_off()
    panel.set_xlim(zero / 10 ** (0.4 * apart) if with_zero else 10 ** (lowest - 0.1), 10 ** (highest + 0.1))
    panel.set_yticks(np.arange(len(layers)), shown)
    panel.set_ylim(len(layers) - 0.5, -0.5)
    panel.set_xlabel(wrap(label, 3.6))
    legend_below(made, *panel.get_legend_handles_labels())
    return made


@styled
def landscape(steps: ArrayLike, losses: Mapping[str, Any], *, label: str = "loss (nats)") -> Figure:
    """Slices through a loss landscape, the weights themselves in the middle: lines, or filled contours of one scale.

    Args:
        steps: along each direction `[n]`, for example of ``diagnose.slice_1d``.
        losses: title -> `[n]` for all (at most seven, one panel), or `[n, n]` for all, the first direction first
            (a panel each).
        label: of the loss, with its unit.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, lines and planes together, nothing finite, or more than seven.
    """
    steps = numbers("steps", steps, "[n]")
    at_most_seven("losses", losses)
    flat = np.ndim(next(iter(losses.values()))) != 2
    arrays = {
        name: numbers(f"losses[{name!r}]", value, "[n]" if flat else "[n, n]", n=len(steps))
        for name, value in losses.items()
    }
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays.values()])
    if not finite.size:
        raise bad("losses", "at least one finite number", "none")
    middle = int(np.argmin(np.abs(steps)))
    if flat:
        made, axes = figure(width=4.6, height=2.7)
        panel = axes[0, 0]
        panel.axvline(steps[middle], color="0.4", linewidth=1, linestyle=_DASHES[1])
        for i, (name, line) in enumerate(arrays.items(), 1):
            panel.plot(steps, line, color=COLOURS[i], linewidth=1.4, label=name, marker=MARKERS[i], markersize=6,
                       markevery=[middle], markeredgecolor="black")  # fmt: skip
        panel.set_xlabel("distance along the direction")
        panel.set_ylabel(wrap(label, 2.4))
        legend_below(made, *panel.get_legend_handles_labels(), title="marker: the weights themselves")
        return made
    from matplotlib.ticker import MaxNLocator

    high = finite.max() if finite.max() > finite.min() else finite.min() + 1.0
    levels = MaxNLocator(14).tick_values(finite.min(), high)
    made, axes = figure(1, len(arrays), sharex=True, sharey=True)
    made.set_size_inches(2.2 * len(arrays) + 1.4, 2.75)
    made.set_layout_engine("compressed")  # no room is left where square panels need none
    for panel, (name, plane) in zip(axes[0], arrays.items(), strict=True):
        seen = np.ma.masked_invalid(plane.T)  # matplotlib wants the vertical direction first
        filled = panel.contourf(steps, steps, seen, levels, cmap="cividis")
        if seen.max() > seen.min():
            panel.contour(steps, steps, seen, levels, colors="white", linewidths=0.4, alpha=0.7)
        panel.plot(steps[middle], steps[middle], marker="*", markersize=11, color="white", markeredgecolor="black")
        panel.set_title(wrap(name, 2.0))
        panel.set_xlabel("direction 1")
        panel.set(xticks=steps[[0, middle, -1]], yticks=steps[[0, middle, -1]])
        panel.xaxis.set_major_formatter("{x:.3g}")
        panel.yaxis.set_major_formatter("{x:.3g}")
        panel.set_aspect("equal")
        panel.grid(False)
    axes[0, 0].set_ylabel("direction 2")
    made.colorbar(filled, ax=list(axes[0]), label=wrap(label, 1.8))
    legend_below(made, [panel.lines[-1]], ["the weights themselves"])
    return made


@styled
def scaling_curves(
    sizes: ArrayLike, values: ArrayLike, seconds: ArrayLike, *, label: str, size_label: str = "vocabulary size (words)"
) -> Figure:
    """A result and its cost against the size: every seed a dot, the mean a line, the range of the seeds a band.

    Args:
        sizes: `[sizes]`, positive.
        values: `[sizes, seeds]`.
        seconds: `[sizes, seeds]`, positive.
        label: of the values, with their unit.
        size_label: of the horizontal axis, with its unit.

    Returns:
        The figure, two panels.

    Raises:
        ValueError: arrays of another shape, or a number that has no logarithm.
    """
    sizes = numbers("sizes", sizes, "[sizes]")
    values = numbers("values", values, "[sizes, seeds]", sizes=len(sizes))
    seconds = numbers("seconds", seconds, "[sizes, seeds]", sizes=len(sizes), seeds=values.shape[1])
    for name, array in (("sizes", sizes), ("seconds", seconds)):
        if (array <= 0).any():
            raise bad(name, "positive numbers", f"{array.min():g}")
    from matplotlib.ticker import NullLocator

    made, axes = figure(1, 2, width=3.0, height=2.4, sharex=True)
    for panel, array, text in zip(axes[0], (values, seconds), (label, "training time (s)"), strict=True):
        panel.fill_between(sizes, array.min(axis=1), array.max(axis=1), color=COLOURS[1], alpha=0.2, linewidth=0)
        panel.plot(
            sizes, array.mean(axis=1), color=COLOURS[1], linewidth=1.4, marker=MARKERS[1], markersize=5, label="mean"
        )
        panel.plot(np.repeat(sizes, array.shape[1]), array.ravel(), linestyle="none", marker=MARKERS[0], markersize=3,
                   color=COLOURS[0], alpha=0.6, markeredgewidth=0, label="one seed", zorder=3)  # fmt: skip
        panel.set_xlabel(wrap(size_label, 2.6))
        panel.set_ylabel(wrap(text, 2.2))
    axes[0, 0].set_xscale("log")
    axes[0, 1].set_yscale("log")
    ticks = [sizes.min()]  # at sizes that were run, where their numbers have room
    for size in np.sort(sizes):
        if np.log(size / ticks[-1]) > 0.2 * np.log(sizes.max() / sizes.min()):
            ticks.append(size)
    axes[0, 0].set_xticks(ticks, [f"{size:,g}" for size in ticks])  # shared by both panels
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    legend_below(made, *axes[0, 0].get_legend_handles_labels(), title=f"band: range of {values.shape[1]} seeds")
    return made


def wrap(text: str, inches: float) -> str:
    """Text broken into lines of about that length."""
    return textwrap.fill(text, int(LETTERS_PER_INCH * inches))


def legend_below(made: Figure, handles: Sequence[Any], names: Sequence[str], *, title: str | None = None) -> None:
    """A legend under the panels, in as many columns as there is room for; the figure grows by its height."""
    width, height = made.get_size_inches()
    shown = [textwrap.fill(name, int(14 * width) - 8) for name in names]
    column = max(len(line) for name in shown for line in name.split("\n")) / 15 + 0.55  # inches
    room = max(1, min(len(shown), int(width / column)))
    columns = -(-len(shown) // -(-len(shown) // room))  # as many lines as needed, then evenly filled
    wrapped = textwrap.fill(title or "", int(14 * width) - 4)
    lines = -(-len(shown) // columns) * max(name.count("\n") + 1 for name in shown)
    lines += wrapped.count("\n") + 1 if title else 0
    made.set_figheight(height + 0.17 * lines + 0.05)
    made.legend(handles, shown, loc="outside lower center", ncols=columns, title=wrapped or None, title_fontsize=8)


def name_lines(names: Sequence[str], letters: int) -> tuple[list[str], float]:
    """Names broken into lines of that many letters, and the inches that each needs beneath the other."""
    shown = [textwrap.fill(name, letters) for name in names]
    return shown, max(0.29, 0.06 + 0.15 * max(name.count("\n") + 1 for name in shown))


def numbers(name: str, value: object, axes: str, **sizes: int) -> np.ndarray:
    """Numbers `[...]` as float64, of these axes and not empty."""
    order = axes.strip("[]").split(", ")
    known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items() if axis in order)
    expected = f"numbers {axes}" + (f" with {known}" if known else "")
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise bad(name, expected, f"a {type(value).__name__} that is no such array") from None
    matches = array.ndim == len(order) and all(
        size == sizes.get(axis, size) for axis, size in zip(order, array.shape, strict=True)
    )
    if not matches or not array.size:
        raise bad(name, expected, f"shape {array.shape}")
    return array


def name_list(name: str, value: Sequence[str], count: int | None) -> list[str]:
    """Names as a list, of that length."""
    wrong = isinstance(value, str) or not len(value) or (count is not None and len(value) != count)
    if wrong:
        raise bad(name, f"a list of {'' if count is None else f'{count} '}names", repr(value))
    return [str(one) for one in value]


def at_most_seven(name: str, value: Mapping[str, Any]) -> None:
    """As many as there are colours beside black."""
    if not 0 < len(value) < len(COLOURS):
        raise bad(name, f"from 1 to {len(COLOURS) - 1} of them", len(value))


def _levels(panel: Any, levels: Mapping[str, float]) -> None:
    """Horizontal lines, named at the right; names of near lines are moved apart."""
    if not levels:
        return
    for height in levels.values():
        panel.axhline(height, color="0.35", linewidth=0.9, linestyle=_DASHES[0], zorder=1)
    bottom, top = panel.get_ylim()
    panel.set_ylim(bottom, top)
    ordered = sorted(levels.items(), key=lambda level: level[1])
    gap = 0.075
    places = np.array([(height - bottom) / (top - bottom) for _, height in ordered])
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    # What was pushed out at the top comes back, and pushes those below down.
    for i in reversed(range(len(places))):
        places[i] = min(places[i], 0.98 if i == len(places) - 1 else places[i + 1] - gap)
    leader = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.7, "shrinkA": 2, "shrinkB": 0, "relpos": (0, 0.5)}
    for (name, height), place in zip(ordered, places, strict=True):
        panel.annotate(
            f"{name} {height:.4g}", xy=(1.0, height), xycoords=panel.get_yaxis_transform(), xytext=(1.06, place),
            textcoords="axes fraction", va="center", fontsize=8, arrowprops=leader,
        )  # fmt: skip
