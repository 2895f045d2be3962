"""Trying diagnostics on a suite: the dial does what it says, a useless one lands at its true place, ours at theirs."""

import jax
import numpy as np
import pytest
from scipy import stats

from tokdyn.reasoning import audit, designs
from tokdyn.reasoning.audit import evaluation, shipped
from tokdyn.reasoning.audit.suite import one_run
from tokdyn.reasoning.estimands import Estimands, estimands
from tokdyn.reasoning.shipped import load as shipped_reference
from tokdyn.studies.calibration.controls import CONTROLS

STRATUM = ("pointer chase", "small")
# Shipped: one whose answer sees slots only, one that follows slots which it cannot see, and two that know nothing of
# what slots hold, of which one attends to them.
NAMES = ("sole", "relayed", "sealed", "shallow")
LIFT = "donor lift, cache"


def members(*names, training=0):
    known = {(one.design, one.stratum, one.training): one for one in audit.shipped_members()}
    return [known[name, STRATUM, training] for name in names]


@pytest.fixture(scope="module")
def small():
    """A suite whose runs are made once for all tests."""
    suite = audit.suite(members(*NAMES), repetitions=6, num_items=40)
    runs = list(suite.runs())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit.Suite, "runs", lambda self: iter(runs))
        yield suite


@pytest.fixture
def only_the_donors_lift(monkeypatch):
    """One built-in diagnostic beside ours, where its place among the others is not asked for."""
    monkeypatch.setattr(evaluation, "BUILT_IN", {LIFT: audit.BUILT_IN[LIFT]})


def test_a_random_p_value_alarms_at_alpha_everywhere(small, only_the_donors_lift):
    drawn = np.random.default_rng(5)
    found = audit.evaluate_diagnostic(lambda run: drawn.uniform(), on=small, alpha=0.2)
    rates = found.by_stratum.iloc[0]
    for rate in (rates["sensitivity"], rates["false_alarms"]):  # of 12 runs each
        assert stats.binomtest(round(12 * rate), 12, 0.2).pvalue > 1e-3
    assert found.sha256 == small.sha256


@pytest.mark.parametrize("answer", [True, False])
def test_who_always_or_never_alarms_comes_to_one_half(small, only_the_donors_lift, answer):
    found = audit.evaluate_diagnostic(lambda run: answer, on=small)
    assert (found.score, found.low, found.high, found.rank) == (0.5, 0.5, 0.5, 2)
    assert not found.ranking.set_index("diagnostic").loc["yours", "ties"]


def test_who_swaps_caches_is_right_and_controls_are_not(small):
    """Masks give nothing away: the answer of "relayed" cannot see slots, that of "shallow" can."""
    for name in CONTROLS:
        if "hardly" in name:  # right on these four; "detour" and "weighed" are what it misreads
            continue
        one = CONTROLS[name]
        found = audit.evaluate_diagnostic(one.judge, on=small)
        ranking = found.ranking.set_index("diagnostic")
        assert found.score <= 0.75
        for diagnostic in (LIFT, "accuracy, donor's cache", "accuracy, mean cache"):
            assert ranking.loc[diagnostic, "score"] > 0.95
            assert ranking.loc[diagnostic, "rank"] < found.rank


def test_one_of_ours_lands_where_ours_is(small, only_the_donors_lift):
    found = audit.evaluate_diagnostic(audit.BUILT_IN[LIFT], on=small)
    ranking = found.ranking.set_index("diagnostic")
    assert (ranking.loc["yours"] == ranking.loc[LIFT]).all()
    assert found.rank == ranking.loc[LIFT, "rank"] == 1
    shares = found.by_design.set_index("design")
    assert shares["alarms"].to_dict() == {"sole": 1, "relayed": 1, "sealed": 0, "shallow": 0}
    assert shares["truth"].to_dict() == {"sole": "used", "relayed": "used", "sealed": "idle", "shallow": "idle"}


def test_a_score_needs_a_threshold_and_changes_nothing_for_others(small, only_the_donors_lift):
    def score(run):
        flips = float(np.mean(run.arrays["arm/donor/answers"] != run.arrays["answers"]))
        for array in run.arrays.values():
            if array.ndim:
                array[...] = np.zeros_like(array)
        return flips

    found = audit.evaluate_diagnostic(score, on=small, threshold=0.3)
    assert found.score == found.ranking.set_index("diagnostic").loc[LIFT, "score"] == 1


def test_the_dial_moves_arms_and_nothing_else(small):
    drawn = np.random.default_rng(0)
    for member, _, whole in small.runs():
        through = drawn.uniform(size=40) < 0.5
        run = audit.dialled(whole, through)
        for name, array in run.arrays.items():
            field, before = name.rpartition("/")[2], whole.arrays[name]
            if name.startswith("arm/") and field in ("answers", "logits"):
                np.testing.assert_array_equal(array[through], before[through])
                np.testing.assert_array_equal(array[~through], whole.arrays[field][~through])
            elif not name.startswith("mediation/"):
                np.testing.assert_array_equal(array, before)
        # Items that do not go through their slots: foreign latents change nothing, the picture everything.
        for foreign, own in (("latents_exchanged", "factual"), ("image_exchanged", "both_exchanged")):
            given, followed = (run.arrays[f"mediation/{one}"] for one in (foreign, own))
            np.testing.assert_array_equal(given[~through], followed[~through])
            np.testing.assert_array_equal(given[through], whole.arrays[f"mediation/{foreign}"][through])
        assert member.name


def test_the_shipped_suite_has_every_design_in_every_stratum():
    made = audit.shipped_suite()
    cells = {(one.stratum, one.design, one.training) for one in made.members}
    strata = {(task, size) for task in designs.TASKS for size in designs.SIZES}
    assert cells == {(stratum, name, number) for stratum in strata for name in designs.DESIGNS for number in (0, 1)}
    for one in made.members:
        known = designs.DESIGNS[one.design].content
        assert known is None or one.bears is known


def test_a_suite_is_told_apart_by_whatever_makes_it():
    sole, sealed = members("sole", "sealed")

    def moved(leaf):
        leaf = np.array(leaf)
        leaf[(0,) * leaf.ndim] += 1e-6
        return leaf

    other = sole._replace(variables=jax.tree.map(moved, sole.variables))
    suites = [
        audit.suite([sole, sealed]),
        audit.suite([other, sealed]),
        audit.suite([sole, sealed], repetitions=3),
        audit.suite([sole, sealed], num_items=99),
        audit.suite([sole, sealed], key=1),
        audit.suite([sealed, sole]),
        audit.suite([sole, sealed, other._replace(training=7)]),
    ]
    assert len({one.sha256 for one in suites}) == len(suites)


def test_where_masks_leave_it_open_the_measurement_decides():
    (one,) = members("redundant")
    for changed, bears in ((0.0, False), (0.03, None), (0.2, True)):
        measured = Estimands(*[0.0] * len(Estimands._fields))._replace(changed=changed)
        assert one._replace(estimands=measured).bears is bears
    assert one._replace(estimands=None).bears is None
    # Those that masks decide are not asked.
    (sealed,) = members("sealed")
    assert sealed._replace(estimands=measured).bears is False


def test_members_are_read_as_they_were_written(tmp_path):
    some = members("sole", "redundant")
    path = shipped.save_members(some, tmp_path / "some.npz")
    for one, read in zip(some, shipped.shipped_members(path), strict=True):
        assert (read.name, read.estimands) == (one.name, one.estimands)
        jax.tree.map(np.testing.assert_array_equal, read.variables, one.variables)
    with pytest.raises(ValueError, match="^members: expected members with estimands"):
        shipped.save_members([some[0]._replace(estimands=None)], tmp_path / "none.npz")
    with pytest.raises(ValueError, match="expected members written by"):
        shipped.shipped_members(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (
            ["sole"],
            {},
            "members: expected at least one null reasoner, got",
        ),
        (["sealed"], {}, "members: expected at least one load-bearing reasoner"),
        (["sole", "sealed", "sole"], {}, "members: expected different names"),
        (["sole", "sealed"], {"repetitions": 0}, "repetitions: expected a static integer of at least 1"),
        (["sole", "sealed"], {"num_items": 7}, "num_items: expected a static integer of at least 8"),
    ],
)
def test_suites_that_are_none(names, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        audit.suite([members(name)[0] for name in names], **options)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nobody", STRATUM), "name: expected one of"),
        (("sole", ("nothing", "small")), "stratum: expected a task of pointer chase, addition, got nothing"),
        (("sole", ("addition", "huge")), "stratum: expected a size of small, large, got huge"),
    ],
)
def test_members_that_are_none(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        audit.member(*arguments, 0, {})


@pytest.mark.parametrize(
    ("returned", "options", "sentence"),
    [
        (1.5, {}, "fn: expected a function that returns a p-value from 0 to 1, or a bool, got 1.5"),
        (np.nan, {}, "fn: expected a function that returns a p-value"),
        ("low", {}, "fn: expected a function that returns a p-value from 0 to 1, or a bool, got a str"),
        (np.inf, {"threshold": 1.0}, "fn: expected a function that returns a finite score, got inf"),
        (0.5, {"alpha": 2.0}, "alpha: expected"),
    ],
)
def test_diagnostics_that_are_none(small, returned, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        audit.evaluate_diagnostic(lambda run: returned, on=small, **options)


def foreign(name):
    """One of the package's reference reasoners: a larger picture and model, and a training that no design has."""
    one = shipped_reference(name)
    return audit.Member(name, STRATUM, 0, one.reference, one.variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["content", "compute", "text", "bypassed", "masked", "marker", "soft_prompt"])
def test_reasoners_of_another_kind_are_judged_as_the_suite_says(name):
    """Diagnostics by other caches, which the suite never saw wrong on an idle one, are right on reasoners unlike it."""
    member = foreign(name)
    bears = member.reference.truth["slot cache"] == "content"
    for repetition in range(3):
        run = one_run(member, repetition, num_items=200, key=7)
        for diagnostic in ("accuracy, donor's cache", LIFT, "accuracy, noise in the cache"):
            assert (audit.DIAGNOSTICS[diagnostic].judge(run) <= 0.05) == bears, diagnostic


@pytest.mark.slow
def test_an_indirect_effect_of_any_size_is_an_alarm():
    """Why what ranks first in the suite is not what we recommend: all idle reasoners there are idle to the last bit.

    This one was trained not to need its slots. No answer of 4,000 changes under another item's cache, margins do a
    little, and a p-value for "exactly none" finds that in most runs.
    """
    member = foreign("bypassed")
    measured = estimands(
        member.reference.model, member.reference.task, member.variables, jax.random.key(5), num_items=4000
    )
    assert measured.changed == 0
    runs = [one_run(member, repetition, num_items=200, key=7) for repetition in range(8)]
    alarms = [audit.DIAGNOSTICS["indirect effect"].judge(run) <= 0.05 for run in runs]
    assert 3 <= sum(alarms) <= 8  # 5 when this was written
    shares = [audit.DIAGNOSTICS["indirect / total above 0.1"].judge(run) for run in runs]
    assert not any(shares)
