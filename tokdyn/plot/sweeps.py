"""Figures of sweeps: phase diagrams, slices with bands, and the front of what cannot be bettered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import stats
from tokdyn.checks import bad, choice
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import legend_below, numbers

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

# Of the lines of a theory: no colour of the map, and each with dashes of its own.
_LOOKS = (
    (COLOURS[5], (0, (4, 2))),
    (COLOURS[0], (0, (1, 1.5))),
    (COLOURS[3], (0, (6, 2, 1, 2))),
    (COLOURS[4], (0, (8, 3))),
)


def _needs(values: xarray.DataArray, **dims: str | None) -> None:
    for argument, dim in dims.items():
        if dim is not None and dim not in values.dims:
            raise bad(argument, f"one of the dimensions {', '.join(map(str, values.dims))}", repr(dim))


def mean_and_interval(
    values: xarray.DataArray, over: str
) -> tuple[xarray.DataArray, xarray.DataArray, xarray.DataArray]:
    """Mean and 95 % interval over one dimension: Clopper-Pearson for truth values, else Student's t.

    Args:
        values: numbers or truth values.
        over: the dimension of repetitions.

    Returns:
        ``(mean, low, high)`` without that dimension.
    """
    last = values.transpose(..., over)
    array = last.values
    rest = last.isel({over: 0}, drop=True).astype(float)
    if array.dtype == bool:
        share = stats.clopper_pearson(array.sum(axis=-1), array.shape[-1])
        mean, low, high = array.mean(axis=-1), share.low, share.high
    else:
        mean = array.astype(float).mean(axis=-1)
        interval = stats.mean_interval(array.astype(float), axis=-1)
        low, high = interval.low, interval.high
    return rest.copy(data=mean), rest.copy(data=low), rest.copy(data=high)


@styled
def phase_diagram(
    values: xarray.DataArray,
    x: str,
    y: str,
    *,
    panels: str | None = None,
    over: str = "seed",
    label: str,
    names: dict[str, str] | None = None,
    levels: Sequence[float] = (),
    limits: tuple[float | None, float | None] = (None, None),
    log: Sequence[str] = (),
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:
    """Means over repetitions as a heat map of two axes; contours with their intervals, and lines of a theory.

    Solid contours are those of the mean; dotted ones those of the two ends of its 95 % interval. A legend below says
    so, and names the lines.

    Args:
        values: one variable of a sweep, with the dimensions named here.
        x: dimension of the horizontal axis.
        y: dimension of the vertical axis.
        panels: dimension of which every value gets a panel.
        over: dimension of repetitions.
        label: of the colour bar, with its unit.
        names: what a dimension is called on its axis.
        levels: of the contours.
        limits: of the colours.
        log: dimensions on a logarithmic scale (their values must be positive).
        curves: name in the legend -> its x `[n]` and y `[n]`: lines that are drawn in every panel (at most four). They
            do not widen the axes.

    Returns:
        The figure.

    Raises:
        ValueError: a dimension that is not there, a curve whose two arrays do not match, or more than four curves.

    Example:
        >>> import numpy as np, xarray
        >>> from tokdyn import plot
        >>> values = xarray.DataArray(np.arange(24.0).reshape(3, 4, 2), dims=("a", "b", "seed"))
        >>> values = values.assign_coords(a=[1, 2, 3], b=[1, 2, 3, 4])
        >>> made = plot.phase_diagram(values, "a", "b", label="score", levels=[8], curves={"theory": ([1, 3], [1, 4])})
        >>> [text.get_text() for text in made.legends[0].get_texts()][::2]
        ['mean = 8', 'theory']
    """
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    _needs(values, x=x, y=y, panels=panels, over=over)
    lines_given = _curves(curves or {})
    called = names or {}
    mean, low, high = mean_and_interval(values, over)
    shown = mean[panels].values if panels else [None]
    made, axes = figure(1, len(shown), width=2.5, height=2.6, sharey=True)
    low_limit = float(mean.min()) if limits[0] is None else limits[0]
    high_limit = float(mean.max()) if limits[1] is None else limits[1]
    drawn: dict[str, set[float]] = {"solid": set(), "dotted": set()}
    for panel, value in zip(axes[0], shown, strict=True):
        part = [m.sel({panels: value}) if panels else m for m in (mean, low, high)]
        maps = [m.transpose(y, x) for m in part]
        across, up = maps[0][x].values, maps[0][y].values
        edges = [_edges(at, dim in log) for at, dim in ((across, x), (up, y))]
        mesh = panel.pcolormesh(
            *edges, maps[0].values, shading="flat", cmap="cividis", vmin=low_limit, vmax=high_limit, rasterized=True
        )
        for m, style, width in zip(maps, ("solid", "dotted", "dotted"), (1.2, 0.7, 0.7), strict=True):
            inside = [level for level in levels if np.nanmin(m.values) < level < np.nanmax(m.values)]
            if inside:
                drawn[style].update(inside)
                lines = panel.contour(across, up, m.values, inside, colors="white", linewidths=width, linestyles=style)
                # A dark rim, because neither white nor black can be read on every colour.
                lines.set(path_effects=[withStroke(linewidth=width + 1.2, foreground="0.25")])
                if style == "solid" and len(levels) > 1:  # else the legend says which
                    for text in panel.clabel(lines, fontsize=7, inline=False):  # a gap would eat short lines
                        text.set_path_effects([withStroke(linewidth=2.5, foreground="0.25")])
        for dim, scale in ((x, panel.set_xscale), (y, panel.set_yscale)):
            if dim in log:
                scale("log")
        for line in lines_given:
            panel.add_line(line())
        panel.set(xlim=(edges[0].min(), edges[0].max()), ylim=(edges[1].min(), edges[1].max()))
        panel.grid(False)
        panel.set_xlabel(called.get(x, x))
        if panels:
            panel.set_title(f"{called.get(panels, panels)} {value:g}")
    axes[0, 0].set_ylabel(called.get(y, y))
    made.colorbar(mesh, ax=list(axes[0]), label=label, shrink=0.9)
    at = {style: ", ".join(f"{level:g}" for level in sorted(found)) for style, found in drawn.items()}
    entries = [
        Line2D([], [], color="white", linewidth=width, linestyle=style, label=text,
               path_effects=[withStroke(linewidth=width + 1.2, foreground="0.25")])
        for style, width, text in (
            ("solid", 1.2, f"mean = {at['solid']}"), ("dotted", 0.9, f"an end of its 95 % interval = {at['dotted']}"),
        )
        if drawn[style]
    ] + [line() for line in lines_given]  # fmt: skip
    if entries:
        legend_below(made, entries, [str(entry.get_label()) for entry in entries])
    return made


def _edges(at: np.ndarray, log: bool) -> np.ndarray:
    """Borders `[n + 1]` of cells around `[n]` places, half way between them on the axis that is shown."""
    places = np.log(at) if log else np.asarray(at, float)
    between = (places[1:] + places[:-1]) / 2
    if places.size > 1:
        borders = np.concatenate([[2 * places[0] - between[0]], between, [2 * places[-1] - between[-1]]])
    else:
        borders = places + np.array([-0.5, 0.5])
    return np.exp(borders) if log else borders


def _curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> list[Callable[[], Any]]:
    """For each curve what makes its line anew: a line belongs to one panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    if len(curves) > len(_LOOKS):
        raise bad("curves", f"at most {len(_LOOKS)} of them", len(curves))
    made: list[Callable[[], Any]] = []
    for (name, both), (colour, dashes) in zip(curves.items(), _LOOKS, strict=False):
        if len(both) != 2:
            raise bad(f"curves[{name!r}]", "its x [n] and its y [n]", f"{len(both)} of them")
        across = numbers(f"curves[{name!r}][0]", both[0], "[n]")
        up = numbers(f"curves[{name!r}][1]", both[1], "[n]", n=len(across))
        made.append(
            functools.partial(
                Line2D, across, up, color=colour, linestyle=dashes, linewidth=1.6, label=name, zorder=3,
                path_effects=[withStroke(linewidth=2.8, foreground="white")],
            )
        )  # fmt: skip
    return made


@styled
def slices(
    values: xarray.DataArray,
    x: str,
    *,
    lines: str | None = None,
    over: str = "seed",
    label: str,
    names: dict[str, str] | None = None,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> Figure:
    """Means against one axis with 95 % bands, a line for each value of another.

    Args:
        values: one variable of a sweep, over x, lines and repetitions only.
        x: dimension of the horizontal axis.
        lines: dimension of which every value gets a line (at most eight).
        over: dimension of repetitions.
        label: of the vertical axis, with its unit.
        names: what a dimension is called.
        limits: of the vertical axis.
        log: a logarithmic horizontal axis.

    Returns:
        The figure.

    Raises:
        ValueError: a dimension that is not there, one too many, or more than eight lines.
    """
    _needs(values, x=x, lines=lines, over=over)
    left = set(values.dims) - {x, lines, over}
    if left:
        raise bad("values", "no other dimension than x, lines and over (select one value)", ", ".join(map(str, left)))
    if lines and values.sizes[lines] > len(COLOURS):
        raise bad("lines", f"at most {len(COLOURS)} values", values.sizes[lines])
    called = names or {}
    made, axes = figure(width=4.2, height=3.0)
    panel = axes[0, 0]
    mean, low, high = mean_and_interval(values, over)
    shown = mean[lines].values if lines else [None]
    for i, value in enumerate(shown):
        parts = [m.sel({lines: value}) if lines else m for m in (mean, low, high)]
        name = None if value is None else f"{value:g}" if isinstance(value, (float, np.number)) else str(value)
        # Lines that coincide are thinner and thinner, and their markers smaller: each shows around the next.
        outside = (len(shown) - 1 - i) * min(1.0, 4 / len(shown))
        panel.plot(
            mean[x], parts[0], color=COLOURS[i], marker=MARKERS[i], markersize=3 + 1.1 * outside,
            linewidth=1.2 + 0.9 * outside, label=name, markevery=max(1, mean.sizes[x] // 10),
        )  # fmt: skip
        panel.fill_between(mean[x], parts[1], parts[2], color=COLOURS[i], alpha=0.2, linewidth=0)
    if log:
        panel.set_xscale("log")
    if limits:
        panel.set_ylim(limits)
    panel.set_xlabel(called.get(x, x))
    panel.set_ylabel(label)
    if lines:
        panel.legend(title=called.get(lines, lines), title_fontsize=8)
    return made


def pareto_front(cost: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Which points no other betters: none has lower cost and as much quality, or higher quality at no more cost.

    Args:
        cost: `[n]`, less is better.
        quality: `[n]`, more is better; a point with NaN is on no front.

    Returns:
        Truth values `[n]`.

    Example:
        >>> from tokdyn.plot import pareto_front
        >>> pareto_front([1, 2, 3, 3], [0.5, 0.4, 0.9, 0.8]).tolist()
        [True, False, True, False]
    """
    cost, quality = np.asarray(cost, float), np.asarray(quality, float)
    front = np.zeros(len(cost), bool)
    best = -np.inf
    for i in np.lexsort((-quality, cost)):  # cheapest first, the best of equals first
        if quality[i] > best:
            front[i], best = True, quality[i]
    return front


@styled
def pareto(
    cost: xarray.DataArray,
    quality: xarray.DataArray,
    *,
    colour: str,
    over: str = "seed",
    cost_label: str,
    quality_label: str,
    names: dict[str, str] | None = None,
    scale: str = "linear",
) -> Figure:
    """Every cell's quality against its cost, and the front of those that no other betters.

    Args:
        cost: one variable of a sweep, less is better.
        quality: another, more is better, of the same dimensions.
        colour: dimension that colours the points (at most eight values).
        over: dimension of repetitions; cells on the front carry 95 % intervals.
        cost_label: of the horizontal axis.
        quality_label: of the vertical axis.
        names: what a dimension is called.
        scale: of the cost, ``"linear"`` or ``"log"``.

    Returns:
        The figure.

    Raises:
        ValueError: a dimension that is not there, or more than eight colours.
    """
    _needs(cost, colour=colour, over=over)
    choice("scale", scale, ("linear", "log"))
    if cost.sizes[colour] > len(COLOURS):
        raise bad("colour", f"at most {len(COLOURS)} values", cost.sizes[colour])
    cells = [str(dim) for dim in cost.dims if dim != over]
    flat = [
        [m.stack(cell=cells) for m in mean_and_interval(values, over)]
        for values in (cost, quality.transpose(*cost.dims))
    ]
    (x, x_low, x_high), (y, y_low, y_high) = flat
    front = pareto_front(x.values, y.values)
    made, axes = figure(width=5.4, height=3.4)
    panel = axes[0, 0]
    for i, value in enumerate(cost[colour].values):
        own = (x[colour] == value).values
        shown = f"{value:g}" if isinstance(value, (float, np.number)) else str(value)
        panel.plot(
            x.values[own], y.values[own], linestyle="none", marker=MARKERS[i], markersize=2, color=COLOURS[i],
            alpha=0.35, markeredgewidth=0, rasterized=True,
        )  # fmt: skip
        panel.plot([], [], linestyle="none", marker=MARKERS[i], markersize=5, color=COLOURS[i], label=shown)
        both = own & front
        if both.any():
            panel.errorbar(
                x.values[both], y.values[both],
                [y.values[both] - y_low.values[both], y_high.values[both] - y.values[both]],
                [x.values[both] - x_low.values[both], x_high.values[both] - x.values[both]],
                color=COLOURS[i], marker=MARKERS[i], markersize=5, linestyle="none", elinewidth=0.8, capsize=2,
                zorder=4,
            )  # fmt: skip
    order = np.argsort(x.values[front])
    panel.step(
        x.values[front][order], y.values[front][order], where="post", color="0.3", linewidth=1, zorder=3,
        label="Pareto front",
    )  # fmt: skip
    panel.set_xscale(scale)
    panel.set_xlabel(cost_label)
    panel.set_ylabel(quality_label)
    made.legend(loc="outside right upper", title=(names or {}).get(colour, colour), title_fontsize=8)
    return made
