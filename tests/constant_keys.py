"""Keys that test files have as constants."""

import jax
import numpy as np


def constant_key(seed):
    """``jax.random.key(seed)``, which compiles programs, made without any: nothing is compiled to collect tests."""
    return jax.random.wrap_key_data(np.array([0, seed], np.uint32))
