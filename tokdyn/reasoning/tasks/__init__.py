"""Families of questions with exact answers, exact steps, and the patches that each step reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokdyn.reasoning.tasks.addition import Addition, addition
from tokdyn.reasoning.tasks.baselines import baselines
from tokdyn.reasoning.tasks.counting import Counting, counting
from tokdyn.reasoning.tasks.maze import Maze, maze
from tokdyn.reasoning.tasks.pointer_chase import PointerChase, pointer_chase
from tokdyn.reasoning.tasks.reachability import Reachability, reachability
from tokdyn.reasoning.tasks.rotation import Rotation, asymmetric_polyominoes, rotation
from tokdyn.reasoning.tasks.visual_search import VisualSearch, visual_search

# Name -> a factory whose defaults are small; the contract tests iterate it.
CATALOG: dict[str, Callable[..., Any]] = {
    "pointer_chase": pointer_chase,
    "visual_search": visual_search,
    "counting": counting,
    "rotation": rotation,
    "maze": maze,
    "reachability": reachability,
    "addition": addition,
}

__all__ = [
    "CATALOG",
    "Addition",
    "Counting",
    "Maze",
    "PointerChase",
    "Reachability",
    "Rotation",
    "VisualSearch",
    "addition",
    "asymmetric_polyominoes",
    "baselines",
    "counting",
    "maze",
    "pointer_chase",
    "reachability",
    "rotation",
    "visual_search",
]
