"""Settings for the whole suite: the same examples of hypothesis everywhere, and workers that stay small.

jax is imported by fixtures only: ``../conftest.py`` sets how it compiles after this file was read.
"""

import contextlib
import ctypes
import gc
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
# where they are used up XLA aborts. A worker that runs a whole suite gets there; and to gigabytes, on a laptop.
_MOST_MAPS = 20_000
_MOST_BYTES = 1_200_000_000


@pytest.fixture(autouse=True, scope="module")
def _programs_are_forgotten():
    yield
    if _is_large():
        import jax

        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(
            OSError, AttributeError
        ):  # freed memory goes back to the system, where that is glibc's
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _is_large():
    maps, sizes = Path("/proc/self/maps"), Path("/proc/self/statm")
    if not (maps.exists() and sizes.exists()):
        return True
    resident = int(sizes.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident > _MOST_BYTES or maps.read_bytes().count(b"\n") > _MOST_MAPS
