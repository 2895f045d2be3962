"""As in the tests of autoencoders: hundreds of small programs, compiled once each, without XLA's optimisations."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _compiled_without_optimisation(request):
    before = jax.config.values["jax_disable_most_optimizations"]
    if request.node.get_closest_marker("slow") is None:
        jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
