"""Random faults in the files of a store: what is read is right, or a sentence says what is wrong.

``PYTHONPATH=tests:tests/sweeps python tests/sweeps/faults.py --faults 200`` by hand; ``test_faults.py`` does twenty in
every gate. After each fault (one to three at once, on a whole store, a half-finished one and an extended one) the store
is opened, read, swept again and, where a sentence refuses that, repaired as the sentence says. In the end it must hold
what an uninterrupted sweep holds.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from test_extend import CASES, swept

import tokdyn as td
from tokdyn.sweeps.repair import repair
from tokdyn.sweeps.store import open_store

FIRST, THEN = CASES["everything"]
OUTPUTS = ("x", "positive", "largest")
EDITS = (0, "x", None, {}, [], -5, 1e300)


class Stores:
    """Stores to damage, and what they should hold.

    Args:
        folder: where to make them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        swept(store=folder / "extended", **FIRST)
        swept(store=folder / "extended", extend=True, **THEN)
        swept(store=folder / "half", worker=0, of=2, **THEN)
        swept(store=folder / "whole", **THEN)
        swept(store=folder / "foreign", seeds=7)
        self.expected = swept(**THEN)


KINDS = ("truncated", "bits", "zeros", "noise", "deleted", "copied", "swapped", "foreign", "folder", "edited")


def damage(place: Path, foreign: Path, generator: np.random.Generator, kinds: Sequence[str] = KINDS) -> str:
    """One fault in one file; what it was."""
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    file = files[generator.integers(len(files))]
    content = file.read_bytes()
    kind = str(generator.choice(kinds))
    if kind == "truncated":
        file.write_bytes(content[: generator.integers(0, max(1, len(content)))])
    elif kind == "bits" and content:
        changed = bytearray(content)
        changed[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        file.write_bytes(bytes(changed))
    elif kind == "zeros":
        file.write_bytes(bytes(len(content)))
    elif kind == "deleted":
        file.unlink()
    elif kind == "copied":
        file.write_bytes(files[generator.integers(len(files))].read_bytes())
    elif kind == "swapped":
        alike = [path for path in files if path.suffix == file.suffix]
        other = alike[generator.integers(len(alike))]
        there = other.read_bytes()
        other.write_bytes(content)
        file.write_bytes(there)
    elif kind == "foreign":
        others = [path for path in sorted(foreign.rglob("*")) if path.is_file()]
        file.write_bytes(others[generator.integers(len(others))].read_bytes())
    elif kind == "folder":
        file.unlink()
        file.mkdir()
    elif kind == "edited" and _object(content):
        edited = _object(content)
        names = list(edited)
        edited[names[generator.integers(len(names))]] = EDITS[generator.integers(len(EDITS))]
        file.write_text(json.dumps(edited))
    else:
        file.write_bytes(generator.bytes(len(content)))
    return f"{file.relative_to(place)} {kind}"


def _object(content: bytes) -> dict:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def said(function):
    """``(result, "")``, or ``(None, sentence)``; every other failure is one of ours."""
    try:
        return function(), ""
    except (ValueError, OSError) as error:
        sentence = str(error)
    assert sentence.strip()
    assert "\n" not in sentence, sentence
    return None, sentence


def same(found: Any, expected: Any, done: object) -> None:
    """What is finished equals the uninterrupted sweep, to the last bit."""
    there = found.finished.values if "finished" in found else np.ones(found.x.shape[:-1], bool)
    for name in expected.data_vars:
        values, _ = said(lambda name=name: found[name].load().values)
        if values is not None:
            np.testing.assert_array_equal(values[there], expected[name].values[there], err_msg=str(done))


def same_so_far(found: Any, stores: Any, done: object) -> None:
    """What is finished equals the sweep that was begun with, or the one that it is extended to."""
    is_begun = found["x"].shape == stores.begun["x"].shape
    same(found, stores.begun if is_begun else stores.expected, done)


def num_failed(trials: Iterable[tuple[str, Callable[[], Any]]]) -> int:
    """Call all of them, each with its name, say which failed and why, and count these."""
    failed = 0
    for name, trial in trials:
        try:
            trial()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
    return failed


def mended(stores: Stores, place: Any, done: object) -> None:
    """Sweep again; where a sentence refuses that, do what it says."""
    whole, sentence = said(lambda: swept(store=place, **THEN))
    if whole is None:
        said(lambda: repair(open_store(place)))
        for _ in range(5):
            whole, sentence = said(lambda: swept(store=place, extend=True, **THEN))
            asked = re.search(r"remove the folder (part-\d+)|(part-0000/part\.json)", sentence)
            if whole is not None or asked is None:
                break
            remove(place, asked.group(1) or asked.group(2))
    assert whole is not None, f"{done}: {sentence}"
    assert "finished" not in whole
    for name in OUTPUTS:
        np.testing.assert_array_equal(whole[name].values, stores.expected[name].values, err_msg=str(done))


def remove(place: Any, path: str) -> None:
    """A file or a folder of a store, wherever that is."""
    import fsspec

    files, root = fsspec.core.url_to_fs(str(place))
    if files.exists(f"{root}/{path}"):
        files.rm(f"{root}/{path}", recursive=True)


def check(stores: Stores, number: int, elsewhere: Callable[[Path], Any] = lambda place: place) -> list[str]:
    """One store with its faults; what was done to it.

    Args:
        stores: to damage.
        number: of the fault.
        elsewhere: puts a damaged folder where the store shall be read; returns its name.

    Raises:
        AssertionError: wrong numbers without a word, or a store that its own sentences do not mend.
    """
    generator = np.random.default_rng(number)
    folder = stores.folder / "damaged-one"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stores.folder / str(generator.choice(["whole", "half", "extended"])), folder)
    done = [damage(folder, stores.folder / "foreign", generator) for _ in range(generator.integers(1, 4))]
    place = elsewhere(folder)
    found, _ = said(lambda: td.open_sweep(place))
    if found is not None:
        same(found, stores.expected, done)
    mended(stores, place, done)
    return done


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder))
        numbers = range(chosen.first, chosen.first + chosen.faults)
        failed = num_failed((str(number), partial(check, stores, number)) for number in numbers)
    print(f"{chosen.faults} stores with one to three faults each; {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
