"""Jitted functions for tests, with results that cost nothing to look at."""

import functools

import jax


def compiled(function, **options):
    """``jax.jit(function, **options)`` whose results are NumPy's arrays: to index or compare those compiles nothing.

    The jitted function itself is the attribute ``program``. Inside another one, results are that one's tracers.
    """
    program = jax.jit(function, **options)

    @functools.wraps(function)
    def run(*args, **named):
        return jax.device_get(program(*args, **named))

    run.program = program
    return run
