"""Figures of reasoners taken apart: what arms keep of a gain, accuracy under every arm, where latent positions look."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import legend_below, name_list

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIMITS = (-100.0, 200.0)  # percent; whiskers that go on are cut and marked by an arrow
_ROOM = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}


@styled
def gain_retained_bars(
    settings: Sequence[str], arms: Sequence[str], gain: ArrayLike, low: ArrayLike, high: ArrayLike, *, base: str
) -> Figure:
    """What each arm keeps of the gain, in percent, with Fieller's intervals; a panel for each arm.

    Where there was no gain of which to keep a share, the row says so and has no bar.

    Args:
        settings: rows, the first on top.
        arms: panels.
        gain: ratios `[settings, arms]`; NaN where refused.
        low: lower ends of the intervals `[settings, arms]`.
        high: upper ends `[settings, arms]`.
        base: what the gain is counted from.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, or a gain outside its interval.

    Example:
        >>> from tokdyn.plot.mechanisms import gain_retained_bars
        >>> made = gain_retained_bars(["a"], ["slots removed"], [[0.8]], [[0.6]], [[1.1]], base="direct")
        >>> made.axes[0].get_title()
        'slots removed'
    """
    settings, arms = name_list("settings", settings, None), name_list("arms", arms, None)
    shape = (len(settings), len(arms))
    values, ends = (
        100 * _table("gain", gain, shape),
        [100 * _table(n, v, shape) for n, v in (("low", low), ("high", high))],
    )
    with np.errstate(invalid="ignore"):
        if ((ends[0] > values + 1e-6) | (ends[1] < values - 1e-6)).any():
            raise bad("gain", "each from its low to its high", "one that is outside")
    made, axes = figure(1, shape[1], width=2.3, height=1.3 + 0.2 * shape[0], sharey=True)
    made.set_size_inches(2.3 * shape[1] + 1.6, 1.3 + 0.2 * shape[0])
    rows = np.arange(shape[0])
    for number, arm in enumerate(arms):
        panel = axes[0, number]
        for at, dashes, label in ((0.0, "-", "base"), (100.0, (0, (4, 2)), "full model")):
            panel.axvline(at, color="0.35", linewidth=1.0, linestyle=dashes, label=label, zorder=1)
        has = np.isfinite(values[:, number])
        if has.any():
            shown = np.clip(values[has, number], *_LIMITS)
            panel.barh(rows[has], shown, height=0.6, color=COLOURS[6], zorder=2)
            left, right = (np.clip(end[has, number], *_LIMITS) for end in ends)
            panel.errorbar(
                shown, rows[has], xerr=[shown - left, right - shown], color=COLOURS[0], marker=MARKERS[0],
                markersize=3.5, linestyle="none", elinewidth=1.1, capsize=2, zorder=3,
                label="gain kept, 95 % set of Fieller",
            )  # fmt: skip
            for side, end, sign in ((_LIMITS[0], ends[0], "<"), (_LIMITS[1], ends[1], ">")):
                beyond = has & ((end[:, number] < side) if sign == "<" else (end[:, number] > side))
                panel.plot(np.full(beyond.sum(), side), rows[beyond], sign, color=COLOURS[0], markersize=4, zorder=4)
        for row in rows[~has]:
            panel.text(50, row, "refused: no gain", ha="center", va="center", fontsize=6.5, color="0.35", bbox=_ROOM)
        # A bar that leaves the panel says where it would end.
        for row in rows[has & (np.abs(np.clip(values[:, number], *_LIMITS) - values[:, number]) > 0)]:
            panel.text(50, row, f"{values[row, number]:.0f} %", ha="center", va="center", fontsize=6.5, bbox=_ROOM)
        panel.set_xlim(_LIMITS[0] - 10, _LIMITS[1] + 10)
        panel.set_title(textwrap.fill(arm, 22))
        panel.set_xlabel("gain kept (%)")
        panel.grid(False, axis="y")
    axes[0, 0].set_yticks(rows, settings)
    axes[0, 0].set_ylim(shape[0] - 0.4, -0.6)
    made.suptitle(f"gain over the base: {base}", fontsize=9)
    handles: dict[str, Any] = {}
    for panel in axes[0]:
        handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    legend_below(made, list(handles.values()), list(handles))
    return made


@styled
def accuracy_by_arm(tasks: Sequence[str], settings: Sequence[str], arms: Sequence[str], accuracy: ArrayLike) -> Figure:
    """Accuracy of every setting under every arm, a panel for each task, the numbers written into the cells.

    Args:
        tasks: panels.
        settings: columns of a panel.
        arms: rows.
        accuracy: `[tasks, settings, arms]`, from 0 to 1.

    Returns:
        The figure.

    Raises:
        ValueError: another shape, or a number outside 0 to 1.

    Example:
        >>> from tokdyn.plot.mechanisms import accuracy_by_arm
        >>> made = accuracy_by_arm(["chase"], ["probe"], ["full", "slots removed"], [[[0.9, 0.5]]])
        >>> [text.get_text() for text in made.axes[0].texts]
        ['90', '50']
    """
    tasks, settings, arms = (
        name_list(n, v, None) for n, v in (("tasks", tasks), ("settings", settings), ("arms", arms))
    )
    values = _table("accuracy", accuracy, (len(tasks), len(settings), len(arms)))
    if not ((values >= 0) & (values <= 1)).all():
        raise bad("accuracy", "numbers from 0 to 1", "one outside, or NaN")
    made, axes = figure(1, len(tasks), sharey=True)
    made.set_size_inches(2.0 + (0.36 * len(settings) + 0.35) * len(tasks) + 0.6, 0.2 * len(arms) + 1.6)
    for panel, name, table in zip(axes[0], tasks, values, strict=True):
        picture = panel.imshow(100 * table.T, cmap="cividis", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
        for (column, row), value in np.ndenumerate(table):
            colour = "white" if value < 0.55 else "black"
            panel.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
        panel.set_xticks(range(len(settings)), settings, rotation=60, ha="right", rotation_mode="anchor")
        panel.set_title(name.replace("_", " "))
        panel.grid(False)
        panel.tick_params(length=0)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    made.colorbar(picture, ax=list(axes[0]), label="answers right (%)", fraction=0.05, pad=0.01)
    return made


@styled
def attention_maps(
    images: ArrayLike, relevant: ArrayLike, maps: ArrayLike, *, positions: Sequence[str], patch: int
) -> Figure:
    """Where some items' latent and answer positions look, beside the picture with the patches that the steps read.

    Args:
        images: `[items, height, width, channels]` in 0 to 1.
        relevant: patches that a step reads `[items, patches]` bool, rows of patches first.
        maps: attention over the image that adds up to 1 `[positions, items, patches]`.
        positions: names of the maps.
        patch: side of a patch in pixels.

    Returns:
        The figure, a column for each item.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import numpy as np
        >>> from tokdyn.plot.mechanisms import attention_maps
        >>> made = attention_maps(np.zeros((1, 4, 4, 3)), np.eye(1, 4, dtype=bool), np.full((2, 1, 4), 0.25),
        ...                       positions=["latent", "answer"], patch=2)
        >>> made.axes[1].get_ylabel()
        'latent positions'
    """
    pictures, needed = np.asarray(images, float), np.asarray(relevant)
    positions = name_list("positions", positions, None)
    if pictures.ndim != 4 or pictures.shape[1] % patch or pictures.shape[2] % patch:
        raise bad("images", f"[items, height, width, channels] in patches of {patch}", f"shape {pictures.shape}")
    down, across = pictures.shape[1] // patch, pictures.shape[2] // patch
    looks = _table("maps", maps, (len(positions), len(pictures), down * across))
    if needed.shape != looks.shape[1:] or needed.dtype != bool:
        raise bad("relevant", f"booleans {looks.shape[1:]}", f"{needed.dtype}, shape {needed.shape}")
    made, axes = figure(1 + len(positions), len(pictures), width=1.35, height=1.35 * down / across + 0.15)
    made.set_size_inches(1.35 * len(pictures) + 1.4, (1.35 * down / across + 0.15) * (1 + len(positions)) + 0.3)
    largest = float(looks.max())
    for item in range(len(pictures)):
        axes[0, item].imshow(
            np.clip(pictures[item], 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
        )
        for row in range(len(positions)):
            shown = axes[row + 1, item].imshow(
                looks[row, item].reshape(down, across),
                cmap="cividis",
                vmin=0,
                vmax=largest,
                extent=(-0.5, across * patch - 0.5, down * patch - 0.5, -0.5),
                interpolation="nearest",
            )
        for panel in axes[:, item]:
            _frames(panel, needed[item], across, patch)
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            panel.spines[:].set_visible(False)
        axes[0, item].set_title(f"item {item + 1}")
    axes[0, 0].set_ylabel("picture")
    for row, name in enumerate(positions):
        axes[row + 1, 0].set_ylabel(f"{name} positions")
    made.colorbar(shown, ax=list(axes[1:].flat), label="share of attention to the image", fraction=0.06, pad=0.02)
    return made


def _frames(panel: Any, needed: np.ndarray, across: int, patch: int) -> None:
    """A frame around every patch that a step reads."""
    from matplotlib.patches import Rectangle

    for place in np.flatnonzero(needed).tolist():
        row, column = divmod(place, across)
        corner = (column * patch - 0.5, row * patch - 0.5)
        for colour, width in (("white", 2.6), (COLOURS[5], 1.3)):
            panel.add_patch(
                Rectangle(corner, patch, patch, fill=False, edgecolor=colour, linewidth=width, clip_on=False)
            )


def _table(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, float)
    if array.shape != shape:
        raise bad(name, f"numbers of shape {shape}", f"shape {array.shape}")
    return array
