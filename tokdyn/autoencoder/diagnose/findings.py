"""From measurements to a named cause: ``decide`` in plain Python on plain numbers, and ``diagnose``, which does all."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.diagnose.causes import CHECKS, EVIDENCE, REMEDIES, Check, Thresholds
from tokdyn.autoencoder.diagnose.measurements import measure, words_of
from tokdyn.autoencoder.diagnose.signature import finite_curve


class Findings(NamedTuple):
    """A diagnosis.

    Attributes:
        cause: one name, a key of ``REMEDIES``.
        evidence: the numbers behind it.
        remedy: in words.
        all: every check.
        notes: what the diagnosis had to assume.
        measurements: everything measured.
    """

    cause: str
    evidence: dict[str, float]
    remedy: str
    all: tuple[Check, ...]
    notes: tuple[str, ...]
    measurements: dict[str, float]

    def __str__(self) -> str:
        marks = {True: "yes", False: "no ", None: " ? "}
        width = max(len(check.name) for check in self.all)
        lines = [f"cause: {self.cause}", f"remedy: {self.remedy}", "evidence:"]
        lines += [f"  {name} = {value:.4g}" for name, value in self.evidence.items()]
        lines += ["checks:"]
        lines += [f"  {marks[check.verdict]}  {check.name:{width}}  {check.reading}" for check in self.all]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything as JSON text; what is not finite becomes null."""
        fields = {**self._asdict(), "all": [check._asdict() for check in self.all]}
        return json.dumps(_plain(fields), indent=2)


def decide(
    measurements: Mapping[str, Any],
    history: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    thresholds: Thresholds | None = None,
    notes: tuple[str, ...] = (),
) -> Findings:
    """Name the cause behind the measurements.

    Faults of the program (a double softmax, a missing gradient, too few patterns) are named wherever they are, since
    they are certain, even where a model survived them. All others are named only where types are lost.

    Args:
        measurements: from ``measure``, of one model.
        history: the losses of the training `[records]`, or a mapping with them as ``"loss"``.
        thresholds: by default ``Thresholds()``.
        notes: handed on.

    Returns:
        ``Findings``.

    Raises:
        ValueError: a history without a finite loss.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import autoencoder as ae
        >>> from tokdyn.autoencoder import diagnose
        >>> model = ae.autoencoder(
        ...     ae.encoders.table(vocabulary_size=9, cells=2, channels=2, embedding=4, width=4),
        ...     ae.bottlenecks.straight_through(),
        ...     ae.decoders.linear(vocabulary_size=9),
        ... )
        >>> key = jax.random.key(0)
        >>> weights, words = model.init(key), diagnose.Words(jnp.full(9, 1 / 9))
        >>> diagnose.decide(diagnose.measure(model, weights, weights, words, key=key)).cause  # 2^2 patterns, 9 words
        'code_space_too_small'
    """
    limits = Thresholds() if thresholds is None else thresholds
    numbers = {name: float(value) for name, value in measurements.items()}
    curve = None
    if history is not None:
        curve = finite_curve(history["loss"] if isinstance(history, Mapping) else history)
    failed = not numbers["accuracy.types"] >= limits.types
    found = [check(numbers, curve, failed, limits) for check in CHECKS]
    cause = next((check.name for check in found if check.verdict), "unexplained" if failed else "healthy")
    evidence = {name: numbers[name] for name in ("accuracy.types", *EVIDENCE.get(cause, ()))}
    for check in found:
        if check.name == cause:
            evidence |= {f"{cause} (measured)": check.value, f"{cause} (threshold)": check.threshold}
    return Findings(cause, evidence, REMEDIES[cause], tuple(found), notes, numbers)


def diagnose(
    model: Any,
    variables: Variables,
    data: object,
    *,
    key: jax.Array,
    loss: Any = None,
    history: ArrayLike | Mapping[str, ArrayLike] | None = None,
    initial: Variables | None = None,
    num_steps: int | None = None,
    thresholds: Thresholds | None = None,
) -> Findings:
    """What, if anything, is wrong with a trained autoencoder of words.

    Args:
        model: from ``autoencoder``.
        variables: after training.
        data: a corpus, or anything with ``frequencies`` or ``counts`` `[words]`, and perhaps ``validation`` `[items]`.
        key: of everything drawn.
        loss: what was trained for; None leaves out what needs it.
        history: losses `[records]`, or a mapping with them as ``"loss"`` (``Fit.history``).
        initial: before training. None initialises anew by ``model.init(key)``: the same law, other numbers, so that
            nothing is said of how far the weights moved.
        num_steps: steps of the training, for schedules.
        thresholds: by default ``Thresholds()``.

    Returns:
        ``Findings``; ``str`` of it is a report.

    Raises:
        ValueError: data of another vocabulary, or without frequencies; a history without a finite loss.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> from tokdyn import autoencoder as ae
        >>> from tokdyn.autoencoder.diagnose import diagnose
        >>> model = ae.autoencoder(
        ...     ae.encoders.table(vocabulary_size=5, cells=4, channels=3, embedding=4, width=4),
        ...     ae.bottlenecks.categorical(),
        ...     ae.decoders.linear(vocabulary_size=5),
        ... )
        >>> key = jax.random.key(0)
        >>> findings = diagnose(model, model.init(key), SimpleNamespace(counts=[1, 1, 1, 1, 1]), key=key)
        >>> findings.cause
        'no_gradient'
    """
    checks.random_key("key", key)
    words = words_of(data)
    notes = []
    start = initial
    if start is None:
        start = _initial(jax.tree_util.all_leaves([model]))(model, keys.for_purpose(key, "init"))
        notes.append("no initial weights were given: the start is a new draw of the same law")
    if loss is None:
        notes.append("no loss was given: a double softmax can only be told from the history")
    if history is None:
        notes.append("no history was given: whether the loss was still falling is unknown")
    static = tuple(name for name, value in (("model", model), ("loss", loss)) if jax.tree_util.all_leaves([value]))
    measured = _jitted(static)(
        model, variables, start, words, key=key, loss=loss, num_steps=0 if num_steps is None else num_steps
    )
    numbers = {name: float(value) for name, value in measured.items()}
    if initial is None:
        numbers["moved"] = math.nan
    return decide(numbers, history, thresholds=thresholds, notes=tuple(notes))


@functools.cache
def _jitted(static: tuple[str, ...]) -> Callable[..., dict[str, jax.Array]]:
    return jax.jit(measure, static_argnames=(*static, "samples"))


@functools.cache
def _initial(is_static: bool) -> Callable[..., Any]:
    """``model.init(key)`` as one program; outside one every layer's weights are several."""
    return jax.jit(lambda model, key: model.init(key), static_argnums=0 if is_static else ())


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
