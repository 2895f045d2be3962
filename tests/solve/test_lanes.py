"""A loop in lanes is a loop: every run takes its own steps, whatever the others do, and no more are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokdyn as td
from tokdyn.solve import lanes


def count_up(start, limit, shift):
    """From start by ones to the limit; the second number is what the steps add up to."""
    return lanes.while_each(
        lambda carry, inputs: carry[0] < inputs[0],
        lambda carry, inputs: (carry[0] + 1, carry[1] + carry[0] + inputs[1]),
        (start, jnp.zeros_like(start)),
        (limit, shift),
    )


def counted(start, limit, shift):
    total = 0
    while start < limit:
        start, total = start + 1, total + start + shift
    return start, total


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=70), st.integers(-3, 3))
def test_equals_a_loop_for_any_numbers_of_steps(limits, shift):
    mapped = jax.vmap(count_up, (None, 0, None))(jnp.asarray(2), jnp.asarray(limits), jnp.asarray(shift))
    expected = np.array([counted(2, limit, shift) for limit in limits]).T
    np.testing.assert_array_equal(np.array(mapped), expected)


@pytest.mark.parametrize("inner", [(0, None, None), (None, 0, None), (0, 0, None), (None, 0, 0)])
@pytest.mark.parametrize("outer", [(0, None, None), (None, 0, None), (None, None, 0), (0, None, 0)])
def test_vmap_of_vmap_is_every_pair(inner, outer):
    """What only one of the two maps is repeated or tiled for the other."""
    draw = np.random.default_rng(0)
    sizes = (7, 11)  # 77 runs: more than there are lanes
    shapes = [tuple(n for n, axes in zip(sizes, (outer, inner), strict=True) if axes[i] == 0) for i in range(3)]
    arguments = [draw.integers(0, 30, shape) for shape in shapes]
    mapped = jax.jit(jax.vmap(jax.vmap(count_up, inner), outer))(*map(jnp.asarray, arguments))

    def of_pair(argument, i, number, position):
        index = ((number,) if outer[i] == 0 else ()) + ((position,) if inner[i] == 0 else ())
        return int(argument[index])

    for number in range(7):
        for position in range(11):
            values = [of_pair(argument, i, number, position) for i, argument in enumerate(arguments)]
            assert (int(mapped[0][number, position]), int(mapped[1][number, position])) == counted(*values)


def test_a_slow_run_holds_up_no_other():
    """Ten slow runs among 160, one in every sixteen: they take their turns side by side, not one after another."""
    calls = []

    def advance(carry, inputs):
        return jax.pure_callback(
            lambda x: calls.append(1) or np.asarray(x + 1), jax.ShapeDtypeStruct((), jnp.int32), carry,
            vmap_method="expand_dims",
        )  # fmt: skip

    def one(limit):
        return lanes.while_each(lambda carry, limit: carry < limit, advance, jnp.zeros((), jnp.int32), limit)

    limits = np.where(np.arange(160) % 16 == 3, 100, 2)
    ended = jax.block_until_ready(jax.jit(jax.vmap(one))(jnp.asarray(limits, jnp.int32)))
    np.testing.assert_array_equal(ended, limits)
    in_blocks = 10 * 100
    # No schedule on 16 lanes takes fewer than the longest run; the steps of all, spread evenly, are 81.
    assert 100 <= len(calls) < in_blocks / 4


def test_large_arrays_get_fewer_lanes():
    carry = jnp.zeros(3)
    advance = lambda carry, inputs: carry + inputs.sum()  # noqa: E731
    assert lanes._num_lanes(advance, carry, jnp.zeros(100)) == lanes.MOST_LANES
    assert lanes._num_lanes(advance, carry, jnp.zeros(1_000_000)) == 1
    assert 1 < lanes._num_lanes(advance, carry, jnp.zeros(lanes.LANE_BYTES // 16)) < lanes.MOST_LANES


def test_runs_of_large_arrays_go_one_by_one():
    features = jax.random.normal(jax.random.key(0), (3, 6000, 12))
    fit = lambda x: td.run(  # noqa: E731
        td.catalog.soft_kmeans(temperature=5.0), jax.random.key(1), x, num_tokens=2, max_steps=20, tol=1e-2
    )
    mapped = jax.jit(jax.vmap(fit))(features)
    for number in range(3):
        alone = fit(features[number])
        assert mapped.num_steps[number] == alone.num_steps
        np.testing.assert_allclose(mapped.tokens[number], alone.tokens, atol=1e-5)


def test_forward_mode_through_lanes():
    """jax.jvp of vmap and vmap of jax.jvp, over more runs than lanes, against central differences in float64."""
    with jax.enable_x64(True):
        features = jax.random.normal(jax.random.key(0), (30, 2))
        keys = jax.random.split(jax.random.key(1), 20)

        def ended(temperature):
            dynamics = td.catalog.soft_kmeans(temperature=1.0)
            dynamics = td.tree.with_values(dynamics, {"attract.temperature": temperature})
            return jax.vmap(lambda k: td.run(dynamics, k, features, num_tokens=3, max_steps=7, tol=0.0).tokens)(keys)

        _, tangent = jax.jvp(jax.jit(ended), (1.3,), (1.0,))
        expected = (ended(1.3 + 1e-5) - ended(1.3 - 1e-5)) / 2e-5
        np.testing.assert_allclose(tangent, expected, atol=1e-6)
        np.testing.assert_allclose(jax.jacfwd(ended)(1.3), expected, atol=1e-6)
