"""``td.diagnose``: what it predicts is what longer runs do, on features that it was not made from."""

import json

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn import cli
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
    assert "use a temperature" not in str(found)  # nothing has to part them
    read = json.loads(found.to_json())
    assert read["repels"]
    assert read["forecast"]["sentence"].startswith("Without the repulsion")
    assert read["forecast_predicted_and_splits_hold_for"] == "the attraction alone"
    assert "attract.temperature" not in read["advice"]["values"]
    alone = td.diagnose(td.compose(attract=attract), rows, num_tokens=4)
    assert alone.simulated == 1
    assert "repulsion" not in " ".join(alone.findings)
    assert json.loads(alone.to_json())["forecast_predicted_and_splits_hold_for"] == "this dynamics"


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
    found = td.diagnose(td.catalog.soft_kmeans(), np.ones((5, 2), np.float32), num_tokens=1)
    read = json.loads(found.to_json())
    assert read["simulated"] == 1
    assert read["ratio"] == "inf"
    assert len(read["own_ratios"]) == 1


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
        (
            lambda x: td.diagnose(td.catalog.soft_kmeans(), np.repeat(x[:2], 9, axis=0), num_tokens=3),
            "num_tokens: expected at most the number of distinct features, 2, got 3",
        ),
        (
            lambda x: td.diagnose(td.catalog.soft_kmeans(temperature=np.inf), x, num_tokens=2),
            "attract.temperature: expected a finite number, got inf",
        ),
        (
            lambda x: td.diagnose(td.catalog.soft_kmeans(temperature=-1.0), x, num_tokens=2),
            "temperature: expected a number of at least 0, got -1.0",
        ),
        (
            lambda x: td.diagnose(td.compose(a=td.attraction(temperature=np.ones(3))), x, num_tokens=2),
            r"a.temperature: expected one number \[\], got shape \(3,\)",
        ),
        (
            lambda x: td.diagnose(td.compose(a=td.slot_attention()), x, num_tokens=2),
            "dynamics: expected one attraction, got 0 among a",
        ),
        (
            lambda x: td.diagnose(td.catalog.soft_kmeans(rate=9.0), x, num_tokens=3),
            "dynamics: expected one whose tokens stay finite, got infinite or NaN tokens",
        ),
        (
            lambda x: td.theory.recommend(td.catalog.soft_kmeans(), np.repeat(x[:2], 9, axis=0), num_tokens=3),
            "num_tokens: expected at most the number of distinct features, 2, got 3",
        ),
        (lambda x: td.theory.critical_temperatures(x * np.nan, x[:2], 1.0), "features: expected finite"),
        (lambda x: td.theory.critical_temperatures(x, x[:2], 0.0), "temperature: expected a number above 0"),
        (
            lambda x: td.theory.critical_temperatures(x, x[:2], 1.0, mask=np.ones(3, bool)),
            r"mask: expected a boolean array \[N\] of length 240",
        ),
        (lambda x: td.theory.critical_temperature(x * np.nan), "features: expected finite"),
        (lambda x: td.theory.pair_separation(x * np.nan, 1.0), "features: expected finite"),
        (lambda x: td.theory.splitting_cascade(x, num_tokens=3, lowest=0.0), "lowest: expected a number above 0"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x, num_tokens=0), "num_tokens: expected"),
        (lambda x: td.diagnose(td.catalog.langevin(), x, num_tokens=2), "dynamics: expected"),
        (lambda x: td.diagnose(td.catalog.annealed(), x, num_tokens=2), "dynamics: expected"),
        (lambda x: td.diagnose(td.catalog.soft_kmeans(), x, 3, num_tokens=2), "key: expected"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call(features(0))


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        (lambda x: x, ["--temperature", "0"], "attract.temperature: expected a number above 0"),
        (lambda x: x, ["--temperature", "-1"], "temperature: expected a number of at least 0, got -1.0"),
        (lambda x: x, ["--temperature", "nan"], "temperature: expected a number of at least 0, got nan"),
        (lambda x: x * np.nan, [], "file: expected finite numbers"),
        (lambda x: x[:1], [], "features: expected at least two features"),
        (lambda x: x[:, 0], [], "file: expected at least one row and one column"),
        (lambda x: np.repeat(x[:2], 9, axis=0), [], "num_tokens: expected at most the number of distinct features, 2"),
        (lambda x: x[:2], [], "num_tokens: expected at most the number of features, 2, got 3"),
        (lambda x: x, ["--dynamics", "noisy.json"], "dynamics: expected attraction and repulsion and inertia"),
    ],
)
def test_bad_input_of_the_command(rows, words, sentence, tmp_path, monkeypatch, capsys):
    """One sentence on standard error, code 2, and nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", rows(features(0)))
    td.save(td.catalog.langevin(), "noisy.json")
    assert cli.main(["diagnose", "rows.npy", "--num-tokens", "3", "--no-cache", *words]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"tokdyn: {sentence}")
    assert said.count("\n") == 1


def test_the_curve_in_resolution_is_that_of_the_metric():
    rng = np.random.default_rng(0)
    tokens = np.cumsum(rng.exponential(size=(9, 3)), axis=0).astype(np.float32)
    counts = [int(td.metrics.distinct_tokens(tokens, share * 1.7)) for share in diagnosis.RESOLUTIONS]
    assert diagnosis._distinct(tokens, 1.7) == tuple(counts)
    assert len(set(counts)) > 3
