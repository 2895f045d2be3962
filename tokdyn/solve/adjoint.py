"""How gradients pass through the loop: not at all (with an explanatory error), or through the fixed point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from tokdyn.checks import Status
from tokdyn.solve.gmres import gmres

Rest = tuple[Any, Any]  # mask, token_mask
Settle = Callable[[Any, jax.Array, jax.Array, Rest], jax.Array]
Attach = Callable[[Any, jax.Array, jax.Array, jax.Array, Rest], jax.Array]


def _refuse(cotangent: Any, _: Any) -> Any:
    raise ValueError(
        "adjoint: expected 'unroll', 'checkpoint' or 'implicit' to differentiate run in reverse mode, got 'none' "
        "(the default, which stops early and stores nothing)"
    )


# The identity, as a linear primitive whose transpose raises. jax.custom_derivatives.linear_call would say the same in
# fewer lines, but has no batching rule (jax 0.10.1), and custom_vjp would take forward mode away.
_forward_only = Primitive("tokdyn_forward_only")
_forward_only.def_impl(lambda value: value)
_forward_only.def_abstract_eval(lambda value: value)
ad.deflinear2(_forward_only, _refuse)
batching.defvectorized(_forward_only)
mlir.register_lowering(_forward_only, lambda _, value: [value])


def forward_only(tokens: jax.Array) -> jax.Array:
    """The tokens unchanged; reverse mode raises our error message instead of JAX's about while loops."""
    return _forward_only.bind(tokens)


def at_fixed_point(settle: Settle) -> Attach:
    r"""Tokens at a fixed point, with the derivatives of the fixed point instead of those of the steps that led to it.

    At a fixed point `s = F(s, \theta)` the implicit function theorem gives
    `ds/d\theta = (I - \partial_s F)^{-1} \partial_\theta F`. The linear equation and its transpose are solved by GMRES,
    so that forward mode, reverse mode and compositions of both work.

    Args:
        settle: ``(dynamics, features, tokens, rest) -> tokens``: one step with every memory at rest.

    Returns:
        ``(dynamics, features, tokens, status, rest) -> tokens``: the same tokens. Their derivative with respect to the
        starting tokens is zero, and all derivatives are NaN unless the status is CONVERGED.

    References:
        S. Bai, J. Z. Kolter, V. Koltun, Deep Equilibrium Models, arXiv:1909.01377.
    """

    @jax.custom_jvp
    def attached(dynamics: Any, features: jax.Array, tokens: jax.Array, status: jax.Array, rest: Rest) -> jax.Array:
        return tokens

    @attached.defjvp
    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        dynamics, features, _, status, rest = primals
        tokens = attached(*primals)  # a second derivative passes through here again
        _, token_mask = rest
        _, pushed = jax.jvp(lambda d, x: settle(d, x, tokens, rest), (dynamics, features), tuple(tangents[:2]))
        _, moved = jax.linearize(lambda s: settle(dynamics, features, s, rest), tokens)

        def only_existing(x: jax.Array) -> jax.Array:
            # A masked token never moves; without this, its block of I - J would be zero.
            return x if token_mask is None else jnp.where(token_mask[:, None], x, 0.0)

        def difference(v: jax.Array) -> jax.Array:
            return v - only_existing(moved(only_existing(v)))

        found = jax.lax.custom_linear_solve(difference, only_existing(pushed), _solved, _solved)
        return tokens, _poison.bind(found, status != Status.CONVERGED, num_mapped=0)

    return attached


def _solved(multiply: Callable[[jax.Array], jax.Array], right: jax.Array) -> jax.Array:
    found = gmres(multiply, right)
    return jnp.where(jnp.all(jnp.isfinite(right)), found, jnp.nan)  # GMRES would turn NaN into zero


# NaN for a meaningless derivative, as a linear primitive: it and its transpose are NaN if something was asked of such a
# run, and zero if nothing was, for example because the user's loss ignores the run.
_poison = Primitive("tokdyn_poison")


def _poisoned(tangent: jax.Array, is_bad: jax.Array, *, num_mapped: int) -> jax.Array:
    own = tuple(range(num_mapped, tangent.ndim))
    is_asked = jnp.any(tangent != 0, axis=own, keepdims=True)
    is_bad = is_bad.reshape(*is_bad.shape, *[1] * len(own))
    return jnp.where(is_bad & is_asked, jnp.nan, tangent)


def _poison_mapped(operands: Any, axes: Any, *, num_mapped: int) -> tuple[jax.Array, int]:
    # None says that an operand is not mapped (jax 0.10 names it `not_mapped`, jax 0.12 no longer does).
    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    moved = [batching.bdim_at_front(x, axis, size) for x, axis in zip(operands, axes, strict=True)]
    return _poison.bind(*moved, num_mapped=num_mapped + 1), 0


def _poison_jvp(primals: Any, tangents: Any, *, num_mapped: int) -> tuple[Any, Any]:
    tangent, is_bad = primals
    slope = tangents[0]
    told = slope if isinstance(slope, ad.Zero) else _poison.bind(slope, is_bad, num_mapped=num_mapped)
    return _poison.bind(tangent, is_bad, num_mapped=num_mapped), told


def _poison_transposed(cotangent: Any, tangent: Any, is_bad: jax.Array, *, num_mapped: int) -> tuple[Any, None]:
    if isinstance(cotangent, ad.Zero):
        return cotangent, None
    return _poison.bind(cotangent, is_bad, num_mapped=num_mapped), None


_poison.def_impl(jax.jit(_poisoned, static_argnames="num_mapped"))
_poison.def_abstract_eval(lambda tangent, is_bad, *, num_mapped: tangent)
batching.primitive_batchers[_poison] = _poison_mapped
ad.primitive_jvps[_poison] = _poison_jvp
ad.primitive_transposes[_poison] = _poison_transposed
mlir.register_lowering(_poison, mlir.lower_fun(_poisoned, multiple_results=False))
