"""Image to latents to answer: total, direct and indirect effects from exchange runs, and the two arrows apart."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array, floating
from tokdyn.metrics._arrays import integers
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.reasoning.diagnose.effects import MeanEffect, mean_effects
from tokdyn.stats import FiellerSet, fieller_interval
from tokdyn.stats.inputs import numbers


class Mediation(NamedTuple):
    """Effects of exchanging the image, split by path; each a `MeanEffect` in the units of the margins.

    Attributes:
        total: TE, both exchanged.
        direct: NDE, the image exchanged and the latents held.
        indirect: NIE, the latents exchanged and the image held.
        interaction: TE - NDE - NIE: what neither path does alone.
        mediated_share: Fieller's set of NIE / TE over items (seeds averaged); no percentage where it is unbounded.
    """

    total: MeanEffect
    direct: MeanEffect
    indirect: MeanEffect
    interaction: MeanEffect
    mediated_share: FiellerSet


class LatentChange(NamedTuple):
    """The arrow image to latents: how far latents move when the image is exchanged.

    Attributes:
        cosine: between the latents before and after `[items, slots]`; 0 where undefined.
        relative_distance: |z' - z| / |z| `[items, slots]`; 0 where undefined.
        undefined: a latent of length zero on either side `[items, slots]` bool.
    """

    cosine: jax.Array
    relative_distance: jax.Array
    undefined: jax.Array


class AnswerChange(NamedTuple):
    """The arrow latents to answer: how far the answer moves when latents are exchanged.

    Attributes:
        flipped: whether the likeliest choice changed `[items]` bool; between exactly tied choices the first counts.
        shift: change of the log-probability of the given answer, nats `[items]`.
        divergence: KL of the distribution before from that after, nats `[items]`; at least 0.
    """

    flipped: jax.Array
    shift: jax.Array
    divergence: jax.Array


def mediation(
    key: jax.Array,
    factual: ArrayLike,
    image_exchanged: ArrayLike,
    latents_exchanged: ArrayLike,
    both_exchanged: ArrayLike,
    *,
    resample: str = "crossed",
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Mediation:
    r"""Natural effects of the image on a margin, through the latents and around them.

    With `Y(x, m)` the margin on image x with latents m, x' the other image and M(x) the latents it makes:

    .. math:: \mathrm{TE} = Y(x', M(x')) - Y(x, M(x)), \quad \mathrm{NDE} = Y(x', M(x)) - Y(x, M(x)), \quad
              \mathrm{NIE} = Y(x, M(x')) - Y(x, M(x))

    and the interaction is TE - NDE - NIE, which is 0 for an additive margin. In a deterministic decoder the latents are
    a function of the image, so these are interventional quantities, defined by the exchange runs. Use margins (log-odds
    of two answers), not accuracies: probabilities near 0 or 1 make interaction of their own.

    Args:
        key: a key; all four effects share their resamples, so the intervals add up as the estimates do.
        factual: `Y(x, M(x))` `[items]` or `[seeds, items]`.
        image_exchanged: `Y(x', M(x))`, the same shape.
        latents_exchanged: `Y(x, M(x'))`.
        both_exchanged: `Y(x', M(x'))`.
        resample: for seeds, as in `mean_effect`.
        num_resamples: how many.
        confidence: between 0 and 1.

    Returns:
        `Mediation`.

    Raises:
        ValueError: NaN, two shapes, fewer than two items.

    References:
        Pearl (2001), Direct and indirect effects. UAI. VanderWeele (2013), A three-way decomposition of a total effect
        into direct, indirect, and interactive effects. Epidemiology 24, 224-232.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import mediation
        >>> noise = np.linspace(-1, 1, 21)
        >>> found = mediation(jax.random.key(0), noise, noise + 1, noise + 2, noise + 3.5, num_resamples=50)
        >>> found.total.estimate, found.direct.estimate, found.indirect.estimate, round(found.interaction.estimate, 9)
        (3.5, 1.0, 2.0, 0.5)
    """
    given = {
        "factual": factual,
        "image_exchanged": image_exchanged,
        "latents_exchanged": latents_exchanged,
        "both_exchanged": both_exchanged,
    }
    arrays = {name: numbers(name, value) for name, value in given.items()}
    shape = arrays["factual"].shape
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or array.shape != shape:
            raise bad(name, f"[items] or [seeds, items] as factual, {shape}", f"shape {array.shape}")
    start, image, latents, both = arrays.values()
    total, direct, indirect = both - start, image - start, latents - start
    stacked = np.stack([total, direct, indirect, total - direct - indirect])
    effects = mean_effects(key, stacked, resample=resample, num_resamples=num_resamples, confidence=confidence)
    over_items = stacked.reshape(4, -1, shape[-1]).mean(axis=1)
    share = fieller_interval(over_items[2], over_items[0], confidence=confidence)
    return Mediation(effects[0], effects[1], effects[2], effects[3], share)


def latent_change(latents: ArrayLike, exchanged: ArrayLike) -> LatentChange:
    r"""How far each latent moves under another image: cosine and relative distance, by item and slot.

    Both for each slot by itself: `\cos(z, z')` and `|z' - z| / |z|`. Raw cosines are near 1 in an anisotropic space
    whatever happens; the distance is not, and `between_items` says how alike unrelated latents are. Works under jit.

    Args:
        latents: `[items, slots, features]`.
        exchanged: those under the other image, the same shape.

    Returns:
        `LatentChange`.

    Raises:
        ValueError: another rank or dtype, or two shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import latent_change
        >>> change = latent_change(jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]]))
        >>> float(change.cosine[0, 0]), round(float(change.relative_distance[0, 0]), 4)
        (0.0, 1.4142)
    """
    xp = namespace(latents, exchanged)
    before = floating("latents", latents, axes="[items, slots, features]", xp=xp)
    after = floating("exchanged", exchanged, axes="[items, slots, features]", xp=xp)
    if before.shape != after.shape:
        raise bad("exchanged", f"the shape of latents, {before.shape}", describe_array(after))
    left, right = xp.linalg.norm(before, axis=-1), xp.linalg.norm(after, axis=-1)
    undefined = (left == 0) | (right == 0)
    inner = xp.sum(before / _safe(left)[..., None] * (after / _safe(right)[..., None]), axis=-1)
    distance = xp.linalg.norm(after - before, axis=-1) / _safe(left)
    return LatentChange(
        xp.where(undefined, 0.0, xp.clip(inner, -1.0, 1.0)), xp.where(left == 0, 0.0, distance), undefined
    )


def answer_change(logits: ArrayLike, exchanged: ArrayLike, answers: ArrayLike) -> AnswerChange:
    r"""How far the answer moves under other latents: flips, log-probability shift, and divergence, by item.

    `\log p'(a) - \log p(a)` for the given answer a, and `\mathrm{KL}(p \| p') = \sum_c p_c (\log p_c - \log p'_c)`.
    Works under jit.

    Args:
        logits: with the own latents `[items, choices]`.
        exchanged: with the other latents, the same shape.
        answers: the choice whose log-probability is followed, for example the right one: integers `[items]`, 0 to
            choices - 1.

    Returns:
        `AnswerChange`.

    Raises:
        ValueError: another rank or dtype, or shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import answer_change
        >>> change = answer_change(jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 2.0]]), jnp.array([0]))
        >>> bool(change.flipped[0]), round(float(change.shift[0]), 4)
        (True, -2.0)
    """
    xp = namespace(logits, exchanged, answers)
    before = floating("logits", logits, axes="[items, choices]", xp=xp)
    after = floating("exchanged", exchanged, axes="[items, choices]", xp=xp)
    if before.shape != after.shape:
        raise bad("exchanged", f"the shape of logits, {before.shape}", describe_array(after))
    chosen = integers("answers", answers, length=len(before), xp=xp)
    left, right = log_softmax(before), log_softmax(after)
    picked = chosen[:, None]
    shift = (xp.take_along_axis(right, picked, axis=-1) - xp.take_along_axis(left, picked, axis=-1))[:, 0]
    possible = left > -xp.inf
    apart = xp.where(possible, left, 0.0) - xp.where(possible, right, 0.0)
    divergence = xp.sum(xp.exp(left) * apart, axis=-1)
    return AnswerChange(before.argmax(-1) != after.argmax(-1), shift, xp.maximum(divergence, 0.0))


def _safe(length: jax.Array) -> jax.Array:
    return namespace(length).where(length == 0, 1.0, length)
