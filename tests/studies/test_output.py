"""Results appear together, disturb nobody else's files, or do not appear at all."""

import json

import pytest

from tokdyn.studies.documents import table as markdown_table
from tokdyn.studies.output import write_json, written_together


def fill(place):
    (place / "report.md").write_text("new")
    (place / "plots").mkdir()
    (place / "plots" / "a.png").write_text("new")
    (place / "runs.zarr").mkdir()
    (place / "runs.zarr" / "0").write_text("new")


def test_other_files_stay_and_a_store_is_replaced_whole(tmp_path):
    out = tmp_path / "out"
    for name in ("plots", "runs.zarr"):
        (out / name).mkdir(parents=True)
    for name in ("mine.txt", "plots/mine.png", "runs.zarr/stale", "report.md"):
        (out / name).write_text("old")
    with written_together(out) as place:
        fill(place)
    left = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert left == {
        "mine.txt": "old",
        "plots/mine.png": "old",
        "plots/a.png": "new",
        "report.md": "new",
        "runs.zarr/0": "new",
    }


@pytest.mark.parametrize("name", ["report.md", "plots/a.png"])
def test_a_folder_where_a_file_should_be_stops_everything(tmp_path, name):
    (tmp_path / name / "precious").mkdir(parents=True)
    sentence = "out: expected a folder in which the results find room, got .* in the way"
    with pytest.raises(ValueError, match=sentence), written_together(tmp_path) as place:
        fill(place)
    assert [p.name for p in tmp_path.rglob("precious")] == ["precious"]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_file_where_a_folder_should_be_stops_everything(tmp_path):
    (tmp_path / "plots").write_text("precious")
    with pytest.raises(ValueError, match="in the way"), written_together(tmp_path) as place:
        fill(place)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"plots": "precious"}


def test_a_failure_leaves_nothing(tmp_path):
    def interrupted():
        with written_together(tmp_path) as place:
            fill(place)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": [float("inf"), 1.5], "c": (True, "text")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5], "c": [True, "text"]}


def test_tables():
    table = markdown_table([{"name": "a", "n": 3, "x": 0.5}, {"name": "b", "n": 4, "x": 0.00012345}])
    assert table.splitlines() == ["| name | n | x |", "|---|---:|---:|", "| a | 3 | 0.5000 |", "| b | 4 | 0.0001234 |"]
