"""The location of a store: a folder, or a URL that fsspec can access. Files appear whole; nobody can read half of one.

Files are on the disk before a call returns: after a power cut a file is either complete or absent. ``create`` is for
files that several processes may try to make at the same time: one succeeds, and the others are told.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tokdyn import checks

# In a place without conditional writes, everyone sees the last write after this many seconds.
SETTLED = 2.0


class Place(Protocol):
    """The files of one store. Paths are relative, with forward slashes."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if it does not exist."""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Create or replace files, each atomically, in any order."""

    def create(self, path: str, content: bytes) -> bool:
        """Create a file atomically unless it exists; return whether this call created it."""

    def read_all(self, folder: str) -> dict[str, bytes]:
        """The contents of a folder's files by name, without subfolders and files that are being written."""

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in a folder, sorted; empty if the folder does not exist."""

    def remove(self, path: str) -> None:
        """Remove a file if it exists."""


def place_of(path: str | os.PathLike[str]) -> Place:
    """The place that a path or URL names.

    Raises:
        ValueError: neither text nor a path, or a URL that fsspec cannot reach.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise checks.bad("store", "a folder or a URL", repr(path))
    text = os.fspath(path)
    if isinstance(text, bytes):
        raise checks.bad("store", "a folder or a URL as text", repr(text))
    if "\0" in text:
        raise checks.bad("store", "a folder or a URL", repr(text))
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return Remote(text) if "://" in text or "::" in text else Folder(Path(text))


class Folder:
    """A folder on this machine, or on a disk shared by several machines.

    Args:
        root: the folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def read(self, path: str) -> bytes | None:
        """Implements ``Place``."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Implements ``Place``."""
        targets = [self.root / path for path in files]
        with contextlib.ExitStack() as stack:
            # Sync all contents first, then all names: syncing several files at once takes little longer than one.
            beside = [stack.enter_context(_written_beside(t, c)) for t, c in zip(targets, files.values(), strict=True)]
            for written, target in zip(beside, targets, strict=True):
                with _named(target):
                    _sync(written)
                _set_aside(target)
                os.replace(written, target)
        for folder in {target.parent for target in targets}:
            _sync_folder(folder)

    def create(self, path: str, content: bytes) -> bool:
        """Implements ``Place``."""
        target = self.root / path
        with _written_beside(target, content) as written:
            with _named(target):
                _sync(written)
            _set_aside(target)
            try:
                os.link(written, target)  # unlike a rename, this fails if the target exists
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                    raise
                return self._create_under_lock(written, target)
        _sync_folder(target.parent)
        return True

    @staticmethod
    def _create_under_lock(written: Path, target: Path) -> bool:
        """``create`` on disks without hard links."""
        from filelock import FileLock

        lock = target.with_name(f".{target.name}.lock")
        with FileLock(lock):
            if target.exists():
                return False
            os.replace(written, target)
        _sync_folder(target.parent)
        return True

    def read_all(self, folder: str) -> dict[str, bytes]:
        """Implements ``Place``."""
        found = {}
        for name in self.names(folder):
            with contextlib.suppress(IsADirectoryError, FileNotFoundError, PermissionError):
                found[name] = (self.root / folder / name).read_bytes()
        return found

    def names(self, folder: str) -> list[str]:
        """Implements ``Place``."""
        try:
            return sorted(name for name in os.listdir(self.root / folder) if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, path: str) -> None:
        """Implements ``Place``."""
        _set_aside(self.root / path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self.root / path)

    def __str__(self) -> str:
        return str(self.root)


@contextlib.contextmanager
def _written_beside(target: Path, content: bytes) -> Iterator[Path]:
    """The content in a temporary file in the same folder, which is removed afterwards."""
    _make_folders(target.parent)
    # Not the target's name with something added: that may be as long as names can be.
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with _named(target), open(beside, "xb") as file:
            file.write(content)
        yield beside
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Make errors name the file that was to be written: for a full disk, the system names none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or 0, error.strerror or str(error), str(target)) from None


def _make_folders(folder: Path) -> None:
    """Create a folder and its parents, and sync them to the disk, as will be done for the files in it."""
    if folder.is_dir():
        return
    new = list(itertools.takewhile(lambda place: not place.exists(), (folder, *folder.parents)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OSError(errno.ENOTDIR, "a file where a folder should be", str(folder)) from None
    for made in new:
        _sync_folder(made.parent)


def _set_aside(target: Path) -> None:
    """Give a folder that is in the way of a file a hidden name; its contents are unknown, so it is kept."""
    if target.is_dir() and not target.is_symlink():
        os.rename(target, target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.aside"))


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that new names in it are on the disk; some systems and shared disks do not support this."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class Remote:
    """A location that fsspec can access. Every object store writes a single file atomically.

    Args:
        url: a URL in fsspec's form.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            import fsspec  # type: ignore[import-untyped]

            self.files, self.root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError, OSError) as error:
            raise checks.bad("store", "a folder, or a URL that fsspec reaches", f"{url} ({error})") from None

    def read(self, path: str) -> bytes | None:
        """Implements ``Place``."""
        self.files.invalidate_cache(self._parent(path))
        try:
            return bytes(self.files.cat_file(self._at(path)))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Implements ``Place``."""
        for path, content in files.items():
            self._put(path, content)

    def create(self, path: str, content: bytes) -> bool:
        """Implements ``Place``. S3, Google Cloud Storage, Azure and memory refuse a second writer by themselves.

        Elsewhere the rule is: write, wait until everyone can see the file, and check whose it is. The content must
        therefore differ from what other writers may write.
        """
        if self.read(path) is not None:
            return False
        try:
            self._put(path, content, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError, ValueError):
            self._put(path, content)
            time.sleep(SETTLED)
        return self.read(path) == content

    def read_all(self, folder: str) -> dict[str, bytes]:
        """Implements ``Place``."""
        paths = [self._at(f"{folder}/{name}") for name in self.names(folder)]
        found = self.files.cat(paths, on_error="omit") if paths else {}
        if isinstance(found, bytes):  # for a single path
            found = {paths[0]: found}
        return {path.rsplit("/", 1)[-1]: bytes(content) for path, content in found.items()}

    def names(self, folder: str) -> list[str]:
        """Implements ``Place``."""
        self.files.invalidate_cache(self._at(folder))
        try:
            found = self.files.ls(self._at(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = self._at(folder).strip("/")
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found if path.strip("/") != own)
        return sorted(name for name in names if not name.startswith("."))

    def remove(self, path: str) -> None:
        """Implements ``Place``."""
        with contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def _parent(self, path: str) -> str:
        return self._at(path).rsplit("/", 1)[0]

    def _put(self, path: str, content: bytes, **options: Any) -> None:
        try:
            self.files.pipe_file(self._at(path), content, **options)
        except FileNotFoundError:  # object stores have no folders; other systems want one
            self.files.makedirs(self._parent(path), exist_ok=True)
            self.files.pipe_file(self._at(path), content, **options)

    def __str__(self) -> str:
        return self.url
