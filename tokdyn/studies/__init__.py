"""Studies: published experiments, each a module whose ``STUDY`` says what it measures and what it reports.

Others add theirs through the entry point group ``tokdyn.studies``: a name, and a module with ``STUDY``, or with
``run(config)`` and ``report(dataset, folder)`` alone (see "A study" in CONTRIBUTING.md).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType
from typing import Any

from tokdyn import checks, files
from tokdyn.studies.skeleton import Study, of_module

GROUP = "tokdyn.studies"
_NAMES = (
    "autoencoder", "calibration", "collapse", "composition", "context", "dynamics", "grounding", "latent-optimisation",
    "mechanisms", "mediation", "overprovision", "phase", "quantizers", "recurrence", "scaling", "theory", "topology",
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
    """``td.studies.dynamics`` is the module; a dash in a study's name is an underscore here."""
    known = {study.replace("-", "_"): study for study in available()}
    if name.startswith("_") or name not in known:
        raise AttributeError(f"module 'tokdyn.studies' has no attribute {name!r}")
    return _module(known[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *(study.replace("-", "_") for study in available())})


def load(name: str) -> Study[Any]:
    """A study.

    Args:
        name: one of ``available()``.

    Returns:
        The ``Study``: ``study.run(study.Config())`` and ``study.report(dataset, folder)``.

    Raises:
        ValueError: no such study, or a module that is none.

    Example:
        >>> import tokdyn as td
        >>> study = td.studies.load("dynamics")
        >>> dataset = study.run(study.Config(seeds=2, clusters=(3,)), with_example=False)
        >>> dict(dataset.sizes)
        {'rule': 4, 'noise': 3, 'clusters': 1, 'seed': 2}
    """
    checks.choice("study", name, tuple(sorted(available())))
    return of_module(name, _module(name))


def _module(name: str) -> ModuleType:
    address = available()[name]
    try:
        return importlib.import_module(address)
    except ImportError as error:
        raise checks.bad("study", f"a module {address} that can be imported", files.reason(error)) from error
    except (Exception, SystemExit) as error:  # somebody else's module may do anything
        if name in OURS:
            raise
        got = f"{type(error).__name__}: {files.reason(error)}"
        raise checks.bad("study", f"a module {address} that can be imported", got) from error
