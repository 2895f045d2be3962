"""The latent recurrence z -> f(z; prompt): how much of a small change of one latent reaches the next one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import stats
from tokdyn.reasoning import latent_jacobians, recurrence
from tokdyn.reasoning.audit import Run
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.recurrent import gains, held

ITEMS = 128  # a Jacobian each


def gains_of(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """``recurrent.gains`` of each latent in a clean run `[items, slots - 1]`.

    Args:
        model: a reasoner.
        variables: its weights.
        items: `[items, ...]`; the first ``ITEMS`` are taken.
    """
    some = jax.tree.map(lambda leaf: leaf[:ITEMS], items)
    if model.places.slots < 2:
        return jnp.zeros((len(some.answer), 0))
    # One item after the other, so that there is one clean run to trace and compile.
    kept = jax.lax.map(lambda item: held(model, variables, item), some)
    return jax.lax.map(lambda one: gains(latent_jacobians(recurrence(model, variables, one))), kept)


def against_effects(measured: np.ndarray, run: Run) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Does a latent that is handed on move the answer more? Gains beside what a donor's latent at that slot does.

    Args:
        measured: of ``gains_of``.
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
