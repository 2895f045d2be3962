"""The latent recurrence z -> f(z; prompt): how much of a small change of one latent reaches the next one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import stats
from tokdyn.reasoning import diagnose, latent_map
from tokdyn.reasoning.audit import Run
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables

ITEMS = 128  # a Jacobian each


def gains(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """Root mean square change of the next latent for a small random change of each latent `[items, slots - 1]`.

    The square root of the mean squared singular value of the Jacobian: below 1 small differences die out, 0 where the
    next latent does not depend on this one (a constant; a word, which is chosen and has no derivative).

    Args:
        model: a reasoner.
        variables: its weights.
        items: `[items, ...]`; the first ``ITEMS`` are taken.
    """
    slots, some = model.places.slots, jax.tree.map(lambda leaf: leaf[:ITEMS], items)
    if slots < 2:
        return jnp.zeros((len(some.answer), 0))

    def of_item(item: Item) -> jax.Array:
        def gain(slot: jax.Array) -> jax.Array:
            recurrence = latent_map(model, variables, item, slot=slot)
            slopes = diagnose.jacobian(recurrence.step, recurrence.start)
            return jnp.sqrt(jnp.sum(slopes**2) / model.width)

        return jax.lax.map(gain, jnp.arange(slots - 1))

    return jax.lax.map(of_item, some)


def against_effects(measured: np.ndarray, run: Run) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Does a latent that is handed on move the answer more? Gains beside what a donor's latent at that slot does.

    Args:
        measured: of ``gains``.
        run: with its arms.

    Returns:
        Variables by slot: mean gain, mean divergence of the answer under a donor's latent there (nats; later latents
        recomputed), and Spearman's correlation of the two over items, NaN where one of them does not vary.
    """
    count, slots = len(measured), measured.shape[1] + 1
    columns = np.full((5, slots), np.nan)
    clean = log_softmax(run.arrays["logits"][:count])
    for slot in range(slots):
        given = log_softmax(run.of(f"donor, slot {slot + 1}", "logits")[:count])
        effect = np.sum(np.exp(clean) * (clean - given), axis=-1)
        columns[1, slot] = effect.mean()
        if slot < slots - 1:
            gain = measured[:, slot]
            columns[0, slot] = gain.mean()
            if np.ptp(gain) > 0 and np.ptp(effect) > 0:
                one = stats.partial_rank_correlation(gain, effect)
                columns[2:, slot] = one.estimate, one.low, one.high
    names = ("latent_gain", "donor_divergence", "gain_correlation", "gain_correlation_low", "gain_correlation_high")
    return {name: (("slot",), column) for name, column in zip(names, columns, strict=True)}
