"""What studies with a store promise: all of it is told, and a second call reads what the first one made."""

import xarray


def measured(measure, config, folder):
    """The Dataset of a study, measured twice with one store."""
    told = []
    one = measure(config, store=str(folder), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    xarray.testing.assert_identical(one, measure(config, store=str(folder)))
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    return one
