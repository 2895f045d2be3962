"""A store of version 1 is read and verified, said to be old, and not continued."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from constant_keys import constant_key

import tokdyn as td

GOLDEN = Path(__file__).parent / "golden" / "version_1.zip"


@pytest.fixture
def stores(tmp_path):
    shutil.unpack_archive(GOLDEN, tmp_path)
    return tmp_path


def opened(path, **options):
    with pytest.warns(UserWarning, match="written by an earlier tokdyn"):
        return td.open_sweep(path, **options)


def test_it_is_read(stores):
    def evaluate(config, key, *, power=1):
        draw = jax.random.normal(key, (2,))
        return {"x": draw * config["a"] ** power, "positive": (draw > 0).sum(), "any": (draw > 1).any()}

    space = td.variants(power=[1, 2]) * td.grid({"a": [1.0, 3.0]})
    options = {"seeds": 5, "key": constant_key(3), "unit": 2, "chunk": 4, "dims": {"x": ("axis",)}}
    expected = td.sweep(evaluate, {"a": 1.0}, space, **options)
    whole = opened(stores / "whole")
    assert whole.attrs["schema_version"] == 1
    np.testing.assert_allclose(whole.x, expected.x, rtol=1e-5)
    for name in ("positive", "any", "power", "a", "seed"):
        np.testing.assert_array_equal(whole[name], expected[name])
    half = opened(stores / "half")
    there = half.finished.values
    assert 0 < there.sum() < there.size
    np.testing.assert_array_equal(half.x.values[there], whole.x.values[there])
    assert np.isnan(half.x.values[~there]).all()
    with pytest.raises(ValueError, match=r"store: expected .*, got .*version 1\): td.open_sweep reads it"):
        td.sweep(evaluate, {"a": 1.0}, space, store=stores / "whole", **options)


@pytest.mark.parametrize("damage", ["truncated", "changed", "deleted"])
def test_damage_is_said(stores, damage):
    chunk = sorted(path for path in (stores / "whole" / "x" / "c").rglob("*") if path.is_file())[0]
    content = chunk.read_bytes()
    chunk.unlink()
    if damage != "deleted":
        chunk.write_bytes(content[:5] if damage == "truncated" else bytes([content[0] ^ 255]) + content[1:])
    with pytest.raises(td.DamagedStore, match="of .*whole (is not what was written|cannot be read)"):
        opened(stores / "whole").load()


def test_damaged_markers_are_said(stores):
    marker = sorted(path for path in (stores / "whole" / "written" / "c").rglob("*") if path.is_file())[0]
    marker.write_bytes(b"")
    with pytest.raises(td.DamagedStore, match="a damaged store of version 1"):
        td.open_sweep(stores / "whole")
