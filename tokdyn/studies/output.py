"""How a study's folder comes to be: everything is written under a temporary name, and appears at once or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tokdyn import claims, interrupts
from tokdyn.checks import bad
from tokdyn.files import path_of, reason

if TYPE_CHECKING:
    import xarray

Design = TypeVar("Design")


def config_from(kind: type[Design], stored: dict[str, Any]) -> Design:
    """The design of a study that was written down as JSON.

    Args:
        kind: the study's ``Config``; its ``checked`` is called where it has one.
        stored: the fields by name.

    Returns:
        A ``kind``.

    Raises:
        ValueError: a field that the design does not have, or a design that cannot be run.
    """
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    # Earlier studies wrote down where and how they were carried out, too.
    stored = {name: value for name, value in stored.items() if name in known or name not in ("store", "workers")}
    for name in stored:
        if name not in known:
            raise bad("config", f"fields among {', '.join(sorted(known))}", repr(name))
    fields = {name: tuple(x) if isinstance(x, list) else x for name, x in stored.items()}
    try:
        made = kind(**fields)
        return made.checked() if hasattr(made, "checked") else made
    except (TypeError, AttributeError, KeyError, OverflowError) as error:  # a value of a type that it never has
        raise bad("config", "fields as a study of this name writes them", reason(error)) from None


def import_ahead() -> None:
    """Import what the Dataset and its files need; for a study to call while its programs compile or run.

    Neither needs Python, and the modules take a quarter of a second command's time.
    """
    import xarray
    import zarr

    xarray.Dataset({"first": ("made", [0.0])})  # looks for dask
    zarr.config.get("async")


def write_record(
    place: Path, dataset: xarray.Dataset, found: dict[str, claims.Finding], *, wall_seconds: float | None
) -> None:
    """What every study writes: the Dataset, where and how it was made, and what it says to published claims.

    Args:
        place: the folder.
        dataset: of the study; its attributes are the metadata.
        found: a ``Finding`` for each claim; none where the design is not the default.
        wall_seconds: of the whole command so far.
    """
    # Texts of any length: those of a fixed one have no place in the Zarr specification.
    texts = [name for name, values in dataset.variables.items() if values.dtype.kind == "U"]
    dataset = dataset.assign_coords({name: dataset[name].astype(object) for name in texts if name in dataset.coords})
    dataset = dataset.assign({name: dataset[name].astype(object) for name in texts if name in dataset.data_vars})
    dataset.to_zarr(place / "runs.zarr", mode="w", zarr_format=3, consolidated=False)
    attributes = dict(dataset.attrs)
    content = {"config": json.loads(attributes.pop("config")), **json.loads(attributes.pop("environment"))}
    write_json(place / "metadata.json", {**attributes, **content, "wall_seconds": wall_seconds})
    if found:
        claims.write(place / "claims.json", [claim for claim in claims.updated(found) if claim.id in found])


def demand_writable(folder: str | os.PathLike[str], files: Sequence[str] = ()) -> None:
    """Say before a long run, not after it, that its results would have no place. Makes nothing.

    Args:
        folder: where results are to be written; need not exist yet. What else is in it stays.
        files: names of the results in it, where they are known: these are replaced where they are files.

    Raises:
        ValueError: it is no folder, or cannot be made or written, or something is in the way of a file.
    """
    target = path_of("out", folder, "a folder that can be written").absolute()
    try:
        for place in (target, *target.parents):
            place.lstat()
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        pass  # said below, with the place
    except OSError as error:  # a name that no folder can have
        raise bad("out", "a folder that can be written", f"{folder} ({reason(error)})") from None
    existing = next(place for place in (target, *target.parents) if os.path.lexists(place))
    if not existing.is_dir():
        raise bad("out", "a folder that can be written", f"{folder} ({existing} is not a folder)")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise bad("out", "a folder that can be written", f"{folder} (no permission in {existing})")
    for file in files:
        place = target / file
        if place.is_dir():
            raise bad("out", "a folder in which the results find room", f"{place}, which is in the way")
        for parent in (above for above in place.parents if target in above.parents and os.path.lexists(above)):
            if not parent.is_dir():
                raise bad("out", "a folder in which the results find room", f"{parent}, which is in the way")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise bad("out", "a folder that can be written", f"{folder} (no permission in {parent})")


@contextlib.contextmanager
def written_together(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder whose contents replace those of ``folder`` when the block ends well, and vanish otherwise.

    Files of other names that were in ``folder`` stay.

    Args:
        folder: where the results should be; made where it is missing.

    Yields:
        The temporary folder, beside it.

    Raises:
        ValueError: no folder can be made there, or something is in the way of the results.
        OSError: they cannot be written, naming the folder: a full disk.
    """
    target = Path(folder)
    temporary = target / f".unfinished-{uuid.uuid4().hex}"  # named before it is made, or an interrupt could miss it
    new = [place for place in (target, *target.parents) if not place.exists()]

    def clear() -> None:
        doomed = temporary.with_name(f"{temporary.name}-doomed")
        for _ in range(10):  # after an interrupt Zarr's threads may still be writing
            with contextlib.suppress(OSError):  # there is none, or this system does not rename what is in use
                os.replace(temporary, doomed)  # at once: who goes on writing there finds no folder
            shutil.rmtree(doomed, ignore_errors=True)
            shutil.rmtree(temporary, ignore_errors=True)
            if not (temporary.exists() or doomed.exists()):
                break
            time.sleep(0.02)
        for place in new:
            with contextlib.suppress(OSError):  # it holds the results
                place.rmdir()

    with interrupts.afterwards(clear):
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise bad("out", "a folder that can be written", f"{target} ({reason(error)})") from None
        try:
            yield temporary
        except OSError as error:  # a full disk says neither which file nor whose
            named = isinstance(error.filename, (str, bytes))
            if named and temporary.absolute() not in Path(os.fsdecode(error.filename)).absolute().parents:
                raise  # somebody else's file
            raise OSError(error.errno or 0, reason(error), str(target)) from None
        moves = _moves(temporary, target)
        for item, place in moves:
            conflict = place.exists() and place.is_dir() != item.is_dir()
            blocked = any(parent.exists() and not parent.is_dir() for parent in place.parents)
            if conflict or blocked:
                raise bad("out", "a folder in which the results find room", f"{place}, which is in the way")
        with interrupts.uninterrupted():
            interrupts.keeps(f"some of the results are in {target}")
            for item, place in moves:
                if place.is_dir():
                    shutil.rmtree(place)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(item, place)
            interrupts.keeps(f"the results are in {target}")


def _moves(temporary: Path, target: Path) -> list[tuple[Path, Path]]:
    """What goes where: file by file, so that a folder keeps what else is in it; but a Zarr store is one thing."""
    moves = []
    for item in sorted(temporary.iterdir()):
        if item.is_dir() and item.suffix != ".zarr":
            moves += _moves(item, target / item.name)
        else:
            moves.append((item, target / item.name))
    return moves


def write_json(path: Path, content: Any) -> None:
    """JSON that every reader takes: infinities and NaN become null.

    Args:
        path: the file.
        content: dicts, lists, numbers, text.
    """
    path.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(name): _plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
