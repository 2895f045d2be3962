"""A dynamics on disk: what comes back, and what is refused."""

import jax
import numpy as np
import pytest

import tokdyn as td


def test_schedules_and_arrays_come_back(tmp_path):
    dynamics = td.compose(
        attract=td.attraction(temperature=td.annealing(start=9.0, end=1.0, num_steps=4, shape="linear")),
        repel=td.repulsion(strength=np.array([0.1, 0.2]), kernel="plummer"),
    )
    again = td.load(td.save(dynamics, tmp_path / "mine"))
    assert jax.tree.structure(again) == jax.tree.structure(dynamics)
    for before, after in zip(jax.tree.leaves(dynamics), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(before, after)
        assert np.asarray(before).dtype == np.asarray(after).dtype


def test_a_file_holds_no_pickle(tmp_path):
    path = td.save(td.catalog.published("inertia"), tmp_path / "a.npz")
    with np.load(path, allow_pickle=False) as file:
        assert '"kind": "tokdyn.dynamics.attraction.Attraction"' in str(file["structure"])


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"path: expected a dynamics written by td.save, got .*x.npz \(not such a file\)"
    ):
        td.load(tmp_path / "x.npz")


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(no such file\)"):
        td.load(tmp_path / "none.npz")
    np.savez(tmp_path / "foreign.npz", structure=np.array('{"format": "other", "schema_version": 1}'))
    with pytest.raises(ValueError, match=r"\(not such a file\)"):
        td.load(tmp_path / "foreign.npz")


def test_numbers_that_numpy_cannot_name_and_names_with_dots(tmp_path):
    import jax.numpy as jnp

    dynamics = td.compose(**{"a": td.inertia(momentum=jnp.bfloat16(0.5)), "a.b": td.inertia(momentum=0.25)})
    again = td.load(td.save(dynamics, tmp_path / "x"))
    assert again["a"].momentum.dtype == jnp.bfloat16
    assert [float(again[name].momentum) for name in again] == [0.5, 0.25]
    assert td.load(tmp_path / "x").names == td.load(tmp_path / "x.npz").names


def test_two_classes_of_one_name_are_two_kinds(tmp_path):
    ours = td.catalog.soft_kmeans()

    @td.part
    class Attraction(td.Term):
        strength: float

        def apply(self, key, step, flow, tokens, memory, context):
            return flow, memory

    mine = td.compose(attract=Attraction(2.0))
    assert type(td.load(td.save(ours, tmp_path / "ours"))["attract"]) is td.dynamics.Attraction
    assert type(td.load(td.save(mine, tmp_path / "mine"))["attract"]) is Attraction


def test_parts_that_have_changed_since_are_said(tmp_path):
    @td.part
    class Changing(td.Term):
        old: float

    path = td.save(td.compose(x=Changing(1.0)), tmp_path / "x")

    @td.part
    class Changing(td.Term):
        new: float

    with pytest.raises(ValueError, match="path: expected a dynamics whose parts have the fields of today"):
        td.load(path)


def test_unknown_parts_and_bad_places_are_refused(tmp_path):
    structure = '{"format": "tokdyn.dynamics", "schema_version": 1, "parts": [{"name": "a", "part": {"kind": "Magnet", "fields": {}, "static": {}}}]}'  # noqa: E501
    np.savez(tmp_path / "magnet.npz", structure=np.array(structure))
    with pytest.raises(ValueError, match="kind: expected a part defined in this process .* got 'Magnet'"):
        td.load(tmp_path / "magnet.npz")
    with pytest.raises(ValueError, match="path: expected a place where a file can be written"):
        td.save(td.catalog.soft_kmeans(), tmp_path / "none" / "a.npz")
    with pytest.raises(ValueError, match="dynamics: expected what td.compose returned, got a dict"):
        td.save({}, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="attract.temperature: expected a number that is known"):
        jax.jit(lambda t: td.save(td.catalog.soft_kmeans(temperature=t), tmp_path / "b") and 0)(1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["magnet.npz"]
