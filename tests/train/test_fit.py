"""``fit`` is the plain loop: the same numbers, however it is batched, interrupted or stopped."""

import functools
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn.train import fit, fit_in_segments

INPUTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
TARGETS = (INPUTS @ np.array([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)


class Line:
    """Linear regression; the state counts the steps."""

    def init(self, key):
        return {"params": {"slope": jax.random.normal(key, (3,)), "offset": jnp.zeros(())}, "state": {"steps": 0.0}}

    def apply(self, variables, inputs, *, key=None, train=False):
        params = variables["params"]
        return inputs @ params["slope"] + params["offset"], {"steps": variables["state"]["steps"] + 1.0}


def squared(model, variables, batch, key):
    guess, state = model.apply(variables, batch["x"], train=True)
    return jnp.mean((guess - batch["y"]) ** 2), (state, {"first": batch["x"][0, 0]})


DATA = {"x": INPUTS, "y": TARGETS}
KEY = constant_key(3)


def error_of(model, variables, key):
    return {"error": jnp.mean((model.apply(variables, INPUTS)[0] - TARGETS) ** 2)}


error_afterwards = compiled(lambda variables: error_of(Line(), variables, None)["error"])
start_of = compiled(lambda: Line().init(td.keys.for_purpose(KEY, "init"))["params"])


def train(rate=0.05, **options):
    options = {"key": KEY, "num_steps": 60, "record_every": 20, "evaluate": error_of, **options}
    return fit(Line(), squared, DATA, hyper={"learning_rate": rate}, **options)


def test_it_is_adam_written_out():
    with jax.enable_x64(True):
        inputs, targets = np.asarray(INPUTS, np.float64), np.asarray(TARGETS, np.float64)
        start = start_of()
        weights = np.array([*start["slope"], start["offset"]])
        data = {"x": inputs, "y": targets}
        options = {"key": KEY, "num_steps": 60, "record_every": 20, "hyper": {"learning_rate": 0.05}}
        result = compiled(lambda data: fit(Line(), squared, data, **options))(data)
    inputs = np.c_[inputs, np.ones(20)]
    mean, square, losses = np.zeros(4), np.zeros(4), []
    for step in range(1, 61):
        residual = inputs @ weights - targets
        losses.append(np.mean(residual**2))
        gradient = 2 * inputs.T @ residual / 20
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weights -= 0.05 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    found = result.variables["params"]
    np.testing.assert_allclose([*found["slope"], found["offset"]], weights, rtol=1e-10)
    np.testing.assert_allclose(result.history["loss"], np.reshape(losses, (3, 20)).mean(axis=1), rtol=1e-10)
    assert result.step == 60
    assert result.variables["state"]["steps"] == 60
    assert result.status == td.Status.MAX_STEPS


def test_a_record_is_taken_after_its_steps():
    result = compiled(train)()
    np.testing.assert_allclose(result.history["error"][-1], error_afterwards(result.variables), rtol=1e-6)
    assert td.train.record_names(result.history) == ("loss", "error", "first")


def test_interrupted_and_continued_it_is_the_same():
    whole = compiled(lambda: train(batch_size=7))()
    part = compiled(lambda: train(batch_size=7, until=20))()
    assert part.step == 20
    assert np.isnan(part.history["loss"]).tolist() == [False, True, True]
    chex.assert_trees_all_equal(compiled(lambda start: train(batch_size=7, start=start))(part), whole)


def test_an_ensemble_is_its_members():
    rates = np.float32([0.001, 0.01, 0.1])
    many = compiled(td.vmap(train))(rates)
    one = compiled(train)
    alone = jax.tree.map(lambda *leaves: np.stack(leaves), *[one(rate) for rate in rates])
    chex.assert_trees_all_close(many, alone, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(compiled(jax.vmap(train))(rates), alone, rtol=1e-5, atol=1e-6)


def test_other_numbers_compile_nothing():
    traced = compiled(chex.assert_max_traces(train, n=1))
    assert traced(0.1).history["loss"][-1] != traced(0.2).history["loss"][-1]


def test_an_epoch_takes_every_item_once():
    seen = []

    def spy(model, variables, batch, key):
        loss, aux = squared(model, variables, batch, key)
        jax.debug.callback(lambda rows: seen.append(np.asarray(rows)), batch["x"][:, 0])
        return loss, aux

    jax.jit(lambda: fit(Line(), spy, DATA, key=KEY, num_steps=8, batch_size=5))()
    jax.effects_barrier()
    first, second = np.concatenate(seen[:4]), np.concatenate(seen[4:8])
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch), np.sort(INPUTS[:, 0]))
    assert not np.array_equal(first, second)


def epoch_orders(epochs):
    """The order of the items in each epoch, as ``fit`` draws it."""
    draw = compiled(lambda epoch: jax.random.permutation(td.keys.for_step(KEY, epoch, "epoch"), 20))
    return [draw(np.int32(epoch)) for epoch in range(epochs)]


def test_with_the_last_batch_kept_it_is_a_plain_loop_over_the_data():
    """Batches of 7, 7 and 6 of 20 items, three passes: items, losses and weights of a loop in NumPy."""
    seen = []

    def squared_masked(model, variables, batch, key):
        guess, state = model.apply(variables, batch.items["x"], train=True)
        jax.debug.callback(
            lambda *batch: seen.append(jax.tree.map(np.asarray, batch)), batch.items["x"][:, 0], batch.mask
        )
        return batch.mean((guess - batch.items["y"]) ** 2), (state, {})

    with jax.enable_x64(True):
        start = start_of()
        weights = np.array([*start["slope"], start["offset"]])
        data = {"x": INPUTS.astype(np.float64), "y": TARGETS.astype(np.float64)}
        options = {"key": KEY, "num_steps": 9, "record_every": 1, "batch_size": 7, "last_batch": "keep"}
        options |= {"optimiser": optax.sgd, "hyper": {"learning_rate": 0.05}}
        result = compiled(lambda data: fit(Line(), squared_masked, data, **options))(data)
        jax.effects_barrier()
        orders = epoch_orders(3)
    inputs, losses = np.c_[data["x"], np.ones(20)], []
    for epoch, order in enumerate(orders):
        for number in range(3):
            rows = order[7 * number : 7 * number + 7]  # a list's end cuts the last batch short
            first, mask = seen[3 * epoch + number]
            np.testing.assert_array_equal(first[mask], data["x"][rows, 0])
            residual = inputs[rows] @ weights - data["y"][rows]
            losses.append(np.mean(residual**2))
            weights -= 0.05 * 2 * inputs[rows].T @ residual / len(rows)
        visited = np.concatenate([first[mask] for first, mask in seen[3 * epoch : 3 * epoch + 3]])
        np.testing.assert_array_equal(np.sort(visited), np.sort(data["x"][:, 0]))  # each item once a pass
    np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-10)
    found = result.variables["params"]
    np.testing.assert_allclose([*found["slope"], found["offset"]], weights, rtol=1e-10)


@pytest.mark.parametrize("batch_size", [5, None])
def test_where_nothing_is_left_over_keeping_and_dropping_are_the_same(batch_size):
    def plain(model, variables, batch, key):
        items = batch.items if isinstance(batch, td.train.Masked) else batch
        return squared(model, variables, items, key)

    options = {"key": KEY, "num_steps": 8, "batch_size": batch_size}
    kept, dropped = (
        compiled(lambda last: fit(Line(), plain, DATA, last_batch=last, **options), static_argnums=0)(last)
        for last in ("keep", "drop")
    )
    chex.assert_trees_all_equal(kept, dropped)


def test_a_mask_that_the_data_have_goes_on_to_hold():
    """Items `[3]` with a mask over words `[3, 2]`: in batches of two the third comes alone, with its own mask."""
    data = td.train.Masked(
        np.arange(6.0, dtype=np.float32).reshape(3, 2), np.array([[True, True], [True, False], [True, True]])
    )
    words = []

    def total(model, variables, batch, key):
        jax.debug.callback(
            lambda *both: words.append(np.asarray(both[0])[np.asarray(both[1])]), batch.items, batch.mask
        )
        return batch.mean(batch.items) * variables["params"]["offset"], (variables["state"], {})

    jax.jit(lambda: fit(Line(), total, data, key=KEY, num_steps=2, batch_size=2, last_batch="keep"))()
    jax.effects_barrier()
    np.testing.assert_array_equal(np.sort(np.concatenate(words)), [0, 1, 2, 4, 5])


def test_each_member_stops_when_it_is_done():
    def until_small(rate):
        return train(rate, num_steps=400, stop=lambda record: record["error"] < 1e-3)

    rates = np.float32([0.3, 1e-5])
    for mapped in (td.vmap, jax.vmap):
        both = compiled(mapped(until_small))(rates)
        quick, slow = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in (0, 1))
        assert quick.status == td.Status.CONVERGED
        assert slow.status == td.Status.MAX_STEPS
        assert slow.step == 400
        last = int(quick.step) // 20 - 1
        assert quick.history["error"][last] < 1e-3 <= quick.history["error"][last - 1]
        assert np.isnan(quick.history["error"][last + 1 :]).all()
        assert quick.variables["state"]["steps"] == quick.step < 400


def test_a_training_that_breaks_says_so_and_stops():
    result = fit(
        Line(),
        squared,
        DATA,
        key=KEY,
        num_steps=600,
        record_every=10,
        hyper={"learning_rate": 1e6},
        optimiser=optax.sgd,
    )
    assert result.status == td.Status.NONFINITE
    assert result.step < 600


def test_a_schedule_is_optax_s():
    scheduled = compiled(train)(td.annealing(start=0.1, end=0.001, num_steps=60))
    optimiser = optax.adam(optax.exponential_decay(0.1, 60, 0.01))

    @compiled
    def theirs(params, memory):
        gradient = jax.grad(lambda p: jnp.mean((INPUTS @ p["slope"] + p["offset"] - TARGETS) ** 2))(params)
        updates, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory

    params = start_of()
    memory = compiled(optimiser.init)(params)
    for _ in range(60):
        params, memory = theirs(params, memory)
    chex.assert_trees_all_close(scheduled.variables["params"], params, rtol=1e-4)


def test_a_model_may_hold_schedules():
    """The temperature of the first step is the start's, that of the last record the end's."""
    from tokdyn import autoencoder as ae

    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=4, cells=4, channels=2, embedding=4, width=4),
        ae.bottlenecks.gumbel(temperature=td.annealing(start=2.0, end=0.5, num_steps=20)),
        ae.decoders.linear(vocabulary_size=4),
    )

    def temperature(model, variables, key):
        return {"temperature": model.bottleneck.temperature}

    options = {"key": KEY, "num_steps": 20, "record_every": 10, "evaluate": temperature}
    result = compiled(lambda model: fit(model, ae.losses.objective(), np.arange(4), **options))(model)
    np.testing.assert_allclose(result.history["temperature"], [1.0, 0.5], rtol=1e-6)


def test_batches_may_be_made_by_a_function():
    def draw(key, step):
        rows = jax.random.randint(key, (5,), 0, 20)
        return {"x": jnp.asarray(INPUTS)[rows], "y": jnp.asarray(TARGETS)[rows]}

    result = fit(Line(), squared, draw, key=KEY, num_steps=400, hyper={"learning_rate": 0.05})
    assert error_afterwards(result.variables) < 1e-3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_steps": 50}, "num_steps: expected a multiple of record_every, 20, got 50"),
        ({"num_steps": 0}, "num_steps: expected a static integer of at least 1"),
        ({"key": 3}, "key: expected one JAX key"),
        ({"batch_size": 21}, "batch_size: expected at most the 20 items of the data, got 21"),
        ({"last_batch": "pad"}, "last_batch: expected one of 'drop', 'keep', got 'pad'"),
        ({"evaluate": None, "stop": lambda record: True}, "stop: expected evaluate beside it"),
        ({"evaluate": lambda *_: {"many": jnp.zeros(2)}}, r"many: expected one number a step, got shape \(2,\)"),
    ],
)
def test_bad_input(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(**options)


def test_bad_data():
    with pytest.raises(ValueError, match="data: expected arrays that share one leading axis"):
        fit(Line(), squared, {"x": INPUTS, "y": TARGETS[:3]}, key=KEY, num_steps=1)
    with pytest.raises(ValueError, match="batch_size: expected None where data is a function"):
        fit(Line(), squared, lambda key, step: DATA, key=KEY, num_steps=1, batch_size=2)
    with pytest.raises(ValueError, match="last_batch: expected 'drop' where data is a function"):
        fit(Line(), squared, lambda key, step: DATA, key=KEY, num_steps=1, last_batch="keep")
    with pytest.raises(ValueError, match="model: expected an init that returns a dict with params"):
        fit(type("Odd", (), {"init": lambda self, key: 3})(), squared, DATA, key=KEY, num_steps=1)


def member(rate, *, start, until):
    return train(rate, start=start, until=until)


RATES = np.array([0.01, 0.1], np.float32)


@functools.cache
def whole():
    """The ensemble in one piece."""
    return compiled(td.vmap(train))(RATES)


def test_segments_are_the_whole(tmp_path):
    shown = []
    found = fit_in_segments(
        member, RATES, num_steps=60, segment=20, folder=tmp_path, progress=lambda *x: shown.append(x)
    )
    chex.assert_trees_all_equal(found, whole())
    assert shown == [(20, 60), (40, 60), (60, 60)]


def test_an_interrupted_ensemble_goes_on_from_its_checkpoint(tmp_path):
    def interrupt(done, total):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_in_segments(member, RATES, num_steps=60, segment=20, folder=tmp_path, progress=interrupt)
    shown = []
    found = fit_in_segments(
        member, RATES, num_steps=60, segment=20, folder=tmp_path, progress=lambda *x: shown.append(x)
    )
    assert shown == [(60, 60)]
    chex.assert_trees_all_equal(found, whole())


def test_an_interrupt_while_the_record_is_written_refuses_nothing(tmp_path, monkeypatch):
    from tokdyn.train import segments

    def half(path, text, **options):
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", half)
        with pytest.raises(KeyboardInterrupt), segments._checkpoints(tmp_path, RATES, 60):
            pass
    assert not list(tmp_path.iterdir())
    with segments._checkpoints(tmp_path, RATES, 60) as checkpoints:
        assert checkpoints.manager.latest_step() is None


def test_checkpoints_of_another_ensemble_are_refused(tmp_path):
    fit_in_segments(member, RATES, num_steps=20, segment=20, folder=tmp_path)
    with pytest.raises(ValueError, match="folder: expected an empty place, or the checkpoints of this very ensemble"):
        fit_in_segments(member, RATES + 1, num_steps=20, segment=20, folder=tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="folder: expected a folder that can be written"):
        fit_in_segments(member, RATES, num_steps=20, segment=20, folder=tmp_path / "file" / "inside")
