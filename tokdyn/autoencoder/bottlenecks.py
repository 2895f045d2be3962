"""Bottlenecks without a codebook of vectors: every cell is a choice among its channels, or a number in each.

The published notebook's three stages are here under their own names, its mistake included (``categorical`` gives the
encoder no gradient). Codebooks of vectors are in ``quantizers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tokdyn import checks, draws
from tokdyn.autoencoder.base import Code, Variables
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Schedule, annealing
from tokdyn.numerics import tempered_softmax

_EMPTY: Variables = {"params": {}, "state": {}}


class _WithoutWeights:
    """What the bottlenecks here have in common: nothing is trained, and nothing carried."""

    def init(self, key: jax.Array, channels: int) -> Variables:
        return _EMPTY


@part
class Categorical(_WithoutWeights):
    """See ``categorical``."""

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        scores = inputs + _gumbel(_needed(key), inputs)
        values = jax.lax.stop_gradient(_one_hot(scores))
        return _code(values, scores, jax.nn.softmax(inputs)), variables["state"]


def categorical() -> Categorical:
    """A sample of each cell's distribution, without any gradient: the published notebook's first version.

    Kept as a named fault. The encoder never learns; only what its initial weights happen to say gets through.

    Returns:
        A bottleneck; codes are one-hot.
    """
    return Categorical()


@part
class StraightThrough(_WithoutWeights):
    """See ``straight_through``."""

    temperature: jax.Array

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        soft = tempered_softmax(inputs, self.temperature)
        return _code(_hard(soft), inputs, soft), variables["state"]


def straight_through(*, temperature: float | Schedule = 1.0) -> StraightThrough:
    """Each cell's largest channel, one-hot; the gradient is that of the softmax.

    Args:
        temperature: of the softmax `[]`; may be a schedule.

    Returns:
        A bottleneck; codes are one-hot.

    Raises:
        ValueError: a temperature that is not positive.

    References:
        Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic neurons, 2013.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import bottlenecks
        >>> bottleneck = bottlenecks.straight_through()
        >>> code, _ = bottleneck.apply({"params": {}, "state": {}}, jnp.array([[0.2, 0.9, -1.0]]))
        >>> code.values.tolist(), code.indices.tolist()
        ([[0.0, 1.0, 0.0]], [1])
    """
    return StraightThrough(checks.hyperparameter("temperature", temperature, above=0.0))


@part
class Gumbel(_WithoutWeights):
    """See ``gumbel``."""

    temperature: jax.Array
    hard: bool = static(default=True)
    sampled: bool = static(default=False)

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        draw = train or self.sampled
        scores = inputs + _gumbel(_needed(key), inputs) if draw else inputs
        soft = tempered_softmax(scores, self.temperature)
        return _code(_hard(soft) if self.hard else soft, scores, jax.nn.softmax(inputs)), variables["state"]


def gumbel(*, temperature: float | Schedule = 1.0, hard: bool = True, sampled: bool = False) -> Gumbel:
    r"""A sample of each cell's distribution that passes a gradient: softmax of `(\ell + g) / \tau`, g Gumbel noise.

    Args:
        temperature: `\tau` `[]`; ``td.annealing(...)`` lets it fall during training.
        hard: one-hot forward, soft backward; False passes the soft sample on.
        sampled: draw at evaluation too, as the published notebook did; by default the most probable code is taken.

    Returns:
        A bottleneck.

    Raises:
        ValueError: a temperature that is not positive.

    References:
        E. Jang, S. Gu, B. Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017;
        C. Maddison, A. Mnih, Y. W. Teh, The Concrete distribution, ICLR 2017.
    """
    return Gumbel(checks.hyperparameter("temperature", temperature, above=0.0), bool(hard), bool(sampled))


@part
class Sigmoid(_WithoutWeights):
    """See ``sigmoid``."""

    centred: jax.Array

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        values = jax.nn.sigmoid(inputs)
        centred = jnp.asarray(self.centred, values.dtype)
        return Code(values + centred * (values - 1.0), None, jnp.zeros((), values.dtype)), variables["state"]


def sigmoid(*, centred: float = 0.0) -> Sigmoid:
    r"""A number in each channel, `\sigma(\ell)`: the published notebook's last version.

    Args:
        centred: 0 as published (values in (0, 1), whose mean hides what differs between words); 1 gives
            `2 \sigma(\ell) - 1`, in (-1, 1).

    Returns:
        A bottleneck without indices.

    Raises:
        ValueError: not from 0 to 1.
    """
    return Sigmoid(checks.hyperparameter("centred", centred, at_least=0.0, below=1.0 + 1e-9))


@part
class Identity(_WithoutWeights):
    """See ``identity``."""

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        return Code(inputs, None, jnp.zeros((), inputs.dtype)), variables["state"]


def identity() -> Identity:
    """No bottleneck: the baseline that says what the encoder and the decoder can do.

    Returns:
        A bottleneck that changes nothing.
    """
    return Identity()


# Every bottleneck of this file, for contract tests.
CATALOG: dict[str, Callable[[], Any]] = {
    "categorical": categorical,
    "straight_through": straight_through,
    "gumbel": gumbel,
    "gumbel_soft": lambda: gumbel(hard=False),
    "gumbel_sampled": lambda: gumbel(sampled=True),
    "gumbel_annealed": lambda: gumbel(temperature=annealing(start=5.0, end=0.5, num_steps=100)),
    "sigmoid": sigmoid,
    "sigmoid_centred": lambda: sigmoid(centred=1.0),
    "identity": identity,
}


def _gumbel(key: jax.Array, like: jax.Array) -> jax.Array:
    tiny = jnp.finfo(like.dtype).tiny
    return -jnp.log(-jnp.log(jnp.maximum(draws.uniform(key, like.shape, like.dtype), tiny)))


def _one_hot(scores: jax.Array) -> jax.Array:
    return jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=scores.dtype)


def _hard(soft: jax.Array) -> jax.Array:
    """One-hot of the largest, to the last bit, with the gradient of the soft."""
    return _one_hot(soft) + (soft - jax.lax.stop_gradient(soft))


def _code(values: jax.Array, scores: jax.Array, probabilities: jax.Array) -> Code:
    indices = jnp.argmax(scores, axis=-1).astype(jnp.int32)
    return Code(values, indices, jnp.zeros((), values.dtype), probabilities)


def _needed(key: jax.Array | None) -> jax.Array:
    if key is None:
        raise checks.bad("key", "a JAX key (this bottleneck draws)", "None")
    return key
