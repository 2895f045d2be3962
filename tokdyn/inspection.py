"""``tokdyn list``, ``tokdyn claims`` and ``tokdyn info``: what there is, and what a file holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tokdyn import checks, files


def show_list(words: list[str]) -> None:
    """``tokdyn list``."""
    from tokdyn import studies
    from tokdyn.dynamics import catalog

    if _asks_for_help(words):
        print("usage: tokdyn list\n\nThe studies (tokdyn study NAME) and systems (td.catalog.build(NAME)) there are.")
        return
    if words:
        raise ValueError(f"list: expected no argument, got {words[0]!r}")
    print("studies (tokdyn study NAME):")
    for name in sorted(studies.available()):
        print(f"  {name:<19} {_summary(name)}")
    print("systems (td.catalog.build(NAME)):")
    for name in catalog.names():
        print(f"  {name:<28} {', '.join(catalog.build(name).names)}")


def _summary(study: str) -> str:
    """The first line of its documentation, or why it cannot be loaded: one that is broken hides no other."""
    from tokdyn import studies

    try:
        text = studies.load(study).description
    except ValueError as error:
        return f"cannot be loaded: {error}"
    return next((line.strip() for line in text.splitlines() if line.strip()), "(says nothing about itself)")


def _asks_for_help(words: list[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def show_claims(words: list[str]) -> None:
    """``tokdyn claims``."""
    import tyro

    from tokdyn import claims

    def show(work: str | None = None, verdict: str | None = None, as_json: bool = False) -> None:
        """List every published claim of the works that this package examines, with our verdict.

        Args:
            work: show only this work: dynamics, diffusion_lm, visual_memory, capimagine or dmlr.
            verdict: show only this verdict: reproduced, contradicted, qualified or open.
            as_json: print the complete records as JSON.
        """
        rows = claims.table(claims.load(), work, verdict)
        if as_json:
            print(json.dumps(rows, indent=2))
            return
        _print_table(rows, ("id", "claim", "published", "ours", "verdict", "command"))
        counts = {name: sum(row["verdict"] == name for row in rows) for name in claims.VERDICTS}
        print(f"{len(rows)} claims: " + ", ".join(f"{count} {name}" for name, count in counts.items()))

    tyro.cli(show, prog="tokdyn claims", args=words)


def _print_table(rows: list[dict[str, str]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        # Escape brackets, which a claim may contain, since rich would parse them as markup.
        table.add_row(*(row[name].replace("[", "\\[") for name in columns))
    # A pipe has no width, so make the table wide.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


INFO = """\
usage: tokdyn info [--clear-cache]
       tokdyn info PATH [--verify] [--repair]

Versions, devices and kept programs as JSON; or what PATH holds: a dynamics (td.save), a training
(td.autoencoder.save_run), the store of a sweep or of a study.

  --clear-cache  remove the compiled programs that are kept on disk
  --verify       compare every chunk of a sweep's store with its checksum
  --repair       set damaged chunks of a sweep's store aside, so that they are computed again"""


def show_info(words: list[str]) -> None:
    """``tokdyn info``."""
    from tokdyn import compile_cache, environment

    if _asks_for_help(words):
        print(INFO)
        return
    if words == ["--clear-cache"]:
        print(f"{compile_cache.clear()} compiled programs removed")
        return
    options = {word for word in words if word in ("--verify", "--repair")}
    words = [word for word in words if word not in options]
    if words and words[0].startswith("--"):
        raise checks.bad("info", "a path, --clear-cache, --verify or --repair", words[0])
    if options and not words:
        raise ValueError(f"info: expected the path of a sweep's store with {sorted(options)[0]}, got none")
    if len(words) > 1:
        raise ValueError(f"info: expected at most one path, got {len(words)}")
    if not words:
        print(json.dumps({**environment.describe(), "compiled_programs": compile_cache.describe()}, indent=2))
        return
    path = files.path_of("path", words[0], "a file or a folder")
    if path.suffix == ".npz" and not (options or path.is_dir()):
        _print_file(path)
        return
    if options or _is_sweep(words[0]):
        _print_sweep(words[0], options)
        return
    if path.suffix == ".npz":
        _print_file(path)
    elif (path / "zarr.json").is_file():
        _print_store(path)
    else:
        expected = "a Zarr store, a dynamics written by td.save, or a training written by td.autoencoder.save_run"
        raise ValueError(f"path: expected {expected}, got {path}")


def _print_file(path: Path) -> None:
    from tokdyn import autoencoder
    from tokdyn.dynamics import load

    try:
        print(load(path))
    except ValueError as no_dynamics:
        try:
            run = autoencoder.load_run(path)
        except ValueError:
            expected = "a dynamics written by td.save, or a training written by td.autoencoder.save_run"
            raise checks.bad("path", expected, _got(str(no_dynamics), path)) from None
        print(run.model)
        print(f"{run.corpus.vocabulary_size} words; tokdyn diagnose {path} says what is wrong with it")


def _got(sentence: str, path: Path) -> str:
    """What a sentence about the file says it got."""
    _, _, got = sentence.rpartition(", got ")
    return got if str(path) in got else f"{path} ({got})"


def _is_sweep(path: str) -> bool:
    from tokdyn.sweeps import legacy
    from tokdyn.sweeps.store import open_store

    if Path(path).is_file():
        return False
    return open_store(path) is not None or legacy.is_old(path)


def _print_sweep(path: str, options: set[str]) -> None:
    """A sweep's store: what it holds, how far it is, and whether all is as it was written."""
    from tokdyn.sweeps import legacy, open_sweep
    from tokdyn.sweeps.repair import inspect, repair
    from tokdyn.sweeps.store import open_store

    store = open_store(path)
    if store is None:
        if legacy.is_old(path) and "--repair" not in options:
            print(open_sweep(path, verify="--verify" in options))
            return
        raise checks.bad("path", "the store of a sweep", path)
    if "--repair" in options:
        for sentence in repair(store):
            print(sentence)
    found = inspect(store, thoroughly="--verify" in options)
    print(open_sweep(path, verify=False))
    print(found)
    if found.damage:
        raise ValueError(f"store: expected what was written, got {len(found.damage)} damaged files in {path}")


def _print_store(path: Path) -> None:
    import xarray

    print(xarray.open_zarr(path, consolidated=False))
