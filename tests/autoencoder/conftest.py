"""These tests compile hundreds of small programs once each: without XLA's optimisations that takes half the time.

What users run is compiled with them, and so are the studies, the notebooks, the slow tests and all other tests.
"""

import jax
import pytest


@pytest.fixture(autouse=True)
def _compiled_without_optimisation(request):
    before = jax.config.values["jax_disable_most_optimizations"]
    if request.node.get_closest_marker("slow") is None:
        jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
