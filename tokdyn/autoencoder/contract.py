"""The contract of encoders, bottlenecks, decoders: shapes by ``eval_shape``, which ``autoencoder`` looks at, and laws.

``td.autoencoder.check_part(my_encoder)`` holds a part of your own to all of it; each sentence names the part, the axis,
what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks
from tokdyn.dynamics.schedules import resolved

BATCH = 3
KINDS = ("encoder", "bottleneck", "decoder")


class Sizes(NamedTuple):
    """What the parts around one are made for.

    Attributes:
        cells: of a pattern.
        channels: of a pattern's cell.
    """

    cells: int
    channels: int


def check_shapes(kind: str, part: Any, sizes: Sizes) -> tuple[Any, Any]:
    """What a part makes and returns, traced with shapes only: nothing is computed.

    Args:
        kind: of ``KINDS``.
        part: with ``init`` and ``apply``.
        sizes: of the pattern, or of the code, that it is given; of an encoder those that it declares.

    Returns:
        Shapes of ``(variables, output)``; of a bottleneck the output is its ``Code``.

    Raises:
        ValueError: naming the part, what was expected and what came.
    """
    for name in {"encoder": ("vocabulary_size", "cells", "channels"), "decoder": ("vocabulary_size",)}.get(kind, ()):
        checks.whole_number(f"{kind}.{name}", getattr(part, name, None), at_least=1)
    key = jax.eval_shape(lambda: jax.random.key(0))
    more = {"encoder": (), "bottleneck": (sizes.channels,), "decoder": tuple(sizes)}[kind]
    variables = _traced(f"{kind}.init", lambda key: resolved(part, 0).init(key, *more), key)
    if not (isinstance(variables, dict) and {"params", "state"} <= set(variables)):
        got = f"keys {sorted(variables)}" if isinstance(variables, dict) else f"a {type(variables).__name__}"
        raise checks.bad(f"{kind}.init", 'a dict {"params": ..., "state": ...}', got)
    inputs = jax.ShapeDtypeStruct((BATCH,), jnp.int32)
    if kind != "encoder":
        inputs = jax.ShapeDtypeStruct((BATCH, *sizes), jnp.result_type(float))

    def apply(variables: Any, inputs: Any, key: Any) -> Any:
        return resolved(part, 0).apply(variables, inputs, key=key, train=True)

    told = _traced(f"{kind}.apply", apply, variables, inputs, key)
    if not (isinstance(told, tuple) and len(told) == 2 and not hasattr(told, "_fields")):
        raise checks.bad(f"{kind}.apply", "(output, state)", _described(told))
    output, state = told
    _same_state(kind, variables["state"], state)
    if kind == "bottleneck":
        _check_code(output, sizes)
    else:
        expected = (BATCH, *sizes) if kind == "encoder" else (BATCH, part.vocabulary_size)
        axes = "[batch, cells, channels]" if kind == "encoder" else "[batch, vocabulary]"
        _check_array(f"{kind}.apply", output, axes, expected)
    return variables, output


def _check_code(code: Any, sizes: Sizes) -> None:
    if not all(hasattr(code, name) for name in ("values", "indices", "loss", "probabilities")):
        raise checks.bad("bottleneck.apply", "(Code, state)", f"({_described(code)}, state)")
    values = _check_array(
        "bottleneck.apply, values", code.values, "[batch, cells, channels]", (BATCH, sizes.cells, None)
    )
    for name in ("indices", "probabilities"):
        array = getattr(code, name)
        if array is not None and (jnp.ndim(array) < 2 or array.shape[:2] != values.shape[:2]):
            expected = f"[batch, cells, ...] = {list(values.shape[:2])} and more, or None"
            raise checks.bad(f"bottleneck.apply, {name}", expected, _described(array))
    if code.indices is not None and not jnp.issubdtype(code.indices.dtype, jnp.integer):
        raise checks.bad("bottleneck.apply, indices", "whole numbers", _described(code.indices))
    _check_array("bottleneck.apply, loss", code.loss, "[]", ())


def _check_array(name: str, array: Any, axes: str, expected: tuple[int | None, ...]) -> Any:
    """A floating-point array of that shape; None is any length."""
    wanted = f"{axes} = [{', '.join('any' if size is None else str(size) for size in expected)}]" if expected else axes
    shape = getattr(array, "shape", None)
    fits = shape is not None and len(shape) == len(expected)
    if not (fits and all(size in (None, got) for size, got in zip(expected, shape or (), strict=False))):
        raise checks.bad(name, wanted, _described(array))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise checks.bad(name, f"{wanted} of floating-point numbers", _described(array))
    return array


def _same_state(kind: str, before: Any, after: Any) -> None:
    shapes = [jax.tree.map(lambda x: (tuple(x.shape), x.dtype.name), state) for state in (before, after)]
    if shapes[0] != shapes[1]:
        raise checks.bad(f"{kind}.apply", f"a state as init makes it, {shapes[0]}", shapes[1])


def _traced(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The shapes that a function returns; what it raises is said in one sentence."""
    try:
        return jax.eval_shape(function, *arguments)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise checks.bad(name, "a function that JAX can trace", f"{type(error).__name__}: {reason}") from error


def _described(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {list(value.shape)} of {value.dtype}"
    return f"{len(value)} values" if isinstance(value, tuple) else f"a {type(value).__name__}"


def check_part(part: Any, *, kind: str | None = None, cells: int = 4, channels: int = 3) -> list[str]:
    """Hold an encoder, a bottleneck or a decoder to the contract.

    Args:
        part: what you would give to ``autoencoder``.
        kind: ``"encoder"``, ``"bottleneck"`` or ``"decoder"``; by default from its fields: encoders have
            ``vocabulary_size`` and ``cells``, decoders ``vocabulary_size``.
        cells: of the patterns that a bottleneck or decoder is tried on.
        channels: of their cells.

    Returns:
        The names of the laws that were checked.

    Raises:
        ValueError: a law is broken; the sentence says which.

    Example:
        >>> from tokdyn import autoencoder as ae
        >>> ae.check_part(ae.encoders.table(vocabulary_size=5, cells=4, channels=3))[0]
        'shapes'
    """
    if kind is None:
        has = [hasattr(part, name) for name in ("vocabulary_size", "cells")]
        kind = "encoder" if all(has) else "decoder" if has[0] else "bottleneck"
    checks.choice("kind", kind, KINDS)
    sizes = Sizes(getattr(part, "cells", cells), getattr(part, "channels", channels))
    if kind != "encoder":
        sizes = Sizes(cells, channels)
    check_shapes(kind, part, sizes)
    trial = _Trial(kind, resolved(part, 0), sizes)
    for law in LAWS:
        law(trial)
    return ["shapes", *(law.__name__.strip("_") for law in LAWS)]


class _Trial:
    """A part with weights, and inputs to try it on.

    Inputs and results are NumPy's: compared in JAX, each shape would compile a program for every comparison.
    """

    def __init__(self, kind: str, part: Any, sizes: Sizes) -> None:
        self.kind, self.part, self.sizes = kind, part, sizes
        more = {"encoder": (), "bottleneck": (sizes.channels,), "decoder": tuple(sizes)}[kind]
        init = jax.jit(lambda key: part.init(key, *more))
        self.made = lambda seed: jax.device_get(init(jax.random.key(seed)))
        self.variables = self.made(0)
        generator = np.random.default_rng(0)
        if kind == "encoder":
            self.inputs: Any = generator.integers(0, part.vocabulary_size, 6).astype(np.int32)
        else:
            self.inputs = generator.normal(size=(6, *sizes)).astype(jnp.result_type(float))
        self._applied = jax.jit(self.apply)

    def apply(self, variables: Any, inputs: Any, key: Any, *, train: bool = False) -> tuple[Any, Any]:
        output, state = self.part.apply(variables, inputs, key=key, train=train)
        return (output.values if self.kind == "bottleneck" else output), state

    def output(self, inputs: Any, seed: int, variables: Any = None) -> np.ndarray:
        """Outside of training, for a key."""
        weights = self.variables if variables is None else variables
        found, _ = self._applied(weights, inputs, jax.random.key(seed))
        return np.asarray(found)

    def demand(self, holds: Any, otherwise: str) -> None:
        if not bool(holds):
            raise ValueError(f"{self.kind}: {otherwise}")


def _one_key_one_result(trial: _Trial) -> None:
    """Weights and outputs are functions of the key and nothing else."""
    equal = jax.tree.map(np.array_equal, trial.variables, trial.made(0))
    trial.demand(all(jax.tree.leaves(equal)), "expected the same weights for the same key, got others")
    first, second = (trial.output(trial.inputs, 1) for _ in range(2))
    trial.demand(
        np.array_equal(first, second, equal_nan=True), "expected the same output for the same key, got another"
    )


def _items_are_apart(trial: _Trial) -> None:
    """Outside of training what one item gives does not depend on the others in its batch."""
    whole, other = (trial.output(trial.inputs, seed) for seed in (1, 2))
    if not np.array_equal(whole, other, equal_nan=True):
        return  # it draws, and the draws of a smaller batch are others
    error = float(np.max(np.abs(whole[:1] - trial.output(trial.inputs[:1], 1))))
    trial.demand(
        error < 1e-4, f"expected an item to give the same alone and in a batch, got a difference of {error:.2g}"
    )


def _gradients_are_finite(trial: _Trial) -> None:
    """Of a number that all outputs enter, in the weights, while training."""

    def number(params: Any, variables: Any, inputs: Any, key: Any) -> Any:
        output, _ = trial.apply({**variables, "params": params}, inputs, key, train=True)
        return jnp.sum(jnp.sin(output))

    slopes = jax.jit(jax.grad(number))(trial.variables["params"], trial.variables, trial.inputs, jax.random.key(1))
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(slopes)))
    trial.demand(finite, "expected finite gradients in all weights, got NaN or infinity")


def _vmap_equals_loop(trial: _Trial) -> None:
    """An ensemble of weights gives what each gives."""
    members = [trial.made(seed) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    together = jax.jit(jax.vmap(lambda v, x, key: trial.apply(v, x, key)[0], (0, None, None), axis_size=len(members)))
    mapped = together(stacked, trial.inputs, jax.random.key(1))
    for one, member in zip(np.asarray(mapped), members, strict=True):
        error = float(np.max(np.abs(one - trial.output(trial.inputs, 1, member))))
        trial.demand(error < 1e-3, f"expected vmap over weights to equal a loop, got a difference of {error:.2g}")


LAWS = (_one_key_one_result, _items_are_apart, _gradients_are_finite, _vmap_equals_loop)
