"""Reptile moves the start where its formula says, and a learned start learns faster."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tokdyn.train import fit, reptile

START = {"params": np.zeros(3, np.float32), "state": {}}


class Point:
    """Weights are a point; a task asks for another one."""

    def __init__(self, params):
        self.params = params

    def init(self, key):
        return {"params": self.params, "state": {}}

    def apply(self, variables, inputs, **_):
        return variables["params"], {}


def adapt_to(goal_of, num_steps, rate):
    def adapt(variables, key):
        goal = goal_of(key)

        def loss(model, variables, batch, key):
            return 0.5 * jnp.sum((variables["params"] - goal) ** 2), ({}, {})

        return fit(
            Point(variables["params"]),
            loss,
            jnp.zeros(1),
            key=key,
            num_steps=num_steps,
            record_every=1,
            hyper={"learning_rate": rate},
            optimiser=optax.sgd,
        )

    return adapt


def test_one_task_is_geometric_approach():
    """k gradient steps of rate a leave (1 - a)^k of the way; a round leaves 1 - e (1 - (1 - a)^k) of it."""
    goal = jnp.array([1.0, -2.0, 3.0])
    learned, losses = jax.jit(
        lambda: reptile(adapt_to(lambda key: goal, 5, 0.1), START, key=jax.random.key(0), num_rounds=4, rate=0.5)
    )()
    left = 1 - 0.5 * (1 - 0.9**5)
    np.testing.assert_allclose(learned["params"], goal * (1 - left**4), rtol=1e-5)
    np.testing.assert_allclose(losses, 7.0 * left ** (2 * np.arange(4)), rtol=1e-5)


def test_many_tasks_lead_to_their_mean():
    centre = jnp.array([1.0, -2.0, 3.0])
    goals = adapt_to(lambda key: centre + jax.random.normal(key, (3,)), 5, 0.5)
    learned, _ = jax.jit(lambda: reptile(goals, START, key=jax.random.key(1), num_rounds=200, num_tasks=16, rate=0.1))()
    # A mean of independent normal numbers with geometric weights: variance below rate / (2 - rate) / num_tasks.
    assert np.abs(learned["params"] - centre).max() < 5 * np.sqrt(0.1 / 1.9 / 16)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_rounds": 0}, "num_rounds: expected"),
        ({"num_tasks": 0}, "num_tasks: expected"),
        ({"rate": 0.0}, "rate: exp"),
    ],
)
def test_bad_input(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        reptile(adapt_to(lambda key: 0.0, 1, 0.1), START, **{"key": jax.random.key(0), "num_rounds": 1, **options})
