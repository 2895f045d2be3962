r"""Rewards on logits: confidence as it was published, as it was released, repaired, and what only an oracle knows.

All take logits `[positions, words]` and return `[]`, the mean over positions. Report ``tail_mass`` beside any of them.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.numerics import masked_mean, times_log

# The released code of LTPO and DMLR adds it to probabilities before the logarithm.
FLOOR = 1e-10


def truncated_confidence(logits: jax.Array, *, k: int, mask: jax.Array | None = None) -> jax.Array:
    r"""One less the entropy of the k likeliest words, *not* renormalised, as DMLR is published.

    .. math:: 1 - \frac1L\sum_i H_k(P_i),\qquad H_k(P) = -\sum_{w \in \text{top-}k} P(w)\log P(w)

    The logarithm is natural. The truncated sum is small for two opposite reasons: all mass is on one word, or hardly
    any mass is among the k. A uniform distribution over the 152,064 words of Qwen2.5-VL has reward 0.9992 at k = 10,
    next to the 1 of a certain one; one that is uniform over ten words has 1 - log 10 = -1.30. An optimiser may
    therefore raise it by flattening: see ``tail_mass``, and ``renormalised_confidence`` for a form that is not raised
    by it.

    Args:
        logits: `[positions, words]`.
        k: how many words (static).
        mask: positions that count `[positions]` bool; by default all.

    Returns:
        `[]`, at most 1.

    Raises:
        ValueError: k larger than the vocabulary, or below 1.

    References:
        DMLR, arXiv 2512.12623.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import truncated_confidence
        >>> round(float(truncated_confidence(jnp.zeros((1, 152_064)), k=10)), 4)
        0.9992
    """
    top = _top(logits, k, at_least=1)
    return 1 + masked_mean(times_log(top).sum(axis=-1), mask)


def renormalised_confidence(logits: jax.Array, *, k: int, mask: jax.Array | None = None) -> jax.Array:
    r"""One less the entropy of the k likeliest words, renormalised to sum to one, in units of its maximum log k.

    .. math:: 1 - \frac{1}{L \log k}\sum_i H\big(P_i / \textstyle\sum_{\text{top-}k} P_i\big)

    Ours: 0 for k equally likely words, however much lies in the tail, and 1 for one certain word.

    Args:
        logits: `[positions, words]`.
        k: how many words, at least 2 (static).
        mask: positions that count `[positions]` bool; by default all.

    Returns:
        `[]`, in 0 to 1.

    Raises:
        ValueError: k larger than the vocabulary, or below 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import renormalised_confidence
        >>> abs(float(renormalised_confidence(jnp.zeros((1, 152_064)), k=10))) < 1e-5
        True
    """
    top = _top(logits, k, at_least=2)
    return 1 + masked_mean(times_log(jax.nn.log_softmax(top)).sum(axis=-1), mask) / math.log(k)


def tail_mass(logits: jax.Array, *, k: int, mask: jax.Array | None = None) -> jax.Array:
    """Probability of all words but the k likeliest: what a truncated sum does not see.

    Args:
        logits: `[positions, words]`.
        k: how many words (static).
        mask: positions that count `[positions]` bool; by default all.

    Returns:
        `[]`, in 0 to 1.

    Raises:
        ValueError: k larger than the vocabulary, or below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import tail_mass
        >>> round(float(tail_mass(jnp.zeros((1, 20)), k=10)), 6)
        0.5
    """
    return masked_mean(jnp.maximum(1 - jnp.exp(_top(logits, k, at_least=1)).sum(axis=-1), 0), mask)


def topk_log_probability(logits: jax.Array, *, k: int, mask: jax.Array | None = None) -> jax.Array:
    r"""Minus the mean log-probability of the k likeliest words, as LTPO's and DMLR's code has it.

    .. math:: -\frac{1}{Lk}\sum_i \sum_{w \in \text{top-}k} \log(P_i(w) + 10^{-10})

    Its least value, log k, belongs to k equally likely words without a tail; it rises as mass goes to the first word
    and the others starve (to about 20.7 at k = 10), and also as mass goes to the tail: a uniform distribution over V
    words has log V, 11.93 for V = 152,064.

    Args:
        logits: `[positions, words]`.
        k: how many words (static).
        mask: positions that count `[positions]` bool; by default all.

    Returns:
        `[]`, at least log k up to the floor.

    Raises:
        ValueError: k larger than the vocabulary, or below 1.

    References:
        LTPO, arXiv 2510.04182, and its code ltpo2025/LTPO; DMLR's code eric-ai-lab/DMLR.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import topk_log_probability
        >>> round(float(topk_log_probability(jnp.zeros((1, 152_064)), k=10)), 2)
        11.93
    """
    return -masked_mean(jnp.log(jnp.exp(_top(logits, k, at_least=1)) + FLOOR).mean(axis=-1), mask)


def answer_log_probability(logits: jax.Array, answer: jax.Array) -> jax.Array:
    """Log-probability of the exact answer: an oracle, whose reward nobody has at test time.

    Args:
        logits: of its words, each given the right ones before it `[positions, words]`.
        answer: `[positions]` int.

    Returns:
        `[]`, the sum over positions, at most 0.

    Raises:
        ValueError: another number of positions.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import answer_log_probability
        >>> round(float(answer_log_probability(jnp.zeros((1, 4)), jnp.array([2]))), 4)
        -1.3863
    """
    _same_length(logits, answer)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), answer[:, None], axis=-1).sum()


def right_answer(logits: jax.Array, answer: jax.Array) -> jax.Array:
    """1 where every likeliest word is the answer's, else 0: a perfect verifier.

    Args:
        logits: `[positions, words]`.
        answer: `[positions]` int.

    Returns:
        `[]`, 0 or 1, of the dtype of the logits.

    Raises:
        ValueError: another number of positions.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import right_answer
        >>> float(right_answer(jnp.array([[0.0, 1.0]]), jnp.array([1])))
        1.0
    """
    _same_length(logits, answer)
    return jnp.all(logits.argmax(-1) == answer).astype(logits.dtype)


def sparse_reward(logits: jax.Array, answer: jax.Array) -> jax.Array:
    """0 for the right answer, -1 for a wrong one: LatentSeek's perfect sparse reward (arXiv 2505.13308).

    Args:
        logits: `[positions, words]`.
        answer: `[positions]` int.

    Returns:
        `[]`, 0 or -1.

    Raises:
        ValueError: another number of positions.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import sparse_reward
        >>> float(sparse_reward(jnp.array([[0.0, 1.0]]), jnp.array([0])))
        -1.0
    """
    return right_answer(logits, answer) - 1


# By name: those of confidence, and those that know the answer.
CONFIDENCES = {
    "truncated_confidence": truncated_confidence,
    "renormalised_confidence": renormalised_confidence,
    "topk_log_probability": topk_log_probability,
}
ORACLES = {
    "answer_log_probability": answer_log_probability,
    "right_answer": right_answer,
    "sparse_reward": sparse_reward,
}


def _top(logits: Any, k: int, *, at_least: int) -> jax.Array:
    """Log-probabilities of the k likeliest words `[positions, k]`."""
    logits = checks.floating("logits", logits, axes="[positions, words]")
    k = checks.whole_number("k", k, at_least=at_least)
    if k > logits.shape[-1]:
        raise checks.bad("k", f"at most the {logits.shape[-1]} words of the vocabulary", k)
    return jax.lax.top_k(jax.nn.log_softmax(logits), k)[0]


def _same_length(logits: jax.Array, answer: jax.Array) -> None:
    if logits.ndim != 2 or jnp.shape(answer) != logits.shape[:1]:
        raise checks.bad("answer", f"one word for each of the positions {logits.shape[:-1]}", jnp.shape(answer))
