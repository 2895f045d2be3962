"""Two languages with the same meanings, planted; and how many words find their translation."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tokdyn import checks, draws, keys


class Bilingual(NamedTuple):
    """Word vectors of two languages; word i of one means what word i of the other means.

    Attributes:
        first: `[N, D]`.
        second: `[N, D]`.
        rotations: from meanings to vectors `[2, D, D]`, orthogonal.
    """

    first: jax.Array
    second: jax.Array
    rotations: jax.Array


def planted_translations(key: jax.Array, *, num_meanings: int, dimensions: int, noise: ArrayLike = 0.3) -> Bilingual:
    r"""Vectors `z_i R_l + \sigma \xi_{li}` of language l: shared meanings, seen through a rotation of each language.

    Meanings and noise are standard normal; a rotation is a product of D reflections at random hyperplanes.

    Args:
        key: a JAX key.
        num_meanings: N (static).
        dimensions: D (static).
        noise: `\sigma` `[]`; at 0 the languages are rotations of each other.

    Returns:
        A ``Bilingual``.

    Raises:
        ValueError: no meaning or dimension, or a negative noise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> found = geometry.planted_translations(jax.random.key(0), num_meanings=20, dimensions=4, noise=0.0)
        >>> map = found.rotations[0].T @ found.rotations[1]
        >>> bool(jnp.allclose(found.first @ map, found.second, atol=1e-4))
        True
    """
    number = checks.whole_number("num_meanings", num_meanings, at_least=1)
    width = checks.whole_number("dimensions", dimensions, at_least=1)
    checks.random_key("key", key)
    spread = checks.hyperparameter("noise", noise, at_least=0.0)
    meanings = draws.normal(keys.for_purpose(key, "meanings"), (number, width))
    rotations = jax.vmap(_rotation)(draws.normal(keys.for_purpose(key, "rotations"), (2, width, width)))
    disturbed = draws.normal(keys.for_purpose(key, "noise"), (2, number, width))
    first, second = jnp.einsum("nd,lde->lne", meanings, rotations) + spread * disturbed
    return Bilingual(first, second, rotations)


def _rotation(normals: jax.Array) -> jax.Array:
    """The product of the reflections with these normal vectors `[D, D]`; no LAPACK, so that sweeps can run it."""

    def reflected(product: jax.Array, normal: jax.Array) -> tuple[jax.Array, None]:
        unit = normal / jnp.linalg.norm(normal)
        return product - 2.0 * jnp.outer(product @ unit, unit), None

    return jax.lax.scan(reflected, jnp.eye(normals.shape[-1], dtype=normals.dtype), normals)[0]


def translated(first: jax.Array, second: jax.Array) -> jax.Array:
    """Share of the words whose nearest word in the other language is their translation, by cosine.

    Args:
        first: words in a common space `[N, D]`.
        second: word i is the translation of word i `[M, D]`, M at least N.

    Returns:
        For each word of the first 1 if it is found, 1 / k if it is one of k that are equally near, 0 else `[N]`.

    Raises:
        ValueError: matrices of unlike width, or fewer words in the second.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn import geometry
        >>> geometry.translated(jnp.eye(2), jnp.array([[1.0, 0.1], [1.0, 0.1]])).tolist()
        [0.5, 0.5]
    """
    first, second = (
        checks.floating(name, of, axes="[words, D]") for name, of in (("first", first), ("second", second))
    )
    if first.shape[1] != second.shape[1] or len(first) > len(second):
        expected = f"at least {len(first)} words of length {first.shape[1]}"
        raise checks.bad("second", expected, checks.describe_array(second))
    ours, theirs = (of / jnp.maximum(jnp.linalg.norm(of, axis=1, keepdims=True), 1e-12) for of in (first, second))
    likeness = ours @ theirs.T
    best = likeness >= likeness.max(axis=1, keepdims=True) - 1e-6
    own = jnp.diagonal(best)
    return jnp.where(own, 1.0 / jnp.sum(best, axis=1), 0.0)
