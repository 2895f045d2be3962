"""Recommended values do what their law says: merged tokens part, swinging pairs rest, kicks stay small, runs settle."""

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn.theory import maps, recommend


def clusters(seed, *, count=3, dimensions=2, spread=0.4, apart=8.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dimensions)) * apart
    rows = [centre + spread * rng.normal(size=(60, dimensions)) for centre in centres]
    return np.concatenate(rows).astype(np.float32)


def ended(dynamics, features, *, num_tokens, seed=0, steps=2000):
    return td.run(dynamics, jax.random.key(seed), features, num_tokens=num_tokens, max_steps=steps, tol=1e-5,
                  stop="residual")  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_tokens_that_would_merge_stay_apart(seed):
    features = clusters(seed)
    hot = td.catalog.soft_kmeans(temperature=10 * float(td.theory.critical_temperature(features)))
    assert int(ended(hot, features, num_tokens=3).num_distinct) == 1
    found = recommend(hot, features, num_tokens=3)
    assert list(found.values) == ["attract.temperature"]
    assert "2 lambda_max" in str(found)
    assert int(ended(found.dynamics, features, num_tokens=3).num_distinct) > 1


@pytest.mark.parametrize("seed", range(3))
def test_pairs_that_alternate_come_to_rest(seed):
    """The published repulsion with more tokens than clusters: 30 of 30 steps for ever."""
    features = clusters(seed, spread=0.25)
    before = td.compose(attract=td.attraction(temperature=1.0), repel=td.repulsion(strength=0.05))
    found = recommend(before, features, num_tokens=6)
    assert {"attract.rate", "repel.eps"} >= set(found.values) >= {"attract.rate"}
    paths = [td.trajectory(one, jax.random.key(seed), features, num_tokens=6, num_steps=1500)[1] for one in
             (before, found.dynamics)]  # fmt: skip
    moves = [float(np.abs(np.asarray(path[-1] - path[-2])).max()) for path in paths]
    assert moves[0] > 0.05
    assert moves[1] < 0.01


def test_a_rate_beyond_its_limit_is_taken_back():
    features = clusters(0)
    found = recommend(td.catalog.soft_kmeans(rate=2.5), features, num_tokens=3)
    assert found.values["attract.rate"] < 2
    assert bool(ended(found.dynamics, features, num_tokens=3).status == 0)


def test_momentum_is_lowered_where_it_only_swings():
    features = clusters(1)
    before = td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.9))
    found = recommend(before, features, num_tokens=3)
    assert found.values["inertia.momentum"] < 0.2
    slow, fast = (int(ended(one, features, num_tokens=3).num_steps) for one in (before, found.dynamics))
    assert fast < slow / 2


def test_what_is_well_set_is_left_alone():
    features = clusters(2)
    found = recommend(td.catalog.soft_kmeans(temperature=0.2), features, num_tokens=3)
    assert found.values == {}
    assert str(found) == "No law asks for another value."


@pytest.mark.parametrize(
    ("dynamics", "sentence"),
    [
        (td.catalog.langevin(), "dynamics: expected attraction and repulsion and inertia and no other part"),
        (td.catalog.annealed(), "dynamics: expected numbers that do not change"),
        ("rule", "dynamics: expected what td.compose returned"),
    ],
)
def test_bad_input(dynamics, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        recommend(dynamics, clusters(0), num_tokens=2)


def test_periods_are_those_of_the_law():
    """Without the advice the orbit has period 2 or none, with it period 1."""
    features = clusters(0, count=1, spread=1.0)
    before = td.compose(attract=td.attraction(temperature=8.0), repel=td.repulsion(strength=1e-3, eps=1e-4))
    start = features.mean(axis=0) + np.array([[-0.05, 0.0], [0.05, 0.01]], np.float32)
    rate = recommend(before, features, num_tokens=2).values["attract.rate"]
    periods = []
    for dynamics in (before, td.with_values(before, {"attract.rate": rate})):
        _, path = td.trajectory(dynamics, None, features, tokens=start, num_steps=3000)
        periods.append(maps.period(np.asarray(path), relative_tolerance=0.05))
    assert periods[0] != 1
    assert periods[1] == 1
