"""Files that are whole or not there, on a disk and in an object store."""

import concurrent.futures
import os

import pytest

from tokdyn.sweeps import places
from tokdyn.sweeps.places import place_of


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    if request.param == "folder":
        yield place_of(tmp_path / "deep" / "store")
        return
    import fsspec

    yield place_of("memory://tokdyn-places/store")
    files = fsspec.filesystem("memory")
    if files.exists("/tokdyn-places"):
        files.rm("/tokdyn-places", recursive=True)


def test_what_is_written_is_read(place):
    assert place.read("a/b.json") is None
    assert place.names("a") == []
    place.write({"a/b.json": b"1", "a/c/d": b"2"})
    place.write({"a/b.json": b"3"})
    assert place.read("a/b.json") == b"3"
    assert place.names("a") == ["b.json", "c"]
    assert place.read_all("a") == {"b.json": b"3"}
    place.remove("a/b.json")
    place.remove("a/b.json")
    assert place.read("a/b.json") is None


def test_one_of_many_creates(place):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: place.create("made", str(number).encode()), range(8)))
    assert sum(made) == 1
    assert place.read("made") == str(made.index(True)).encode()


def test_without_hard_links_a_lock_decides(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_one_of_many_creates(place_of(tmp_path))


def test_without_conditional_writes_the_last_writer_is_found_by_looking(monkeypatch):
    place = place_of("memory://tokdyn-unconditional/store")
    original = place.files.pipe_file

    def unconditional(path, value, mode=None, **options):
        if mode is not None:
            raise NotImplementedError
        return original(path, value, **options)

    monkeypatch.setattr(place.files, "pipe_file", unconditional)
    monkeypatch.setattr(places, "SETTLED", 0.2)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda number: place.create("made", str(number).encode()), range(4)))
        assert sum(made) == 1
        assert place.read("made") == str(made.index(True)).encode()
    finally:
        place.files.rm("/tokdyn-unconditional", recursive=True)


def test_nothing_else_is_left_beside_files(tmp_path):
    place = place_of(tmp_path)
    place.write({"a": b"1", "b": b"2"})
    place.create("c", b"3")
    place.create("c", b"4")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize("path", [None, 3, "", b"x", "a\0b", "nothing://x/y"])
def test_what_names_no_place_gets_a_sentence(path):
    with pytest.raises(ValueError, match="store: expected a folder"):
        place_of(path)
