"""Figures of latent tokens optimised at test time: reward beside accuracy, changes by method, trees of injections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled
from tokdyn.plot.training import at_most_seven, legend_below, name_list, numbers, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PANELS = 8
_DASHES: tuple[Any, ...] = ("-", "-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (8, 3)), (0, (3, 1)))


class Tree(NamedTuple):
    """What was tried on one item.

    Attributes:
        image: `[height, width, channels]`; shown between 0 and 1.
        start: patches injected from the start `[patches]` bool, rows of patches first.
        candidates: patches tried `[iterations, slots, patches]` bool.
        rewards: with them `[iterations, slots]`.
        taken: whether they stayed `[iterations, slots]` bool.
        best: best reward, that before first `[iterations + 1]`.
        title: over the item's candidates.
    """

    image: Any
    start: Any
    candidates: Any
    rewards: Any
    taken: Any
    best: Any
    title: str = ""


@styled
def reward_beside_accuracy(
    curves: Mapping[str, Mapping[str, Any]], accuracies: Mapping[str, Mapping[str, Any]], *, before: Mapping[str, float]
) -> Figure:
    """Best reward by evaluations spent, and accuracy in the end beside it; a row for each reasoner.

    Args:
        curves: reasoner -> {method: `[4, n]`: evaluations, reward, and the ends of its interval}; at most seven
            methods.
        accuracies: the same names -> (value, low, high).
        before: accuracy before any step, by reasoner.

    Returns:
        The figure.

    Raises:
        ValueError: other names in the two, no reasoner or more than eight, or arrays of another shape.

    Example:
        >>> from tokdyn.plot.latent_optimisation import reward_beside_accuracy
        >>> made = reward_beside_accuracy(
        ...     {"content": {"dmlr": [[1, 4], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7]]}},
        ...     {"content": {"dmlr": (0.6, 0.5, 0.7)}}, before={"content": 0.6},
        ... )
        >>> made.axes[0].get_title(), made.axes[0].get_xlabel()
        ('content', 'evaluations of the reward')
    """
    names = list(curves)
    if list(accuracies) != names or set(before) != set(names) or not 0 < len(names) <= _MOST_PANELS:
        raise bad("accuracies", f"the same 1 to {_MOST_PANELS} reasoners as curves, {names}", list(accuracies))
    made, axes = figure(len(names), 2, width=3.1, height=1.55, gridspec_kw={"width_ratios": [1.5, 1]})
    made.set_size_inches(6.6, 1.5 * len(names) + 0.5)
    for row, name in enumerate(names):
        left, right = axes[row]
        methods = list(curves[name])
        at_most_seven(f"curves[{name!r}]", curves[name])
        if list(accuracies[name]) != methods:
            raise bad(f"accuracies[{name!r}]", f"the methods {methods}", list(accuracies[name]))
        for i, method in enumerate(methods):
            label = f"{name!r}][{method!r}"
            spent, value, low, high = numbers(f"curves[{label}]", curves[name][method], "[bounds, n]", bounds=4)
            colour = COLOURS[i + 1]
            left.plot(
                spent, value, color=colour, linestyle=_DASHES[i], linewidth=1.5, label=method, marker=MARKERS[i + 1],
                markevery=[-1], markersize=5, markeredgecolor="black", markeredgewidth=0.5,
            )  # fmt: skip
            left.fill_between(spent, low, high, color=colour, alpha=0.13, linewidth=0)
            of = numbers(f"accuracies[{label}]", accuracies[name][method], "[bounds]", bounds=3)
            right.errorbar(
                i, of[0], yerr=np.maximum([[of[0] - of[1]], [of[2] - of[0]]], 0), color=colour, marker=MARKERS[i + 1],
                markersize=5, elinewidth=1.2, capsize=2.5, markeredgecolor="black", markeredgewidth=0.5,
            )  # fmt: skip
        right.axhline(before[name], color="black", linestyle="--", linewidth=1, zorder=1)
        right.set_xlim(-0.6, len(methods) - 0.4)
        right.set_xticks([])
        right.margins(y=0.12)
        right.set_title("accuracy in the end" if row == 0 else "")
        left.set_title(name)
        left.set_ylabel("best reward")
        right.set_ylabel("accuracy")
        if row == len(names) - 1:
            left.set_xlabel("evaluations of the reward")
            right.set_xlabel("method, as in the legend")
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


@styled
def accuracy_changes(
    methods: Sequence[str],
    changes: Mapping[str, Any],
    *,
    bound: float | None = None,
    label: str = "change of the share of right answers",
) -> Figure:
    """Change of accuracy by method with its interval, a panel for each reasoner.

    Args:
        methods: names, the first on top.
        changes: reasoner -> `[3, methods]`: value, and the ends of its 95 % interval.
        bound: changes within it are marked as none.
        label: of the horizontal axis.

    Returns:
        The figure.

    Raises:
        ValueError: arrays of another shape, no reasoner or more than eight.

    Example:
        >>> from tokdyn.plot.latent_optimisation import accuracy_changes
        >>> made = accuracy_changes(["dmlr", "oracle"], {"masked": [[0.0, 0.3], [-0.1, 0.2], [0.1, 0.4]]}, bound=0.03)
        >>> [text.get_text() for text in made.axes[0].get_yticklabels()]
        ['dmlr', 'oracle']
    """
    methods = name_list("methods", methods, None)
    if not 0 < len(changes) <= _MOST_PANELS:
        raise bad("changes", f"from 1 to {_MOST_PANELS} reasoners", len(changes))
    arrays = {
        name: numbers(f"changes[{name!r}]", given, "[bounds, methods]", bounds=3, methods=len(methods))
        for name, given in changes.items()
    }
    rows = np.arange(len(methods))
    made, axes = figure(1, len(changes), sharey=True, sharex=True)
    made.set_size_inches(1.4 * len(changes) + 2.2, 1.0 + 0.2 * len(methods))
    for panel, (name, (value, low, high)) in zip(axes[0], arrays.items(), strict=True):
        if bound is not None:
            panel.axvspan(-bound, bound, color="0.88", linewidth=0, zorder=0)
        panel.axvline(0, color="0.4", linewidth=1, zorder=1)
        for chosen, colour, marker, text in (
            ((low <= 0) & (high >= 0), COLOURS[0], "o", "interval holds 0"),
            (low > 0, COLOURS[1], "^", "higher"),
            (high < 0, COLOURS[5], "v", "lower"),
        ):
            panel.errorbar(
                value[chosen], rows[chosen], xerr=np.maximum([value - low, high - value], 0)[:, chosen], color=colour,
                marker=marker, markersize=4.5, linestyle="none", elinewidth=1.2, capsize=2, markeredgecolor="black",
                markeredgewidth=0.5, label=text, zorder=3,
            )  # fmt: skip
        panel.set_title(wrap(name, 1.4))
        panel.grid(False, axis="y")
    axes[0, 0].set_yticks(rows, methods)
    axes[0, 0].set_ylim(len(methods) - 0.4, -0.6)
    text = wrap(f"{label}, with 95 % intervals", 1.2 * len(changes) + 0.6)
    axes[0, (len(changes) - 1) // 2].set_xlabel(text)
    legend_below(made, *axes[0, 0].get_legend_handles_labels())
    return made


@styled
def injection_trees(trees: Sequence[Tree], *, patch: int, label: str = "reward") -> Figure:
    """Patches injected into some items: the picture, numbered in the order of acceptance, and all that was tried.

    Args:
        trees: one for each item, at most eight.
        patch: side of a patch in pixels.
        label: of the reward.

    Returns:
        The figure.

    Raises:
        ValueError: no item or more than eight, or patches that are not those of the picture.
    """
    if not 0 < len(trees) <= _MOST_PANELS:
        raise bad("trees", f"from 1 to {_MOST_PANELS} items", len(trees))
    made, axes = figure(len(trees), 2, gridspec_kw={"width_ratios": [1, 2.4]})
    made.set_size_inches(6.6, 2.0 * len(trees) + 0.4)
    for row, tree in enumerate(trees):
        picture, panel = axes[row]
        _picture(picture, tree, patch)
        _candidates(panel, tree)
        panel.set_ylabel(label)
        panel.ticklabel_format(axis="y", useOffset=False)
        panel.set_title(tree.title)
        if row == len(trees) - 1:
            panel.set_xlabel("iteration (slots side by side)")
    legend_below(made, *_legend(np.asarray(trees[0].taken).shape[1]))
    return made


def _order(tree: Tree) -> dict[int, int]:
    """Number in the order of acceptance by patch, from 1; patches taken together share it."""
    taken, candidates = np.asarray(tree.taken, bool), np.asarray(tree.candidates, bool)
    order: dict[int, int] = {}
    for number, (iteration, slot) in enumerate(np.argwhere(taken), 1):
        for place in np.flatnonzero(candidates[iteration, slot]):
            order.setdefault(int(place), number)
    return order


def _picture(panel: Any, tree: Tree, patch: int) -> None:
    """The picture with frames round its injected patches."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    image = np.clip(np.asarray(tree.image, float), 0, 1)
    start = np.asarray(tree.start, bool)
    across = image.shape[1] // patch
    if across * (image.shape[0] // patch) != len(start):
        raise bad("patch", f"a side that makes {len(start)} patches", patch)
    panel.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[:].set_visible(False)
    order = _order(tree)
    for place in range(len(start)):
        number = order.get(place)
        if number is None and not start[place]:
            continue
        left, top = (place % across) * patch - 0.5, (place // across) * patch - 0.5
        frame: dict[str, Any] = {"width": patch, "height": patch, "fill": False, "clip_on": False}
        panel.add_patch(Rectangle((left, top), **frame, edgecolor="white", linewidth=2.6))
        colour = COLOURS[2] if start[place] else COLOURS[1]
        panel.add_patch(Rectangle((left, top), **frame, edgecolor=colour, linewidth=1.4))
        panel.text(
            left + 0.9 * patch, top + 0.9 * patch, "S" if number is None else str(number), ha="right", va="bottom",
            fontsize=8, path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _candidates(panel: Any, tree: Tree) -> None:
    """Every candidate's reward by iteration and slot, what was taken filled and numbered, and the best so far."""
    taken, rewards = np.asarray(tree.taken, bool), np.asarray(tree.rewards, float)
    best = np.asarray(tree.best, float)
    iterations, slots = rewards.shape
    tried = np.any(np.asarray(tree.candidates, bool), axis=2).reshape(iterations, slots)
    best = np.where(np.isfinite(best), best, np.nan)
    panel.step(np.arange(len(best)), best, where="post", color="0.4", linewidth=1.2, zorder=1)
    at = np.arange(1, iterations + 1)[:, None] + 0.7 * ((np.arange(slots) + 0.5) / slots - 0.5)
    for slot in range(slots):
        shown = tried[:, slot] & np.isfinite(rewards[:, slot])
        for chosen, face in ((shown & ~taken[:, slot], "white"), (shown & taken[:, slot], COLOURS[slot % 3 + 3])):
            panel.scatter(
                at[chosen, slot], rewards[chosen, slot], marker=MARKERS[slot % len(MARKERS)], s=22, facecolor=face,
                edgecolor=COLOURS[slot % 3 + 3], linewidth=1, zorder=3,
            )  # fmt: skip
    for number, (iteration, slot) in enumerate(np.argwhere(taken), 1):
        panel.annotate(
            str(number), (at[iteration, slot], rewards[iteration, slot]), xytext=(0, 5), textcoords="offset points",
            ha="center", fontsize=7, zorder=4,
        )  # fmt: skip
    panel.set_xlim(-0.3, iterations + 0.8)
    panel.margins(y=0.15)


def _legend(slots: int) -> tuple[list[Any], list[str]]:
    """Slots by marker, taken and rejected by filling, frames by colour."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], linestyle="none", marker=MARKERS[slot % len(MARKERS)], color=COLOURS[slot % 3 + 3], markersize=5)
        for slot in range(slots)
    ]
    hollow = Line2D([], [], linestyle="none", marker="o", markerfacecolor="white", color="0.3", markersize=5)
    line = Line2D([], [], color="0.4", linewidth=1.2)
    frames = [Line2D([], [], color=COLOURS[i], linewidth=1.6) for i in (2, 1)]
    names = [f"slot {slot + 1}, stays" for slot in range(slots)]
    return (
        [*marks, hollow, line, *frames],
        [*names, "hollow: tried and rejected", "best so far", "injected from the start (S)", "accepted, in this order"],
    )
