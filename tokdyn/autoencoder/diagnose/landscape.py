"""Slices of a loss landscape along random directions that are scaled filter by filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks, draws, keys, tree
from tokdyn.checks import bad
from tokdyn.typing import PyTree

Loss = Callable[[Any], jax.Array]


class Slice(NamedTuple):
    """Losses on a line or a plane through the weights.

    Attributes:
        steps: how far along each direction `[points]`, from -radius to radius.
        losses: `[points]`, or `[points, points]` with the first direction on the first axis.
    """

    steps: jax.Array
    losses: jax.Array


def filter_normalised(key: jax.Array, params: PyTree) -> Any:
    r"""A random direction in which every filter is as long as the weights that it moves.

    `d_f \leftarrow d_f |w_f| / |d_f|`, so that slices of differently scaled networks compare. A filter is what leads
    to one output (a column of a dense kernel, the last axis of a convolution), or one word's vector of an embedding;
    biases and scales (one axis) do not move.

    Args:
        key: of the direction.
        params: a pytree of weights.

    Returns:
        A direction, a pytree of that structure.

    References:
        H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the loss landscape of neural nets, NeurIPS 2018.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import filter_normalised
        >>> direction = filter_normalised(jax.random.key(0), {"kernel": jnp.array([[3.0, 0.0], [4.0, 0.0]])})
        >>> jnp.linalg.norm(direction["kernel"], axis=0).round(4).tolist()
        [5.0, 0.0]
    """
    checks.random_key("key", key)

    def scaled(path: tuple[Any, ...], weights: jax.Array) -> jax.Array:
        if weights.ndim < 2:
            return jnp.zeros_like(weights)
        name = tree.path_of(path)
        direction = draws.normal(keys.for_purpose(key, name), weights.shape, weights.dtype)
        by_word = name.rpartition(".")[2] == "embedding"
        axes = tuple(range(1, weights.ndim)) if by_word else tuple(range(weights.ndim - 1))
        length = jnp.sqrt(jnp.sum(direction**2, axis=axes, keepdims=True))
        wanted = jnp.sqrt(jnp.sum(weights**2, axis=axes, keepdims=True))
        return direction * wanted / length

    return jax.tree_util.tree_map_with_path(scaled, params)


def slice_1d(loss_fn: Loss, params: PyTree, direction: PyTree, *, radius: float = 1.0, points: int = 21) -> Slice:
    """The loss along a line.

    `L(w + a d)` for a from -radius to radius.

    Args:
        loss_fn: ``params -> loss []``; must not draw anew at each call.
        params: the middle.
        direction: a pytree of that structure, for example from ``filter_normalised``.
        radius: `[]`.
        points: odd puts one in the middle; static, at least 2.

    Returns:
        ``Slice`` with losses `[points]`.

    Raises:
        ValueError: a direction of another structure, a radius that is not positive, or fewer than 2 points.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import slice_1d
        >>> slice_1d(lambda w: jnp.sum(w**2), jnp.zeros(2), jnp.array([1.0, 1.0]), points=3).losses.tolist()
        [2.0, 0.0, 2.0]
    """
    _check("direction", direction, params)
    steps = _steps(radius, points)
    return Slice(steps, jax.vmap(lambda step: loss_fn(_moved(params, direction, step)))(steps))


def slice_2d(
    loss_fn: Loss, params: PyTree, directions: tuple[Any, Any], *, radius: float = 1.0, points: int = 21
) -> Slice:
    """The loss on a plane.

    `L(w + a d + b e)` for a and b from -radius to radius.

    Args:
        loss_fn: ``params -> loss []``; must not draw anew at each call.
        params: the middle.
        directions: d and e, pytrees of that structure.
        radius: `[]`.
        points: on each axis; static, at least 2.

    Returns:
        ``Slice`` with losses `[points, points]`.

    Raises:
        ValueError: directions of another structure, a radius that is not positive, or fewer than 2 points.
    """
    if not isinstance(directions, (tuple, list)) or len(directions) != 2:
        raise bad("directions", "a pair of pytrees", f"a {type(directions).__name__}")
    first, second = directions
    _check("directions", first, params)
    _check("directions", second, params)
    steps = _steps(radius, points)

    def at(left: jax.Array, right: jax.Array) -> jax.Array:
        return loss_fn(_moved(_moved(params, first, left), second, right))

    # One row at a time: points^2 copies of the weights at once would not fit for a large model.
    return Slice(steps, jax.lax.map(lambda left: jax.vmap(lambda right: at(left, right))(steps), steps))


def _moved(params: Any, direction: Any, step: jax.Array) -> Any:
    return jax.tree.map(lambda weight, part: weight + jnp.asarray(step, weight.dtype) * part, params, direction)


def _steps(radius: float, points: int) -> jax.Array:
    points = checks.whole_number("points", points, at_least=2)
    return jnp.asarray(checks.hyperparameter("radius", radius, above=0.0)) * jnp.linspace(-1.0, 1.0, points)


def _check(name: str, direction: Any, params: Any) -> None:
    shapes, wanted = (
        {path: jnp.shape(leaf) for path, leaf in tree.values(value).items()} for value in (direction, params)
    )
    if shapes != wanted:
        raise bad(name, f"leaves of the shapes of params, {wanted}", shapes)
