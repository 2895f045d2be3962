"""Features that are read in chunks give what they give in memory, and memory holds chunks only."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from constant_keys import constant_key

import tokdyn as td
from tokdyn.dynamics import arrangement

KEY = constant_key(0)
NUM_FEATURES, DIMENSION, NUM_TOKENS = 20_011, 100, 4


@functools.cache
def features():
    generator = np.random.default_rng(0)
    centres = 3.0 * generator.normal(size=(5, DIMENSION))
    rows = generator.normal(size=(NUM_FEATURES, DIMENSION)) + centres[generator.integers(0, 5, NUM_FEATURES)]
    return rows.astype(np.float32)


class Reads:
    """Features that note what is read of them."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.num_rows, self.most = 0, 0

    def __getitem__(self, which):
        found = self.values[which]
        rows = 1 if found.ndim == 1 else len(found)
        self.num_rows, self.most = self.num_rows + rows, max(self.most, rows)
        return found


@td.part
class Tether(td.Term):
    """Pulls to the mean of the features, which it wants as a whole."""

    strength: float

    def prepare(self, features, mask, token_mask):
        return jnp.mean(features, axis=0)

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(self.strength * (context - tokens)), memory


DYNAMICS = {
    "all parts": lambda: td.compose(
        attract=td.attraction(temperature=td.annealing(start=400.0, end=100.0, num_steps=4)),
        repel=td.repulsion(strength=0.05),
        noise=td.noise(scale=0.01),
        inertia=td.inertia(momentum=0.3),
    ),
    "differences and a second attraction": lambda: td.compose(
        near=td.attraction(temperature=50.0, distances="difference", rate=0.5),
        far=td.attraction(temperature=300.0, rate=0.3),
    ).assigning("far"),
}


@functools.cache
def in_memory(name, assignment):
    run = jax.jit(functools.partial(td.run, num_tokens=NUM_TOKENS, max_steps=12, tol=1e-2, assignment=assignment))
    return jax.device_get(run(DYNAMICS[name](), KEY, features()))


@pytest.mark.parametrize("kind", ["npy", "zarr"])
@pytest.mark.parametrize("name", DYNAMICS)
def test_numbers_are_those_of_run(tmp_path, name, kind):
    if kind == "npy":
        np.save(tmp_path / "features.npy", features())
        source = np.load(tmp_path / "features.npy", mmap_mode="r")
        out = np.lib.format.open_memmap(tmp_path / "soft.npy", "w+", np.float32, (NUM_FEATURES, NUM_TOKENS))
    else:
        source = zarr.create_array(str(tmp_path / "features.zarr"), data=features(), chunks=(3_000, DIMENSION))
        out = zarr.create_array(str(tmp_path / "soft.zarr"), shape=(NUM_FEATURES, NUM_TOKENS), dtype="float32")
    expected = in_memory(name, "soft")
    result = td.run_streamed(
        DYNAMICS[name](),
        KEY,
        source,
        num_tokens=NUM_TOKENS,
        max_steps=12,
        tol=1e-2,
        assignment="soft",
        out=out,
        rows_at_once=8_000,
    )
    assert result.assignment is out
    np.testing.assert_allclose(result.tokens, expected.tokens, atol=2e-5)
    np.testing.assert_allclose(np.asarray(out[:]), expected.assignment, atol=2e-5)
    for field in ("num_steps", "status", "num_distinct"):
        assert int(getattr(result, field)) == int(getattr(expected, field)), field
    np.testing.assert_allclose(result.displacement, expected.displacement, atol=2e-5)
    np.testing.assert_allclose(result.residual, expected.residual, atol=2e-5)
    assert result.labels is None


def test_a_step_reads_every_feature_once_and_holds_a_chunk(monkeypatch):
    monkeypatch.setattr(arrangement, "_num_cores", lambda: 1)  # the size of a tile depends on them
    source, steps = Reads(features()), []
    result = td.run_streamed(
        DYNAMICS["all parts"](),
        KEY,
        source,
        num_tokens=NUM_TOKENS,
        max_steps=3,
        tol=0.0,
        rows_at_once=8_000,
        assignment="hard",
        progress=lambda done, of: steps.append((done, of)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert source.most <= 8_000
    # The spread, three steps, the labels; a sample, and the start.
    assert source.num_rows <= 5 * NUM_FEATURES + 512 + NUM_TOKENS
    assert result.labels.shape == (NUM_FEATURES,)
    assert result.assignment is None


def test_features_that_a_sample_misses():
    rows = np.zeros((NUM_FEATURES, DIMENSION), np.float32)
    rows[17] = 1e25
    tokens = np.stack([rows[17], rows[3]]) * np.float32(0.75)
    dynamics = td.catalog.soft_kmeans(temperature=0.0)
    result = td.run_streamed(dynamics, None, rows, tokens=tokens, max_steps=2, tol=0.0, assignment="hard")
    assert td.Status(int(result.status)).name == "MAX_STEPS"
    np.testing.assert_allclose(result.tokens[0], rows[17], rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(result.labels == 0), [17])


def test_few_features_and_masked_tokens():
    few, exists = features()[:200], np.array([True, False, True, True])
    arguments = {"num_tokens": NUM_TOKENS, "max_steps": 5, "tol": 0.0, "token_mask": exists}
    expected = td.run(DYNAMICS["all parts"](), KEY, few, **arguments, assignment="hard")
    out = np.empty(200, np.int64)
    result = td.run_streamed(DYNAMICS["all parts"](), KEY, few, **arguments, assignment="hard", out=out)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert result.labels is out
    np.testing.assert_allclose(np.asarray(result.tokens)[exists], np.asarray(expected.tokens)[exists], atol=1e-6)


def test_a_feature_that_is_no_number_ends_the_run():
    rows = features().copy()
    rows[19_999, 1] = np.nan
    result = td.run_streamed(DYNAMICS["all parts"](), KEY, rows, num_tokens=2, max_steps=9, tol=0.0)
    assert td.Status(int(result.status)).name == "NONFINITE"
    assert int(result.num_steps) == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"source": np.arange(10).reshape(5, 2)}, "source: expected a floating-point array [N, D]"),
        ({"source": [[1.0, 2.0]]}, "source: expected a floating-point array [N, D] whose rows can be sliced, got a "),
        ({"source": np.zeros((0, 2), np.float32)}, "source: expected at least one feature"),
        ({"num_tokens": None}, "num_tokens: expected a number, because no tokens are given, got None"),
        ({"num_tokens": 30_000}, "num_tokens: expected at most the number of features, 20011, got 30000"),
        ({"key": None}, "key: expected a JAX key, because no tokens are given, got None"),
        ({"stop": "never"}, "stop: expected one of"),
        ({"tol": -1.0}, "tol: expected"),
        ({"out": np.zeros(4)}, "out: expected None, because no assignment is asked for"),
        ({"out": np.zeros(4), "assignment": "soft"}, "out: expected an array of shape (20011, 4), got shape (4,)"),
        ({"dynamics": td.compose(tether=Tether(0.1))}, "tether: expected a part that does not look at the features"),
    ],
)
def test_bad_input(changed, sentence):
    given = {"dynamics": td.catalog.soft_kmeans(), "key": KEY, "source": features(), "num_tokens": NUM_TOKENS}
    given = given | {"max_steps": 2, "tol": 0.0} | changed
    with pytest.raises(ValueError, match=".") as caught:
        td.run_streamed(given.pop("dynamics"), given.pop("key"), given.pop("source"), **given)
    assert str(caught.value).startswith(sentence)
