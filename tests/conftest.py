"""Settings for the whole suite: the same examples of hypothesis everywhere, and no cache of the user's.

jax is imported by fixtures only: ``../conftest.py`` sets how it compiles after this file was read.
"""

import os

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
