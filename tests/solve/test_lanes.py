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


mapped_once = jax.jit(jax.vmap(count_up, (None, 0, None)))


# Fewer runs than lanes, as many, one more, several rounds.
@settings(max_examples=30)
@given(
    st.sampled_from([1, 2, lanes.MOST_LANES, lanes.MOST_LANES + 1, 70]).flatmap(
        lambda size: st.lists(st.integers(0, 40), min_size=size, max_size=size)
    ),
    st.integers(-3, 3),
)
def test_equals_a_loop_for_any_numbers_of_steps(limits, shift):
    mapped = mapped_once(2, np.asarray(limits), shift)
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


@pytest.mark.parametrize("number", range(8))
def test_three_maps_in_any_order(number):
    """Whether a map takes an argument along is drawn at random, at least one each."""
    draw = np.random.default_rng(number)
    sizes = (3, 4, 5)
    along = draw.random((3, 3)) < 0.5  # [map, argument]
    along[np.arange(3), draw.integers(0, 3, 3)] = True
    arguments = [
        draw.integers(0, 30, [n for n, takes in zip(sizes, along[:, i], strict=True) if takes]) for i in range(3)
    ]
    mapped = count_up
    for takes in reversed(along):
        mapped = jax.vmap(mapped, tuple(0 if one else None for one in takes))
    ended = jax.jit(mapped)(*map(jnp.asarray, arguments))
    spread = [
        np.broadcast_to(
            argument.reshape([n if takes else 1 for n, takes in zip(sizes, along[:, i], strict=True)]), sizes
        )
        for i, argument in enumerate(arguments)
    ]
    expected = np.array([counted(*map(int, values)) for values in zip(*(x.ravel() for x in spread), strict=True)])
    np.testing.assert_array_equal(np.stack(ended, -1).reshape(-1, 2), expected)


def test_a_slow_run_holds_up_no_other():
    """Ten slow runs among 160, one in every sixteen: they take their turns side by side, not one after another."""
    calls = []

    def advance(carry, inputs):
        return jax.pure_callback(
            lambda x: calls.append(1) or np.asarray(x + 1),
            jax.ShapeDtypeStruct((), jnp.int32),
            carry,
            vmap_method="expand_dims",
        )

    def one(limit):
        return lanes.while_each(lambda carry, limit: carry < limit, advance, jnp.zeros((), jnp.int32), limit)

    limits = np.where(np.arange(160) % 16 == 3, 100, 2)
    ended = jax.block_until_ready(jax.jit(jax.vmap(one))(jnp.asarray(limits, jnp.int32)))
    np.testing.assert_array_equal(ended, limits)
    in_blocks = 10 * 100
    # No schedule on 16 lanes takes fewer than the longest run; the steps of all, spread evenly, are 81.
    assert 100 <= len(calls) < in_blocks / 4


def test_keys_in_lanes():
    """Noise of 60 runs from 5 x 12 keys, the dynamics mapped by a third map: each as if alone."""
    features = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(1), (5, 12))
    scales = np.array([0.01, 0.1], np.float32)

    @jax.jit
    def fit(scale, key):
        dynamics = td.with_values(td.catalog.langevin(), {"noise.scale": scale})
        return td.run(dynamics, key, features, num_tokens=3, max_steps=9, tol=0.0).tokens

    mapped = jax.jit(jax.vmap(jax.vmap(jax.vmap(fit, (None, 0)), (0, None)), (None, 0)))(scales, keys)
    assert mapped.shape == (5, 2, 12, 3, 2)
    mapped = np.asarray(mapped)
    for place in ((0, 0, 0), (4, 1, 11), (2, 0, 7)):
        alone = fit(scales[place[1]], keys[place[0], place[2]])
        np.testing.assert_allclose(mapped[place], alone, atol=1e-5)


def test_large_arrays_get_fewer_lanes():
    carry = jnp.zeros(3)
    advance = lambda carry, inputs: carry + inputs.sum()  # noqa: E731
    assert lanes._num_lanes(advance, carry, jnp.zeros(100)) == lanes.MOST_LANES
    assert lanes._num_lanes(advance, carry, jnp.zeros(1_000_000)) == 1
    assert 1 < lanes._num_lanes(advance, carry, jnp.zeros(lanes.LANE_BYTES // 16)) < lanes.MOST_LANES


def test_runs_of_large_arrays_go_one_by_one():
    features = np.random.default_rng(0).normal(size=(3, 6000, 12)).astype(np.float32)
    dynamics, key = td.catalog.soft_kmeans(temperature=5.0), jax.random.key(1)
    fit = jax.jit(lambda x: td.run(dynamics, key, x, num_tokens=2, max_steps=20, tol=1e-2))
    mapped = jax.tree.map(np.asarray, jax.jit(jax.vmap(fit))(features))
    for number in range(3):
        alone = fit(features[number])
        assert mapped.num_steps[number] == alone.num_steps
        np.testing.assert_allclose(mapped.tokens[number], alone.tokens, atol=1e-5)


def test_forward_mode_through_lanes():
    """jax.jvp of vmap and vmap of jax.jvp, over more runs than lanes, against central differences in float64."""
    with jax.enable_x64(True):
        features = np.random.default_rng(0).normal(size=(30, 2))
        keys = jax.random.split(jax.random.key(1), 20)

        def ended(temperature):
            dynamics = td.catalog.soft_kmeans(temperature=1.0)
            dynamics = td.tree.with_values(dynamics, {"attract.temperature": temperature})
            return jax.vmap(lambda k: td.run(dynamics, k, features, num_tokens=3, max_steps=7, tol=0.0).tokens)(keys)

        values = jax.jit(ended)
        slopes = jax.jit(lambda t: (jax.jvp(ended, (t,), (1.0,))[1], jax.jacfwd(ended)(t)))
        tangent, jacobian = slopes(1.3)
        expected = (np.asarray(values(1.3 + 1e-5)) - np.asarray(values(1.3 - 1e-5))) / 2e-5
        assert np.abs(expected).max() > 1e-3  # not a comparison of zeros
        np.testing.assert_allclose(tangent, expected, atol=1e-6)
        np.testing.assert_allclose(jacobian, expected, atol=1e-6)
