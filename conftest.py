"""How programs are compiled while tests and doctests run, and how many of them there are.

A test compiles much and runs little: XLA's and LLVM's optimisations cost it more than they save. The slow tests
(``-m slow``), and all with ``--compiler full``, are compiled as users' programs are.
"""

from __future__ import annotations

import importlib.metadata
import os

import pytest

# Programs counted where nobody has touched the selection; a run of some tests has no budget.
_COMPILED = "/jax/core/compile/backend_compile_duration"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--compiler``."""
    parser.addoption(
        "--compiler",
        choices=("cheap", "full"),
        help="how programs are compiled; by default full for -m slow, else cheap",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before any test file, and so before jax, is imported."""
    slow = config.option.markexpr == "slow"
    if (config.option.compiler or ("full" if slow else "cheap")) == "cheap":
        compile_cheaply(os.environ)


def compile_cheaply(environment: dict[str, str] | os._Environ[str]) -> None:
    """Settings that jax reads when it is imported: compiling takes a third of the time, running up to seven times it.

    jaxlib aborts the process on a flag that it does not know, and 0.12 has dropped this one.
    """
    environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    release = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
    flags = environment.get("XLA_FLAGS", "")
    if release < (0, 11) and "xla_cpu_use_fusion_emitters" not in flags:
        environment["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()
