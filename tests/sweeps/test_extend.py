"""More seeds, values, variants and outputs in a store that is there: as if the whole had been one sweep."""

import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from constant_keys import constant_key

import tokdyn as td
from tokdyn.sweeps.store import open_store

sweeping = sys.modules["tokdyn.sweeps.sweep"]  # the function has the module's name

KEY = constant_key(3)
BASE = {"a": 1.0, "b": 0.0}
OPTIONS = {"key": KEY, "unit": 4, "chunk": 8, "workers": 1}


def evaluate(config, key, *, power=1):
    draw = jax.random.normal(key, (3,))
    return {"x": draw * config["a"] ** power + config["b"], "positive": (draw > 0).sum()}


def further(config, key, *, power=1):
    found = evaluate(config, key, power=power)
    return {**found, "largest": found["x"].max()}


def other(config, key, *, power=1):
    found = evaluate(config, key, power=power)
    return {"x": found["x"] + 1e-3, "positive": found["positive"], "largest": found["x"].max()}


further.__qualname__ = other.__qualname__ = evaluate.__qualname__  # as a file looks that was edited
SMALL = td.grid({"a": [1.0, 3.0], "b": [0.0, 5.0]})
WIDE = td.grid({"a": [0.5, 1.0, 2.0, 3.0], "b": [5.0, 0.0]})  # between, before, and in another order
BOTH = td.variants(power=[1, 2])
CASES = {
    "seeds": ({"seeds": 5}, {"seeds": 9}),
    "seeds by number": ({"seeds": [4, 2]}, {"seeds": [7, 4, 0, 2]}),
    "values": ({"space": SMALL}, {"space": WIDE}),
    "values and seeds": ({"space": SMALL, "seeds": 5}, {"space": WIDE, "seeds": 7}),
    "variants": ({"space": td.variants(power=[2]) * SMALL}, {"space": BOTH * SMALL}),
    "everything": (
        {"space": td.variants(power=[2]) * SMALL, "seeds": 3, "evaluate": evaluate},
        {"space": BOTH * WIDE, "seeds": 5, "evaluate": further},
    ),
    "outputs": ({"evaluate": evaluate}, {"evaluate": further}),
}


def swept(paired=True, **changes):
    arguments = {"evaluate": evaluate, "space": SMALL, "seeds": 5, **changes}
    functions = [arguments.pop(name) for name in ("evaluate", "space")]
    return td.sweep(functions[0], BASE, functions[1], paired=paired, **OPTIONS, **arguments)


def contents(place):
    return {path: path.read_bytes() for path in sorted(Path(place).rglob("*")) if path.is_file()}


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
@pytest.mark.parametrize("case", CASES)
def test_an_extended_sweep_is_the_fresh_one(tmp_path, case, paired):
    first, then = CASES[case]
    place = tmp_path / "store"
    swept(paired, store=place, **first)
    before = contents(place)
    seen = []
    extended = swept(paired, store=place, extend=True, progress=lambda n, of: seen.append((n, of)), **then)
    fresh = swept(paired, **then)
    xarray.testing.assert_identical(extended.load().drop_attrs(), fresh.drop_attrs())
    assert extended.attrs["fingerprint"] == fresh.attrs["fingerprint"]
    # Nothing that was there has been computed or written again.
    after = contents(place)
    assert all(after[path] == content for path, content in before.items())
    num_old = sum(part.layout.num_runs for part in open_store(place).parts[:1])
    assert seen[0][0] > (0 if case == "outputs" else num_old)
    # What was extended is this sweep now: it goes on by itself, and is not extended twice.
    again = swept(paired, store=place, **then)
    xarray.testing.assert_identical(again.load(), extended.load())
    assert contents(place) == after


def test_an_extension_that_was_interrupted_goes_on(tmp_path):
    place, wide = tmp_path / "store", {"space": WIDE, "seeds": 9}
    swept(store=place, seeds=5)

    def press(done, total):
        raise KeyboardInterrupt

    with pytest.raises(td.SweepInterrupted):
        swept(store=place, extend=True, progress=press, **wide)
    half = td.open_sweep(place)
    assert 0 < int(half.finished.sum()) < half.finished.size
    assert np.isnan(half.x.where(~half.finished)).all()
    xarray.testing.assert_identical(swept(store=place, **wide).load().drop_attrs(), swept(**wide).drop_attrs())


@pytest.mark.parametrize("made", [1, 2, 3])
def test_an_extension_cut_off_between_its_parts_goes_on(tmp_path, monkeypatch, made):
    place, (first, then) = tmp_path / "store", CASES["everything"]
    swept(store=place, **first)
    numbers, original = [], sweeping.create_part

    def cut_off(where, number, record):
        if len(numbers) == made:
            raise KeyboardInterrupt
        numbers.append(number)
        return original(where, number, record)

    monkeypatch.setattr(sweeping, "create_part", cut_off)
    with pytest.raises(KeyboardInterrupt):
        swept(store=place, extend=True, **then)
    monkeypatch.undo()
    assert not td.open_sweep(place).finished.all()
    with pytest.raises(ValueError, match="holds a part of it"):
        swept(store=place, **then)
    found = swept(store=place, extend=True, **then)
    xarray.testing.assert_identical(found.load().drop_attrs(), swept(**then).drop_attrs())


def test_a_store_that_is_unfinished_can_be_extended(tmp_path):
    place = tmp_path / "store"
    swept(store=place, worker=0, of=2)
    found = swept(store=place, extend=True, seeds=7)
    xarray.testing.assert_identical(found.load().drop_attrs(), swept(seeds=7).drop_attrs())


def test_outputs_are_added_only_by_an_evaluator_that_returns_the_old_ones(tmp_path):
    place = tmp_path / "store"
    swept(store=place)
    before = contents(place)
    with pytest.raises(ValueError, match="evaluate: expected an evaluator that returns the stored numbers, .* for 'x'"):
        swept(store=place, extend=True, evaluate=other)
    assert contents(place) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seeds": 9}, r"holds a part of it \(extend=True, or --extend, computes the other 16 runs there\)"),
        ({"space": WIDE}, r"computes the other 20 runs there"),
        ({"space": td.grid({"a": [1.0], "b": [0.0, 5.0]}), "extend": True}, "made with another value of axes"),
        ({"space": td.grid({"a": [1.0, 3.0]}), "extend": True}, "made with another value of axes"),
        ({"seeds": 4, "extend": True}, "made with another value of seeds"),
    ],
)
def test_what_is_no_extension_is_refused(tmp_path, change, sentence):
    place = tmp_path / "store"
    swept(store=place)
    before = contents(place)
    with pytest.raises(ValueError, match=sentence):
        swept(store=place, **change)
    assert contents(place) == before


def test_draws_of_a_cell_follow_from_its_values():
    """Unpaired keys know nothing of where a cell stands, so that more values beside it change nothing."""
    small, wide = swept(False), swept(False, space=WIDE)
    for a, b in itertools.product([1.0, 3.0], [0.0, 5.0]):
        xarray.testing.assert_identical(small.sel(a=a, b=b).drop_attrs(), wide.sel(a=a, b=b).drop_attrs())
    draws = (wide.x - wide.b) / wide.a
    assert len(np.unique(np.round(draws.values.ravel(), 4))) == draws.size
    paired = swept(True, space=WIDE)
    assert len(np.unique(np.round(((paired.x - paired.b) / paired.a).values.ravel(), 4))) < 4 * 15


def test_padded_lengths_may_grow(tmp_path):
    def ranks(config, key, *, count):
        return {"rank": jnp.arange(count) * config["a"]}

    options = {"seeds": 3, "dims": {"rank": ("place",)}, "pad": ("place",), **OPTIONS}
    space = td.grid({"a": [1.0, 2.0]})
    place = tmp_path / "store"
    td.sweep(ranks, BASE, td.variants(count=[2]) * space, store=place, **options)
    whole = td.variants(count=[2, 4]) * space
    found = td.sweep(ranks, BASE, whole, store=place, extend=True, **options)
    xarray.testing.assert_identical(found.load().drop_attrs(), td.sweep(ranks, BASE, whole, **options).drop_attrs())


def labelled(config, key, *, second=1, first="one"):
    return {"x": config["b"] + 10 * config["a"] + 100 * second + 1000 * len(first)}


def test_names_need_not_be_in_the_order_of_the_alphabet(tmp_path):
    """Variants, axes and columns number runs by their order, which a description on disk keeps."""
    options = {"key": KEY, "seeds": 2, "unit": 2, "workers": 1}
    columns = {"b": [5.0, 6.0, 7.0], "a": [1.0, 2.0, 0.0]}
    small, large = (
        td.variants(second=[1, 2], first=["one", "three"])
        * td.zipped("pair", {path: values[:count] for path, values in columns.items()})
        for count in (2, 3)
    )
    place, in_memory = tmp_path / "store", td.sweep(labelled, BASE, small, **options)
    for made in (lambda: td.sweep(labelled, BASE, small, store=place, **options), lambda: td.open_sweep(place)):
        xarray.testing.assert_identical(made().load().drop_attrs(), in_memory.drop_attrs())
    found = td.sweep(labelled, BASE, large, store=place, extend=True, **options).load()
    for second, first, pair in itertools.product([1, 2], ["one", "three"], range(3)):
        one = found["x"].sel(second=second, first=first).isel(pair=pair)
        assert (one == columns["b"][pair] + 10 * columns["a"][pair] + 100 * second + 1000 * len(first)).all()
