"""What the program runs on: the refused jax releases, and the record kept with every result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

# Release -> what is wrong with it. pyproject.toml keeps pip from choosing these; this catches other roads.
EXCLUDED_JAX = {
    "0.10.2": "it returns silently wrong numbers on CPU for a vmapped matrix-vector product followed by a reduction "
    "(jax issue 39103)",
    "0.11.0": "it can crash or hang on CPU in a reduction of a high-rank product (jax issue 39257)",
}

PACKAGES_THAT_MATTER = (
    "tokdyn",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "zarr",
    "optax",
    "flax",
)


def refuse_excluded_jax() -> None:
    """Raise one clear sentence when the installed jax or jaxlib is a release that is known to be wrong.

    Raises:
        ImportError: jax or jaxlib is missing, or is one of ``EXCLUDED_JAX``.
    """
    for package in ("jax", "jaxlib"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(f"tokdyn needs {package}, which is not installed: pip install tokdyn") from None
        if version in EXCLUDED_JAX:
            raise ImportError(
                f"tokdyn refuses {package} {version} because {EXCLUDED_JAX[version]}; "
                f"install another release: pip install 'jax>=0.10.1,!=0.10.2,!=0.11.0'"
            )


def knows_fusion_emitters() -> bool:
    """Whether XLA's newer code generator for CPU can be turned off (``xla_cpu_use_fusion_emitters``), which halves
    compile time: jaxlib 0.12 has no other any more, and aborts the process on flags that it does not know.
    """
    return jaxlib_release() < (0, 11)


def jaxlib_release() -> tuple[int, int]:
    """Major and minor number of the jaxlib installed."""
    major, minor, *_ = importlib.metadata.version("jaxlib").split(".")
    return int(major), int(minor)


def cheap_compiler_settings() -> dict[str, str]:
    """Environment variables under which jax compiles in a third of the time what then runs up to seven times as long.

    For test suites, which compile much and run little. jax reads them when it is imported.

    Returns:
        Variables by name; flags that ``XLA_FLAGS`` holds already are kept.

    Example:
        >>> cheap_compiler_settings()["JAX_DISABLE_MOST_OPTIMIZATIONS"]
        '1'
    """
    flags = os.environ.get("XLA_FLAGS", "")
    # The second: workers keep all cores busy, and threads for parts of a small program cost a tenth more.
    for name, value in ("xla_cpu_use_fusion_emitters", "false"), ("xla_cpu_parallel_codegen_split_count", "1"):
        if knows_fusion_emitters() and name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": flags}


def describe() -> dict[str, Any]:
    """Versions, machine, devices and git revision: what every stored result carries.

    Returns:
        A dict that ``json.dumps`` takes.
    """
    import jax

    versions: dict[str, str | None] = {}
    for package in PACKAGES_THAT_MATTER:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The commit of the source tree this is imported from, ``+changes`` if it was edited; None outside one."""
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        arguments = {"cwd": folder, "capture_output": True, "text": True, "timeout": 5, "check": True}
        revision = subprocess.run(["git", "rev-parse", "HEAD"], **arguments).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain", "--", "."], **arguments).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return None
    return revision + ("+changes" if changed else "")
