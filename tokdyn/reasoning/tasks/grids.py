"""What tasks have in common whose picture is a square of square places: names of the places, tiles to and from it."""

from __future__ import annotations

import jax
import numpy as np

from tokdyn.reasoning.items import SPECIALS

FIRST = len(SPECIALS)  # the first word of a task's own
COLOURS = ("red", "green", "blue", "yellow")
RGB = np.array([[0.9, 0.2, 0.2], [0.2, 0.8, 0.2], [0.3, 0.4, 1.0], [0.9, 0.8, 0.1]])


class Grid:
    """A task of ``side ** 2`` places of ``patch ** 2`` pixels; questions and answers of one word, unless it says more.

    Attributes:
        side: places in a row and in a column.
        patch: side of a place in pixels.
    """

    side: int
    patch: int

    @property
    def places(self) -> tuple[str, ...]:
        """Words for the places, "row.column" from 1, rows first."""
        numbers = range(1, self.side + 1)
        return tuple(f"{row}.{column}" for row in numbers for column in numbers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.side * self.patch, self.side * self.patch, 3)

    @property
    def question_length(self) -> int:
        return 1

    @property
    def answer_length(self) -> int:
        return 1

    def assembled(self, tiles: jax.Array) -> jax.Array:
        """The picture of `[places, patch, patch, 3]`."""
        grid = tiles.reshape(self.side, self.side, self.patch, self.patch, 3)
        return grid.transpose(0, 2, 1, 3, 4).reshape(self.image_shape)

    def cut(self, image: jax.Array) -> jax.Array:
        """A picture's places `[places, patch, patch, 3]`."""
        grid = image.reshape(self.side, self.patch, self.side, self.patch, 3)
        return grid.transpose(0, 2, 1, 3, 4).reshape(-1, self.patch, self.patch, 3)
