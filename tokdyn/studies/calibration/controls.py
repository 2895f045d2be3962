"""Diagnostics that must not do well: those that always or never alarm, toss a coin, or read masks off attention."""

from __future__ import annotations

import zlib

import numpy as np

from tokdyn.reasoning.audit.diagnostics import Diagnostic, answers_look_at_latents
from tokdyn.reasoning.audit.schema import Run

LOOKED = 1e-6  # attention of answers to latents from which on they are seen at all
LITTLE = 0.2  # attention of answers to the image up to which it counts as hidden


def coin(run: Run) -> float:
    """A number that the run's answers and latents decide, as if drawn uniformly."""
    seen = run.arrays["answers"].tobytes() + run.arrays["latents"].tobytes()
    return float(np.random.default_rng(zlib.crc32(seen)).uniform())


def answers_look_at_the_image(run: Run) -> float:
    """Attention of answers to the image, mean over layers, heads and items."""
    looks = run.arrays["attention"][..., run.arrays["answer_queries"], :]
    return float(looks[..., run.arrays["image_keys"]].sum(axis=-1).mean())


CONTROLS: dict[str, Diagnostic] = {
    "control: always": Diagnostic(lambda run: True, "verdict", looks=True),
    "control: never": Diagnostic(lambda run: False, "verdict", looks=True),
    "control: a coin": Diagnostic(coin, looks=True),
    "control: answers may see latents": Diagnostic(
        lambda run: answers_look_at_latents(run) > LOOKED, "verdict", looks=True
    ),
    "control: answers hardly see the image": Diagnostic(
        lambda run: answers_look_at_the_image(run) < LITTLE, "verdict", looks=True
    ),
}
