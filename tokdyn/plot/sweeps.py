"""Figures of sweeps: phase diagrams, slices with bands, and the front of what cannot be bettered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray
from numpy.typing import ArrayLike

from tokdyn import stats
from tokdyn.checks import bad, choice
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
) -> Figure:
    """Means over repetitions as a heat map of two axes; contours with their intervals.

    Solid contours are those of the mean; dotted ones those of the two ends of its 95 % interval.

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

    Returns:
        The figure.

    Raises:
        ValueError: a dimension that is not there.
    """
    from matplotlib.patheffects import withStroke

    _needs(values, x=x, y=y, panels=panels, over=over)
    called = names or {}
    mean, low, high = mean_and_interval(values, over)
    shown = mean[panels].values if panels else [None]
    made, axes = figure(1, len(shown), width=2.5, height=2.6, sharey=True)
    low_limit = float(mean.min()) if limits[0] is None else limits[0]
    high_limit = float(mean.max()) if limits[1] is None else limits[1]
    for panel, value in zip(axes[0], shown, strict=True):
        part = [m.sel({panels: value}) if panels else m for m in (mean, low, high)]
        maps = [m.transpose(y, x) for m in part]
        across, up = maps[0][x].values, maps[0][y].values
        mesh = panel.pcolormesh(
            across, up, maps[0].values, shading="nearest", cmap="cividis", vmin=low_limit, vmax=high_limit,
            rasterized=True,
        )  # fmt: skip
        for m, style, width in zip(maps, ("solid", "dotted", "dotted"), (1.2, 0.7, 0.7), strict=True):
            inside = [level for level in levels if np.nanmin(m.values) < level < np.nanmax(m.values)]
            if inside:
                lines = panel.contour(across, up, m.values, inside, colors="white", linewidths=width, linestyles=style)
                # A dark rim, because neither white nor black can be read on every colour.
                lines.set(path_effects=[withStroke(linewidth=width + 1.2, foreground="0.25")])
                if style == "solid":
                    for text in panel.clabel(lines, fontsize=7):
                        text.set_path_effects([withStroke(linewidth=1.5, foreground="0.25")])
        for dim, scale in ((x, panel.set_xscale), (y, panel.set_yscale)):
            if dim in log:
                scale("log")
        panel.grid(False)
        panel.set_xlabel(called.get(x, x))
        if panels:
            panel.set_title(f"{called.get(panels, panels)} {value:g}")
    axes[0, 0].set_ylabel(called.get(y, y))
    made.colorbar(mesh, ax=list(axes[0]), label=label, shrink=0.9)
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
    for i, value in enumerate(mean[lines].values if lines else [None]):
        parts = [m.sel({lines: value}) if lines else m for m in (mean, low, high)]
        name = None if value is None else f"{value:g}" if isinstance(value, (float, np.number)) else str(value)
        panel.plot(
            mean[x], parts[0], color=COLOURS[i], marker=MARKERS[i], markersize=3, linewidth=1.2, label=name,
            markevery=max(1, mean.sizes[x] // 10),
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
