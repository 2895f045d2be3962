"""The suite that comes with the package: two trainings of every design in every stratum, and what was measured on them.

``tokdyn study calibration --store FOLDER`` trains them (among others), and
``python -m tokdyn.studies.calibration --store FOLDER`` writes the file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.dynamics import files
from tokdyn.reasoning.audit.suite import KEY, Member, Suite, member, suite
from tokdyn.reasoning.designs import DESIGNS
from tokdyn.reasoning.estimands import Estimands

FORMAT, SCHEMA_VERSION = "tokdyn.suite", 1
FILE = Path(__file__).parent.parent / "weights" / "suite.npz"


def shipped_members(path: str | Path = FILE) -> tuple[Member, ...]:
    """All members, read from a file.

    Args:
        path: of ``save_members``; by default the package's own.

    Raises:
        ValueError: no such file, or one of another kind.

    Example:
        >>> from tokdyn.reasoning import audit
        >>> members = audit.shipped_members()
        >>> {one.bears for one in members if one.design == "shallow"}
        {False}
    """
    return _members(str(path))


@functools.lru_cache(maxsize=2)
def _members(path: str) -> tuple[Member, ...]:
    expected = "members written by python -m tokdyn.studies.calibration"
    structure, arrays = files.read(path, FORMAT, SCHEMA_VERSION, expected)
    made = []
    for row in structure["members"]:
        weights = files.decoded(row["variables"], arrays)
        full = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), weights)
        made.append(member(row["design"], tuple(row["stratum"]), row["training"], full, Estimands(**row["estimands"])))
    return tuple(made)


def save_members(members: Iterable[Member], path: str | Path = FILE) -> Path:
    """Write what ``shipped_members`` reads; weights in half precision.

    Args:
        members: with estimands.
        path: where to.

    Returns:
        The path that was written.
    """
    arrays: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for one in members:
        if one.estimands is None:
            raise checks.bad("members", "members with estimands", one.name)
        half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), one.variables)
        rows.append({
            "design": one.design, "stratum": list(one.stratum), "training": one.training,
            "estimands": {name: float(value) for name, value in one.estimands._asdict().items()},
            "variables": files.encoded(half, f"members.{len(rows)}", arrays),
        })  # fmt: skip
    return files.write(path, {"format": FORMAT, "schema_version": SCHEMA_VERSION, "members": rows}, arrays)


def shipped_suite(
    *, designs: Sequence[str] | None = None, repetitions: int = 4, num_items: int = 200, key: int = KEY
) -> Suite:
    """The shipped members as a suite.

    Args:
        designs: of ``designs.DESIGNS``; by default all.
        repetitions: runs of each member.
        num_items: of a run.
        key: of items.

    Raises:
        ValueError: an unknown design, or designs of one truth only.

    Example:
        >>> from tokdyn.reasoning import audit
        >>> len(audit.shipped_suite(designs=["sole", "blank"]).members)
        16
    """
    chosen = tuple(DESIGNS) if designs is None else tuple(designs)
    for name in chosen:
        checks.choice("designs", name, tuple(DESIGNS))
    members = [one for one in shipped_members() if one.design in chosen]
    return suite(members, repetitions=repetitions, num_items=num_items, key=key)
