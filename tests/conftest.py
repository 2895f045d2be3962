"""Settings for the whole suite: the same examples of hypothesis everywhere, and how programs are compiled."""

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile("tokdyn", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("tokdyn")

# Their tests compile hundreds of small programs once each: without XLA's optimisations that takes half the time. What
# users run is compiled with them, and so are the studies, the notebooks, the slow tests and all other tests.
_COMPILED_ONCE = ("autoencoder", "reasoning")


@pytest.fixture(autouse=True)
def _compiled_without_optimisation(request):
    before = jax.config.values["jax_disable_most_optimizations"]
    if request.path.parent.name in _COMPILED_ONCE and request.node.get_closest_marker("slow") is None:
        jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
