r"""What a loss rewards, asked of the loss itself: its gradient by logits that are put in the model's place.

The answers need neither the formula nor the history. Near even logits the steepest entry of each row is the word that
the loss rewards there. Over logits of several scales, margins for the right and for wrong words, and the trained
logits as they are and moved on by a row, the gradient is compared with that of known losses. A row may weigh anything
(words may count differently), but one row has one weight over all logits; what a loss leaves of its squared gradient is
0 only where it *is* that loss, up to such weights and to constants.

| name | gradient by the logits z of a word y, with p = softmax(z), J its Jacobian |
|---|---|
| cross_entropy | `p - e_y` |
| double_softmax | `J (softmax(p) - e_y)` |
| squared_error | `J (p - e_y)` |
| linear | `-J e_y`, of `1 - p_y` |
| tempered | `softmax(z / T) - e_y` over a grid of T |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, keys
from tokdyn.autoencoder.base import Variables

# Rows that are asked about: the commonest words. More would tell no more, and cost words^2.
ROWS = 64
# Of the tempered cross-entropies. Neighbours differ by a quarter; inside HEALTHY nothing is said.
TEMPERATURES = np.geomspace(1e-3, 1e3, 61)
# Logits that count as a sure answer in any vocabulary.
SURE = 30.0
NAMES = ("cross_entropy", "double_softmax", "squared_error", "linear", "tempered")


class Answering:
    """A model whose logits are replaced by a function of its own: what does a loss make of them?"""

    def __init__(self, model: Any, replace: Callable[[jax.Array], jax.Array]) -> None:
        self._model, self._replace = model, replace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def apply(self, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        """As the model, with other logits."""
        output, state = self._model.apply(*arguments, **named)
        return output._replace(logits=self._replace(output.logits).astype(output.logits.dtype)), state


NUMBERS = (
    *(f"rewards.{name}" for name in ("reads", "right", "inverted", "shift", "shift_share", "rewarded", "steady")),
    "rewards.fixed",
    *(f"rewards.rest.{name}" for name in NAMES), "rewards.temperature", "loss.undecided", "loss.right", "loss.wrong",
    "loss.rewarded",
)  # fmt: skip


def probe(
    model: Any, loss: Any, variables: Variables, trained: jax.Array, shares: jax.Array, key: jax.Array
) -> dict[str, jax.Array]:
    """What a loss rewards.

    Args:
        model: the autoencoder, without schedules.
        loss: ``(model, variables, batch, key) -> (loss, (state, metrics))``; a batch is words `[rows]`.
        variables: the model's.
        trained: the model's logits for every word `[words, words]`.
        shares: of the words in training `[words]`.
        key: of the loss's own draws and of the logits.

    Returns:
        Numbers `[]` by name, each after ``rewards.``: ``reads`` (1 where any logit matters), ``right`` (share of rows
        whose own word is rewarded most), ``inverted`` (whose own word is punished most), ``shift`` and ``shift_share``
        (the commonest difference of rewarded and own word, modulo words, and how common), ``rewarded`` (different words
        that are rewarded, for each row), ``steady`` (share of rows in which another key rewards the same word),
        ``fixed`` (in which the same word is rewarded at other logits: a target that exists before the answer),
        ``rest.NAME`` for each of ``NAMES``, and ``temperature``. Further ``loss.undecided``, ``loss.right``,
        ``loss.wrong`` and ``loss.rewarded``: what no answer, a sure right one, a sure wrong one and the rewarded words
        cost.
    """
    words = len(shares)
    shares = jnp.asarray(shares)
    order = jnp.argsort(-shares, stable=True)[: min(words, ROWS)]
    # Only as many rows as there are words that occur; the others repeat the commonest.
    ids = jnp.where(shares[order] > 0, order, order[0]).astype(jnp.int32)
    own = jax.nn.one_hot(ids, words)

    def charged(logits: jax.Array, key: jax.Array) -> jax.Array:
        return loss(Answering(model, lambda made: logits), variables, ids, key)[0]

    unit = draws.normal(keys.for_purpose(key, "logits"), (5, len(ids), words), own.dtype)
    seen = trained[ids].astype(own.dtype)
    # Trained logits may be so sure that no gradient is left to compare: at a spread of two they keep their order.
    spread = seen - seen.mean(axis=1, keepdims=True)
    seen = 2.0 * spread / jnp.maximum(jnp.sqrt(jnp.mean(spread**2)), 1e-9)
    points = jnp.stack([
        0.05 * unit[0], 0.05 * unit[0], 0.7 * unit[1], 2.0 * unit[2], 0.3 * unit[3] + 4.0 * own,
        0.3 * unit[4] + 4.0 * jnp.roll(own, 1, axis=1), seen, jnp.roll(seen, 1, axis=0),
    ])  # fmt: skip
    own_keys = jax.random.split(keys.for_purpose(key, "loss"), len(points))
    slopes = jax.lax.map(lambda pair: jax.grad(charged)(*pair), (points, own_keys))
    rewarded, again = jnp.argmin(slopes[0], axis=1), jnp.argmin(slopes[1], axis=1)
    elsewhere = 0.05 * draws.normal(keys.for_purpose(key, "elsewhere"), own.shape, own.dtype)
    there = jnp.argmin(jax.grad(charged)(elsewhere, own_keys[0]), axis=1)
    punished = jnp.argmax(slopes[0], axis=1)
    moves = jnp.zeros(words).at[(rewarded - ids) % words].add(1.0) / len(ids)
    # Only rows that the loss counts can reward anything: a mask on some words is no wrong target.
    counted = [jnp.max(jnp.abs(slope), axis=1) > 1e-3 * jnp.max(jnp.abs(slope)) for slope in slopes[:2]]
    rows = [jnp.maximum(jnp.sum(rows), 1) for rows in counted]
    told = {
        "rewards.reads": jnp.any(slopes != 0),
        "rewards.right": 0.5
        * (jnp.sum((rewarded == ids) & counted[0]) / rows[0] + jnp.sum((again == ids) & counted[1]) / rows[1]),
        "rewards.inverted": jnp.sum((punished == ids) & counted[0]) / rows[0],
        "rewards.shift": jnp.argmax(moves),
        "rewards.shift_share": jnp.max(moves),
        "rewards.rewarded": jnp.sum(jnp.zeros(words).at[rewarded].set(1.0))
        / jnp.sum(jnp.zeros(words).at[ids].set(1.0)),
        "rewards.steady": jnp.mean(rewarded == again),
        "rewards.fixed": jnp.sum((rewarded == there) & counted[0]) / rows[0],
    }
    paid = jax.nn.one_hot(rewarded, words, dtype=own.dtype)
    asked = jnp.stack([jnp.zeros_like(own), SURE * own, SURE * jnp.roll(own, 1, axis=1), SURE * paid])
    costs = jax.lax.map(lambda logits: charged(logits, own_keys[0]), asked)
    told |= dict(zip(("loss.undecided", "loss.right", "loss.wrong", "loss.rewarded"), costs, strict=True))
    return told | _compared(points, slopes, own)


def _compared(points: jax.Array, slopes: jax.Array, own: jax.Array) -> dict[str, jax.Array]:
    """What each known loss leaves of the gradient, and the temperature that leaves least."""
    p = jax.nn.softmax(points)

    def through(slope: jax.Array) -> jax.Array:
        return p * (slope - jnp.sum(p * slope, axis=-1, keepdims=True))

    known = {
        "cross_entropy": p - own,
        "double_softmax": through(jax.nn.softmax(p) - own),
        "squared_error": through(p - own),
        "linear": through(jnp.broadcast_to(-own, p.shape)),
    }
    left = {f"rewards.rest.{name}": _left(slopes, slope) for name, slope in known.items()}
    temperatures = jnp.asarray(TEMPERATURES, points.dtype)
    tempered = jax.lax.map(lambda one: _left(slopes, jax.nn.softmax(points / one) - own), temperatures)
    best = jnp.argmin(tempered)
    return {**left, "rewards.rest.tempered": tempered[best], "rewards.temperature": temperatures[best]}


def _left(slopes: jax.Array, known: jax.Array) -> jax.Array:
    """The share of the squared gradients `[points, rows, words]` that no weight of each row takes away `[]`."""
    # A loss of one scale everywhere is compared at one scale: tiny or huge gradients must not underflow.
    size = jnp.maximum(jnp.max(jnp.abs(slopes)), jnp.finfo(slopes.dtype).tiny)
    slopes = slopes / size
    weights = jnp.sum(slopes * known, axis=(0, 2)) / jnp.maximum(jnp.sum(known**2, axis=(0, 2)), 1e-30)
    # A word is only given weights above 0: minus a loss is not that loss.
    rest = slopes - jnp.maximum(weights, 0.0)[None, :, None] * known
    return jnp.sum(rest**2) / jnp.maximum(jnp.sum(slopes**2), 1e-30)
