"""Are the numbers of studies the same in two folders? ``python tests/studies/same_numbers.py BEFORE AFTER``.

Compares every ``runs.zarr`` below the first folder with that at the same place below the second: variables, labels and,
to the last bit, values; seconds are left out, because they are another each time. Exits with 1 where anything differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray

# What a clock measured.
SECONDS = ("seconds", "cost_seconds", "cost_time_ratio")


def differences(before: xarray.Dataset, after: xarray.Dataset) -> list[str]:
    """What differs, a sentence each."""
    said = [f"{name} is there in one only" for name in sorted(set(before.variables) ^ set(after.variables))]
    for name in sorted(set(before.variables) & set(after.variables) - set(SECONDS)):
        one, other = before[name], after[name]
        if one.dims != other.dims or one.shape != other.shape:
            said.append(f"{name}: {one.dims} {one.shape} and {other.dims} {other.shape}")
        elif one.dtype.kind == "f":
            if not np.array_equal(one.values, other.values, equal_nan=True):
                largest = np.nanmax(np.abs(one.values - other.values))
                count = int((one.values != other.values).sum() - np.isnan(one.values).sum())
                said.append(f"{name}: {count} of {one.size} numbers differ, by {largest:.2g} at most")
        elif not np.array_equal(one.values, other.values):
            said.append(f"{name}: {int((one.values != other.values).sum())} of {one.size} values differ")
    return said


def main() -> int:
    """Compare two folders."""
    before, after = (Path(word) for word in sys.argv[1:3])
    stores = sorted(path.relative_to(before) for path in before.rglob("runs.zarr"))
    failed = 0 if stores else 1
    for store in stores:
        one, other = (xarray.open_zarr(folder / store, consolidated=False).load() for folder in (before, after))
        said = differences(one, other)
        failed += bool(said)
        print(f"{store.parent}: {len(one.variables)} variables, {'; '.join(said) or 'all equal to the last bit'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
