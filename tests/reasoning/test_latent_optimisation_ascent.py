"""The ascent: rates that are known, controls that cost the same, and what it says when something breaks."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn.checks import Status
from tokdyn.reasoning.latent_optimisation import optimise

CURVES, START = np.array([1.0, 0.5, 0.1]), np.array([2.0, -1.0, 3.0])
CONTROLS = list(itertools.product(["reinforce", "random"], ["all", "improvements"]))


def quadratic(z):
    return 1.0 - 0.5 * jnp.sum(jnp.asarray(CURVES, z.dtype) * z**2)


def wavy(z):
    return jnp.sum(jnp.sin(3 * z) - 0.1 * z**2)


def climbed(reward=quadratic, start=START, seed=0, **options):
    """Outside jit, where what breaks is an error."""
    return optimise(reward, np.float32(start), key=constant_key(seed), **{"num_steps": 10, **options})


def ascended(*args, **options):
    """The same as one program."""
    return compiled(lambda: climbed(*args, **options))()


wave = compiled(wavy)


def test_gradient_ascent_on_a_quadratic_has_its_known_rate():
    # z <- z - rate * a * z
    found = ascended(num_steps=60, estimator="gradient", hyper={"learning_rate": 0.9})
    np.testing.assert_allclose(found.latent, START * (1 - 0.9 * CURVES) ** 60, rtol=1e-4, atol=1e-7)
    assert 1 - float(found.best_reward[-1]) < 1e-4
    assert int(found.num_evaluations) == 1 + 2 * 60


@pytest.mark.parametrize("options", [{"antithetic": True}, {"baseline": "leave_one_out"}])
def test_estimated_gradients_have_the_same_rate_on_average(options):
    # The estimate is unbiased on a quadratic, and the recursion linear in it: means obey it exactly.
    one = lambda seed: optimise(  # noqa: E731
        quadratic, np.float32(START), key=jax.random.key(seed), num_steps=10, sigma=0.3, num_samples=8,
        hyper={"learning_rate": 0.2}, **options,
    ).latent  # fmt: skip
    ends = compiled(jax.vmap(one))(np.arange(4000))
    error = ends.std(axis=0) / np.sqrt(4000)
    assert (error < 0.02).all()
    assert (np.abs(ends.mean(axis=0) - START * (1 - 0.2 * CURVES) ** 10) < 5 * error).all()


def test_any_optimiser_climbs():
    # As by hand: optax descends, the gradient is handed over with the other sign.
    found = ascended(estimator="gradient", optimiser=optax.adam, hyper={"learning_rate": 0.1, "b1": 0.8}, num_steps=3)
    chain = optax.adam(0.1, b1=0.8)

    @compiled
    def by_hand(z):
        memory = chain.init(z)
        for _ in range(3):
            step, memory = chain.update(-jax.grad(quadratic)(z), memory)
            z = z + step
        return z

    np.testing.assert_allclose(found.latent, by_hand(np.float32(START)), rtol=1e-5)


def test_schedules():
    rates = td.annealing(start=0.5, end=0.125, num_steps=2)
    found = ascended(estimator="gradient", hyper={"learning_rate": rates}, num_steps=3)
    expected = START * (1 - 0.5 * CURVES) * (1 - 0.25 * CURVES) * (1 - 0.125 * CURVES)
    np.testing.assert_allclose(found.latent, expected, rtol=1e-5)


def test_a_policy_gradient_by_hand():
    log_policy = lambda z: -0.5 * jnp.sum((z - 1.0) ** 2)  # noqa: E731
    found = ascended(estimator="policy", log_policy=log_policy, hyper={"learning_rate": 0.1}, num_steps=2)
    z = START
    for _ in range(2):
        z = z + 0.1 * (1.0 - 0.5 * np.sum(CURVES * z**2)) * (1.0 - z)
    np.testing.assert_allclose(found.latent, z, rtol=1e-5)
    assert int(found.num_evaluations) == 3


def test_one_program_for_questions_seeds_sigmas_and_rates():
    traced = []

    def one(target, seed, sigma, rate):
        traced.append(1)
        return optimise(
            lambda z: -jnp.sum((z - target) ** 2), jnp.zeros(2), key=jax.random.fold_in(constant_key(0), seed),
            num_steps=5, sigma=sigma, num_samples=4, hyper={"learning_rate": rate}, optimiser=optax.adam,
        )  # fmt: skip

    many = one
    for axis in range(4):
        many = jax.vmap(many, in_axes=tuple(0 if place == axis else None for place in range(4)))
    program = compiled(many)
    for shift in (0.0, 1.0):
        targets = np.float32([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]]) + np.float32(shift)
        found = program(targets, np.arange(2), np.float32([0.1, 1.0]), np.float32([0.01, 0.1]) + np.float32(shift))
    assert len(traced) == 1
    # Axes come out in reverse order of the maps.
    assert found.reward.shape == (2, 2, 2, 3, 6)
    alone = compiled(one)(targets[1], 1, 0.1, 1.1)
    np.testing.assert_allclose(found.reward[1, 0, 1, 1], alone.reward, rtol=1e-4)


def test_all_controls_evaluate_the_reward_equally_often():
    ways = dict.fromkeys(CONTROLS, "step") | {("reinforce", "all", "sample"): "sample"}
    for (direction, accept, *_), scored in ways.items():
        calls = []

        def counted(z):
            jax.debug.callback(lambda _: calls.append(1), z[0])  # noqa: B023
            return wavy(z)

        options = {"direction": direction, "accept": accept, "scored": scored}
        found = ascended(counted, num_steps=6, num_samples=4, **options)
        jax.effects_barrier()
        assert len(calls) == int(found.num_evaluations) == (1 + 6 * 5 if scored == "step" else 1 + 6 * 4)


@pytest.mark.parametrize("optimiser", [optax.sgd, optax.adam])
def test_a_random_direction_keeps_the_length(optimiser):
    options = {"optimiser": optimiser, "hyper": {"learning_rate": 0.1}, "num_steps": 1}

    @functools.partial(compiled, static_argnums=0)
    def climbs(direction):
        one = lambda key: optimise(quadratic, np.float32(START), key=key, direction=direction, **options)  # noqa: E731
        return jax.vmap(one)(jax.vmap(jax.random.key)(jnp.arange(3000)))

    both = {direction: climbs(direction) for direction in ("reinforce", "random")}
    steps = {direction: found.latent - START for direction, found in both.items()}
    lengths = {direction: np.linalg.norm(step, axis=-1) for direction, step in steps.items()}
    np.testing.assert_allclose(lengths["reinforce"], lengths["random"], rtol=1e-3)
    np.testing.assert_allclose(both["random"].step_length[:, 0], lengths["random"], rtol=1e-3)
    # A component of a random unit vector in D dimensions has mean 0 and variance 1 / D.
    units = steps["random"] / lengths["random"][:, None]
    assert (np.abs(units.mean(axis=0)) < 5 / np.sqrt(3 * 3000)).all()
    np.testing.assert_allclose((units**2).mean(axis=0), 1 / 3, atol=5 * np.sqrt(4 / 45 / 3000))
    # ... and is not that of the gradient, which the other one follows.
    ascent = -CURVES * START / np.linalg.norm(CURVES * START)
    assert (steps["reinforce"] @ ascent).mean() > 0.5 * lengths["reinforce"].mean()


@pytest.mark.parametrize("direction", ["reinforce", "random"])
def test_what_is_accepted_only_rises(direction):
    options = {"sigma": 0.5, "num_samples": 4, "hyper": {"learning_rate": 0.3}, "num_steps": 40}
    found = ascended(wavy, direction=direction, accept="improvements", **options)
    accepted = found.accepted
    assert 0 < accepted.sum() < 40
    kept = found.reward[np.concatenate([[True], accepted])]
    assert (np.diff(kept) > 0).all()
    np.testing.assert_allclose(wave(found.latent), kept[-1], rtol=1e-5)
    assert float(found.best_reward[-1]) == kept[-1]
    np.testing.assert_array_equal(np.maximum.accumulate(found.reward), found.best_reward)
    # All steps: the same law goes down too.
    everything = ascended(wavy, direction=direction, **options)
    assert everything.accepted.all()
    assert (np.diff(everything.reward) < 0).any()
    np.testing.assert_allclose(wave(everything.latent), everything.reward[-1], rtol=1e-4)


def test_what_is_remembered():
    still = {"hyper": {"learning_rate": 0.0}, "sigma": 0.5, "num_samples": 8}
    sample = ascended(wavy, scored="sample", **still)
    assert float(sample.best_reward[-1]) > float(sample.reward[0])
    np.testing.assert_allclose(wave(sample.best_latent), sample.best_reward[-1], rtol=1e-5)
    np.testing.assert_array_equal(sample.latent, START)
    # The released rule has the same reward for a latent that it is not the reward of, and never the start's.
    released = ascended(wavy, scored="sample_as_step", **still)
    np.testing.assert_array_equal(released.reward, sample.reward)
    np.testing.assert_array_equal(released.best_latent, START)
    assert np.isneginf(released.best_reward[0])
    step = ascended(wavy, scored="step", **still)
    np.testing.assert_allclose(step.reward, step.reward[0], rtol=1e-6)
    assert not (step.best_reward > step.reward[0]).any()


def test_enough_is_enough():
    options = {"estimator": "gradient", "hyper": {"learning_rate": 0.9}, "num_steps": 60}
    whole = ascended(**options)
    first = int(np.argmax(whole.reward > 0.9))
    found = ascended(enough=0.9, **options)
    assert int(found.status) == Status.CONVERGED
    assert int(whole.status) == Status.MAX_STEPS
    np.testing.assert_allclose(found.latent, START * (1 - 0.9 * CURVES) ** first, rtol=1e-4, atol=1e-7)
    assert int(found.num_evaluations) == 1 + 2 * first
    np.testing.assert_array_equal(np.isfinite(found.reward), np.arange(61) <= first)


def test_what_breaks_says_so():
    # NaN for every z below 1: from 2 at a rate of 0.9, the second step goes there.
    broken = lambda z: jnp.where(z[0] < 1.0, jnp.nan, quadratic(z))  # noqa: E731
    options = {"estimator": "gradient", "hyper": {"learning_rate": 0.4}}
    with pytest.raises(ValueError, match="reward: expected finite numbers, got NaN or infinite at step 2 of 10"):
        climbed(broken, **options)
    found = ascended(broken, **options)
    assert int(found.status) == Status.NONFINITE
    np.testing.assert_allclose(found.latent, START * (1 - 0.4 * CURVES), rtol=1e-5)
    assert np.isfinite(found.best_latent).all()
    assert np.isfinite(found.best_reward).all()
    np.testing.assert_array_equal(np.isfinite(found.reward), np.arange(11) < 2)
    # A sample's NaN, and one at the start.
    with pytest.raises(ValueError, match="reward: expected finite numbers"):
        climbed(broken, start=np.array([1.01, 0.0, 0.0]), sigma=1.0, hyper={"learning_rate": 0.0})
    with pytest.raises(ValueError, match="reward: expected finite numbers, got NaN or infinite at step 0 of 10"):
        climbed(lambda z: jnp.nan * z.sum())
    with pytest.raises(ValueError, match="hyper: expected steps that stay finite"):
        climbed(hyper={"learning_rate": np.inf})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps: expected"),
        ({"sigma": 0.0}, "sigma: expected a number above 0"),
        ({"num_samples": 0}, "num_samples: expected"),
        ({"num_samples": 5, "antithetic": True}, "num_samples: expected an even number"),
        ({"num_samples": 1}, "num_samples: expected at least 2"),
        ({"direction": "up"}, "direction: expected"),
        ({"accept": "some"}, "accept: expected"),
        ({"scored": "mean"}, "scored: expected"),
        ({"estimator": "policy"}, "log_policy: expected a function of the latent"),
        ({"log_policy": quadratic}, "log_policy: expected"),
        ({"estimator": "gradient", "scored": "sample"}, 'scored: expected "step"'),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        climbed(**options)
