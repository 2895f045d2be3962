"""Figures of visual-token autoencoders: the patterns themselves, how alike they are, and which codes are used."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, whole_number
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import at_most_seven, legend_below, name_lines, name_list, numbers, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = (*COLOURS[1:], COLOURS[0])  # of the channels: black last, because mixtures with it are only dark


def pattern_colours(patterns: ArrayLike) -> tuple[np.ndarray, str]:
    """A colour for every cell, the channels' colours mixed; the scale is one for the whole array.

    Shares of channels (not negative, sum 1 in every cell) mix the palette by share. Other numbers are scaled to
    [0, 1] (from the 1st to the 99th percentile of the array), mix by the fourth power, so that a cell's largest
    channels show, and fade to white where all are small. One channel runs through cividis from low to high.

    Args:
        patterns: `[..., cells, channels]`, at most eight channels.

    Returns:
        Colours `[..., cells, 3]` in [0, 1], and the kind: ``"shares"``, ``"numbers"`` or ``"one channel"``.

    Raises:
        ValueError: something not finite, or too many channels.

    Example:
        >>> import numpy as np
        >>> from tokdyn.plot import pattern_colours
        >>> colours, kind = pattern_colours(np.array([[1.0, 0.0], [0.5, 0.5]]))
        >>> kind, colours.shape
        ('shares', (2, 3))
    """
    patterns = np.asarray(patterns, float)
    if patterns.ndim < 2 or not patterns.size or patterns.shape[-1] > len(PALETTE):
        expected = f"numbers [..., cells, channels] of 1 to {len(PALETTE)} channels (project more onto fewer)"
        raise bad("patterns", expected, f"shape {patterns.shape}")
    if not np.isfinite(patterns).all():
        raise bad("patterns", "finite numbers", "NaN or infinity")
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba_array

    palette = to_rgba_array(PALETTE[: patterns.shape[-1]])[:, :3]
    if patterns.shape[-1] > 1 and patterns.min() >= 0 and np.allclose(patterns.sum(axis=-1), 1.0, atol=1e-3):
        return np.clip(patterns @ palette, 0, 1), "shares"
    low, high = _range(patterns)
    scaled = np.clip((patterns - low) / (high - low), 0, 1)
    if patterns.shape[-1] == 1:
        return colormaps["cividis"](scaled[..., 0])[..., :3], "one channel"
    weights = scaled**4
    mixed = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12) @ palette
    strength = scaled.max(axis=-1, keepdims=True)
    return np.clip(1 - strength + strength * mixed, 0, 1), "numbers"


@styled
def pattern_gallery(patterns: ArrayLike, *, side: int, words: Sequence[str], rows: Sequence[str]) -> Figure:
    """Every word's pattern as a coloured grid, a row for each encoder or moment; colours as in ``pattern_colours``.

    Args:
        patterns: `[rows, words, cells, channels]`.
        side: of the grid; cells = side * side, in reading order.
        words: on top of the columns.
        rows: at the left, for example ``["published start", "trained, collapsed", "trained, repaired"]``.

    Returns:
        The figure.

    Raises:
        ValueError: another shape, something not finite, or more than eight channels.

    Example:
        >>> import numpy as np
        >>> from tokdyn import plot
        >>> made = plot.pattern_gallery(np.ones((1, 2, 4, 3)) / 3, side=2, words=["a", "b"], rows=["start"])
        >>> made.axes[0].get_title(), made.axes[0].get_ylabel()
        ('a', 'start')
    """
    patterns = numbers("patterns", patterns, "[rows, words, cells, channels]")
    words = name_list("words", words, patterns.shape[1])
    rows = name_list("rows", rows, patterns.shape[0])
    colours, kind = _images(patterns, side)
    # A panel is as wide as the longest word above it; the grids themselves stay square.
    width = max(0.7, 0.085 * max(map(len, words)))
    made, axes = figure(len(rows), len(words))
    made.set_size_inches(max(width * len(words) + 1.3, 3.6), max(0.78 * len(rows) + 0.35, 1.3))
    made.set_layout_engine("compressed")
    for row, line in enumerate(axes):
        for column, panel in enumerate(line):
            _grid(panel, colours[row, column])
            if row == 0:
                panel.set_title(words[column], fontsize=8)
        line[0].set_ylabel(textwrap.fill(rows[row], 16), rotation=0, ha="right", va="center")
    _colour_key(made, list(axes.ravel()), patterns, kind)
    return made


@styled
def association_matrices(
    matrices: ArrayLike,
    *,
    titles: Sequence[str],
    label: str,
    chance: float | None = None,
    words: Sequence[str] | None = None,
) -> Figure:
    """How alike the patterns of every two words are, one panel for each model, one scale of colours.

    Args:
        matrices: `[panels, words, words]`, cosines or shares of equal cells.
        titles: of the panels.
        label: of the colours, with the unit.
        chance: what two unrelated patterns would have; a line across the colour bar.
        words: names on the axes; without them the words are numbered.

    Returns:
        The figure. Colours run from 0 to 1, further where the numbers do.

    Raises:
        ValueError: another shape, or another number of names.
    """
    from matplotlib.patheffects import withStroke

    matrices = numbers("matrices", matrices, "[panels, words, words]")
    if matrices.shape[1] != matrices.shape[2]:
        raise bad("matrices", "square ones [panels, words, words]", f"shape {matrices.shape}")
    titles = name_list("titles", titles, len(matrices))
    shown = None if words is None else name_list("words", words, matrices.shape[1])
    size = 2.1 if shown is None else max(2.1, 0.15 * len(shown) + 0.5)
    made, axes = figure(1, len(matrices), sharey=True)
    spare = 0.065 * max(map(len, shown or [""]))  # for the names
    made.set_size_inches(size * len(matrices) + 1.2 + spare, size + 0.65 + spare)
    made.set_layout_engine("compressed")
    low, high = np.nanmin(matrices, initial=0.0), np.nanmax(matrices, initial=1.0)
    for panel, matrix, title in zip(axes[0], matrices, titles, strict=True):
        image = panel.imshow(matrix, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
        panel.grid(False)
        panel.set(xlabel="word", title=wrap(title, size - 0.4))
        if shown is not None:
            panel.set_xticks(range(len(shown)), shown, rotation=90, fontsize=7)
            panel.set_yticks(range(len(shown)), shown, fontsize=7)
        else:
            panel.locator_params(integer=True)
    axes[0, 0].set_ylabel("word")
    bar = made.colorbar(image, ax=list(axes[0]), label=wrap(label, size - 0.3))
    if chance is not None:
        rim = [withStroke(linewidth=3.5, foreground="white")]
        line = bar.ax.axhline(chance, color=COLOURS[5], linewidth=1.8, path_effects=rim)
        legend_below(made, [line], [f"chance ({chance:.3g}), on the colour bar"])
    return made


@styled
def fault_matrix(
    values: ArrayLike,
    *,
    row_names: Sequence[str],
    column_names: Sequence[str],
    label: str,
    limits: tuple[float, float] = (0, 1),
    annotate: bool = True,
) -> Figure:
    """A result for every pair of conditions, such as bottleneck and combination of faults, its number in the cell.

    Args:
        values: `[rows, columns]`; NaN where nothing was run: grey, with a dash.
        row_names: at the left.
        column_names: below.
        label: of the colours, with the unit.
        limits: of the colours.
        annotate: write the numbers, with two decimals.

    Returns:
        The figure.

    Raises:
        ValueError: another shape, or another number of names.

    Example:
        >>> from tokdyn import plot
        >>> made = plot.fault_matrix([[0.1, 1.0]], row_names=["gumbel"], column_names=["bad", "good"], label="accuracy")
        >>> [text.get_text() for text in made.axes[0].texts]
        ['0.10', '1.00']
    """
    values = numbers("values", values, "[rows, columns]")
    row_names = name_list("row_names", row_names, values.shape[0])
    broken = [textwrap.fill(name, 14) for name in name_list("column_names", column_names, values.shape[1])]
    longest = max(len(line) for name in broken for line in name.split("\n"))
    left = 0.075 * min(26, max(map(len, row_names))) + 1.2
    row_names, inches = name_lines(row_names, 26)
    below = 0.075 * longest + 0.5 if longest > 7 else 0.7
    made, axes = figure(
        width=0.58 * values.shape[1] + left, height=max(max(0.34, inches) * values.shape[0] + below, 2.2)
    )
    panel = axes[0, 0]
    panel.set_facecolor("0.85")  # what was not run
    image = panel.pcolormesh(
        np.ma.masked_invalid(values), cmap="cividis", vmin=limits[0], vmax=limits[1], edgecolors="white", linewidth=1.2
    )
    panel.invert_yaxis()
    panel.set_xticks(np.arange(len(broken)) + 0.5, broken, rotation=90 if longest > 7 else 0)
    panel.set_yticks(np.arange(len(row_names)) + 0.5, row_names)
    panel.tick_params(length=0)
    panel.grid(False)
    panel.spines[:].set_visible(False)
    if annotate:
        for (row, column), value in np.ndenumerate(values):
            ink = _ink(image.cmap(image.norm(value))[:3]) if np.isfinite(value) else "black"
            text = f"{value:.2f}" if np.isfinite(value) else "–"
            panel.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=ink)
    made.colorbar(image, ax=panel, label=textwrap.fill(label, 26), extend=_beyond(values, *limits))
    return made


@styled
def usage_bars(counts: Mapping[str, Any]) -> Figure:
    """How evenly codes are used: shares by rank; a line ends at its last used code. Perplexities are in the legend.

    Args:
        counts: name -> how often each code was used `[codes]`, at most seven.

    Returns:
        The figure. Dotted: even use, for every size of codebook.

    Raises:
        ValueError: another shape, negative or infinite counts, a codebook never used, or more than seven.

    Example:
        >>> from tokdyn import plot
        >>> made = plot.usage_bars({"vector": [2, 2, 0, 0]})
        >>> made.legends[0].get_texts()[0].get_text()
        'vector: perplexity 2.0, 2 of 4 used'
    """
    at_most_seven("counts", counts)
    made, axes = figure(width=4.8, height=2.4)
    panel = axes[0, 0]
    for i, (name, given) in enumerate(counts.items(), 1):
        used = numbers(f"counts[{name!r}]", given, "[codes]")
        if not (np.isfinite(used) & (used >= 0)).all() or not used.any():
            raise bad(f"counts[{name!r}]", "counts from 0, not all 0", f"{used.min():g} to {used.max():g}")
        share = np.sort(used / used.sum())[::-1]
        alive = share[share > 0]
        perplexity = float(np.exp(-np.sum(alive * np.log(alive))))
        # Markers evenly along the logarithmic axis, the last used code among them.
        marked = np.unique(np.rint(np.geomspace(1, len(alive), 7)).astype(int) - 1).tolist()
        panel.plot(
            np.arange(1, len(alive) + 1), alive, color=COLOURS[i], linewidth=1.3, marker=MARKERS[i], markersize=4.5,
            markevery=marked, label=f"{name}: perplexity {perplexity:.1f}, {len(alive)} of {len(share)} used",
        )  # fmt: skip
    sizes = sorted({np.size(given) for given in counts.values()})
    for size in sizes:
        label = "even use" if size == sizes[0] else None
        panel.plot([1, size], [1 / size] * 2, color="0.4", linewidth=1, linestyle=":", zorder=1, label=label)
    panel.set(xscale="log", yscale="log", xlabel="rank of the code", ylabel="share of use")
    legend_below(made, *panel.get_legend_handles_labels())
    return made


@styled
def save_pattern_animation(
    path: str | os.PathLike[str],
    patterns: ArrayLike,
    *,
    side: int,
    words: Sequence[str],
    steps: ArrayLike,
    values: ArrayLike | None = None,
    label: str = "accuracy",
    seconds_per_frame: float = 0.2,
) -> Path:
    """Patterns changing during training, as an animated GIF; colours as in ``pattern_colours``.

    Args:
        path: of the GIF.
        patterns: `[frames, words, cells, channels]`.
        side: of the grid; cells = side * side.
        words: on top of their grids, at most eight in a line.
        steps: of training `[frames]`.
        values: drawn beneath as a line `[frames]`, for example the accuracy.
        label: of that line, with its unit.
        seconds_per_frame: how long a frame is shown.

    Returns:
        The path.

    Raises:
        ValueError: another shape, something not finite, or more than eight channels.
    """
    from PIL import Image

    patterns = numbers("patterns", patterns, "[frames, words, cells, channels]")
    words, frames = name_list("words", words, patterns.shape[1]), len(patterns)
    steps = numbers("steps", steps, "[frames]", frames=frames)
    line = None if values is None else numbers("values", values, "[frames]", frames=frames)
    colours, kind = _images(patterns, side)
    columns, lines, beneath = min(8, len(words)), -(-len(words) // 8), int(line is not None)
    width = max(0.7, 0.085 * max(map(len, words)), 3.6 / columns)
    ratios = {"height_ratios": [1.0] * lines + [1.25] * beneath}
    made, axes = figure(lines + beneath, columns, width=width, height=0.9, gridspec_kw=ratios)
    made.set_figheight(0.85 * lines + 1.25 * beneath + 0.45)
    moving = []  # what is drawn anew, and whether from the frame itself on or from the start
    if line is not None:
        for panel in axes[-1]:
            panel.remove()
        panel = made.add_subplot(axes[-1, 0].get_gridspec()[-1, :])
        panel.plot(steps, line, color="0.8", linewidth=1)  # where it will go, which also fixes the axes
        moving = [(panel.plot([], [], color=COLOURS[1], linewidth=1.4)[0], 0)]
        moving.append((panel.plot([], [], color=COLOURS[1], marker=MARKERS[0], markersize=5)[0], 1))
        panel.locator_params(axis="x", integer=True)
        panel.set(xlabel="optimiser step", ylabel=textwrap.fill(label, 14))
    images = []
    for i, panel in enumerate(axes[:lines].ravel()):
        if i < len(words):
            images.append(_grid(panel, colours[0, i]))
            panel.set_title(words[i], fontsize=8)
        else:
            panel.set_axis_off()
    _colour_key(made, list(axes[:lines].ravel()), patterns, kind)
    made.set_dpi(90)
    made.suptitle(f"step {max(steps, key=lambda step: len(f'{step:g}')):g}", fontsize=9)
    made.canvas.draw()
    made.set_layout_engine("none")  # found once: panels must not move from frame to frame
    pages = []
    for frame in range(frames):
        for image, colour in zip(images, colours[frame], strict=True):
            image.set_data(colour)
        for artist, now in moving:
            artist.set_data(steps[now * frame : frame + 1], line[now * frame : frame + 1])  # type: ignore[index]
        made.suptitle(f"step {steps[frame]:g}", fontsize=9)
        made.canvas.draw()
        drawn = np.asarray(made.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
        pages.append(Image.fromarray(drawn).quantize(128, dither=Image.Dither.NONE))
    durations = [int(1000 * seconds_per_frame)] * (frames - 1) + [1500]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=durations, loop=0, optimize=True)
    return Path(path)


def _range(patterns: np.ndarray) -> tuple[float, float]:
    """What the smallest and the largest colour stand for; apart, even where all numbers are one."""
    low, high = np.percentile(patterns, [1, 99])
    if high <= low:  # a few numbers among many equal ones
        low, high = patterns.min(), patterns.max()
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _beyond(values: np.ndarray, low: float, high: float) -> str:
    """Which ends of a colour bar are pointed, because numbers lie beyond."""
    return ("neither", "max", "min", "both")[2 * bool((values < low).any()) + bool((values > high).any())]


def _images(patterns: np.ndarray, side: int) -> tuple[np.ndarray, str]:
    side = whole_number("side", side, at_least=1)
    if patterns.shape[2] != side * side:
        raise bad("side", f"the root of the number of cells, {patterns.shape[2]}", side)
    colours, kind = pattern_colours(patterns)
    return colours.reshape(*patterns.shape[:2], side, side, 3), kind


def _grid(panel: Any, colours: np.ndarray) -> Any:
    """A pattern without ticks, thin lines between its cells."""
    side = len(colours)
    image = panel.imshow(colours, interpolation="nearest")
    panel.set(xticks=np.arange(1, side) - 0.5, yticks=np.arange(1, side) - 0.5)
    panel.tick_params(length=0, labelbottom=False, labelleft=False)
    panel.grid(True, color="white", linewidth=0.4)
    panel.spines[:].set(visible=True, color="0.6", linewidth=0.6)
    return image


def _colour_key(made: Figure, panels: list[Any], patterns: np.ndarray, kind: str) -> None:
    """What the colours mean: a bar for one channel, else a swatch for each."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Patch

    low, high = _range(patterns)
    if kind == "one channel":
        bar: dict[str, Any] = {"label": "value of the cell", "extend": _beyond(patterns, low, high)}
        made.colorbar(ScalarMappable(Normalize(low, high), "cividis"), ax=panels, fraction=0.03, pad=0.02, **bar)
        return
    names = [f"channel {i + 1}" for i in range(patterns.shape[-1])]
    title = "colour: the channel of a cell; between channels, their mixture"
    if kind == "numbers":
        title = f"hue: the largest channels; paler: smaller (white up to {low:.3g}, full from {high:.3g})"
    legend_below(made, [Patch(facecolor=colour) for colour in PALETTE[: len(names)]], names, title=title)


def _ink(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out more from that colour (WCAG contrast)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
