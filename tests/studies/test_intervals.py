"""Intervals of a Dataset: what is written is what is read, by the names that readers of the files expect."""

import numpy as np
import pytest
import xarray

from tokdyn import checks
from tokdyn.studies import intervals
from tokdyn.studies.documents import records

LOW, VALUE, HIGH = np.array([0.1, np.nan]), np.array([0.25, np.nan]), np.array([0.5, np.nan])


@pytest.mark.parametrize("ends", [None, "judged"])
def test_what_is_written_is_read(ends):
    written = intervals.variables("gain", ("arm",), (VALUE, LOW, HIGH), ends=ends)
    stem = ends or "gain"
    assert set(written) == {"gain", f"{stem}_low", f"{stem}_high"} == set(intervals.meanings("gain", "a", ends=ends))
    dataset = xarray.Dataset(written)
    np.testing.assert_array_equal(intervals.stacked(dataset, "gain", ends), [VALUE, LOW, HIGH])
    shown = [intervals.shown(dataset.isel(arm=i), "gain", ends, digits=1) for i in (0, 1)]
    assert shown == ["[0.1, 0.5]", "-"]


def test_an_interval_has_three_numbers():
    with pytest.raises(ValueError, match="zip"):
        intervals.variables("gain", (), (0.0, 1.0))


def test_rows_go_through_all_labels_the_first_dimension_slowest():
    values = xarray.DataArray(np.arange(6.0).reshape(2, 3), {"noise": [0.0, 0.3], "arm": list("abc")}, ("noise", "arm"))
    dataset = values.to_dataset(name="accuracy")
    columns = {"right": "accuracy", "wrong": lambda one: 1 - one["accuracy"].item()}
    rows = records(dataset, {"noise": "noise", "arm": "what"}, columns)
    assert [row["right"] for row in rows] == list(range(6))
    assert all(row["right"] + row["wrong"] == 1 for row in rows)
    assert (rows[1]["noise"], rows[1]["what"]) == ("0", "b")
    assert list(rows[0]) == ["noise", "what", "right", "wrong"]


@pytest.mark.parametrize(("values", "got"), [((), "none"), ((0.3, 0.6, 0.3), "0.3, 0.6, 0.3")])
def test_values_are_given_once(values, got):
    with pytest.raises(ValueError, match=f"^noises: expected at least one, each once, got {got}$"):
        checks.each_once("noises", values)
    checks.each_once("noises", (0.3, 0.6))


def test_named_values_are_known():
    with pytest.raises(ValueError, match="tasks: expected one of 'maze', 'rotation', got 'maez'; did you mean 'maze'"):
        checks.each_once("tasks", ("rotation", "maez"), ("maze", "rotation"))
