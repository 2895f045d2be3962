"""Trying diagnostics on a suite: the dial does what it says, a useless one lands at its true place, ours at theirs."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from scipy import stats

from tokdyn.reasoning import audit, reasoner
from tokdyn.reasoning.audit import evaluation, reasoners

DIALS = np.linspace(0, 1, 11)


def members():
    """A trained reasoner, and one that is null whatever its weights are, since its answer cannot see slots."""
    content, masked = (audit.shipped_member(name) for name in ("content", "masked"))
    task, way = masked.reference.task, masked.reference.model.protocol
    small = dataclasses.replace(masked.reference, model=reasoner(task, way, width=8, heads=2, layers=1, hidden=8))
    variables = tiny.untrained(small.model)
    variables["params"]["patch_layers_0"]["kernel"] *= 9  # the picture moves its latents, as it does in trained ones
    return [content, audit.Member("masked", small, variables)]


@pytest.fixture(scope="module")
def small():
    """A suite whose runs are made once for all tests."""
    made, known = reasoners._run, {}

    def once(suite, member, repetition):
        # What a run is made of: another suite with the same has the same runs.
        which = suite.key, suite.num_items, member.name, repetition
        if which not in known:
            known[which] = made(suite, member, repetition)
        return known[which]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reasoners, "_run", once)
        yield audit.suite(members(), dials=DIALS, repetitions=10, num_items=40)


@pytest.fixture
def only_the_donors_lift(monkeypatch):
    """One built-in diagnostic beside ours, where its place among the others is not asked for."""
    name = "donor lift, cache"
    monkeypatch.setattr(evaluation, "BUILT_IN", {name: audit.BUILT_IN[name]})


def within(alarms, runs, rate):
    """Whether a count is one that this rate gives, but for one in ten thousand."""
    return stats.binomtest(int(alarms), int(runs), rate).pvalue > 1e-4


def test_a_random_p_value_has_sensitivity_and_false_positives_of_alpha(small, only_the_donors_lift):
    drawn = np.random.default_rng(5)
    found = audit.evaluate_diagnostic(lambda run: drawn.uniform(), on=small, alpha=0.2)
    assert found.curve["runs"].tolist() == [10] * 11
    assert within(found.curve["alarms"].sum(), found.curve["runs"].sum(), 0.2)
    assert within(found.false_positives["alarms"].iloc[-1], 10, 0.2)
    # The curve is flat: dials do not differ by more than counts do.
    assert stats.chi2_contingency([found.curve["alarms"], 10 - found.curve["alarms"]]).pvalue > 1e-4
    assert abs(found.sensitivity - 0.2) < 0.16  # four standard errors of 100 runs
    assert found.sha256 == small.sha256


def test_a_random_p_value_ranks_below_all_that_are_causal(small):
    """At dials of 0, 0.3 and 1: all that are built in are asked about every run."""
    drawn = np.random.default_rng(5)
    few = audit.suite(small.members, dials=[0.3], repetitions=10, num_items=40)
    found = audit.evaluate_diagnostic(lambda run: drawn.uniform(), on=few, alpha=0.2)
    ranking = found.ranking.set_index("diagnostic")
    assert ranking.loc["yours", "sensitivity"] == found.sensitivity
    causal = [name for name, one in audit.DIAGNOSTICS.items() if not one.looks]
    assert (ranking.loc[causal, "rank"] < found.rank).all()
    # On the masked reasoner latents move as well, and all runs are false alarms.
    looks = ranking.loc["latents move with the image"]
    assert (looks["sensitivity"], looks["false_positive_rate"], looks["difference"]) == (1, 1, 0)
    assert found.sha256 == few.sha256 != small.sha256


def test_one_of_ours_lands_where_ours_is(small, only_the_donors_lift):
    found = audit.evaluate_diagnostic(audit.BUILT_IN["donor lift, cache"], on=small)
    ranking = found.ranking.set_index("diagnostic")
    assert (ranking.loc["yours"] == ranking.loc["donor lift, cache"]).all()
    assert found.rank == ranking.loc["donor lift, cache", "rank"]
    curve = found.curve.set_index("dial")["sensitivity"]
    assert (curve[0], curve[1]) == (0, 1)
    assert curve.is_monotonic_increasing  # an item that answers through its slots does so at every larger dial
    assert found.false_positive_rate == 0
    # 10 runs without an alarm: the exact interval of the textbooks.
    assert found.false_positives["high"].iloc[-1] == pytest.approx(1 - 0.025 ** (1 / 10))
    assert found.false_positives["member"].tolist() == ["masked", "all"]


def test_a_score_needs_a_threshold_and_changes_nothing_for_others(small, only_the_donors_lift):
    def score(run):
        flips = float(np.mean(run.arrays["arm/donor/answers"] != run.arrays["answers"]))
        for array in run.arrays.values():
            if array.ndim:
                array[...] = np.zeros_like(array)
        return flips

    found = audit.evaluate_diagnostic(score, on=small, threshold=0.3)
    curve = found.curve.set_index("dial")["sensitivity"]
    assert (curve[0], curve[0.1], curve[1]) == (0, 0, 1)
    assert found.ranking.set_index("diagnostic").loc["donor lift, cache", "sensitivity"] > 0.5


def test_the_dial_moves_arms_and_nothing_else(small):
    runs = [(dial, run) for member, dial, run in small.runs() if member.bears][:11]
    whole = runs[-1][1].arrays
    for dial, run in runs:
        changed = np.zeros(40, bool)
        for name, array in run.arrays.items():
            if name in ("mediation/latents_exchanged", "mediation/image_exchanged"):
                continue
            if not name.startswith("arm/"):
                np.testing.assert_array_equal(array, whole[name])
            elif name.endswith(("answers", "logits")):
                clean = run.arrays[name.rpartition("/")[2]]
                per_item = (array != clean).reshape(40, -1).any(axis=1)
                kept = (array == whole[name]).reshape(40, -1).all(axis=1)
                assert (per_item <= kept).all()  # an item has the arm's row or the clean one
                changed |= per_item
        # Items that do not go through their slots: foreign latents change nothing, the picture everything.
        for foreign, own in (("latents_exchanged", "factual"), ("image_exchanged", "both_exchanged")):
            given, followed = (run.arrays[f"mediation/{one}"] for one in (foreign, own))
            assert (given == np.where(given == whole[f"mediation/{foreign}"], given, followed)).all()
            assert dial > 0 or (given == followed).all()
        assert within(changed.sum(), 40, dial) if 0 < dial < 1 else changed.sum() == 40 * dial
    assert (runs[3][1].arrays["arm/donor/donor_targets"] == whole["arm/donor/donor_targets"]).all()


def test_the_shipped_suite_is_frozen():
    assert audit.suite().sha256 == reasoners.FROZEN
    names = [member.name for member in audit.suite().members]
    assert names == [*reasoners.LOAD_BEARING, *reasoners.NULL]
    content, masked = members()

    def moved(leaf):
        leaf = np.array(leaf)
        leaf[(0,) * leaf.ndim] += 1e-6
        return leaf

    other = content._replace(variables=jax.tree.map(moved, content.variables))
    suites = [
        audit.suite([content, masked]),
        audit.suite([other, masked]),
        audit.suite([content, masked], dials=[0.5]),
        audit.suite([content, masked], num_items=99),
        audit.suite([content, masked], key=1),
        audit.suite([masked, content]),
        audit.suite([content, masked, other._replace(name="content, seed 1")]),
    ]
    assert len({one.sha256 for one in suites}) == len(suites)


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["content"], {}, r"members: expected at least one null reasoner, got \['content'\]"),
        (["masked"], {}, "members: expected at least one load-bearing reasoner"),
        (["content", "masked", "content"], {}, "members: expected different names"),
        (["content", "masked", "direct"], {}, "members: expected reasoners with slots"),
        (["content", "masked"], {"dials": [1.5]}, r"dials: expected shares from 0 to 1, got \[1.5\]"),
        (["content", "masked"], {"repetitions": 0}, "repetitions: expected a static integer of at least 1"),
    ],
)
def test_suites_that_are_none(names, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        audit.suite([audit.shipped_member(name) for name in names], **options)


@pytest.mark.parametrize(
    ("returned", "options", "sentence"),
    [
        (1.5, {}, "fn: expected a function that returns a p-value from 0 to 1, or a bool, got 1.5"),
        (np.nan, {}, "fn: expected a function that returns a p-value"),
        ("low", {}, "fn: expected a function that returns a p-value from 0 to 1, or a bool, got a str"),
        (np.inf, {"threshold": 1.0}, "fn: expected a function that returns a finite score, got inf"),
        (0.5, {"members": ()}, "members: expected either members or a suite, got both"),
    ],
)
def test_diagnostics_that_are_none(small, returned, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        audit.evaluate_diagnostic(lambda run: returned, on=small, **options)
