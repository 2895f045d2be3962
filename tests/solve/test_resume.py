"""One driver: a run that is gone on with is the run, and its history is that of the steps one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key

import tokdyn as td

KEY = constant_key(3)
FEATURES = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
DYNAMICS = {
    "published": td.catalog.published("inertia_repulsion"),
    "noisy": td.compose(
        attract=td.attraction(temperature=0.5), inertia=td.inertia(momentum=0.3), shake=td.noise(scale=0.1)
    ),
    "annealed": td.catalog.annealed(start=8.0, end=0.5, num_steps=6),
}
OPTIONS = {"num_tokens": 3, "tol": 1e-2}


def tokens_and_force(state, info):
    return {"tokens": state.tokens, "force": info.force, "step": state.step}


def ran(dynamics, key=KEY, features=FEATURES, **options):
    given = {**OPTIONS, **options}
    if "state" in given:
        del given["num_tokens"]
    return td.run(dynamics, key, features, **given)


def same(found, expected, tolerance=0.0):
    """To the last bit, or to a share of it; what stands for nothing counts as equal."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("adjoint", "name"), [*(("none", name) for name in DYNAMICS), ("unroll", "noisy"), ("checkpoint", "annealed")]
)
def test_resumed_is_uninterrupted(name, adjoint):
    """To the last bit; the scans of the adjoints to rounding: XLA compiles one of another length another way."""
    options = {"adjoint": adjoint, "keep": tokens_and_force, "every": 2}
    tolerance = 0.0 if adjoint == "none" else 1e-5
    whole = ran(DYNAMICS[name], max_steps=30, **options)
    for cut in (3, 4, 29):
        first = ran(DYNAMICS[name], max_steps=cut, **options)
        same(ran(DYNAMICS[name], max_steps=30, state=first, **options), whole, tolerance)


def test_what_has_converged_takes_no_further_step_unless_asked_for_more():
    first = ran(DYNAMICS["published"], max_steps=200)
    assert td.Status(int(first.status)) is td.Status.CONVERGED
    same(ran(DYNAMICS["published"], max_steps=200, state=first), first)
    closer = ran(DYNAMICS["published"], max_steps=200, state=first, tol=1e-4)
    same(closer, ran(DYNAMICS["published"], max_steps=200, tol=1e-4))
    assert int(closer.num_steps) > int(first.num_steps)
    # A State says nothing of the last displacement: one step shows it.
    again = ran(DYNAMICS["published"], max_steps=200, state=first.state)
    assert int(again.num_steps) == int(first.num_steps) + 1


def test_what_has_failed_goes_on_failing():
    wild = td.compose(attract=td.attraction(temperature=0.5, rate=1e30))
    first = ran(wild, max_steps=5)
    assert td.Status(int(first.status)) is td.Status.NONFINITE
    assert td.Status(int(ran(wild, max_steps=9, state=first).status)) is td.Status.NONFINITE


@pytest.mark.parametrize("batch_size", [None, 4], ids=["jax.vmap", "td.vmap"])
def test_under_vmap_and_in_lanes(batch_size):
    """More runs than lanes, which end at different steps."""
    temperatures = jnp.geomspace(0.05, 20.0, 40)
    mapped = jax.vmap if batch_size is None else functools.partial(td.vmap, batch_size=batch_size)
    options = {"keep": tokens_and_force, "every": 3}

    def one(temperature, state=None, max_steps=30):
        dynamics = td.with_values(DYNAMICS["published"], {"attract.temperature": temperature})
        more = {} if state is None else {"state": state}
        return ran(dynamics, max_steps=max_steps, **options, **more)

    whole = mapped(one)(temperatures)
    assert len(set(np.asarray(whole.num_steps).tolist())) > 3
    first = mapped(functools.partial(one, max_steps=7))(temperatures)
    same(mapped(one)(temperatures, first), whole)


@pytest.mark.parametrize("adjoint", ["none", "unroll"])
@pytest.mark.parametrize("every", [1, 4])
def test_a_history_is_that_of_steps_one_by_one(adjoint, every):
    dynamics = DYNAMICS["noisy"]
    result = ran(dynamics, max_steps=10, tol=0.0, keep=tokens_and_force, every=every, adjoint=adjoint)
    state = td.init(dynamics, KEY, FEATURES, num_tokens=3)
    for number in range(10):
        state, info = td.step(dynamics, KEY, state, FEATURES)
        if (number + 1) % every == 0:
            row = {name: rows[(number + 1) // every - 1] for name, rows in result.kept.items()}
            np.testing.assert_allclose(row["tokens"], state.tokens, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(row["force"], info.force, rtol=1e-4, atol=1e-5)
            assert int(row["step"]) == number + 1
    assert {len(rows) for rows in result.kept.values()} == {10 // every}


@pytest.mark.parametrize("adjoint", ["none", "unroll"])
def test_rows_after_the_stop_hold_nothing(adjoint):
    result = ran(DYNAMICS["published"], max_steps=60, keep=tokens_and_force, adjoint=adjoint)
    taken = int(result.num_steps)
    assert 0 < taken < 60
    assert np.isfinite(result.kept["tokens"][:taken]).all()
    assert np.isnan(result.kept["tokens"][taken:]).all()
    np.testing.assert_array_equal(result.kept["step"], [*range(1, taken + 1), *[0] * (60 - taken)])
    np.testing.assert_array_equal(result.kept["tokens"][taken - 1], result.tokens)


def test_a_trajectory_is_its_short_form():
    state, path = td.trajectory(DYNAMICS["noisy"], KEY, FEATURES, num_tokens=3, num_steps=8)
    result = ran(DYNAMICS["noisy"], max_steps=8, tol=0.0, keep=tokens_and_force)
    np.testing.assert_allclose(path, result.kept["tokens"], rtol=1e-5, atol=1e-6)
    same(ran(DYNAMICS["noisy"], max_steps=12, tol=0.0, state=state).num_steps, jnp.int32(12))


def test_gradients_pass_a_resumed_run():
    """Of the whole, by the chain rule over its two halves, and by finite differences."""
    with jax.enable_x64(True):
        features = FEATURES.astype(np.float64)
        dynamics, options = DYNAMICS["published"], {"max_steps": 8, "tol": 0.0, "adjoint": "unroll"}

        def total(temperature, halves):
            hot = td.with_values(dynamics, {"attract.temperature": temperature})
            if halves:
                first = ran(hot, features=features, **{**options, "max_steps": 3})
                return jnp.sum(ran(hot, features=features, state=first, **options).tokens ** 2)
            return jnp.sum(ran(hot, features=features, **options).tokens ** 2)

        slopes = [float(jax.grad(total)(0.7, halves)) for halves in (False, True)]
        numeric = float(total(0.7 + 1e-6, False) - total(0.7 - 1e-6, False)) / 2e-6
        assert slopes[1] == pytest.approx(slopes[0], rel=1e-12)
        assert slopes[1] == pytest.approx(numeric, rel=1e-6)


def test_reverse_mode_through_a_history_needs_an_adjoint():
    def last(temperature):
        dynamics = td.with_values(DYNAMICS["published"], {"attract.temperature": temperature})
        return ran(dynamics, max_steps=4, keep=tokens_and_force).kept["tokens"][-1].sum()

    with pytest.raises(ValueError, match="adjoint: expected 'unroll'"):
        jax.grad(last)(0.5)


def test_bad_input_gets_a_sentence():
    first = ran(DYNAMICS["published"], max_steps=3, keep=tokens_and_force)
    dynamics = DYNAMICS["published"]
    for options, sentence in (
        ({"state": 3}, "state: expected a State or a Result of td.run, got a int"),
        ({"state": first, "tokens": FEATURES[:3]}, "tokens: expected None, because a state is given"),
        ({"state": ran(td.catalog.soft_kmeans(), max_steps=2)}, "state: expected a state of this dynamics"),
        ({"keep": 3}, "keep: expected a function"),
        ({"keep": tokens_and_force, "every": 0}, "every: expected a static integer of at least 1"),
        ({"state": first, "keep": lambda state, info: info.force}, "state: expected a result whose history"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ran(dynamics, max_steps=5, **options)
