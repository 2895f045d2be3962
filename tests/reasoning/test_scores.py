"""Scores of diagnostics: controls come to one half, intervals cover, thresholds are made by others, ties are said."""

import numpy as np
import pytest

from tokdyn.reasoning.audit.scores import Table, alarmed, scored

STRATA, DESIGNS, TRAININGS = ("a", "b"), ("used", "also used", "idle", "also idle"), 5
BEARS = np.broadcast_to(np.array([1.0, 1.0, 0.0, 0.0])[None, :, None], (2, 4, TRAININGS)).copy()


def table(*alarms, bears=BEARS):
    return Table(np.stack(alarms), bears, tuple(map(str, range(len(alarms)))), STRATA, DESIGNS)


def test_the_right_one_scores_one_and_controls_one_half():
    coin = np.full_like(BEARS, 0.3)
    found = scored(table(BEARS, np.ones_like(BEARS), np.zeros_like(BEARS), coin, 1 - BEARS))
    np.testing.assert_allclose(found.worst, [1, 0.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(found.worst_low[:3], [1, 0.5, 0.5])
    np.testing.assert_array_equal(found.behind_low <= 0, [True, False, False, False, False])


def test_a_design_counts_once_however_often_it_was_trained():
    bears = BEARS.copy()
    bears[:, 0, 1:] = np.nan  # one training of the first, five of the second
    alarms = np.zeros_like(bears)
    alarms[:, 0] = 1.0
    found = scored(table(alarms, bears=bears))
    np.testing.assert_allclose(found.sensitivity, 0.5)
    np.testing.assert_allclose(found.false_alarms, 0)


def test_the_worst_stratum_is_the_score():
    alarms = BEARS.copy()
    alarms[1] = 1.0
    found = scored(table(alarms))
    np.testing.assert_allclose(found.balanced[0], [1.0, 0.5])
    assert found.worst[0] == 0.5


def test_what_was_not_judged_is_left_out():
    alarms = BEARS.copy()
    alarms[:, 1] = np.nan
    assert scored(table(alarms)).sensitivity.tolist() == [[1.0, 1.0]]


def test_intervals_over_designs_and_trainings_cover():
    """Rates of designs and trainings drawn from a hierarchy: 95 % intervals of a stratum hold the true mean.

    Six designs of either truth and six trainings; a bootstrap of so few is too short, which a tolerance of one tenth
    says. 150 draws: a coverage of 0.85 or more is seen in less than one in ten thousand where the truth is 0.7.
    """
    rng, hits = np.random.default_rng(0), []
    bears = np.broadcast_to(np.repeat([1.0, 0.0], 6)[None, :, None], (1, 12, 6))
    truth = np.where(bears == 1, 0.8, 0.1)
    for _ in range(150):
        rates = np.clip(truth[:, :, :1] + rng.uniform(-0.1, 0.1, (1, 12, 1)), 0, 1)
        alarms = rng.binomial(4, np.broadcast_to(rates, bears.shape)) / 4
        found = scored(Table(alarms[None], bears, ("x",), ("a",), tuple(map(str, range(12)))), num_resamples=400)
        hits.append(found.balanced_low[0, 0] <= 0.85 <= found.balanced_high[0, 0])
    assert np.mean(hits) >= 0.85


def test_two_that_differ_by_chance_are_ties():
    rng = np.random.default_rng(1)
    one, other = (np.clip(BEARS * 0.8 + rng.normal(0, 0.1, BEARS.shape), 0, 1) for _ in range(2))
    found = scored(table(one, other, np.zeros_like(BEARS)))
    np.testing.assert_array_equal(found.behind_low <= 0, [True, True, False])


class TestAlarms:
    def test_p_values_and_verdicts(self):
        values = np.array([[[[0.05, 0.051, np.nan]]]])
        np.testing.assert_array_equal(alarmed(values, "p-value", alpha=0.05), [[[[1, 0, np.nan]]]])
        np.testing.assert_array_equal(alarmed(values * 20, "verdict", alpha=0.05), [[[[1, 1, np.nan]]]])

    def test_a_threshold_comes_from_other_trainings_of_its_stratum(self):
        values = np.zeros((1, 2, 3, 4))
        values[0, 1] = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])  # null
        values[0, 0] = 8.5
        nulls = np.array([[[False] * 3, [True] * 3]])
        made = alarmed(values, "score", alpha=0.25, nulls=nulls)
        # Of training 0, 8 numbers from 5 to 12: a quarter may lie above, and 10 is the sixth; of training 2: 6.
        np.testing.assert_array_equal(made[0, 0], [[0] * 4, [0] * 4, [1] * 4])
        np.testing.assert_array_equal(made[0, 1, 2], [1] * 4)
        np.testing.assert_array_equal(made[0, 1, 0], [0] * 4)

    def test_a_score_that_says_nothing_alarms_at_its_level(self):
        values = np.random.default_rng(2).normal(size=(4, 6, 5, 4))
        made = alarmed(values, "score", alpha=0.1, nulls=np.ones((4, 6, 5), bool))
        assert abs(made.mean() - 0.1) < 0.05

    @pytest.mark.parametrize("kind", ["score", "rank"])
    def test_bad_input(self, kind):
        with pytest.raises(ValueError, match=r"^kind: expected p-value, verdict, or score with nulls"):
            alarmed(np.zeros((1, 1, 1, 1)), kind, alpha=0.05)


def test_a_stratum_of_one_truth_is_refused():
    with pytest.raises(ValueError, match="^table: expected trainings of both truths in each stratum, got none with 0"):
        scored(table(BEARS, bears=np.ones_like(BEARS)))


def test_a_design_is_drawn_for_all_strata_at_once():
    """Who errs about one design alike everywhere is as uncertain in the worst of three strata as in one."""
    bears = np.repeat(np.array([1.0, 1, 1, 0, 0, 0])[None, :, None], 3, axis=0)
    alarms = bears.copy()
    alarms[:, 0] = 0
    made = scored(Table(alarms[None], bears, ("one",), ("a", "b", "c"), tuple("uvwxyz")))
    assert (made.balanced[0] == made.worst[0]).all()
    np.testing.assert_array_equal(made.balanced_low[0], np.repeat(made.worst_low, 3))
    np.testing.assert_array_equal(made.balanced_high[0], np.repeat(made.worst_high, 3))
    assert made.worst_low[0] < made.worst[0] < made.worst_high[0] == 1
