"""Reasoners of kinds that the suite does not have are judged, from files, as the suite's rates say."""

import foreign_reasoners as foreign
import numpy as np
import pytest
from scipy import stats

from tokdyn.reasoning import audit
from tokdyn.reasoning.estimands import DEPENDS, IDLE

RECOMMENDED = "accuracy, donor's cache"
ALPHA = 0.05


def alarms(kind, folder, count, diagnostic=RECOMMENDED):
    """How many of ``count`` reasoners of a kind alarm, each by a file of 200 items, as many as a run of the suite."""
    found = 0
    for seed in range(count):
        path = folder / f"{kind}.npz"
        np.savez(path, **foreign.exported(foreign.KINDS[kind](seed), seed, 200))
        found += audit.DIAGNOSTICS[diagnostic].judge(audit.load(path)) <= ALPHA
    return found


@pytest.mark.parametrize("kind", ["late", "unread"])
def test_truths_are_as_said(kind):
    """By the suite's own bounds, on 20,000 items with the lots of drawn answers held fixed."""
    share = foreign.changed(foreign.KINDS[kind](0), 0)
    assert share > DEPENDS if foreign.TRUTH[kind] else share < IDLE


def test_users_are_found_as_often_as_the_suite_says(tmp_path):
    """Found in the suite: 98 % of users (91 % in the worst stratum's interval)."""
    found = alarms("late", tmp_path, 20)
    assert stats.binomtest(found, 20, 0.91, alternative="less").pvalue > 0.01
    assert alarms("echo", tmp_path, 2) == 2


def test_who_draws_answers_keeps_the_level_and_no_more(tmp_path):
    """The suite's idle reasoners never alarm, since they answer alike twice; here McNemar's level is tried at last."""
    assert stats.binomtest(alarms("unread", tmp_path, 60), 60, ALPHA, alternative="greater").pvalue > 0.01
    assert alarms("unread", tmp_path, 20, "donor margin, cache") <= 4


def test_who_only_looks_accuses_them_all(tmp_path):
    """Their memory says digits and answer, and nobody reads it."""
    for seed in range(5):
        run = audit.checked(foreign.exported(foreign.unread(seed), seed, 200))
        for diagnostic in ("cosine between items below 0.9", "probe reads the answer"):
            assert audit.DIAGNOSTICS[diagnostic].judge(run)


@pytest.mark.slow
def test_trained_recurrences(tmp_path):
    for kind in ("recurrent", "amnesic"):
        shares = [foreign.changed(foreign.KINDS[kind](seed), seed) for seed in range(20)]
        assert min(shares) > DEPENDS if kind == "recurrent" else max(shares) == 0
        assert alarms(kind, tmp_path, 20) == (20 if kind == "recurrent" else 0)
