"""Published experiments, each a module with Config, run(config) and report(dataset, folder).

Others add theirs through the entry point group ``tokdyn.studies``: a name and a module with the same three.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from tokdyn import checks, files

GROUP = "tokdyn.studies"
_NAMES = (
    "autoencoder", "calibration", "dynamics", "latent-optimisation", "mechanisms", "mediation", "phase", "quantizers",
    "scaling",
)  # fmt: skip
OURS = {name: f"tokdyn.studies.{name.replace('-', '_')}" for name in _NAMES}


def available() -> dict[str, str]:
    """Every study by name: ours, and those that installed packages bring.

    Returns:
        ``{name: module}``; a name of ours cannot be taken over.

    Example:
        >>> import tokdyn as td
        >>> td.studies.available()["dynamics"]
        'tokdyn.studies.dynamics'
    """
    brought = {point.name: point.value for point in importlib.metadata.entry_points(group=GROUP)}
    return {**brought, **OURS}


def __getattr__(name: str) -> ModuleType:
    """``td.studies.dynamics`` is ``load("dynamics")``; a dash in a study's name is an underscore here."""
    known = {study.replace("-", "_"): study for study in available()}
    if name.startswith("_") or name not in known:
        raise AttributeError(f"module 'tokdyn.studies' has no attribute {name!r}")
    return load(known[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *(study.replace("-", "_") for study in available())})


def load(name: str) -> ModuleType:
    """The module of a study.

    Args:
        name: one of ``available()``.

    Returns:
        A module with ``Config``, ``run`` and ``report``.

    Raises:
        ValueError: no such study, or a module that lacks one of the three.
    """
    modules = available()
    checks.choice("study", name, tuple(sorted(modules)))
    try:
        module = importlib.import_module(modules[name])
    except ImportError as error:
        raise checks.bad("study", f"a module {modules[name]} that can be imported", files.reason(error)) from error
    except (Exception, SystemExit) as error:  # somebody else's module may do anything
        if name in OURS:
            raise
        got = f"{type(error).__name__}: {files.reason(error)}"
        raise checks.bad("study", f"a module {modules[name]} that can be imported", got) from error
    for needed in ("Config", "run", "report"):
        if not hasattr(module, needed):
            raise checks.bad("study", f"a module with Config, run and report in {modules[name]}", f"no {needed}")
    return module
