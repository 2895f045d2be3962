"""How programs are compiled while tests and doctests run, and how many of them there are.

A test compiles much and runs little: XLA's and LLVM's optimisations cost it more than they save. The slow tests
(``-m slow``), and all with ``--compiler full``, are compiled as users' programs are.
"""

from __future__ import annotations

import os

import pytest

from tokdyn.environment import knows_fusion_emitters  # imports no jax


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
    """Settings that jax reads when it is imported: compiling takes a third as long, running up to seven times."""
    environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    flags = environment.get("XLA_FLAGS", "")
    if knows_fusion_emitters() and "xla_cpu_use_fusion_emitters" not in flags:
        environment["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()
