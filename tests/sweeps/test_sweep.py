"""A sweep is a loop over cells and seeds, whatever the chunk, the threads, the devices and the place of the results."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from constant_keys import constant_key
from sweep_evaluators import BASE, DIMS, SPACE, fit

import tokdyn as td

KEY = constant_key(7)


@pytest.fixture(scope="module")
def dataset():
    return td.sweep(fit, BASE, SPACE, seeds=40, key=KEY, dims=DIMS)


def test_is_a_loop_over_cells_and_seeds(dataset):
    assert dataset.residual.dims == ("dynamics.attract.temperature", "noise", "seed")
    assert dataset.tokens.dims == ("dynamics.attract.temperature", "noise", "seed", "token", "dimension")
    one = jax.jit(fit)
    for temperature in (0.5, 4.0):
        for noise in (0.3, 0.6):
            for seed in (0, 17, 39):
                config = td.with_values(BASE, {"dynamics.attract.temperature": temperature, "noise": noise})
                expected = one(config, td.keys.for_seed(KEY, seed))
                cell = dataset.sel({"dynamics.attract.temperature": temperature, "noise": noise, "seed": seed})
                assert int(cell.num_steps) == int(expected["num_steps"])
                np.testing.assert_allclose(cell.tokens, expected["tokens"], rtol=2e-4, atol=2e-4)
                assert bool(cell.merged) == bool(expected["merged"])


@pytest.mark.parametrize(
    "options",
    [{"chunk": 1}, {"chunk": 100}, {"chunk": 10_000}, {"workers": 1}, {"workers": 5}, {"cost": lambda c: c["noise"]}],
    ids=["chunk 1", "chunk 100", "chunk 10000", "1 worker", "5 workers", "by cost"],
)
def test_not_a_bit_depends_on_how_it_is_done(dataset, options):
    xarray.testing.assert_identical(
        td.sweep(fit, BASE, SPACE, seeds=40, key=KEY, dims=DIMS, unit=dataset.unit, **options).drop_attrs(),
        dataset.drop_attrs(),
    )


def test_seeds_are_numbers_not_positions(dataset):
    some = td.sweep(fit, BASE, SPACE, seeds=[17, 3], key=KEY, dims=DIMS, unit=dataset.unit)
    xarray.testing.assert_identical(some.drop_attrs(), dataset.sel(seed=[17, 3]).drop_attrs())


def test_paired_cells_share_draws_and_unpaired_ones_do_not():
    draw = lambda config, key: {"x": jax.random.normal(key), "v": config["a"]}  # noqa: E731
    space = td.grid({"a": [0.0, 1.0, 2.0]})
    paired, unpaired = (td.sweep(draw, {"a": 0.0}, space, seeds=50, key=KEY, paired=p) for p in (True, False))
    assert (paired.x == paired.x.isel(a=0)).all()
    assert len(np.unique(unpaired.x)) == 150
    np.testing.assert_array_equal(unpaired.v, np.repeat([[0.0], [1.0], [2.0]], 50, axis=1))


def test_zipped_and_sampled_axes_keep_their_values_as_coordinates():
    space = td.zipped("pair", {"a": [1.0, 2.0], "b": [3.0, 5.0]}) * td.sampled(4, {"c": td.uniform(0, 1)})
    add = lambda config, key: {"sum": config["a"] + config["b"] + config["c"]}  # noqa: E731
    found = td.sweep(add, {"a": 0.0, "b": 0.0, "c": 0.0}, space, seeds=1, key=KEY)
    assert found["sum"].dims == ("pair", "sample", "seed")
    np.testing.assert_allclose(found["sum"].isel(seed=0), (found.a + found.b + found.c).transpose("pair", "sample"))


def test_whole_numbers_stay_whole():
    seen = {}

    def evaluate(config, key):
        seen.update(config)
        return {"whole": config["n"], "real": config["x"]}

    found = td.sweep(evaluate, {"n": 1, "x": 1.0}, td.grid({"n": [1, 2], "x": [1, 2]}), seeds=1, key=KEY)
    assert seen["n"].dtype.kind == "i"
    assert seen["x"].dtype.kind == "f"
    np.testing.assert_array_equal(found.whole.isel(seed=0), [[1, 1], [2, 2]])


class TestVariants:
    @staticmethod
    def evaluate(config, key, *, num_tokens, rule="plain"):
        tokens = jax.random.normal(key, (num_tokens, 2)) * config["scale"] + (10.0 if rule == "far" else 0.0)
        return {"tokens": tokens, "mean": tokens.mean(), "owner": jnp.arange(num_tokens)}

    def test_are_outer_axes_and_shorter_outputs_are_padded(self):
        space = td.variants(num_tokens=[2, 4], rule={"plain": "plain", "moved": "far"}) * td.grid({"scale": [1.0, 2.0]})
        dims = {"tokens": ("token", "dimension"), "owner": ("token",)}
        found = td.sweep(self.evaluate, {"scale": 1.0}, space, seeds=3, key=KEY, dims=dims, pad=["token"])
        assert found.tokens.dims == ("num_tokens", "rule", "scale", "seed", "token", "dimension")
        np.testing.assert_array_equal(found.token_count, [[2, 2], [4, 4]])
        assert found.tokens.sel(num_tokens=2).isnull().sum("token").isin([2]).all()
        for num_tokens in (2, 4):
            for rule, value in (("plain", "plain"), ("moved", "far")):
                key = td.keys.for_seed(KEY, 2)
                expected = self.evaluate({"scale": 2.0}, key, num_tokens=num_tokens, rule=value)["tokens"]
                got = found.tokens.sel(num_tokens=num_tokens, rule=rule, scale=2.0, seed=2)[:num_tokens]
                np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_lengths_that_differ_must_be_declared(self):
        space = td.variants(num_tokens=[2, 4])
        with pytest.raises(ValueError, match=r"one length of 'owner_0' in all variants .* got \[2, 4\] for 'owner'"):
            td.sweep(self.evaluate, {"scale": 1.0}, space, seeds=1, key=KEY)


def test_a_dry_run_measures_and_hands_back_the_function(dataset):
    plan = td.sweep(fit, BASE, SPACE, seeds=40, key=KEY, dims=DIMS, dry_run=True)
    assert plan.num_runs == 240
    assert plan.seconds > 0
    assert plan.task_bytes == plan.chunk * (4 + 4 + 1 + 24)
    assert "240 runs" in str(plan)
    outputs = plan.functions[0](*plan.arguments, *plan.runs(202, 204))
    assert int(outputs["num_steps"][0]) == int(dataset.num_steps[2, 1, 2])  # cell 5 of six, seed 2 of forty


def test_the_same_sweep_again_compiles_nothing(dataset):
    from tokdyn.sweeps import program

    before = len(program._COMPILED)
    other = td.with_values(BASE, {"dynamics.repel.strength": 0.1})
    td.sweep(fit, other, SPACE, seeds=40, key=KEY, dims=DIMS, dry_run=True, unit=dataset.unit)
    assert len(program._COMPILED) == before
    # The same function under another name is traced, finds its program by its text, and gives the same numbers.
    found = td.sweep(lambda c, k: fit(c, k), BASE, SPACE, seeds=40, key=KEY, dims=DIMS, unit=dataset.unit)
    assert len(program._COMPILED) == before
    np.testing.assert_array_equal(found.num_steps, dataset.num_steps)


def test_static_settings_that_cannot_be_hashed():
    space = td.variants(shifts={"a": [1.0, 2.0], "b": [3.0]})
    found = td.sweep(lambda c, k, shifts: {"x": c["x"] + sum(shifts)}, {"x": 1.0}, space, seeds=1, key=KEY)
    np.testing.assert_array_equal(found.x[:, 0], [4.0, 4.0])


def test_float64_is_kept_on_threads():
    with jax.enable_x64(True):
        found = td.sweep(lambda c, k: {"x": c["a"] / 3}, {"a": 1.0}, td.grid({"a": [1.0, 2.0]}), seeds=2, key=KEY)
    assert found.x.dtype == np.float64
    np.testing.assert_array_equal(found.x.isel(seed=0), np.array([1.0, 2.0]) / 3)


def test_progress_counts_runs():
    seen = []
    td.sweep(fit, BASE, SPACE, seeds=40, key=KEY, unit=16, chunk=100, progress=lambda *n: seen.append(n))
    assert seen == [(112, 240), (224, 240), (240, 240)]


def simple(config, key):
    return {"x": config["a"]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"space": td.grid({"dynamics.attract.temprature": [1.0]}), "base": BASE},
            "'dynamics.attract.temprature'; did",
        ),
        ({"space": td.grid({"dynamics.attract": [1.0]}), "base": BASE}, r"dynamics\.attract: expected the path of one"),
        ({"space": td.grid({"a": [1.0]}), "base": {"a": np.zeros(3)}}, r"a: expected the path of one number .* \(3,\)"),
        ({"space": {"a": [1]}}, "space: expected a space, such as td.grid"),
        ({"seeds": 0}, "seeds: expected a static integer of at least 1, got 0"),
        ({"seeds": []}, "seeds: expected a count, or a sequence of whole numbers"),
        ({"seeds": [1, 1]}, "seeds: expected different whole numbers"),
        ({"key": 3}, "key: expected one JAX key"),
        ({"evaluate": 3}, "evaluate: expected a function"),
        ({"evaluate": lambda config, key: config["a"]}, "evaluate: expected to return a dict of named arrays"),
        ({"evaluate": lambda config, key: {}}, "evaluate: expected to return a dict of named arrays, got an empty"),
        ({"evaluate": lambda config, key: {"seed": 1.0}}, "evaluate: expected outputs other than 'seed'"),
        ({"dims": {"y": ("t",)}}, "dims: expected names among the outputs x, got 'y'"),
        ({"dims": {"x": ("t",)}}, r"dims: expected 0 new dimensions for 'x'"),
        ({"pad": ["t"]}, "pad: expected dimensions of the outputs, got 't'"),
        ({"cost": lambda columns: [1.0]}, "cost: expected one number for each of 2 cells"),
        ({"chunk": 0}, "chunk: expected a static integer of at least 1"),
        ({"workers": 0}, "workers: expected a static integer of at least 1"),
        ({"unit": 0}, "unit: expected a static integer of at least 1"),
        ({"of": 2}, "store: expected a place that all workers reach, got None"),
        ({"worker": 2, "of": 2, "store": "x"}, "worker: expected a number below of = 2, got 2"),
    ],
)
def test_bad_sweeps_get_a_sentence_before_the_first_run(changes, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"evaluate": simple, "base": {"a": 0.0}, "space": td.grid({"a": [1.0, 2.0]}), "seeds": 2, "key": KEY}
    given |= changes
    with pytest.raises(ValueError, match=sentence):
        td.sweep(given.pop("evaluate"), given.pop("base"), given.pop("space"), **given)
    assert not list(tmp_path.iterdir())


def test_a_base_may_be_any_pytree():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Config:
        a: float
        parts: tuple

    found = td.sweep(
        lambda config, key: {"x": config.a + config.parts[1]},
        Config(1.0, (2.0, 3.0)),
        td.grid({"parts.1": [10.0, 20.0]}),
        seeds=1,
        key=KEY,
    )
    np.testing.assert_array_equal(found.x.isel(seed=0), [11.0, 21.0])
