"""The contract of a part of a dynamics: fifteen laws, to which the package's own catalogue is held too."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn.dynamics import Dynamics, Info, State, compose, load, save
from tokdyn.solve import run, trajectory, vmap
from tokdyn.solve.driver import _run
from tokdyn.solve.stepping import is_random
from tokdyn.tree import values

NUM_FEATURES, NUM_TOKENS, MAX_STEPS = 40, 4, 12


@dataclasses.dataclass(frozen=True)
class Case:
    """One dynamics with inputs to try it on.

    Attributes:
        dynamics: what is checked.
        features: `[N, D]`.
        tokens: the start `[K, D]`.
        key: for parts that are random.
    """

    dynamics: Dynamics
    features: jax.Array
    tokens: jax.Array
    key: jax.Array

    def run(self, **changes: Any) -> Any:
        """``td.run`` on this case, with some arguments changed."""
        arguments: dict[str, Any] = {"tokens": self.tokens, "max_steps": MAX_STEPS, "tol": 1e-3, **changes}
        dynamics = arguments.pop("dynamics", self.dynamics)
        features = arguments.pop("features", self.features)
        return run(dynamics, arguments.pop("key", self.key), features, **arguments)

    def few_steps(self, **changes: Any) -> Any:
        """The program of ``run`` once more, stopped after three steps (where a schedule ends later, after that)."""
        return self.run(**_after_a_few_steps(self.dtype), **changes)

    def path(self) -> tuple[Any, Any]:
        """``(tokens, Info)`` of as many steps as ``run`` takes at most."""
        options: dict[str, Any] = {"tokens": self.tokens, "num_steps": MAX_STEPS, "keep": _tokens_and_info}
        return trajectory(self.dynamics, self.key, self.features, **options)[1]

    @property
    def dtype(self) -> Any:
        """Of tokens and features."""
        return np.dtype(self.tokens.dtype)


def make_case(dynamics: Dynamics, seed: int = 0, *, num_dimensions: int = 3) -> Case:
    """Three well separated clusters off the origin, and tokens drawn from them.

    Args:
        dynamics: what is to be checked.
        seed: of the inputs.
        num_dimensions: D.

    Returns:
        A ``Case`` in JAX's default floating dtype.
    """
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-3, 3, (3, num_dimensions)) + 1.0
    features = centres[np.arange(NUM_FEATURES) % 3] + generator.normal(0, 0.4, (NUM_FEATURES, num_dimensions))
    tokens = features[:NUM_TOKENS] + generator.normal(0, 0.1, (NUM_TOKENS, num_dimensions))
    dtype = jnp.result_type(float)
    return Case(dynamics, jnp.asarray(features, dtype), jnp.asarray(tokens, dtype), jax.random.key(seed))


def check_term(term: Any, *, with_attraction: bool = True, num_dimensions: int = 3) -> list[str]:
    """Hold one part to the contract, composed with an attraction (the usual company) or alone.

    Args:
        term: a part: an instance, for example ``MyForce(strength=0.1)``.
        with_attraction: whether to compose it after an attraction.
        num_dimensions: of the features that it is tried on, for parts that are made for some.

    Returns:
        The names of the laws that were checked.

    Raises:
        AssertionError: a law is broken; the sentence says which.

    Example:
        >>> import tokdyn as td
        >>> len(td.testing.check_term(td.repulsion(strength=0.05))) > 10
        True
    """
    from tokdyn.dynamics import attraction

    parts = {"attract": attraction(temperature=0.5), "term": term} if with_attraction else {"term": term}
    return check_dynamics(compose(**parts), num_dimensions=num_dimensions)


def check_dynamics(dynamics: Dynamics, *, num_dimensions: int = 3) -> list[str]:
    """Hold a composed dynamics to every law of ``LAWS``.

    Args:
        dynamics: what ``td.compose`` returned.
        num_dimensions: of the features that it is tried on.

    Returns:
        The names of the laws that were checked.

    Raises:
        AssertionError: a law is broken; the sentence says which.
    """
    case = make_case(dynamics, num_dimensions=num_dimensions)
    runs_at_all(case)
    for law in LAWS:
        law(case)
    return [law.__name__ for law in LAWS]


def runs_at_all(case: Case) -> None:
    """Whether it can be traced on features of this many dimensions; otherwise no law could say anything."""
    try:
        jax.eval_shape(lambda: case.run().tokens)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        shape = tuple(case.features.shape)
        raise AssertionError(
            f"it cannot be run on features {shape} (num_dimensions= chooses others): {reason}"
        ) from error


def keeps_shape_and_dtype(case: Case) -> None:
    """Tokens keep shape and dtype, and every number of the result is finite."""
    result = case.run()
    _demand(result.tokens.shape == case.tokens.shape, f"tokens have shape {result.tokens.shape} after a run")
    _demand(result.tokens.dtype == case.tokens.dtype, f"tokens have dtype {result.tokens.dtype} after a run")
    _demand(bool(np.isfinite(result.tokens).all()), "tokens are not finite after a run")
    rows = np.abs(np.asarray(result.assignment).sum(axis=1) - 1).max()
    _demand(bool(rows < 1e-5), f"rows of the assignment miss one by {rows}")


def compiles_once(case: Case) -> None:
    """Other numbers, and the same object rebuilt, compile nothing."""
    case.run()
    before = _programs()
    case.run(dynamics=_scaled(case.dynamics, 1.01), tol=1e-2)
    leaves, treedef = jax.tree.flatten(case.dynamics)
    case.run(dynamics=jax.tree.unflatten(treedef, leaves))
    _demand(_programs() == before, "a second call with other values compiled again: keep numbers in leaves")


def vmap_equals_loop(case: Case) -> None:
    """A batch of runs is the runs, one by one: jax.vmap and td.vmap, over starts and over numbers."""
    tokens = np.asarray(case.tokens)
    starts = np.stack([tokens, tokens + tokens.dtype.type(0.1), tokens[::-1]])
    scales = np.asarray([1.0, 0.9, 1.1], tokens.dtype)

    loop = [
        case.run(tokens=start, dynamics=_scaled(case.dynamics, scale))
        for start, scale in zip(starts, scales, strict=True)
    ]
    for name, result in _mapped(case.dynamics, case.key, case.features, starts=starts, scales=scales).items():
        for number, expected in enumerate(loop):
            same_steps = int(result.num_steps[number]) == int(expected.num_steps)
            _demand(same_steps, f"{name} takes other step counts than a loop")
            moved = np.asarray(result.tokens)[number]
            _close(moved, expected.tokens, f"{name} moves tokens elsewhere than a loop")


def early_stop_equals_masked_scan(case: Case) -> None:
    """The while loop, the masked scan and the checkpointed scan are one computation."""
    expected = case.run(adjoint="none")
    options = {"key": case.key, "adjoint": "unroll", "tol": case.dtype.type(1e-3), "min_steps": 0}
    _, unrolled, _ = _differentiated(case.dynamics, case.features, case.tokens, **options)
    for adjoint, result in (("unroll", unrolled), ("checkpoint", case.run(adjoint="checkpoint"))):
        _demand(int(result.num_steps) == int(expected.num_steps), f"adjoint={adjoint!r} takes other steps")
        _demand(int(result.status) == int(expected.status), f"adjoint={adjoint!r} ends with another status")
        _close(result.tokens, expected.tokens, f"adjoint={adjoint!r} ends elsewhere")


def trajectory_ends_where_run_does(case: Case) -> None:
    """``trajectory`` of as many steps passes through the tokens of ``run``."""
    result = case.run(tol=0.0)
    path, _ = case.path()
    _close(path[-1], result.tokens, "a trajectory ends elsewhere than a run of as many steps")


def order_of_features_is_irrelevant(case: Case) -> None:
    """Features are a set."""
    result, other = case.few_steps(), case.few_steps(features=np.asarray(case.features)[::-1])
    _close(other.tokens, result.tokens, "tokens depend on the order of the features")


def tokens_are_exchangeable(case: Case) -> None:
    """Permuted tokens stay permuted (not for a random part, which draws by position)."""
    if is_random(case.dynamics):
        return
    order = [2, 0, 3, 1]
    result, other = case.few_steps(), case.few_steps(tokens=np.asarray(case.tokens)[order])
    _close(other.tokens, np.asarray(result.tokens)[order], "permuting the tokens does more than permute the result")


def masked_features_have_no_influence(case: Case) -> None:
    """What stands in a masked row, NaN included, changes nothing, to the last bit; nor does padding."""
    features = np.asarray(case.features)
    mask = np.arange(NUM_FEATURES + 7) < NUM_FEATURES

    def padded_with(filler: float) -> Any:
        padding = np.full((7, features.shape[1]), filler, features.dtype)
        return np.asarray(case.few_steps(features=np.concatenate([features, padding]), mask=mask).tokens)

    zeros = padded_with(0.0)
    for other in (padded_with(1e6), padded_with(np.nan)):
        _demand(bool((other == zeros).all()), "a masked feature moved a token")
    _close(zeros, case.few_steps().tokens, "masking features is not the same as leaving them out")


def masked_tokens_have_no_influence(case: Case) -> None:
    """A masked token stays, owns nothing, and moves nobody, wherever it lies: as if it were left out."""
    tokens = np.asarray(case.tokens)
    token_mask = np.arange(NUM_TOKENS + 1) != 2
    far = tokens[0] + 100.0
    results = [
        case.few_steps(tokens=np.insert(tokens, 2, place, axis=0), token_mask=token_mask)
        for place in (tokens[0], far, np.nan)
    ]
    _demand(bool((np.asarray(results[1].tokens)[2] == far).all()), "a masked token moved")
    kept = np.asarray(results[0].tokens)[token_mask]
    for result in results:
        _demand(bool((np.asarray(result.assignment)[:, 2] == 0).all()), "a masked token owns features")
        _demand(bool((np.asarray(result.tokens)[token_mask] == kept).all()), "a masked token moved another")
        _demand(int(result.status) == int(results[0].status), "a masked token changed the status")
    if not is_random(case.dynamics):  # a random part draws by position
        _close(kept, case.few_steps().tokens, "masking a token is not the same as leaving it out")


def coincident_tokens_have_finite_gradients(case: Case) -> None:
    """Gradients stay finite where tokens coincide (a norm's derivative is NaN there), and far from all features."""
    tokens = np.asarray(case.tokens)
    options = {"key": case.key, "adjoint": "unroll", **_after_a_few_steps(case.dtype)}
    for place, start in (
        ("coincident", np.zeros_like(tokens) + tokens[0]),
        ("far-away", tokens + case.dtype.type(1e3)),
    ):
        *_, gradient = _differentiated(case.dynamics, case.features, start, **options)
        finite = all(np.isfinite(g).all() for g in jax.tree.leaves(gradient) if g.dtype != jax.dtypes.float0)
        _demand(finite, f"a gradient is not finite with {place} tokens")


def gradient_equals_finite_differences(case: Case) -> None:
    """Reverse mode through three steps equals central differences in float64, for tokens, features and numbers."""
    with jax.enable_x64(True):
        wide = make_case(case.dynamics, num_dimensions=case.features.shape[1])  # the same inputs, in float64
        dynamics = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) + 1e-3, wide.dynamics)
        point = jax.tree.map(np.asarray, (dynamics, wide.features, wide.tokens))
        generator = np.random.default_rng(1)
        direction = jax.tree.map(lambda leaf: generator.normal(size=np.shape(leaf)), point)
        step = 1e-8
        options = {"key": wide.key, "adjoint": "checkpoint", **_after_a_few_steps(wide.dtype)}
        _, _, gradient = _differentiated(*point, **options)
        ahead, *_ = _differentiated(*jax.tree.map(lambda x, d: x + step * d, point, direction), **options)
        behind, *_ = _differentiated(*jax.tree.map(lambda x, d: x - step * d, point, direction), **options)
        numeric = float((ahead - behind) / (2 * step))
        exact = float(sum(np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True)))
    error = abs(numeric - exact) / max(1.0, abs(exact))
    _demand(error < 1e-4, f"reverse mode gives {exact}, finite differences {numeric}")


def saved_and_loaded_is_equal(case: Case) -> None:
    """``td.save`` and ``td.load`` give the same structure and numbers."""
    with tempfile.TemporaryDirectory() as folder:
        again = load(save(case.dynamics, Path(folder) / "dynamics"))
    _demand(str(jax.tree.structure(again)) == str(jax.tree.structure(case.dynamics)), "loading gives another structure")
    same = all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(case.dynamics), strict=True)
    )
    _demand(same, "loading gives other numbers")


def leaves_are_named_numbers(case: Case) -> None:
    """Every leaf is a number with a dotted path, so that it can be swept."""
    for path, leaf in values(case.dynamics).items():
        _demand("." in path, f"leaf {path!r} has no path of the form part.field")
        _demand(np.issubdtype(np.asarray(leaf).dtype, np.number), f"leaf {path!r} is not a number")


def randomness_is_the_keys(case: Case) -> None:
    """One key gives one result; a part declared random gives another for another key, the others the same."""
    first, again, other = (np.asarray(case.few_steps(key=jax.random.key(seed)).tokens) for seed in (1, 1, 2))
    _demand(bool((first == again).all()), "one key gives two results")
    differs = bool((first != other).any())
    if is_random(case.dynamics):
        _demand(differs, "a part declares itself stochastic, but another key changes nothing (is its scale 0?)")
    else:
        _demand(not differs, "another key changes the result: declare the part `stochastic = True`")


def memory_at_rest_does_nothing(case: Case) -> None:
    """In the first step the displacement of tokens at rest is the force (noise left out)."""
    if is_random(case.dynamics):
        return
    _, info = case.path()
    first = jax.tree.map(lambda leaf: np.asarray(leaf)[0], info)
    _close(first.displacement, first.force, "tokens at rest are displaced by something that is no force")


LAWS: tuple[Callable[[Case], None], ...] = (
    keeps_shape_and_dtype,
    leaves_are_named_numbers,
    compiles_once,
    vmap_equals_loop,
    early_stop_equals_masked_scan,
    trajectory_ends_where_run_does,
    order_of_features_is_irrelevant,
    tokens_are_exchangeable,
    masked_features_have_no_influence,
    masked_tokens_have_no_influence,
    coincident_tokens_have_finite_gradients,
    gradient_equals_finite_differences,
    memory_at_rest_does_nothing,
    randomness_is_the_keys,
    saved_and_loaded_is_equal,
)


def _after_a_few_steps(dtype: Any) -> dict[str, Any]:
    """Options that end a run after its third step. Both are traced: another ``max_steps`` would be another program."""
    return {"tol": jnp.finfo(dtype).max, "min_steps": 3}


def _tokens_and_info(state: State, info: Info) -> tuple[jax.Array, Info]:
    return state.tokens, info


def _scaled(dynamics: Dynamics, factor: Any) -> Dynamics:
    return jax.tree.map(lambda leaf: leaf * factor, dynamics)


@jax.jit
def _mapped(
    dynamics: Dynamics, key: jax.Array, features: jax.Array, *, starts: jax.Array, scales: jax.Array
) -> dict[str, Any]:
    """Runs from these starts, with these multiples of all numbers, under either map."""

    def one(start: jax.Array, scale: jax.Array) -> Any:
        return run(_scaled(dynamics, scale), key, features, tokens=start, max_steps=MAX_STEPS, tol=1e-3)

    return {"jax.vmap": jax.vmap(one)(starts, scales), "td.vmap": vmap(one, batch_size=2)(starts, scales)}


@functools.partial(jax.jit, static_argnames="adjoint")
def _differentiated(
    dynamics: Dynamics,
    features: jax.Array,
    tokens: jax.Array,
    *,
    key: jax.Array,
    tol: Any,
    min_steps: Any,
    adjoint: str,
) -> tuple[jax.Array, Any, tuple[Any, ...]]:
    """A number that tokens and assignment enter, the run's result, and the number's gradient in all three inputs."""

    def number(dynamics: Dynamics, features: jax.Array, tokens: jax.Array) -> tuple[jax.Array, Any]:
        options: dict[str, Any] = {"tokens": tokens, "tol": tol, "min_steps": min_steps, "adjoint": adjoint}
        result = run(dynamics, key, features, max_steps=MAX_STEPS, **options)
        weights = jnp.cos(jnp.arange(tokens.size, dtype=tokens.dtype)).reshape(tokens.shape)
        return jnp.sum(weights * result.tokens) + jnp.sum(result.assignment**2), result

    both = jax.value_and_grad(number, argnums=(0, 1, 2), allow_int=True, has_aux=True)
    (value, result), gradient = both(dynamics, features, tokens)
    return value, result, gradient


def _programs() -> int:
    """How many programs ``run`` has compiled so far in this process."""
    compiled: Any = _run
    return compiled._cache_size()


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _close(actual: Any, expected: Any, otherwise: str) -> None:
    """Equal up to rounding of a few steps, relative to the size of the numbers."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    scale = float(np.max(np.abs(expected))) + 1.0
    error = float(np.max(np.abs(actual - expected))) / scale
    tolerance = 2000 * float(jnp.finfo(expected.dtype).eps)
    if not error <= tolerance:
        raise AssertionError(f"{otherwise}: largest difference {error:.3g} of scale, allowed {tolerance:.3g}")


__all__ = ["LAWS", "Case", "check_dynamics", "check_term", "make_case"]
