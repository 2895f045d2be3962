"""Figures of questions about pictures: what is asked, where one has to look, and the picture that would help."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tokdyn import keys
from tokdyn.checks import bad, random_key, whole_number
from tokdyn.plot.style import COLOURS, figure, styled
from tokdyn.reasoning.items import PAD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL = 1.55  # inches
_LETTERS = 26  # in a line over a panel
_LINE = 0.15  # inches


@styled
def task_samples(tasks: Mapping[str, Any], key: jax.Array, *, samples: int = 3) -> Figure:
    """Some items of each task, a row for each: the picture with its question, beside it the helper with the answer.

    Patches that a step reads are outlined, and numbered by the first step that does. A task without pictures shows
    its question as text.

    Args:
        tasks: name -> task, at least one.
        key: of the items.
        samples: items of each task.

    Returns:
        The figure.

    Raises:
        ValueError: no task, no sample, or no key.

    Example:
        >>> import jax
        >>> from tokdyn.plot.tasks import task_samples
        >>> from tokdyn.reasoning.tasks import rotation
        >>> made = task_samples({"rotation": rotation()}, jax.random.key(0), samples=1)
        >>> made.axes[0].get_ylabel(), made.axes[0].get_title()
        ('rotation', 'which')
    """
    if not tasks:
        raise bad("tasks", "at least one task", "none")
    random_key("key", key)
    samples = whole_number("samples", samples, at_least=1)
    drawn = {}
    for name, task in tasks.items():
        batch = jax.random.split(keys.for_purpose(key, name), samples)
        drawn[name] = jax.tree.map(np.asarray, jax.jit(jax.vmap(task.draw))(batch))

    texts = {
        name: [(_asked(task, drawn[name], i), _replied(task, drawn[name], i)) for i in range(samples)]
        for name, task in tasks.items()
    }
    heights = [_height(task, texts[name]) for name, task in tasks.items()]
    made, axes = figure(len(tasks), 2 * samples, gridspec_kw={"height_ratios": heights})
    made.set_size_inches((_PANEL + 0.25) * 2 * samples + 0.3, sum(heights) + 0.1)
    for row, (name, task) in enumerate(tasks.items()):
        for i in range(samples):
            picture, helper = axes[row, 2 * i : 2 * i + 2]
            asked, replied = texts[name][i]
            for panel in (picture, helper):
                panel.set(xticks=[], yticks=[])
                panel.grid(False)
                panel.spines[:].set_visible(False)
            if drawn[name].image[i].size:
                for panel, image in ((picture, drawn[name].image[i]), (helper, drawn[name].helper[i])):
                    panel.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                _outline(picture, task, drawn[name].relevant[i])
                picture.set_title(asked, fontsize=7)
            else:
                _text_only(picture, helper, asked)
            helper.set_title(replied, fontsize=7)
        axes[row, 0].set_ylabel(name.replace("_", " "))
    return made


def _height(task: Any, texts: list[tuple[str, str]]) -> float:
    """Inches of a row: what is written over the panels, and the pictures, or the longest question."""
    lines = [max(text.count("\n") + 1 for text in column) for column in zip(*texts, strict=True)]
    if 0 in task.image_shape:
        return _LINE * (lines[0] + lines[1] + 1)
    across_over_down = task.image_shape[1] / task.image_shape[0]
    return _PANEL / max(1.0, across_over_down) + _LINE * (max(lines) + 1)


def _asked(task: Any, items: Any, number: int) -> str:
    return textwrap.fill(_spelt(task, items.question[number]), _LETTERS)


def _replied(task: Any, items: Any, number: int) -> str:
    steps, answer = _spelt(task, items.steps[number]), _spelt(task, items.answer[number])
    return "\n".join(textwrap.fill(line, _LETTERS) for line in (f"steps: {steps}", f"answer: {answer}"))


def _spelt(task: Any, words: np.ndarray) -> str:
    return " ".join(task.words[word] for word in words.tolist() if word != PAD)


def _outline(panel: Any, task: Any, relevant: np.ndarray) -> None:
    """A frame around every patch that is read, and the number of the first step that reads it."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    across = task.image_shape[1] // task.patch
    for place in np.flatnonzero(relevant.any(axis=0)).tolist():
        row, column = divmod(place, across)
        left, top = column * task.patch - 0.5, row * task.patch - 0.5
        frame = {"width": task.patch, "height": task.patch, "fill": False, "clip_on": False}
        panel.add_patch(Rectangle((left, top), **frame, edgecolor="white", linewidth=2.4))
        panel.add_patch(Rectangle((left, top), **frame, edgecolor=COLOURS[5], linewidth=1.2))
        first = int(np.argmax(relevant[:, place])) + 1
        panel.text(
            left + 0.92 * task.patch, top + 0.92 * task.patch, str(first), ha="right", va="bottom", fontsize=6,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
        )  # fmt: skip


def _text_only(picture: Any, helper: Any, asked: str) -> None:
    """A question that is all there is, over the room of both panels' pictures."""
    picture.set_title("(no picture)", fontsize=7)
    picture.text(0.5, 0.98, asked, ha="center", va="top", fontsize=6, transform=picture.transAxes)
