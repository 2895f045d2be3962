"""Programs compiled side by side are the programs; whoever watches is told the truth."""

import importlib.metadata
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn.compiling import Program, compiled, side_by_side, started, watched


def polynomial(x, scale, *, power):
    return scale * x**power + jnp.sin(x).sum()


def test_results_are_those_of_jit_with_either_effort_and_in_the_precision_of_the_tracing():
    function = jax.jit(polynomial, static_argnames="power")
    x = np.linspace(-1, 1, 7)
    ready = {}
    for x64 in (False, True):
        with jax.enable_x64(x64):
            programs = {
                effort: Program(function, (x, np.float64(0.3)), {"power": 3}, effort) for effort in ("usual", "little")
            }
            ready[x64] = compiled(programs)
    for x64, both in ready.items():
        with jax.enable_x64(x64):
            expected = function(x, np.float64(0.3), power=3)
        with jax.enable_x64(not x64):  # what was traced counts
            for call in both.values():
                found = call(x, np.float64(0.3))
                assert found.dtype == expected.dtype == ("float64" if x64 else "float32")
                np.testing.assert_allclose(found, expected, rtol=1e-12 if x64 else 1e-6)
                again = started(call, 2 * x, np.float64(1)).result()
                np.testing.assert_allclose(again, 8 * x**3 + np.sin(2 * x).sum(), rtol=1e-6, atol=1e-6)


def test_arguments_of_the_other_precision_are_refused_whenever_it_is_ready():
    """Neither cut to the compiled precision nor read as if they were of it."""
    x = np.linspace(-1, 1, 7)
    ready = compiled({"one": Program(jax.jit(jnp.cumsum), (x,))})["one"]
    with jax.enable_x64(True):
        wide = jnp.asarray(x)
    early = started(ready, wide)
    for result in (early.result, lambda: ready(wide), started(ready, wide).result):
        with pytest.raises(TypeError, match="Argument types differ"):
            result()


def test_calls_side_by_side_are_those_one_after_the_other_and_overlap():
    together = threading.Barrier(2, timeout=60)

    def both(x):
        together.wait()  # nobody goes on alone
        return x + 1

    assert side_by_side(both, [(1,), (2,)]) == [2, 3]
    assert side_by_side(both, []) == []
    ready = compiled({"one": Program(jax.jit(jnp.cumsum), (np.ones(3, np.float32),))})["one"]
    found = side_by_side(ready, [(np.full(3, n, np.float32),) for n in range(7)])
    np.testing.assert_array_equal(found, [np.arange(1, 4) * n for n in range(7)])
    with pytest.raises(TypeError):
        side_by_side(ready, [(np.ones(3, np.float32),), (np.ones(4, np.float32),)])


def test_shapes_are_enough_to_compile():
    ready = compiled({"one": Program(jax.jit(jnp.cumsum), (jax.ShapeDtypeStruct((4,), jnp.float32),))})
    np.testing.assert_array_equal(ready["one"](np.ones(4, np.float32)), [1, 2, 3, 4])


class Recorded:
    """Stands for a jitted function; notes what it is asked for."""

    asked = None

    def lower(self, *arguments, **keywords):
        return self

    def compile(self, options):
        Recorded.asked = options
        return lambda: "ran"


LEVEL = {"xla_backend_optimization_level": 0}


@pytest.mark.parametrize(
    ("backend", "jaxlib", "options"),
    [
        ("cpu", "0.10.1", LEVEL | {"xla_cpu_use_fusion_emitters": False}),
        ("cpu", "0.12.0.1", LEVEL),
        ("gpu", "0.10.1", None),
    ],
)
def test_little_effort_is_an_option_of_the_cpu_compiler(monkeypatch, backend, jaxlib, options):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: jaxlib)
    assert compiled({"one": Program(Recorded(), (), {}, "little")})["one"]() == "ran"
    assert Recorded.asked == options
    assert compiled({"one": Program(Recorded())})["one"]() == "ran"
    assert Recorded.asked is None


def test_a_failure_while_tracing_is_raised_there_and_one_while_compiling_at_the_call():
    def broken(x):
        raise ZeroDivisionError("in the trace")

    good = Program(jax.jit(jnp.sin), (np.ones(3, np.float32),))
    seen = []
    with watched(seen.append), pytest.raises(ZeroDivisionError, match="in the trace"):
        compiled({"broken": Program(jax.jit(broken), (1.0,)), "good": good})
    assert seen[-1].done == seen[-1].known  # nothing is waited for any more

    class Unready(Recorded):
        def compile(self, options):
            raise RuntimeError("no room for code")

    ready = compiled({"broken": Program(Unready()), "good": good})
    with pytest.raises(RuntimeError, match="no room for code"):
        ready["broken"]()
    with pytest.raises(RuntimeError, match="no room for code"):
        started(ready["broken"]).result()
    with pytest.raises(TypeError):
        started(ready["good"], np.ones(4, np.float32)).result()  # another shape
    np.testing.assert_allclose(ready["good"](np.ones(3, np.float32)), np.sin(np.ones(3)), rtol=1e-6)


def test_an_effort_that_there_is_not():
    with pytest.raises(ValueError, match=r"programs\['one'\].effort: expected one of 'usual', 'little', got 'much'"):
        compiled({"one": Program(jax.jit(jnp.sin), (1.0,), {}, "much")})


def test_no_programs_are_none():
    assert compiled({}) == {}


def test_watching_counts_what_is_declared_what_jit_compiles_and_stops_with_the_block():
    x = np.arange(5.0, dtype=np.float32)
    seen = []
    with watched(seen.append):
        ready = compiled({str(n): Program(jax.jit(lambda x, n=n: x * n + n), (x,)) for n in range(3)})
        for call in ready.values():
            call(x)
        assert str(seen[0]) == "compiling 1 of 3 programs"  # before any was traced
        assert (seen[-1].done, seen[-1].known) == (3, 3)
        assert str(seen[-1]) == ""
        jax.jit(lambda x: x / 7 - 2)(x)
        assert (seen[-1].done, seen[-1].known) == (4, 4)
        with watched(lambda progress: None):
            pass
        jax.jit(lambda x: x / 9 - 2)(x)
        assert seen[-1].done == 5  # the inner block ended, the outer one goes on
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    count = len(seen)
    jax.jit(lambda x: x / 8 - 2)(x)
    assert len(seen) == count
