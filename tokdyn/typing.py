"""Names for what type checkers cannot know, each with its reason; arrays of any kind are ``numpy.typing.ArrayLike``."""

from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""Any nest of dicts, lists, tuples and parts with arrays as leaves: JAX gives pytrees no type of their own."""

EitherArray: TypeAlias = Any
"""An array of NumPy or of JAX, answered in kind: what their operators and functions return has no common type."""
