"""``tokdyn list`` and ``tokdyn info``: what there is, and what a file holds."""

from __future__ import annotations

import json
from pathlib import Path


def show_list(words: list[str]) -> None:
    """``tokdyn list``."""
    from tokdyn import studies
    from tokdyn.dynamics import catalog

    if words:
        raise ValueError(f"list: expected no argument, got {words[0]!r}")
    print("studies (tokdyn study NAME):")
    for name in sorted(studies.available()):
        summary = (studies.load(name).__doc__ or "").strip().splitlines()[0]
        print(f"  {name:<19} {summary}")
    print("systems (td.catalog.build(NAME)):")
    for name in catalog.names():
        print(f"  {name:<28} {', '.join(catalog.build(name).names)}")


def show_info(words: list[str]) -> None:
    """``tokdyn info``."""
    from tokdyn import compile_cache, environment

    if words == ["--clear-cache"]:
        print(f"{compile_cache.clear()} compiled programs removed")
        return
    if len(words) > 1:
        raise ValueError(f"info: expected at most one path, got {len(words)}")
    if not words:
        print(json.dumps({**environment.describe(), "compiled_programs": compile_cache.describe()}, indent=2))
        return
    path = Path(words[0])
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
    except ValueError:
        try:
            run = autoencoder.load_run(path)
        except ValueError:
            expected = "a dynamics written by td.save, or a training written by td.autoencoder.save_run"
            raise ValueError(f"path: expected {expected}, got {path}") from None
        print(run.model)
        print(f"{run.corpus.vocabulary_size} words; tokdyn diagnose {path} says what is wrong with it")


def _print_store(path: Path) -> None:
    from tokdyn.sweeps import open_sweep, store

    place = store.open_existing(path)
    if place is None:
        import xarray

        print(xarray.open_zarr(path, consolidated=False))
        return
    markers = place.markers()
    print(open_sweep(path))
    print(f"{(markers != 0).sum():,} of {len(markers):,} tasks of {place.chunk:,} runs are finished")
