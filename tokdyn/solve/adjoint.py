"""How a gradient passes the loop: not at all (with a sentence), or through the fixed point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.scipy.sparse.linalg import gmres

from tokdyn.checks import Status

Solve = Callable[[Any, jax.Array, jax.Array, tuple[Any, ...]], tuple[jax.Array, ...]]
Settle = Callable[[Any, jax.Array, jax.Array, tuple[Any, ...]], jax.Array]


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
    """The tokens unchanged; reverse mode raises our sentence instead of JAX's about while loops."""
    return _forward_only.bind(tokens)


def implicit_gradient(solve: Solve, settle: Settle) -> Solve:
    r"""``solve`` with the gradient of the fixed point it finds, not of its steps.

    At a fixed point `s = F(s, \theta)` the implicit function theorem gives
    `ds/d\theta = (I - \partial_s F)^{-1} \partial_\theta F`, hence for a cotangent `g` the vector
    `v = (I - J^T)^{-1} g` (GMRES, only products with `J^T`) and the gradient `v^T \partial_\theta F`.

    Args:
        solve: ``(dynamics, features, tokens, rest) -> (tokens, num_steps, status, ...)``.
        settle: ``(dynamics, features, tokens, rest) -> tokens``: one step with every memory at rest.

    Returns:
        A function like ``solve``; the gradient is zero for the starting tokens, NaN unless CONVERGED.

    References:
        S. Bai, J. Z. Kolter, V. Koltun, Deep Equilibrium Models, arXiv:1909.01377.
    """
    wrapped = jax.custom_vjp(solve)

    def forward(
        dynamics: Any, features: jax.Array, start: jax.Array, rest: tuple[Any, ...]
    ) -> tuple[tuple[jax.Array, ...], tuple[Any, ...]]:
        solved = wrapped(dynamics, features, start, rest)  # not solve: a second derivative passes here again
        tokens, _, status = solved[:3]
        return solved, (dynamics, features, tokens, status, rest)

    def backward(saved: tuple[Any, ...], cotangents: tuple[jax.Array, ...]) -> tuple[Any, ...]:
        dynamics, features, tokens, status, rest = saved
        token_mask = rest[2]
        incoming = cotangents[0]
        if token_mask is not None:
            # A masked token never moves: its block of I - J is zero, and so must be what it is asked to explain.
            incoming = jnp.where(token_mask[:, None], incoming, 0.0)
        _, pull = jax.vjp(lambda *point: settle(point[0], point[1], point[2], rest), dynamics, features, tokens)
        size = tokens.size
        solution, _ = gmres(
            lambda v: v - pull(v)[2],
            incoming,
            tol=10 * jnp.finfo(tokens.dtype).eps,
            restart=min(size, 50),
            maxiter=20,
        )
        for_dynamics, for_features, _ = pull(solution)
        # Nothing was asked of a run whose cotangent is zero, for example one that the user's loss leaves out.
        is_asked = jnp.any(incoming != 0)
        valid = jnp.where((status == Status.CONVERGED) | ~is_asked, 1.0, jnp.nan).astype(tokens.dtype)

        def scaled(gradient: Any) -> Any:
            return gradient if gradient.dtype == jax.dtypes.float0 else gradient * valid

        return jax.tree.map(scaled, for_dynamics), for_features * valid, jnp.zeros_like(tokens), None

    wrapped.defvjp(forward, backward)
    return wrapped
