"""From measurements to a named cause: ``decide`` in plain Python on plain numbers, and ``diagnose``, which does all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.diagnose.causes import CHECKS, EVIDENCE, REMEDIES, Check, Thresholds
from tokdyn.autoencoder.diagnose.evidence import weight_of
from tokdyn.autoencoder.diagnose.measurements import is_numeric, measure, words_of
from tokdyn.autoencoder.diagnose.signature import finite_curve
from tokdyn.dynamics.schedules import resolved
from tokdyn.typing import PyTree


class Findings(NamedTuple):
    """A diagnosis.

    Attributes:
        cause: the first of ``ranked`` that is more than possible, or "unexplained" or "healthy"; a key of ``REMEDIES``.
        evidence: the numbers behind it.
        remedy: in words.
        all: every check.
        notes: what the diagnosis had to assume.
        measurements: everything measured.
        ranked: every cause whose condition holds: those that are proved first, then by their weights of evidence, and
            at the end those that are only possible, because other faults leave the same traces.
        confidence: "certain" where the cause is proved, "likely" where its signature was measured, "none" where
            nothing is named.
    """

    cause: str
    evidence: dict[str, float]
    remedy: str
    all: tuple[Check, ...]
    notes: tuple[str, ...]
    measurements: dict[str, float]
    ranked: tuple[str, ...] = ()
    confidence: str = "none"

    def __str__(self) -> str:
        marks = {True: "yes", False: "no ", None: " ? "}
        width = max(len(check.name) for check in self.all)
        told = {check.name: check for check in self.all}
        lines = [f"cause: {self.cause}" + (f" ({self.confidence})" if self.confidence != "none" else "")]
        for name in self.ranked:
            if name != self.cause:
                lines.append(f"{'perhaps' if told[name].vague else 'also'}: {name} ({_said(told[name])})")
        lines += [f"remedy: {self.remedy}", "evidence:"]
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

    What is proved (a double softmax by an identity, a missing gradient, too few patterns) is named wherever it is, even
    where a model survived it. All else is named only where types are lost, and only by a signature of its own: what
    fits none is "unexplained".

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
    found = [check._replace(weight=weight_of(check)) for check in found]
    # Stable: causes of equal weight stay in the order of the checks.
    holding = sorted((check for check in found if check.verdict), key=lambda check: (check.vague, -check.weight))
    named = next((check for check in holding if not check.vague), None)
    cause = named.name if named else "unexplained" if failed else "healthy"
    confidence = "none" if not named else "certain" if named.certain else "likely"
    evidence = {name: numbers[name] for name in ("accuracy.types", *EVIDENCE.get(cause, ()))}
    for check in found:
        if check.name == cause:
            evidence |= {f"{cause} (measured)": check.value, f"{cause} (threshold)": check.threshold}
    ranked = tuple(check.name for check in holding)
    return Findings(cause, evidence, REMEDIES[cause], tuple(found), notes, numbers, ranked, confidence)


def _said(check: Check) -> str:
    return "certain" if check.certain else f"{'possible' if check.vague else 'likely'}, weight {check.weight:.1f}"


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
    rewards: Mapping[str, Any] | None = None,
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
        rewards: from ``asked_of``, where the loss itself is not at hand.

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
        start = _initialised(opened(model), keys.for_purpose(key, "init"))
        notes.append("no initial weights were given: the start is a new draw of the same law")
    asked = None
    if loss is None and rewards is None:
        notes.append("no loss was given: what it rewards is unknown")
    elif loss is not None:
        asked = opened(loss)
        try:
            ids = jax.ShapeDtypeStruct((len(words.frequencies),), jnp.int32)
            jax.eval_shape(lambda ids, key: loss(resolved(model, 0), variables, ids, key)[0], ids, key)
        except Exception as error:  # whatever a stranger's loss raises on a batch that it was not made for
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0]}"
            notes.append(f"the loss does not take a batch of words [batch], so that nothing was asked of it ({reason})")
            asked = None
    if history is None:
        notes.append("no history was given: whether the loss was still falling is unknown")
    steps = 0 if num_steps is None else num_steps
    measured = _measured(opened(model), variables, start, words, key, asked, steps)
    numbers = {name: float(value) for name, value in measured.items()}
    if rewards is not None and asked is None:
        numbers |= {name: float(value) for name, value in rewards.items()}
    if initial is None:
        numbers |= dict.fromkeys(("moved", "moved.encoder", "moved.decoder"), math.nan)
    return decide(numbers, history, thresholds=thresholds, notes=tuple(notes))


def asked_of(model: Any, loss: Any, variables: Variables, data: object, *, key: jax.Array) -> dict[str, float]:
    """What a loss rewards on a model, as numbers: what a file keeps of a loss that it cannot hold.

    Args:
        model: from ``autoencoder``.
        loss: what was trained for.
        variables: after training.
        data: as for ``diagnose``.
        key: of everything drawn.

    Returns:
        Numbers by name, for ``diagnose(..., rewards=...)``.

    Raises:
        ValueError: data of another vocabulary, or without frequencies.
    """
    measured = _measured(opened(model), variables, variables, words_of(data), key, opened(loss), 0)
    return {name: float(value) for name, value in measured.items() if name.startswith(("rewards.", "loss."))}


class Opened(NamedTuple):
    """A pytree whose numbers are traced and whose other leaves (objects of plain classes, functions) are not.

    Attributes:
        numbers: its numeric leaves.
        rest: structure and other leaves.
    """

    numbers: list[Any]
    rest: _Rest

    def closed(self) -> Any:
        """The pytree again."""
        numbers = iter(self.numbers)
        leaves = [next(numbers) if leaf is _NUMBER else leaf for leaf in self.rest.leaves]
        return jax.tree.unflatten(self.rest.structure, leaves)


def opened(tree: PyTree) -> Opened:
    """Take a pytree apart; two of one structure and the same objects share a compiled program."""
    leaves, structure = jax.tree.flatten(tree)
    rest = tuple(_NUMBER if is_numeric(leaf) else leaf for leaf in leaves)
    return Opened([leaf for leaf in leaves if is_numeric(leaf)], _Rest(structure, rest))


_NUMBER = object()


@jax.tree_util.register_static
class _Rest:
    """Structure and objects, equal where the objects are the same ones: a plain class need not be hashable."""

    def __init__(self, structure: Any, leaves: tuple[Any, ...]) -> None:
        self.structure, self.leaves = structure, leaves

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Rest)
            and self.structure == other.structure
            and all(one is two for one, two in zip(self.leaves, other.leaves, strict=True))
        )

    def __hash__(self) -> int:
        return hash((self.structure, tuple(map(id, self.leaves))))


@jax.jit
def _measured(
    model: Opened, variables: Any, start: Any, words: Any, key: jax.Array, loss: Opened | None, num_steps: Any
) -> dict[str, jax.Array]:
    asked = None if loss is None else loss.closed()
    return measure(model.closed(), variables, start, words, key=key, loss=asked, num_steps=num_steps)


@jax.jit
def _initialised(model: Opened, key: jax.Array) -> Any:
    """``model.init(key)`` as one program; outside one every layer's weights are several."""
    return model.closed().init(key)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
