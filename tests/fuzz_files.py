"""Real files with pieces changed, at random: whatever reads them answers, or refuses in one sentence.

``python tests/fuzz_files.py --files 2000`` by hand; ``tests/test_fuzz_files.py`` does a few in every gate.

A file is made whole by this package or by NumPy, then changed: bits and bytes turned, pieces cut out, doubled, moved or
taken from other files, numbers put in place of others, the end cut off. Archives are changed from outside, and from
inside with their checksums made right again, so that the change is seen by what reads the members. For each file:

* reading gives a value, or raises ``ValueError`` or ``OSError`` with one line of at most 2,000 characters;
* it takes no more memory than some times the file, however large the numbers in it (``LIMIT``);
* it writes nothing.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import tokdyn as td
from tokdyn import autoencoder, claims, files
from tokdyn.data import clevr
from tokdyn.reasoning import audit
from tokdyn.sweeps import spec

# Bytes of address space that reading one file may add; the files have some kilobytes.
LIMIT = 2 << 30
SPEC = """evaluate = "fuzzed"
seeds = 3
key = 1
paired = true
x64 = false
pad = ["a"]
[set]
"b" = 0.5
[dims]
x = ["a"]
[grid]
"a" = { geomspace = [0.1, 60.0, 4] }
[zipped.both]
"c" = [1, 2]
"d" = [0.5, 1.5]
[sampled]
num_samples = 4
"e" = { uniform = [0, 1] }
[variants]
kind = ["u", "v"]
"""
BASE = dict.fromkeys("abcde", 1.0)


def _evaluate(base, key, kind="u"):
    return {"x": base["a"]}


def originals(folder: Path) -> dict[str, tuple[bytes, list]]:
    """Whole files by name, and what reads each."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(6, 3))
    table = lambda path: td.data.read_table(path)  # noqa: E731
    labelled = lambda path: td.data.read_table(path, labels="kind")  # noqa: E731
    found: dict[str, tuple[bytes, list]] = {}

    def keep(name, readers):
        found[name] = (folder / name).read_bytes(), readers

    np.save(folder / "a.npy", values)
    keep("a.npy", [table])
    np.save(folder / "b.npy", np.array([(1.5, 2, "u"), (3.0, 4, "v")], dtype=[("a", ">f4"), ("b", "i2"), ("k", "U3")]))
    keep("b.npy", [lambda path: td.data.read_table(path, labels="k"), table])
    np.savez(folder / "c.npz", features=values, kind=np.array(list("uvwuvw")))
    keep("c.npz", [table, lambda path: td.data.read_table(path, labels="kind"), audit.load, td.load])
    np.savez_compressed(folder / "d.npz", x=values.astype(np.float32), y=np.arange(6))
    keep("d.npz", [table, audit.load])
    td.save(td.catalog.published("inertia_repulsion"), folder / "e.npz")
    keep("e.npz", [td.load, autoencoder.load_run])
    audit.save(
        folder / "f.npz", {"answers": [0, 1, 1], "targets": [0, 0, 1], "latents": generator.normal(size=(3, 2, 4))}
    )
    keep("f.npz", [audit.load])
    (folder / "g.csv").write_text("id;width;kind\n1;1,5;rose\n2;2,25;rose\n3;0,5;tulip\n")
    keep("g.csv", [lambda path: td.data.read_table(path, labels="kind"), table])
    with zipfile.ZipFile(folder / "h.csv.zip", "w") as archive:
        archive.writestr("h.csv", "a,b\n" + "1.5,2\n3,4\n" * 5)
    keep("h.csv.zip", [table])
    (folder / "i.json").write_text(json.dumps([{"image": "a.png", "question": "How many?", "program": ["count"]}] * 3))
    keep("i.json", [clevr.check_samples])
    claims.write(folder / "j.json", claims.load()[:2])
    keep("j.json", [claims.load])
    (folder / "k.toml").write_text(SPEC)
    keep("k.toml", [lambda path: spec.read(path, {"fuzzed": (_evaluate, BASE)})])
    (folder / "l.txt").write_bytes("a b\n1.5 2\n3 4.25\n".encode("utf-16"))
    keep("l.txt", [table])
    text = ("a,b,kind\n" + "".join(f"{x:.3f},{y:.3f},u\n" for x, y, _ in values) * 20).encode()
    for name, pack in (("m.csv.gz", gzip.compress), ("n.csv.bz2", bz2.compress), ("o.csv.xz", lzma.compress)):
        (folder / name).write_bytes(pack(text))
        keep(name, [labelled, table])
    frame = pd.DataFrame({"a": values[:, 0], "b": np.arange(6), "kind": list("uvwuvw")})
    with contextlib.suppress(ImportError):  # pandas has nothing to write parquet with
        frame.to_parquet(folder / "p.parquet")
        keep("p.parquet", [labelled, table])
    return found


TEXTS = (
    b"1000000000000", b"-1", b"1e999", b"nan", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"((((", b"[[[[[[",
    b"'|O'", b"<U9999999", b"999999999999999999999999", b"(1000000000000, 3)", b"..", b"\n", b'"', b"'", b"#", b";",
    b",", b"\0", b"\xff",
)  # fmt: skip


def changed(content: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """The bytes with one to four changes; one more often than not."""
    data = bytearray(content)
    for _ in range(generator.choice([1, 1, 1, 2, 4])):
        size = max(1, len(data))
        start = int(generator.integers(size))
        stop = min(len(data), start + int(generator.integers(1, 40)))
        what = generator.integers(9)
        if what == 0 and data:
            data[start % len(data)] ^= 1 << int(generator.integers(8))
        elif what == 1 and data:
            data[start % len(data)] = int(generator.integers(256))
        elif what == 2:
            del data[start:stop]
        elif what == 3:
            data[start:start] = data[start:stop]
        elif what == 4:
            other = others[int(generator.integers(len(others)))]
            place = int(generator.integers(max(1, len(other))))
            data[start:stop] = other[place : place + int(generator.integers(1, 200))]
        elif what == 5:
            text = TEXTS[int(generator.integers(len(TEXTS)))]
            data[start : start + int(generator.choice([0, 1, len(text)]))] = text
        elif what == 6:
            del data[start:]
        elif what == 7:  # a number of a binary format
            data[start : start + 4] = int(generator.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])).to_bytes(4, "little")
        else:
            digits = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                place = digits[int(generator.integers(len(digits)))]
                data[place : place + 1] = TEXTS[int(generator.integers(len(TEXTS)))]
    return bytes(data)


def changed_inside(content: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """An archive with one member changed, and all checksums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        chosen = names[int(generator.integers(len(names)))]
        for name in names:
            data = old.read(name)
            new.writestr(name, changed(data, others, generator) if name == chosen else data)
    return buffer.getvalue()


def check(path: Path, readers: list) -> tuple[list[str], Counter]:
    """What was wrong with how the file was read, and what became of it."""
    wrong, became = [], Counter()
    before = sorted(os.listdir(path.parent))
    for number, read in enumerate(readers):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            became["read"] += 1
        except (ValueError, OSError) as error:
            became["refused"] += 1
            said = str(error)
            if not said or "\n" in said or len(said) > 2000 or isinstance(error, files.Unreadable):
                wrong.append(f"{path.name}, reader {number}: not one sentence of ours: {said[:200]!r}")
            if ": expected " not in said:
                wrong.append(f"{path.name}, reader {number}: not in our form: {said[:200]!r}")
        except BaseException as error:
            became["failed"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            wrong.append(f"{path.name}, reader {number}: {type(error).__name__} in {where}: {str(error)[:200]}")
    if sorted(os.listdir(path.parent)) != before:
        wrong.append(f"{path.name}: something was written")
    return wrong, became


@contextlib.contextmanager
def little_memory():
    """Within the block this process cannot take much more address space than it has."""
    if not sys.platform.startswith("linux"):
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fuzz(num_files: int, seed: int, keep: Path | None = None) -> tuple[list[str], Counter]:
    """What was wrong with so many files, and what became of all."""
    generator = np.random.default_rng(seed)
    wrong, became = [], Counter()
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as place:
        known = originals(Path(made))
        for name, (content, readers) in known.items():  # whole ones are read by the first of their readers
            (Path(place) / name).write_bytes(content)
            readers[0](Path(place) / name)
            (Path(place) / name).unlink()
        contents = [content for content, _ in known.values()]
        names = list(known)
        with little_memory():
            for number in range(num_files):
                name = names[number % len(names)]
                content, readers = known[name]
                inside = name.endswith((".npz", ".zip")) and generator.random() < 0.7
                data = (changed_inside if inside else changed)(content, contents, generator)
                path = Path(place) / name
                path.write_bytes(data)
                found, seen = check(path, readers)
                wrong += [f"file {number}: {one}" for one in found]
                became += seen
                if found and keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{number}-{name}").write_bytes(data)
                path.unlink()
    return wrong, became


def main() -> int:
    """By hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that something was wrong with")
    given = parser.parse_args()
    start = time.perf_counter()
    wrong, became = fuzz(given.files, given.seed, given.keep)
    for one in wrong:
        print(one)
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(became.items()))
    print(f"{given.files:,} files, seed {given.seed}: {told}; {len(wrong)} wrong ({time.perf_counter() - start:.0f} s)")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
