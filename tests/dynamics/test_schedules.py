"""Schedules of one's own: classes, functions, and optax's; everywhere a number may stand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from constant_keys import constant_key

import tokdyn as td

KEY = constant_key(0)
FEATURES = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)


@td.part
class Halving(td.Schedule):
    """Halves at every step."""

    start: float
    num_steps: float

    def at(self, step):
        return self.start * 0.5 ** jnp.minimum(step, self.num_steps)


COSINE = optax.cosine_decay_schedule(4.0, decay_steps=6, alpha=0.1)


def halved(step):
    return 4.0 * 0.5**step


def run(temperature, **options):
    dynamics = td.compose(attract=td.attraction(temperature=temperature))
    return td.run(dynamics, KEY, FEATURES, **{"num_tokens": 3, "max_steps": 10, "tol": 0.0, **options})


@pytest.mark.parametrize("schedule", [Halving(4.0, 5.0), td.schedule(halved, num_steps=5)], ids=["class", "function"])
def test_a_run_uses_the_value_of_each_step(schedule):
    """Against the same steps with the numbers put in by hand."""
    state = td.init(td.catalog.soft_kmeans(), KEY, FEATURES, num_tokens=3)
    for step in range(10):
        temperature = 4.0 * 0.5 ** min(step, 5)
        state, _ = td.step(td.catalog.soft_kmeans(temperature=temperature), KEY, state, FEATURES)
    np.testing.assert_allclose(run(schedule).tokens, state.tokens, rtol=1e-5, atol=1e-6)


def test_one_of_optax():
    schedule = td.schedule(COSINE, num_steps=6)
    np.testing.assert_allclose([schedule.at(step) for step in range(6)], [COSINE(step) for step in range(6)])
    assert float(schedule.at(100)) == pytest.approx(0.4)
    assert int(run(schedule, tol=1e9).num_steps) == 6, "a run stops before its schedule has ended"
    assert run(schedule, tol=1e9).tokens.dtype == jnp.float32


def test_in_float64_and_under_vmap_over_its_numbers():
    starts = jnp.array([1.0, 2.0, 4.0])
    mapped = jax.vmap(lambda start: run(Halving(start, 3.0)).tokens)(starts)
    for start, tokens in zip(starts, mapped, strict=True):
        np.testing.assert_allclose(tokens, run(Halving(start, 3.0)).tokens, rtol=1e-5, atol=1e-6)
    with jax.enable_x64(True):
        dynamics = td.compose(attract=td.attraction(temperature=td.schedule(COSINE, num_steps=6)))
        result = td.run(dynamics, KEY, FEATURES.astype(np.float64), num_tokens=3, max_steps=8, tol=0.0)
        assert result.tokens.dtype == jnp.float64


def test_a_class_is_saved_and_a_function_is_refused(tmp_path):
    dynamics = td.compose(attract=td.attraction(temperature=Halving(4.0, 5.0)))
    again = td.load(td.save(dynamics, tmp_path / "halving"))
    assert isinstance(again["attract"].temperature, Halving)
    with pytest.raises(ValueError, match=r"attract\.temperature\.function: expected a static field that JSON can hold"):
        td.save(td.compose(attract=td.attraction(temperature=td.schedule(halved, num_steps=5))), tmp_path / "f")
    assert [path.name for path in tmp_path.iterdir()] == ["halving.npz"]


def test_its_values_are_in_the_range_of_the_number():
    with pytest.raises(ValueError, match="temperature: expected a number of at least 0, got -1"):
        td.attraction(temperature=td.annealing(start=1.0, end=-1.0, num_steps=3, shape="linear"))
    with pytest.raises(ValueError, match="scale: expected a number of at least 0"):
        td.noise(scale=td.schedule(lambda step: 1.0 - step, num_steps=3))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"function": 3.0, "num_steps": 3}, "function: expected a function of the step"),
        ({"function": lambda: 1.0, "num_steps": 3}, "function: expected a traceable function of one step"),
        ({"function": lambda step: float(step), "num_steps": 3}, "function: expected a traceable function of one step"),
        ({"function": lambda step: jnp.zeros(2), "num_steps": 3}, "function: expected one number for a step"),
        ({"function": halved, "num_steps": -1}, "num_steps: expected a number of at least 0"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        td.schedule(**arguments)


def test_a_bare_function_is_told_how():
    with pytest.raises(ValueError, match=r"temperature: expected .* \(td\.schedule makes a schedule of a function\)"):
        td.attraction(temperature=COSINE)
