r"""Composition of codes or patterns by fixed operators, each with the law by which a part is removed again.

Parts lie along the first axis `[P, ...]`; the last one (codes `[..., D]`) or three axes (patterns `[..., H, W, C]`) are
one part. Composed with ``compose``, a part leaves by ``remove``:

| operator | composed | part removed | order of the parts |
|---|---|---|---|
| "mean" | `\bar p` | `(P \bar p - p_k) / (P - 1)` | does not matter |
| "sum" | `\sum_k p_k` | `c - p_k` | does not matter |
| "binding" | `p_1 \circledast \dots \circledast p_P` | `c \circledast p_k^{-1}` | does not matter |
| "roles" | `\sum_k r_k \circledast p_k` | `c - r_k \circledast p_k` | matters |

`\circledast` is circular convolution. Operators with trained weights are in ``tokdyn.geometry.composers``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.numerics import tempered_softmax

Operator = Literal["mean", "sum", "binding", "roles"]
OPERATORS = ("mean", "sum", "binding", "roles")
MOST_AXES = 3  # of one code, as far as JAX transforms them at once


def compose(
    parts: ArrayLike | Sequence[ArrayLike],
    operator: Operator = "mean",
    *,
    roles: ArrayLike | None = None,
    axes: int = 1,
) -> jax.Array:
    r"""Several codes or patterns as one, by an operator of the table at the head of this file.

    Mean, sum and binding are the same in any order (to rounding), so that "the cube on the sphere" and "the sphere on
    the cube" become one code; roles tell them apart.

    Args:
        parts: two or more `[P, ..., D]`, or a sequence of arrays of one shape.
        operator: "mean", "sum", "binding" or "roles" (static).
        roles: for "roles" alone, `[P, D]`: of ``unitary_codes``.
        axes: how many axes are one code (static): 1 for codes, 3 for patterns `[..., H, W, C]`.

    Returns:
        `[..., D]`.

    Raises:
        ValueError: fewer than two parts, parts of different shapes, NaN, an unknown operator, roles that do not fit.

    References:
        T. Plate, Holographic reduced representations, IEEE Transactions on Neural Networks 6, 1995.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> red, cube, large = np.asarray(geometry.unitary_codes(jax.random.key(0), 3, (64,)))
        >>> whole = geometry.compose([red, cube, large], "binding")
        >>> rest = geometry.remove(whole, large, "binding")
        >>> bool(np.allclose(rest, geometry.compose([red, cube], "binding"), atol=1e-6))
        True
    """
    checks.choice("operator", operator, OPERATORS)
    given = _parts(parts, axes)
    if operator != "roles":
        _no_roles(operator, roles)
        return _composed(given, operator, axes if operator == "binding" else 1)
    own = _roles(roles, given.shape[-axes:], len(given), axes)
    return _framed(given, own, axes)


def remove(
    composed: ArrayLike, part: ArrayLike, operator: Operator = "mean", *,
    count: int | None = None, roles: ArrayLike | None = None, axes: int = 1,
) -> jax.Array:  # fmt: skip
    r"""What ``compose`` makes of the other parts: the inverse of composing with one.

    Exact to rounding for "mean", "sum" and "roles". For "binding" the error grows with `\kappa`, the largest over the
    smallest modulus of the part's Fourier coefficients; for unitary codes `\kappa = 1`.

    Args:
        composed: of ``compose`` `[..., D]`.
        part: to be removed `[..., D]`.
        operator: by which they were composed (static).
        count: for "mean" alone: of how many parts it is the mean, the removed one included.
        roles: for "roles" alone: the role of that part `[D]`.
        axes: of one code (static).

    Returns:
        `[..., D]`.

    Raises:
        ValueError: shapes that do not match, NaN, an unknown operator; a missing count or role, or a needless one.

    Example:
        >>> from tokdyn import geometry
        >>> whole = geometry.compose([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
        >>> geometry.remove(whole, [5.0, 9.0], count=3).tolist()
        [2.0, 3.0]
    """
    checks.choice("operator", operator, OPERATORS)
    whole, one = _pair("composed", composed, "part", part, axes)
    if operator == "mean":
        number = checks.whole_number("count", count, at_least=2)
        _no_roles(operator, roles)
        return _without(whole, one, None, operator, number, axes)
    if count is not None:
        raise checks.bad("count", f"none for the operator {operator!r}, which needs no number of parts", count)
    if operator == "roles":
        own = _roles(roles, one.shape[-axes:], None, axes)
        return _without(whole, one, own, operator, 0, axes)
    _no_roles(operator, roles)
    return _without(whole, one, None, operator, 0, axes)


def bind(left: ArrayLike, right: ArrayLike, *, axes: int = 1) -> jax.Array:
    r"""Circular convolution of codes: `(a \circledast b)_i = \sum_j a_j b_{i - j}`, indices modulo D.

    Commutative and associative. With a unitary code it is an isometry: lengths and angles stay, and yet the result is
    unlike both (for random codes, a cosine of about `1 / \sqrt D`).

    Args:
        left: `[..., D]`.
        right: `[..., D]`, of the same or a broadcast shape.
        axes: of one code (static); with several, the convolution is circular along each.

    Returns:
        `[..., D]`.

    Raises:
        ValueError: codes of different shapes, or NaN.

    Example:
        >>> import numpy as np
        >>> from tokdyn import geometry
        >>> np.round(geometry.bind([1.0, 2.0, 3.0], [0.0, 1.0, 0.0]), 4).tolist()  # a shift by one
        [3.0, 1.0, 2.0]
    """
    return _bound(*_pair("left", left, "right", right, axes), axes)


def unbind(bound: ArrayLike, code: ArrayLike, *, axes: int = 1) -> jax.Array:
    r"""The code that ``bind`` with ``code`` makes into ``bound``: division of Fourier coefficients.

    Where a coefficient of ``code`` is 0, nothing is left of the other code's one, and 0 is returned for it. Of a sum of
    bound codes this returns the wanted one and noise: see ``compose`` with roles.

    Args:
        bound: `[..., D]`.
        code: `[..., D]`.
        axes: of one code (static).

    Returns:
        `[..., D]`.

    Raises:
        ValueError: codes of different shapes, or NaN.

    Example:
        >>> import numpy as np
        >>> from tokdyn import geometry
        >>> np.round(geometry.unbind([3.0, 1.0, 2.0], [0.0, 1.0, 0.0]), 4).tolist()
        [1.0, 2.0, 3.0]
    """
    return _unbound(*_pair("bound", bound, "code", code, axes), axes)


def unitary(codes: ArrayLike, *, axes: int = 1) -> jax.Array:
    r"""The nearest unitary codes: Fourier coefficients of modulus 1, the phases kept; their length is 1.

    A coefficient that is 0 to rounding has no phase, and becomes 1.

    Args:
        codes: `[..., D]`.
        axes: of one code (static).

    Returns:
        `[..., D]`.

    Raises:
        ValueError: no floating-point array of so many axes, or NaN.

    Example:
        >>> import numpy as np
        >>> from tokdyn import geometry
        >>> np.round(geometry.unitary([0.0, 3.0, 0.0]), 4).tolist()
        [0.0, 1.0, 0.0]
    """
    return _unitary(_codes("codes", codes, axes), axes)


def unitary_codes(key: jax.Array, count: int, shape: tuple[int, ...]) -> jax.Array:
    """Random unitary codes, for roles, or for parts that are bound.

    Args:
        key: a JAX key.
        count: how many (static).
        shape: of one, at most three axes (static).

    Returns:
        `[count, *shape]`.

    Raises:
        ValueError: a count below 1, or another shape.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn import geometry
        >>> codes = np.asarray(geometry.unitary_codes(jax.random.key(0), 2, (8, 8, 3)))
        >>> bool(np.allclose(np.sum(codes**2, axis=(1, 2, 3)), 1, atol=1e-5))
        True
    """
    checks.random_key("key", key)
    number = checks.whole_number("count", count, at_least=1)
    if not isinstance(shape, tuple) or not 1 <= len(shape) <= MOST_AXES:
        raise checks.bad("shape", f"a tuple of 1 to {MOST_AXES} whole numbers", checks.shown(shape))
    sides = tuple(checks.whole_number("shape", side, at_least=1) for side in shape)
    return _drawn(key, number, sides)


def blend(
    parts: ArrayLike | Sequence[ArrayLike], query: ArrayLike, *, temperature: ArrayLike = 1.0, axes: int = 1
) -> jax.Array:
    r"""Attention: the mean of the parts, weighted by how well each agrees with a query.

    .. math:: \sum_k w_k p_k, \quad w = \mathrm{softmax}_k \frac{q \cdot p_k}{\tau \sqrt D}

    At a high temperature it is the mean, at a low one the part that agrees best. The order of the parts does not
    matter, and the result stays within their convex hull; there is no inverse.

    Args:
        parts: two or more `[P, ..., D]`, or a sequence of arrays of one shape.
        query: `[..., D]`, of a part's shape.
        temperature: `\tau` `[]`, above 0.
        axes: of one code (static).

    Returns:
        `[..., D]`.

    Raises:
        ValueError: as ``compose``; a query of another shape; a temperature that is not above 0.

    Example:
        >>> import numpy as np
        >>> from tokdyn import geometry
        >>> np.round(geometry.blend([[4.0, 0.0], [0.0, 4.0]], [1.0, 0.0], temperature=0.01), 3).tolist()
        [4.0, 0.0]
    """
    given = _parts(parts, axes)
    own = _codes("query", query, axes)
    if own.shape != given.shape[1:]:
        raise checks.bad("query", f"the shape of a part, {given.shape[1:]}", own.shape)
    scale = checks.hyperparameter("temperature", temperature, above=0.0)
    return _blended(given, own, scale, axes)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _composed(parts: jax.Array, operator: Operator, axes: int) -> jax.Array:
    if operator == "mean":
        return parts.mean(axis=0)
    if operator == "sum":
        return parts.sum(axis=0)
    return _back(jnp.prod(_spectrum(parts, axes), axis=0), parts.shape[-axes:], parts.dtype)


@functools.partial(jax.jit, static_argnums=2)
def _framed(parts: jax.Array, roles: jax.Array, axes: int) -> jax.Array:
    between = (1,) * (parts.ndim - roles.ndim)
    own = roles.reshape(len(roles), *between, *roles.shape[1:])
    total = jnp.sum(_spectrum(own, axes) * _spectrum(parts, axes), axis=0)
    return _back(total, parts.shape[-axes:], parts.dtype)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _without(
    whole: jax.Array, one: jax.Array, role: jax.Array | None, operator: Operator, count: int, axes: int
) -> jax.Array:
    if operator == "mean":
        return (count * whole - one) / (count - 1)
    if operator == "binding":
        return _unbound(whole, one, axes)
    return whole - (one if role is None else _bound(role, one, axes))


@functools.partial(jax.jit, static_argnums=2)
def _bound(left: jax.Array, right: jax.Array, axes: int) -> jax.Array:
    return _back(_spectrum(left, axes) * _spectrum(right, axes), right.shape[-axes:], jnp.result_type(left, right))


@functools.partial(jax.jit, static_argnums=2)
def _unbound(bound: jax.Array, code: jax.Array, axes: int) -> jax.Array:
    own, size = _of_size_one(_spectrum(code, axes), axes)
    squares = jnp.real(own * jnp.conj(own))
    inverse = jnp.where(squares > 0, jnp.conj(own) / jnp.where(squares > 0, squares, 1), 0)
    return _back(_spectrum(bound, axes) / size * inverse, bound.shape[-axes:], jnp.result_type(bound, code))


@functools.partial(jax.jit, static_argnums=1)
def _unitary(codes: jax.Array, axes: int) -> jax.Array:
    own, _ = _of_size_one(_spectrum(codes, axes), axes)
    # The square root at 0 has no derivative.
    squares = jnp.real(own * jnp.conj(own))
    places = tuple(range(-axes, 0))
    size = np.prod(codes.shape[-axes:])
    least = (jnp.finfo(squares.dtype).eps * size) ** 2 * squares.max(axis=places, keepdims=True)
    there = squares > least
    turned = jnp.where(there, own / jnp.sqrt(jnp.where(there, squares, 1)), 1)
    return _back(turned, codes.shape[-axes:], codes.dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _drawn(key: jax.Array, count: int, shape: tuple[int, ...]) -> jax.Array:
    return _unitary(jax.random.normal(key, (count, *shape)), len(shape))


@functools.partial(jax.jit, static_argnums=3)
def _blended(parts: jax.Array, query: jax.Array, temperature: jax.Array, axes: int) -> jax.Array:
    places = tuple(range(-axes, 0))
    width = np.sqrt(np.prod(parts.shape[-axes:])).item()
    scores = jnp.sum(parts * query, axis=places, keepdims=True) / width
    return jnp.sum(tempered_softmax(scores, temperature, axis=0) * parts, axis=0)


def _spectrum(codes: jax.Array, axes: int) -> jax.Array:
    return jnp.fft.rfftn(codes.astype(jnp.promote_types(codes.dtype, jnp.float32)), axes=tuple(range(-axes, 0)))


def _of_size_one(spectrum: jax.Array, axes: int) -> tuple[jax.Array, jax.Array]:
    """A spectrum over its largest part, whose squares neither overflow nor vanish, and what it was divided by."""
    parts = jnp.maximum(jnp.abs(jnp.real(spectrum)), jnp.abs(jnp.imag(spectrum)))
    size = jax.lax.stop_gradient(parts.max(axis=tuple(range(-axes, 0)), keepdims=True))
    size = jnp.where(size > 0, size, 1)
    return spectrum / size, size


def _back(spectrum: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    return jnp.fft.irfftn(spectrum, s=shape, axes=tuple(range(-len(shape), 0))).astype(dtype)


def _codes(name: str, value: ArrayLike | Sequence[ArrayLike], axes: int) -> jax.Array:
    number = checks.whole_number("axes", axes, at_least=1, at_most=MOST_AXES)
    expected = f"floating-point codes [..., D] of {number} or more axes"
    try:
        # What is NumPy's stays so until a program takes it: putting it into JAX first would be a program of its own.
        array = cast("jax.Array", value if isinstance(value, jax.Array) else np.asarray(value))
    except (TypeError, ValueError):
        raise checks.bad(name, expected, checks.describe_array(value)) from None
    if array.ndim < number or array.size == 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise checks.bad(name, expected, checks.describe_array(array))
    if checks.is_concrete(array) and not np.isfinite(np.asarray(array)).all():
        raise checks.bad(name, "finite numbers", "infinite or NaN entries")
    return array


def _parts(parts: ArrayLike | Sequence[ArrayLike], axes: int) -> jax.Array:
    if isinstance(parts, (list, tuple)):
        if len(parts) < 2:
            raise checks.bad("parts", "two or more", len(parts))
        # On the host where they are known: a program less.
        known = all(checks.is_concrete(one) for one in parts)
        each = [np.asarray(one) if known else _codes("parts", one, 1) for one in parts]
        shapes = list(dict.fromkeys(one.shape for one in each))
        if len(shapes) > 1:
            raise checks.bad("parts", "arrays of one shape", f"shapes {shapes[0]} and {shapes[1]}")
        parts = np.stack(each) if known else jnp.stack(each)
    given = _codes("parts", parts, axes)
    if given.ndim < axes + 1 or len(given) < 2:
        counted = f"shape {given.shape}" if given.ndim < axes + 1 else len(given)
        raise checks.bad("parts", "two or more along the first axis", counted)
    return given


def _pair(name: str, left: ArrayLike, other: str, right: ArrayLike, axes: int) -> tuple[jax.Array, jax.Array]:
    first, second = _codes(name, left, axes), _codes(other, right, axes)
    try:
        jnp.broadcast_shapes(first.shape, second.shape)
        fits = first.shape[-axes:] == second.shape[-axes:]
    except ValueError:
        fits = False
    if not fits:
        raise checks.bad(other, f"the shape of {name}, {first.shape}", second.shape)
    return first, second


def _roles(roles: ArrayLike | None, shape: tuple[int, ...], count: int | None, axes: int) -> jax.Array:
    wanted = shape if count is None else (count, *shape)
    if roles is None:
        raise checks.bad("roles", f"an array of shape {wanted} for the operator 'roles'", None)
    own = _codes("roles", roles, axes)
    if own.shape != wanted:
        raise checks.bad("roles", f"an array of shape {wanted}", own.shape)
    return own


def _no_roles(operator: str, roles: ArrayLike | None) -> None:
    if roles is not None:
        raise checks.bad("roles", f"none for the operator {operator!r}", checks.describe_array(roles))
