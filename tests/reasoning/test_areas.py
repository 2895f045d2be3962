"""Areas under ROC curves: scikit-learn's with weights, what is left out, resamples over designs and trainings."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tokdyn.reasoning.audit.areas import roc_areas

DESIGNS, TRAININGS, RUNS = 6, 4, 3


def drawn(seed, *, strata=2, decimals=1):
    """Scores with ties of two diagnostics, and truths of which some are open."""
    rng = np.random.default_rng(seed)
    bears = rng.choice([1.0, 0.0, np.nan], (strata, DESIGNS, TRAININGS), p=[0.4, 0.4, 0.2])
    bears[:, 0], bears[:, -1] = 1.0, 0.0
    values = rng.normal(size=(2, strata, DESIGNS, TRAININGS, RUNS)) + 0.7 * (bears == 1)[..., None]
    return values.round(decimals), bears


def sklearns(values, bears):
    """Of one diagnostic in one stratum: designs of either truth weigh alike, within each its judged trainings."""
    judged = np.isfinite(values).any(axis=-1)
    weights = np.zeros(values.shape)
    for truth in (1.0, 0.0):
        for design in range(len(bears)):
            chosen = (bears[design] == truth) & judged[design]
            for training in np.flatnonzero(chosen):
                there = np.isfinite(values[design, training])
                weights[design, training, there] = 1 / (chosen.sum() * there.sum())
    kept = weights > 0
    truths = np.broadcast_to(bears[..., None], values.shape)
    return roc_auc_score(truths[kept], values[kept], sample_weight=weights[kept])


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_scikit_learn(seed):
    values, bears = drawn(seed)
    values[1, :, 1, :2] = np.nan  # two trainings that were not judged
    found = roc_areas(values, bears, num_resamples=50)
    for place in np.ndindex(2, 2):
        assert found.area[place] == pytest.approx(sklearns(values[place], bears[place[1]]), abs=1e-12)
    np.testing.assert_array_equal(found.worst, found.area.min(axis=1))


def test_a_resample_is_an_area_of_what_was_drawn():
    """With one training a design and two designs of either truth a resample has one of nine areas."""
    bears = np.array([[[1.0], [1.0], [0.0], [0.0]]])
    values = np.array([3.0, 1.0, 2.0, 0.0]).reshape(1, 1, 4, 1, 1)
    found = roc_areas(values, bears, num_resamples=20_000, confidence=0.5)
    assert found.area[0, 0] == 0.75
    # Both draws are the middle pair (1 < 2: area 0) in 1/16 of the resamples, and the area is 1/2 or less in 5/16.
    assert (found.low[0, 0], found.high[0, 0]) == (0.5, 1.0)
    wide = roc_areas(values, bears, num_resamples=20_000, confidence=1 - 2 / 20)
    assert wide.low[0, 0] == 0.0


def test_orders_and_monotone_changes():
    values, bears = drawn(7)
    truth = np.broadcast_to(np.nan_to_num(bears)[None, ..., None], values.shape)
    right = roc_areas(np.concatenate([truth, -truth, 0 * truth]), bears, num_resamples=100)
    np.testing.assert_allclose(right.worst, [1, 1, 0, 0, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(right.worst_low, right.worst_high, atol=1e-12)
    one, other = (roc_areas(of, bears, num_resamples=100) for of in (values, np.exp(values) - 3))
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_uninformative_score_is_covered():
    """95 % intervals of scores that know nothing hold one half; few designs make them short, as in ``test_scores``."""
    hits = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        bears = np.broadcast_to(np.repeat([1.0, 0.0], 6)[None, :, None], (1, 12, 5))
        values = rng.normal(size=(1, 1, 12, 1, 1)) + rng.normal(size=(1, 1, 12, 5, 2))
        found = roc_areas(values, bears, num_resamples=200)
        hits.append(found.low[0, 0] <= 0.5 <= found.high[0, 0])
    assert np.mean(hits) >= 0.85


def test_nothing_judged_has_no_area():
    values, bears = drawn(3)
    values[0, 1] = np.nan
    found = roc_areas(values, bears, num_resamples=20)
    assert np.isnan([found.area[0, 1], found.low[0, 1], found.worst[0], found.worst_low[0]]).all()
    assert np.isfinite([found.area[0, 0], found.low[0, 0], found.worst[1], found.worst_low[1]]).all()


def test_bad_input():
    with pytest.raises(ValueError, match=r"^values: expected \[diagnostics, 2, 6, 4, runs\], as bears, got"):
        roc_areas(np.zeros((1, 2, 6, 3, 2)), drawn(0)[1])
