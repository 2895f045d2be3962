"""The range of a number is declared once, and holds wherever the number comes from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constant_keys import constant_key

import tokdyn as td

KEY = constant_key(0)
FEATURES = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
PUBLISHED = td.catalog.published("inertia_repulsion")
OUT_OF_RANGE = [
    ("attract.temperature", -1.0), ("attract.temperature", np.nan), ("attract.rate", -0.1), ("attract.rate", np.inf),
    ("attract.mass_floor", -1e-9), ("repel.strength", -1.0), ("repel.eps", -1e-3), ("inertia.momentum", -0.5),
    ("inertia.momentum", np.nan),
]  # fmt: skip


@td.part
class Wind(td.Term):
    """A drift whose speed has a range on both sides."""

    speed: float = td.number(above=0.0, below=2.0)

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(jnp.full_like(tokens, self.speed)), memory


def forced(dynamics, path, value):
    """The number put in by JAX, past all checks."""
    name, field = path.split(".")
    part = dataclasses.replace(dynamics[name], **{field: value})
    parts = tuple(part if name == other else dynamics[other] for other in dynamics)
    return dataclasses.replace(dynamics, parts=parts)


def run(dynamics, **options):
    return td.run(dynamics, KEY, FEATURES, **{"num_tokens": 3, "max_steps": 5, "tol": 1e-3, **options})


@pytest.mark.parametrize(("path", "value"), OUT_OF_RANGE)
def test_known_values_are_refused_everywhere(path, value, tmp_path):
    sentence = rf"{path}: expected a (finite )?number.*got"
    with pytest.raises(ValueError, match=sentence):
        td.with_values(PUBLISHED, {path: value})
    bad = forced(PUBLISHED, path, np.float64(value))
    with pytest.raises(ValueError, match=sentence):
        td.compose(**{name: bad[name] for name in bad})
    with pytest.raises(ValueError, match=sentence):
        td.load(td.save(bad, tmp_path / "bad"))

    def evaluate(dynamics, key):
        return {"steps": run(dynamics).num_steps}

    with pytest.raises(ValueError, match=path):
        td.sweep(evaluate, PUBLISHED, td.grid({path: [0.5, value]}), seeds=2, key=KEY, unit=2)


def test_traced_values_end_as_a_status():
    """One program for all paths: each in turn has a value that it may not have, then one that it may."""
    paths = list(td.values(PUBLISHED))
    whole = np.array([float(x) for x in td.values(PUBLISHED).values()])
    rows = np.tile(whole, (2 * len(OUT_OF_RANGE), 1))
    for number, (path, value) in enumerate(OUT_OF_RANGE):
        rows[2 * number, paths.index(path)] = value
        rows[2 * number + 1, paths.index(path)] = 0.25

    def status(row):
        return run(td.with_values(PUBLISHED, dict(zip(paths, row, strict=True)))).status

    for mapped in (jax.vmap(status), td.vmap(status, batch_size=2)):
        found = np.asarray(mapped(jnp.asarray(rows, jnp.float32)))
        assert (found[::2] == td.Status.INVALID).all()
        assert td.Status.INVALID not in found[1::2]


def test_both_ends_of_a_range_and_parts_of_others():
    for speed in (0.0, 2.0, np.nan):
        with pytest.raises(ValueError, match=r"wind\.speed: expected a number above 0 and below 2"):
            td.compose(wind=Wind(speed))
    dynamics = td.compose(wind=Wind(1.0))
    assert int(run(dynamics).status) == td.Status.MAX_STEPS
    nested = {"dynamics": dynamics, "other": 3.0}
    with pytest.raises(ValueError, match=r"dynamics\.wind\.speed: expected"):
        td.with_values(nested, {"dynamics.wind.speed": 5.0})


def test_a_schedule_is_held_to_the_range_of_what_it_stands_for():
    annealed = td.compose(
        attract=td.attraction(temperature=td.annealing(start=4.0, end=1.0, num_steps=4, shape="linear"))
    )
    with pytest.raises(ValueError, match=r"attract\.temperature: expected a number of at least 0, got -2"):
        td.with_values(annealed, {"attract.temperature.end": -2.0})
    status = jax.jit(lambda end: run(td.with_values(annealed, {"attract.temperature.end": end})).status)
    assert int(status(-2.0)) == td.Status.INVALID
    assert int(status(2.0)) != td.Status.INVALID


def test_infinity_where_it_means_something():
    assert int(run(td.with_values(PUBLISHED, {"attract.temperature": np.inf})).status) != td.Status.INVALID
