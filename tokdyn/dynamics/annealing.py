"""Annealing: a number that changes with the step."""

from __future__ import annotations

import math

from tokdyn import checks
from tokdyn.dynamics.base import Schedule


def annealing(*, start: float, end: float, num_steps: int, shape: str = "geometric") -> Schedule:
    r"""A schedule that may stand wherever a part has a number, for example for a temperature.

    .. math:: v(t) = a\,(b/a)^{\min(t/n, 1)} \ \text{(geometric)},\qquad v(t) = a + (b - a)\min(t/n, 1)\ \text{(linear)}

    The driver evaluates it once a step, and does not stop a run before ``num_steps``.

    Args:
        start: `a` `[]`, at step 0.
        end: `b` `[]`, from step ``num_steps`` on.
        num_steps: `n` `[]`.
        shape: ``"geometric"`` (both ends above 0) or ``"linear"`` (static).

    Returns:
        A ``Schedule``; its three numbers are leaves.

    Raises:
        ValueError: an unknown shape, or numbers out of range.

    References:
        K. Rose, E. Gurewitz, G. Fox, Phys. Rev. Lett. 65 (1990) 945 (deterministic annealing).

    Example:
        >>> import tokdyn as td
        >>> schedule = td.annealing(start=100.0, end=1.0, num_steps=2)
        >>> [round(float(schedule.at(step)), 6) for step in range(4)]
        [100.0, 10.0, 1.0, 1.0]
    """
    checks.choice("shape", shape, ("geometric", "linear"))
    above = 0.0 if shape == "geometric" else -math.inf
    return Schedule(
        checks.hyperparameter("start", start, above=above),
        checks.hyperparameter("end", end, above=above),
        checks.hyperparameter("num_steps", num_steps, at_least=0.0),
        shape,
    )
