"""Files that are not what they say: made from real ones, for ``test_boundary.py`` and ``fuzz_files.py``. NumPy only."""

import io
import json
import struct
import zipfile

import numpy as np

MANY = 10**12


def npy(array):
    """The bytes of an ``.npy``."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**members):
    """The bytes of an ``.npz``; a member may be an array, or bytes as they are to be written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return buffer.getvalue()


def headed(header, data=b"\0" * 64, version=(1, 0)):
    """An ``.npy`` with that text as its header, whatever lies behind it."""
    text = (header if isinstance(header, str) else repr(header)).encode() + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def described(shape=(8,), descr="<f8", order=False):
    """The header of an array."""
    return {"descr": descr, "fortran_order": order, "shape": shape}


# Bytes that are no array of theirs, by what is wrong with them.
NO_ARRAYS = {
    "nothing": b"",
    "text": b"a,b\n1,2\n",
    "magic only": b"\x93NUMPY",
    "header cut": npy(np.ones((4, 3)))[:40],
    "data cut": npy(np.ones((4, 3)))[:-8],
    "data beyond": npy(np.ones((4, 3))) + b"\0" * 8,
    "rows that are not there": headed(described((MANY, 3))),
    "columns that are not there": headed(described((1, MANY))),
    "more rows than numbers": headed(described((2**63, 2))),
    "more rows than any integer": headed(described((10**40, 2))),
    "nothing, many times": headed(described((MANY, 0), "<f8"), b"") + b"\0",
    "items without size": headed(described((MANY, 2), "|S0"), b""),
    "long items": headed(described((4, 2), "<U100000000000")),
    "a negative shape": headed(described((-1, -8))),
    "a shape of text": headed(described("ab")),
    "a shape of truths": headed(described((True, 8))),
    "a shape of fractions": headed(described((1.0, 8.0))),
    "no such dtype": headed(described((2, 4), "<q9")),
    "a dtype of lists": headed(described((2, 4), [["a"]])),
    "a dtype that is none": headed(described((2, 4), None)),
    "fields named twice": headed(described((4,), [("a", "<f8"), ("a", "<f8")])),
    "an order of text": headed(described((2, 4), order="C")),
    "a header of another kind": headed([1, 2]),
    "a header with more keys": headed({**described(), "more": 1}),
    "a header that is no literal": headed("__import__('os')"),
    "a header of brackets": headed("(" * 5000),
    "a header of minus signs": headed("-" * 9000 + "1"),
    "a header that does not end": headed("{'descr': '<f8', 'shape': ("),
    "a header of other bytes": b"\x93NUMPY\x03\x00\x04\x00\x00\x00\xff\xfe\xfa\n",
    "a long header": headed(" " * 60000),
    "a header longer than the file": b"\x93NUMPY\x02\x00\xff\xff\xff\xffabc",
    "a later version": headed(described((2, 4)), version=(9, 9)),
    "text that is no Unicode": headed(described((4, 2), "<U1"), b"a\0\0\0" * 7 + b"a\0\0\xff"),
    "a field that is no Unicode": headed(described((2,), [("a", ">U1"), ("b", "<f4")]), b"\xff\0\0a\0\0\0\0" * 2),
    "an array of objects": npy(np.array([[{}, 1]], dtype=object)),
}


def _flipped(content):
    """One bit of the first array's numbers turned, so that the checksum is wrong."""
    place = content.index(b"\x93NUMPY") + 140
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _patched(content, offset, value, both=True):
    """Another value in the entries of the central directory, and of the members where both say it."""
    found, start = bytearray(content), 0
    while (place := found.find(b"PK\x01\x02", start)) >= 0:
        found[place + offset : place + offset + len(value)] = value
        start = place + 4
    start = 0
    while both and (place := found.find(b"PK\x03\x04", start)) >= 0:
        found[place + offset - 2 : place + offset - 2 + len(value)] = value
        start = place + 4
    return bytes(found)


def _twice():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("features.npy", npy(np.ones((4, 3))))
            archive.writestr("features.npy", npy(np.zeros((4, 3))))
    return buffer.getvalue()


def _bare(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


REAL = npz(features=np.arange(12.0).reshape(4, 3))
# Bytes that are no archive of arrays, by what is wrong with them.
NO_ARCHIVES = {
    "nothing": b"",
    "text": b"a,b\n1,2\n",
    "a beginning only": b"PK\x03\x04 broken",
    "an archive of nothing": _bare("x", b"")[:0] + b"PK\x05\x06" + b"\0" * 18,
    "half an archive": REAL[: len(REAL) // 2],
    "an archive without its end": REAL[:-10],
    "an archive without its beginning": REAL[100:],
    "a wrong checksum": _flipped(REAL),
    "encrypted": _patched(REAL, 8, b"\x01\x00"),
    "compressed as nobody does": _patched(REAL, 10, b"\x63\x00"),
    "said to be compressed": _patched(REAL, 10, b"\x08\x00"),
    "sizes that are not there": _patched(_patched(REAL, 24, b"\xf0\xff\xff\x7f"), 20, b"\xf0\xff\xff\x7f"),
    "a place that is not there": _patched(REAL, 42, b"\xf0\xff\xff\x7f", both=False),
    "one name twice": _twice(),
    "a member that is text": _bare("notes.txt", b"hello"),
    "a member that is called an array": _bare("features", npy(np.ones((4, 3)))),
}
NO_ARCHIVES |= {f"features: {what}": npz(features=content) for what, content in NO_ARRAYS.items()}
NO_ARCHIVES |= {
    f"structure: {what}": npz(structure=content)
    for what, content in NO_ARRAYS.items()
    if what in ("nothing", "data cut", "rows that are not there", "long items", "an array of objects")
}


def structured(structure, **arrays):
    """The bytes of a file of ours with that structure, an object or text."""
    text = structure if isinstance(structure, str) else json.dumps(structure)
    return npz(structure=np.array(text), **arrays)


def _dynamics(*parts):
    return {"format": "tokdyn.dynamics", "schema_version": 1, "parts": list(parts)}


def _part(**fields):
    kind = "tokdyn.dynamics.inertia.Inertia"
    return {"name": "inertia", "part": {"kind": kind, "fields": fields, "static": {}}}


_NUMBER = {"array": "0", "dtype": "float64"}
# Structures that are no dynamics.
NO_DYNAMICS = {
    "no JSON": "{",
    "JSON of brackets": "[" * 100_000,
    "a list": [],
    "a number": 3,
    "another format": {**_dynamics(), "format": "x"},
    "a later version": {**_dynamics(), "schema_version": 99},
    "no parts": {"format": "tokdyn.dynamics", "schema_version": 1},
    "parts that are a number": {"format": "tokdyn.dynamics", "schema_version": 1, "parts": 5},
    "a part that is a number": _dynamics(5),
    "a part without kind": _dynamics({"name": "a", "part": {}}),
    "a part of unknown kind": _dynamics({"name": "a", "part": {"kind": "Magnet", "fields": {}, "static": {}}}),
    "a part whose kind is a list": _dynamics({"name": "a", "part": {"kind": [], "fields": {}, "static": {}}}),
    "a part without name": _dynamics({"part": _part(momentum=_NUMBER)["part"]}),
    "a name that is a list": _dynamics({"name": ["a"], "part": _part(momentum=_NUMBER)["part"]}),
    "a part without fields": _dynamics(_part()),
    "a part with more fields": _dynamics(_part(momentum=_NUMBER, more=_NUMBER)),
    "fields that are a list": _dynamics({"name": "a", "part": {**_part()["part"], "fields": []}}),
    "a number without array": _dynamics(_part(momentum={"array": "7", "dtype": "float64"})),
    "a number whose array is a list": _dynamics(_part(momentum={"array": [], "dtype": "float64"})),
    "a number of no dtype": _dynamics(_part(momentum={"array": "0", "dtype": "quux"})),
    "a number of another size": _dynamics(_part(momentum={"array": "0", "dtype": "float16"})),
    "a number without dtype": _dynamics(_part(momentum={"array": "0"})),
    "a number of objects": _dynamics(_part(momentum={"array": "0", "dtype": "O"})),
    "a node that is a number": _dynamics(_part(momentum=7)),
}
NO_DYNAMICS = {what: structured(one, **{"0": np.array(0.5)}) for what, one in NO_DYNAMICS.items()}

NO_JSON = {
    "nothing": b"",
    "text": b"hello",
    "other bytes": b"\xff\xfe\x00\x01",
    "JSON of brackets": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"3",
    "cut": b'{"config": {"seeds": 3',
    "no config": b"{}",
    "a config that is a list": b'{"config": []}',
    "a field that there is not": b'{"config": {"nonsense": 1}}',
    "seeds of text": b'{"config": {"seeds": "three"}}',
    "seeds of none": b'{"config": {"seeds": null}}',
    "seeds beyond an int32": b'{"config": {"seeds": 99999999999}}',
    "no end of a number": b'{"config": {"seeds": ' + b"9" * 5000 + b"}}",
}

NO_SWEEPS = {
    "other bytes": b"\xff\xfe\x00\x01",
    "no TOML": b"seeds = = 3",
    "TOML of brackets": b"seeds = " + b"[" * 20_000,
    "nothing": b"",
    "a field that there is not": b'evaluate = "dynamics"\nnonsense = 3',
    "evaluate that is a number": b"evaluate = 5",
    "evaluate without a module": b'evaluate = "no_such_module_of_anyone:f"\nbase = "x:y"',
    "evaluate without a name": b'evaluate = "json:"\nbase = "json:loads"',
    "evaluate without a base": b'evaluate = "json:loads"',
    "a base beside ours": b'evaluate = "dynamics"\nbase = "json:loads"',
    "a base that is a number": b'evaluate = "json:loads"\nbase = 3',
    "a module that fails": b'evaluate = "failing_module:f"\nbase = "failing_module:g"',
    "a grid that is a number": b'evaluate = "dynamics"\ngrid = 5',
    "a grid of text": b'evaluate = "dynamics"\n[grid]\n"data.noise" = "x"',
    "a grid of unknown paths": b'evaluate = "dynamics"\n[grid]\n"data.nose" = [1.0]',
    "a grid of nothing": b'evaluate = "dynamics"\n[grid]\n"data.noise" = []',
    "a grid of lists": b'evaluate = "dynamics"\n[grid]\n"data.noise" = [[1.0], [2.0, 3.0]]',
    "a range that there is not": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { range = [0, 1, 3] }',
    "a range of text": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { linspace = ["a", 1, 3] }',
    "a range from zero": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { geomspace = [0.0, 1.0, 3] }',
    "a range that is a number": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { linspace = 3 }',
    "a range of too many": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { linspace = [0, 1, 1000000000000] }',
    "a range without end": b'evaluate = "dynamics"\n[grid]\n"data.noise" = { arange = [0, inf] }',
    "zipped that is a number": b'evaluate = "dynamics"\nzipped = 5',
    "zipped of a number": b'evaluate = "dynamics"\n[zipped]\nz = 5',
    "zipped of nothing": b'evaluate = "dynamics"\n[zipped.z]\n',
    "sampled of nothing": b'evaluate = "dynamics"\n[sampled]\n"data.noise" = { uniform = [0, 1] }',
    "sampled of text": b'evaluate = "dynamics"\n[sampled]\nnum_samples = 2\n"data.noise" = { uniform = ["a", 1] }',
    "sampled of one limit": b'evaluate = "dynamics"\n[sampled]\nnum_samples = 2\n"data.noise" = { uniform = [0] }',
    "sampled with a seed of text": (
        b'evaluate = "dynamics"\n[sampled]\nnum_samples = 2\nseed = "x"\n"data.noise" = { uniform = [0, 1] }'
    ),
    "sampled along a number": (
        b'evaluate = "dynamics"\n[sampled]\nnum_samples = 2\nname = 3\n"data.noise" = { uniform = [0, 1] }'
    ),
    "variants of a number": b'evaluate = "dynamics"\n[variants]\nnum_tokens = 3',
    "variants of nothing": b'evaluate = "dynamics"\n[variants]\nnum_tokens = []',
    "variants of lists": b'evaluate = "dynamics"\n[variants]\nnum_tokens = [[1], [2]]',
    "variants named key": b'evaluate = "dynamics"\n[variants]\nkey = [1, 2]',
    "a setting of text": b'evaluate = "dynamics"\n[set]\n"data.noise" = "x"',
    "a setting that is a table": b'evaluate = "dynamics"\n[set]\n"data.noise" = { a = 1 }',
    "a setting of an unknown path": b'evaluate = "dynamics"\n[set]\n"data.nose" = 1.0',
    "seeds of text": b'evaluate = "dynamics"\nseeds = "many"',
    "seeds below one": b'evaluate = "dynamics"\nseeds = 0',
    "seeds that are a table": b'evaluate = "dynamics"\n[seeds]\na = 1',
    "seeds of text in a list": b'evaluate = "dynamics"\nseeds = ["a"]',
    "seeds beyond an int32": b'evaluate = "dynamics"\nseeds = 4294967297',
    "a key of text": b'evaluate = "dynamics"\nkey = "x"',
    "a key that is a truth": b'evaluate = "dynamics"\nkey = true',
    "a key beyond an int64": b'evaluate = "dynamics"\nkey = 99999999999999999999999999',
    "x64 that is a number": b'evaluate = "dynamics"\nx64 = 3',
    "dims that are a number": b'evaluate = "dynamics"\ndims = 5',
    "dims of a number": b'evaluate = "dynamics"\n[dims]\nari = 5',
    "pad that is a number": b'evaluate = "dynamics"\npad = 5',
    "pad of numbers": b'evaluate = "dynamics"\npad = [5]',
}

NO_TABLES = {
    "nothing": b"",
    "spaces": b"  \n \n",
    "a zero byte": b"a,b\n1,\x002\n",
    "names only": b"a,b\n",
    "text": b"a,b\nx,y\nz,w\n",
    "no value": b"a,b\n1,2\n3,\n",
    "infinite": b"a,b\n1,2\n3,inf\n",
    "a quote that does not end": b'a,b\n1,"2\n3,4\n',
    "half of a gzip": b"\x1f\x8b\x08\x00\x00",
    "half of an xz": b"\xfd7zXZ\x00\x00\x04",
    "half of a bzip2": b"BZh91AY",
    "half of a zip": b"PK\x03\x04",
    "zstd": b"\x28\xb5\x2f\xfd12",
    "a cell without end": b"a,b\n1," + b"9" * 200_000 + b"\n",
}
