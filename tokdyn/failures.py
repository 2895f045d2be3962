"""How the command line says what went wrong: one line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
import zipfile
import zlib
from pathlib import Path

BAD_INPUT, OUR_MISTAKE = 2, 1


def told(error: Exception) -> tuple[int, str]:
    """The exit code and the line for whatever went wrong; TOKDYN_DEBUG=1 in the environment prints its traceback.

    Args:
        error: bad input (``ValueError``), what the system refuses (``OSError``, too little memory), a file that is
            damaged; anything else is a mistake of ours.
    """
    if os.environ.get("TOKDYN_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    text = str(error).strip()
    first = text.splitlines()[0].strip() if text else type(error).__name__
    sentence = _sentence(error, text, first)
    if sentence is not None:
        return BAD_INPUT, f"tokdyn: {' '.join(sentence.split())}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    shown = first if len(first) <= 300 else first[:297] + "..."
    how = "(TOKDYN_DEBUG=1 shows where from)"
    return OUR_MISTAKE, f"tokdyn: a mistake of ours: {type(error).__name__} in {where}: {shown} {how}"


def _sentence(error: Exception, text: str, first: str) -> str | None:
    """What is wrong with what we were given; None where nothing is."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"memory: expected enough for what was asked, got too little ({first})"
    if isinstance(error, RecursionError):
        return f"input: expected data of some levels, got data nested too deeply ({first})"
    if isinstance(error, UnicodeError):
        return f"text: expected UTF-8, got something else ({first})"
    if isinstance(error, OSError):
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        return f"{names[0] if names else 'output'}: {error.strerror or first}"
    if isinstance(error, (zipfile.BadZipFile, zlib.error, EOFError)):
        return f"file: expected a whole archive, got a damaged one ({first})"
    if isinstance(error, ValueError):
        return text or "input: expected something else, got what cannot be used"
    return None


def open_what_is_closed() -> None:
    """Lead a stream that the process was started without (``tokdyn list >&-``) to nowhere.

    Else what is opened next takes its number, and gets to read what was meant for the terminal.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, os.O_RDWR)
            if place != number:
                os.dup2(place, number)
                os.close(place)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
