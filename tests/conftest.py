"""Settings for the whole suite: the same examples of hypothesis everywhere, and how programs are compiled."""

from pathlib import Path

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


# Every compiled program maps memory, a large one more than a thousand times, and Linux gives a process 65,530 maps:
# where they are used up XLA aborts. A worker that runs a whole suite gets there.
_MOST_MAPS = 20_000


@pytest.fixture(autouse=True, scope="module")
def _programs_are_forgotten():
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()
