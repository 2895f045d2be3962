"""``td.diagnose``: what it predicts is what longer runs do, on features that it was not made from."""

import json

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn.theory import diagnosis


def features(seed, *, clusters=4, dimensions=5, count=60):
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=dimensions) * 9 + rng.uniform(0.3, 1.2) * rng.normal(size=(count, dimensions))
            for _ in range(clusters)]  # fmt: skip
    return np.concatenate(rows).astype(np.float32)


@pytest.mark.parametrize("share", [0.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_says_whether_all_tokens_meet(seed, share):
    rows = features(seed)
    heat = share * float(td.theory.critical_temperature(rows))
    found = td.diagnose(td.catalog.soft_kmeans(temperature=heat), rows, num_tokens=4)
    longer = td.run(td.catalog.soft_kmeans(temperature=heat), jax.random.key(9), rows, num_tokens=4, max_steps=3000,
                    tol=1e-6)  # fmt: skip
    assert found.ratio == pytest.approx(share, rel=1e-3)
    assert (found.simulated == 1) == (int(longer.num_distinct) == 1) == (share > 1) == (found.predicted == 1)
    assert ("attract.temperature" in found.advice.values) == (found.simulated < 4)
    assert found.stability.difference_radius < 1


def test_surplus_tokens_of_tight_clusters_are_predicted_to_merge():
    rows = features(5, clusters=3)
    found = td.diagnose(td.catalog.soft_kmeans(temperature=8.0), rows, num_tokens=8)
    assert found.predicted == 3
    assert found.simulated <= 3
    assert found.distinct[0] == found.simulated
    assert list(found.distinct) == sorted(found.distinct, reverse=True)
    assert (found.own_ratios > 1).all()  # nobody would part from another at its place
    assert "which leaves 3 points" in str(found)


def test_it_speaks_of_a_run_that_never_rests():
    rows = features(5, clusters=3)
    dynamics = td.compose(attract=td.attraction(temperature=8.0), repel=td.repulsion(strength=0.5))
    found = td.diagnose(dynamics, rows, num_tokens=6)
    assert not found.at_rest
    assert "had not come to rest" in str(found)
    assert "attract.rate" in found.advice.values
    assert td.diagnose(found.advice.dynamics, rows, num_tokens=6, max_steps=3000).at_rest


def test_what_holds_without_repulsion_is_not_said_of_tokens_that_repel():
    """At three times the critical temperature attraction alone merges all; repelled tokens stay apart."""
    rows = features(0)
    heat = 3 * float(td.theory.critical_temperature(rows))
    attract = td.attraction(temperature=heat, rate=0.5)
    repelled = td.compose(attract=attract, repel=td.repulsion(strength=0.05 * heat**1.5, eps=0.1 * heat**0.5))
    found = td.diagnose(repelled, rows, num_tokens=4)
    assert found.forecast.regime == "full"
    assert found.simulated == 4
    about = [one for one in found.findings if "end at one point" in one or "Cooled slowly" in one]
    assert len(about) == 2
    assert all(one.startswith("Without the repulsion") for one in about)
    alone = td.diagnose(td.compose(attract=attract), rows, num_tokens=4)
    assert alone.simulated == 1
    assert "repulsion" not in " ".join(alone.findings)


def test_a_cascade_is_read_where_it_ends(monkeypatch):
    """Its units are rounded on the way there and back: its end came out above the temperature, and 1 was predicted."""
    monkeypatch.setattr(diagnosis, "_SMALL", 0)  # large sets are followed down to the temperature and no further
    rows = features(3)
    heats = 0.1 * float(td.theory.critical_temperature(rows)) * np.linspace(1, 1.1, 80)
    ends = [td.theory.splitting_cascade(rows, num_tokens=4, lowest=float(heat)).lowest for heat in heats]
    rounded_up = heats[np.array(ends) > heats]
    assert len(rounded_up)
    found = td.diagnose(td.catalog.soft_kmeans(temperature=float(rounded_up[0])), rows, num_tokens=4)
    assert found.predicted > 1


def test_all_numbers_are_json():
    found = td.diagnose(td.catalog.soft_kmeans(), np.ones((5, 2), np.float32), num_tokens=2)
    read = json.loads(found.to_json())
    assert read["simulated"] == 1
    assert read["ratio"] == "inf"
    assert len(read["own_ratios"]) == 2


def test_many_features_are_read_in_part():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9000, 3)).astype(np.float32)
    found = td.diagnose(td.catalog.soft_kmeans(temperature=1.0), rows, num_tokens=3)
    assert found.num_features == 5000
    assert "5,000 of 9,000 features" in str(found)
    assert found.cascade.error > 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: td.diagnose(td.catalog.soft_kmeans(temperature=0.0), x, num_tokens=2), "attract.temperature: exp"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x * np.nan, num_tokens=2), "features: expected finite"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x[:1], num_tokens=1), "features: expected at least two"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x, num_tokens=999), "num_tokens: expected at most"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x, num_tokens=0), "num_tokens: expected"),
        (lambda x: td.diagnose(td.catalog.langevin(), x, num_tokens=2), "dynamics: expected"),
        (lambda x: td.diagnose(td.catalog.annealed(), x, num_tokens=2), "dynamics: expected"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x, 3, num_tokens=2), "key: expected"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call(features(0))
