"""A sweep as a TOML file, for the command line: ``tokdyn sweep SPEC.toml --store PATH``.

.. code-block:: toml

    evaluate = "dynamics"            # the dynamics study's, or "package.module:function"
    base = "package.module:BASE"     # what the evaluator's paths start from; left out with "dynamics"
    seeds = 100
    key = 0
    paired = true
    x64 = false

    [set]                            # other numbers in the base
    "data.noise" = 0.5

    [grid]                           # also [zipped.NAME], [sampled], [variants]
    "dynamics.attract.temperature" = { geomspace = [0.1, 60.0, 40] }
    "dynamics.repel.strength" = [0.0, 0.05, 0.1]
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokdyn import checks, files
from tokdyn.sweeps import space as spaces
from tokdyn.tree import with_values

_RANGES: dict[str, Callable[..., Any]] = {
    "linspace": np.linspace,
    "geomspace": np.geomspace,
    "arange": np.arange,
}
_DISTRIBUTIONS: dict[str, Callable[..., spaces.Distribution]] = {
    "uniform": spaces.uniform,
    "log_uniform": spaces.log_uniform,
    "choice": spaces.choice,
}
_TABLES = ("set", "grid", "zipped", "sampled", "variants", "dims")
_FIELDS = ("evaluate", "base", "seeds", "key", "paired", "x64", "pad", *_TABLES)


@dataclasses.dataclass(frozen=True)
class FileSpec:
    """The content of a specification file; the fields are the arguments of ``sweep``."""

    evaluate: Callable[..., Any]
    base: Any
    space: spaces.Space
    seeds: Any
    key: int
    paired: bool
    x64: bool
    dims: dict[str, tuple[str, ...]]
    pad: tuple[str, ...]


def read(path: str | os.PathLike[str], builtin: Mapping[str, tuple[Callable[..., Any], Any]]) -> FileSpec:
    """Read the specification of a sweep from a file.

    Args:
        path: the TOML file; modules are also searched for in its folder and in the working folder.
        builtin: named evaluators, `{name: (evaluate, base)}`.

    Returns:
        A ``FileSpec``.

    Raises:
        ValueError: no such file, not TOML, or an unknown entry, which the message names.
    """
    try:
        content = tomllib.loads(files.read_text(files.path_of("spec", path, "a TOML file")))
    except (files.Unreadable, ValueError, RecursionError) as error:
        if str(error).startswith("spec: "):
            raise
        raise checks.bad("spec", "a TOML file", f"{path} ({files.reason(error)})") from None
    for name in content:
        checks.choice("spec", name, _FIELDS)
    for name in _TABLES:
        if not isinstance(content.get(name, {}), dict):
            raise checks.bad(name, "a table", checks.shown(content[name]))
    evaluate, base = _evaluator(content, Path(path), builtin)
    whole = spaces.Space()
    if content.get("variants"):
        whole = whole * spaces.variants(**content["variants"])
    for name, columns in content.get("zipped", {}).items():
        if not isinstance(columns, dict):
            raise checks.bad(f"zipped.{name}", "a table of paths with their values", checks.shown(columns))
        whole = whole * spaces.zipped(name, {path: _values(path, given) for path, given in columns.items()})
    if content.get("sampled"):
        whole = whole * _sampled(dict(content["sampled"]))
    if content.get("grid"):
        whole = whole * spaces.grid({path: _values(path, given) for path, given in content["grid"].items()})
    kinds = (("paired", bool, "true or false"), ("x64", bool, "true or false"), ("key", int, "a whole number"))
    for name, kind, expected in kinds:
        if type(content.get(name, kind())) is not kind:
            raise checks.bad(name, expected, checks.shown(content[name]))
    # JAX makes keys from numbers in this range.
    key = checks.whole_number("key", content.get("key", 0), at_least=-(2**63), at_most=2**63 - 1)
    for place, value in content.get("set", {}).items():
        if isinstance(value, (dict, str)):
            raise checks.bad(place, "a number", checks.shown(value))
    return FileSpec(
        evaluate=evaluate,
        base=with_values(base, content.get("set", {})),
        space=whole,
        seeds=content.get("seeds", 1),
        key=key,
        paired=content.get("paired", True),
        x64=content.get("x64", False),
        dims={name: _names(f"dims.{name}", dims) for name, dims in content.get("dims", {}).items()},
        pad=_names("pad", content.get("pad", [])),
    )


def _names(argument: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise checks.bad(argument, "a list of names", checks.shown(given))
    return tuple(given)


def _evaluator(content: dict[str, Any], path: Path, builtin: Mapping[str, Any]) -> tuple[Callable[..., Any], Any]:
    name = content.get("evaluate")
    if isinstance(name, str) and name in builtin:
        if "base" in content:
            raise checks.bad("base", f"no base beside evaluate = {name!r}, which has its own", repr(content["base"]))
        return builtin[name]
    if not isinstance(name, str) or ":" not in name:
        raise checks.bad("evaluate", f"module:function, or one of {', '.join(builtin)}", repr(name))
    if "base" not in content:
        raise checks.bad("base", "module:NAME of the pytree that the paths start from", "none")
    folders = [str(path.resolve().parent), os.getcwd()]
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    return _named("evaluate", name), _named("base", content["base"])


def _named(argument: str, name: Any) -> Any:
    module, _, attribute = str(name).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise checks.bad(argument, "an importable module:name", f"{name!r} ({files.reason(error)})") from None
    except (Exception, SystemExit) as error:  # the user's module may do anything
        got = f"{name!r} ({type(error).__name__}: {files.reason(error)})"
        raise checks.bad(argument, "an importable module:name", got) from error


def _values(path: str, given: Any) -> Any:
    """A list of numbers, or one of NumPy's ranges: `{ geomspace = [0.1, 10.0, 40] }`."""
    if not isinstance(given, dict):
        return given
    if len(given) != 1 or next(iter(given)) not in _RANGES:
        raise checks.bad(path, f"a list of numbers, or one of {', '.join(_RANGES)}", repr(given))
    ((kind, arguments),) = given.items()
    try:
        return _RANGES[kind](*arguments)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        got = f"{checks.shown(arguments)} ({files.reason(error)})"
        raise checks.bad(path, f"arguments of numpy.{kind}", got) from None


def _sampled(table: dict[str, Any]) -> spaces.Space:
    options = {name: table.pop(name) for name in ("num_samples", "seed", "method", "name") if name in table}
    if "num_samples" not in options:
        raise checks.bad("sampled", "num_samples", "none")
    distributions = {}
    for path, given in table.items():
        if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in _DISTRIBUTIONS:
            raise checks.bad(path, f"one of {', '.join(_DISTRIBUTIONS)}", repr(given))
        ((kind, arguments),) = given.items()
        try:
            distributions[path] = _DISTRIBUTIONS[kind](*arguments)
        except TypeError as error:
            raise checks.bad(path, f"arguments of {kind}", f"{arguments!r} ({error})") from None
    return spaces.sampled(options.pop("num_samples"), distributions, **options)
