"""Settings for the whole suite: the same examples of hypothesis everywhere, and workers that stay small.

jax is imported by fixtures only: ``../conftest.py`` sets how it compiles after this file was read.
"""

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("tokdyn", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("tokdyn")

# The command line keeps compiled programs in the user's cache folder; tests neither use nor fill it.
os.environ["TOKDYN_CACHE"] = "off"


@pytest.fixture(autouse=True)
def _settings_of_jax_are_given_back():
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
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
        import jax

        jax.clear_caches()
