"""A sweep that ends between any two changes of its files: by a power cut, or because the disk is full.

``PYTHONPATH=tests:tests/sweeps python tests/sweeps/cuts.py --every 1`` tries every change; ``test_faults.py`` some of
them in every gate. After a power cut the disk holds what was asked to be on it: files without ``fsync`` are empty, and
of names that their folder was not asked to keep, each is lost or kept by chance. The same call must go on from there,
to the numbers of a sweep that nothing cut.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faults
import numpy as np
from test_extend import CASES, swept

import tokdyn as td
from tokdyn.sweeps.repair import repair
from tokdyn.sweeps.store import open_store

FIRST, THEN = CASES["everything"]
# What goes on in a store, and the name in ``faults.Stores`` of the one that it begins with.
WORK = {
    "begin": ("", lambda place: swept(store=place, **THEN)),
    "continue": ("half", lambda place: swept(store=place, **THEN)),
    "extend": ("first", lambda place: swept(store=place, extend=True, **THEN)),
    "repair": ("damaged", lambda place: repair(open_store(place))),
}


class Cut(BaseException):
    """The end of the process, as far as it can see."""


class Disk:
    """The changes below a folder, which are counted, and end at one of them.

    Args:
        root: the folder.
        at: the change at which it happens; None counts only.
        full: the disk is full, which the process is told; otherwise the process is gone.
    """

    def __init__(self, root: Path, at: int | None = None, *, full: bool = False) -> None:
        self.root, self.at, self.full = str(root), at, full
        self.changes = 0
        self.synced: set[int] = set()  # inodes
        self.names: dict[str, bytes | None] = {}  # not yet kept by their folder: what the name stood for before
        self.folders: dict[str, None] = {}  # the same of new folders

    def _ours(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and str(path).startswith(self.root)

    def _count(self, *, grows: bool, path: Any = None) -> None:
        """One more change; the system names the path, where it does."""
        self.changes += 1
        if self.at is None or self.changes <= self.at:
            return
        if not self.full:
            raise Cut
        if grows:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([] if path is None else [str(path)]))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Replace what changes files by what counts, and then calls it."""
        true = {name: getattr(os, name) for name in ("fsync", "link", "replace", "rename", "unlink", "mkdir")}
        opened = builtins.open

        def open_(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if not self._ours(path) or not set(mode) & set("wax"):
                return opened(path, mode, *arguments, **options)
            self._count(grows=True, path=path)
            return _Written(opened(path, mode, *arguments, **options), self)

        def fsync(number: int) -> None:
            there = os.readlink(f"/proc/self/fd/{number}")
            if not self._ours(there):
                return true["fsync"](number)
            self._count(grows=False)
            self.synced.add(os.fstat(number).st_ino)
            for known in (self.names, self.folders):
                for name in [name for name in known if os.path.dirname(name) == there]:
                    del known[name]
            return None

        def named(name: str, grows: bool) -> Any:
            def change(source: Any, target: Any, **options: Any) -> None:
                if self._ours(target):
                    self._count(grows=grows, path=target)
                    if not os.path.isdir(source):
                        before = Path(target).read_bytes() if os.path.isfile(target) else None
                        self.names.setdefault(str(target), before)
                true[name](source, target, **options)

            return change

        def unlink(path: Any, **options: Any) -> None:
            if self._ours(path):
                self._count(grows=False)
            true["unlink"](path, **options)

        def mkdir(path: Any, *arguments: Any, **options: Any) -> None:
            if self._ours(path) and not os.path.isdir(path):
                self._count(grows=True, path=path)
                self.folders[str(path)] = None
            true["mkdir"](path, *arguments, **options)

        changed = {"fsync": fsync, "unlink": unlink, "mkdir": mkdir, "link": named("link", True)}
        changed |= {name: named(name, False) for name in ("replace", "rename")}
        builtins.open = open_
        for name, function in changed.items():
            setattr(os, name, function)
        try:
            yield
        finally:
            builtins.open = opened
            for name, function in true.items():
                setattr(os, name, function)

    def lose(self, generator: np.random.Generator) -> None:
        """What was not yet on the disk."""
        for name, before in self.names.items():
            if generator.random() < 0.5 and os.path.isfile(name):
                if before is None:
                    os.unlink(name)
                else:
                    Path(name).write_bytes(before)
        for name in self.folders:
            if generator.random() < 0.5:
                shutil.rmtree(name, ignore_errors=True)
        for path in Path(self.root).rglob("*"):
            if path.is_file() and path.stat().st_ino not in self.synced and path.stat().st_mtime_ns > self.began:
                path.write_bytes(b"")

    began = 0


class _Written:
    """A file that is being written, on a disk that may fill meanwhile."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def write(self, content: Any) -> int:
        try:
            self.disk._count(grows=True)
        except BaseException:
            self.file.write(content[: len(content) // 2])
            raise
        return self.file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


class Stores(faults.Stores):
    """What work begins with, and how many changes it makes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun = swept(store=folder / "first", **FIRST).load()
        shutil.copytree(folder / "whole", folder / "damaged")
        generator = np.random.default_rng(5)
        for _ in range(12):
            faults.damage(folder / "damaged", folder / "foreign", generator, kinds=("truncated", "deleted"))
        self.changes = {name: self.cut(name, None).changes for name in WORK}

    def cut(self, name: str, at: int | None, *, full: bool = False) -> Disk:
        """Work that ends at a change; what is left lies in `place`."""
        begun_with, work = WORK[name]
        shutil.rmtree(self.place, ignore_errors=True)
        if begun_with:
            shutil.copytree(self.folder / begun_with, self.place)
        disk = Disk(self.place, at, full=full)
        there = [path.stat().st_mtime_ns for path in self.place.rglob("*")]
        disk.began = max(there, default=0)
        told, happened = "", ""
        with disk.watched():
            try:
                _, told = faults.said(lambda: work(self.place))
            except Cut:
                happened = "cut"
        if told:
            happened = "full"
            assert "No space left on device" in told, told
            assert str(self.place) in told, f"a full disk without its name: {told}"
        # A full disk is felt only by what grows, of which there may be nothing more to come.
        allowed = {""} if at is None else {"", "full"} if full else {"cut"}
        assert happened in allowed, (happened, told)
        return disk

    @property
    def place(self) -> Path:
        return self.folder / "cut"


def check(stores: Stores, name: str, at: int, *, full: bool) -> None:
    """Work cut at one change, read, and gone on with.

    Raises:
        AssertionError: wrong numbers, a sentence where none is needed, or something half-written.
    """
    disk = stores.cut(name, at, full=full)
    if full:
        beside = [path for path in stores.place.rglob("*") if path.name.endswith(".tmp")]
        assert not beside, f"left on the full disk: {beside}"
    else:
        disk.lose(np.random.default_rng(at))
    if name != "repair" and stores.place.is_dir():
        found, _ = faults.said(lambda: td.open_sweep(stores.place))
        if found is not None:
            faults.same_so_far(found, stores, f"{name} cut at {at}")
    if name == "repair":
        faults.mended(stores, stores.place, [f"{name} cut at {at}"])
        return
    there = stores.place.is_dir()
    whole = swept(store=stores.place, extend=there, **THEN)
    faults.same(whole, stores.expected, f"{name} cut at {at}")
    faults.same(td.open_sweep(stores.place, verify=True), stores.expected, f"{name} cut at {at}, then whole")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try each of so many changes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder).resolve())
        print(stores.changes, flush=True)
        trials = [
            (f"{name} {at} full={full}", partial(check, stores, name, at, full=full))
            for name, changes in stores.changes.items()
            for full in (False, True)
            for at in range(0, changes, chosen.every)
        ]
        failed = faults.num_failed(trials)
    print(f"{len(trials)} cuts; {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
