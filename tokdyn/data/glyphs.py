"""Words as pictures of themselves, drawn with the DejaVu fonts that come with matplotlib."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokdyn import checks

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold")


def render(words: Sequence[str], *, height: int = 16, width: int | None = None, font: str = "DejaVuSans") -> np.ndarray:
    """Draw every word on one line, from the left edge.

    In a monospaced font (``DejaVuSansMono``) the picture is a row of character cells of width ``advance``, so that the
    picture of a word is exactly composed of the pictures of its characters.

    Args:
        words: the words to draw; an empty word is blank.
        height: height in pixels; the letters are as large as possible, with room for ascenders and descenders.
        width: width in pixels; by default what the longest word needs.
        font: one of ``FONTS``.

    Returns:
        Pictures `[words, height, width]`, float32 in [0, 1] with 1 for ink.

    Raises:
        ValueError: a word that does not fit or is not a single line, an unknown font, or a height below 6.

    Example:
        >>> from tokdyn.data import glyphs
        >>> glyphs.render(["cat", "horse"], font="DejaVuSansMono").shape
        (2, 16, 35)
    """
    words = _checked(words)
    height = checks.whole_number("height", height, at_least=6)
    checks.choice("font", font, FONTS)
    needed = [_needed_width(word, height, font) for word in words]
    if width is None:
        width = max(1, max(needed, default=1))
    width = checks.whole_number("width", width, at_least=1)
    for word, pixels in zip(words, needed, strict=True):
        if pixels > width:
            raise checks.bad("words", f"words that fit into {width} pixels", f"{word!r}, which needs {pixels}")
    pictures = np.zeros((len(words), height, width), np.float32)
    for picture, word in zip(pictures, words, strict=True):
        if "Mono" in font:
            cell = advance(height, font)
            for number, character in enumerate(word):
                picture[:, number * cell : (number + 1) * cell] = _drawn(character, height, cell, font)
        elif word:
            picture[:] = _drawn(word, height, width, font)
    return pictures


def advance(height: int, font: str = "DejaVuSansMono") -> int:
    """Width of a character cell in a monospaced font, in pixels.

    Args:
        height: height of the picture in pixels.
        font: ``"DejaVuSansMono"`` or its bold variant.

    Returns:
        The width in pixels.

    Raises:
        ValueError: a font whose characters differ in width.
    """
    checks.choice("font", font, tuple(name for name in FONTS if "Mono" in name))
    return round(_font(height, font).getlength("m"))


def _checked(words: Sequence[str]) -> tuple[str, ...]:
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise checks.bad("words", "a sequence of strings", "one string" if isinstance(words, str) else "another type")
    for word in words:
        if word and not word.isprintable():
            raise checks.bad("words", "printable words of one line", repr(word))
    return tuple(words)


def _needed_width(word: str, height: int, font: str) -> int:
    if "Mono" in font:
        return len(word) * advance(height, font)
    return int(np.ceil(_font(height, font).getbbox(word)[2])) if word else 0


def _drawn(text: str, height: int, width: int, font: str) -> np.ndarray:
    from PIL import Image, ImageDraw

    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=_font(height, font))
    return np.asarray(image, np.float32) / np.float32(255)


@functools.cache
def _font(height: int, name: str) -> Any:
    """The font in the largest size whose ascenders and descenders fit."""
    import matplotlib
    from PIL import ImageFont

    path = str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"))
    for size in range(height, 0, -1):
        # Use the basic layout engine: the other one is missing from some builds of Pillow, and places letters
        # differently.
        font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        if sum(font.getmetrics()) <= height:
            return font
    raise checks.bad("height", "room for one letter", height)
