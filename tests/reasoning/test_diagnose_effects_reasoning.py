"""The four verdicts, each where it is due; the table against its parts; seeds."""

import inspect

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from tiny import key

from tokdyn import reasoning
from tokdyn.reasoning import audit
from tokdyn.reasoning.diagnose import BOUND, effects_table, mean_effect, no_effect_report
from tokdyn.reasoning.diagnose.outcomes import verdict
from tokdyn.stats import equivalence_test, mcnemar_test, paired_t_test, proportions_equivalence
from tokdyn.studies import audits, latent_optimisation, mediation

FEW = {"num_resamples": 200}


def arm(n, lost, won=0, base=None):
    """The reference with so many right items made wrong and wrong ones made right."""
    values = np.array(base if base is not None else reference(n))
    right, wrong = np.flatnonzero(values), np.flatnonzero(~values)
    values[right[:lost]], values[wrong[:won]] = False, True
    return values


def reference(n):
    return np.arange(n) % 4 > 0


def test_the_four_verdicts():
    many, few = reference(3000), reference(300)
    assert no_effect_report(key(), arm(3000, 10, 9), many, bound=0.05, **FEW).verdict == "no effect"
    assert no_effect_report(key(), arm(3000, 45, 0), many, bound=0.05, **FEW).verdict == "negligible"
    assert no_effect_report(key(), arm(3000, 600, 0), many, bound=0.05, **FEW).verdict == "effect"
    assert no_effect_report(key(), arm(300, 14, 6), few, bound=0.05, **FEW).verdict == "inconclusive"


def test_one_checkpoint_is_mcnemar_and_tango():
    base, other = reference(300), arm(300, 12, 5)
    found = no_effect_report(key(), other, base, bound=0.05, **FEW)
    test, equal = mcnemar_test(other, base), proportions_equivalence(other, base, bound=0.05)
    assert found.estimate == pytest.approx(-7 / 300)
    assert (found.low, found.high) == (test.low, test.high)
    assert found.difference_p_value == test.p_value
    assert found.equivalence_p_value == equal.p_value
    assert found.minimal_detectable_effect == equal.minimal_detectable_effect
    assert (found.n, found.seeds, found.method) == (300, 1, "score, items")


def test_differences_are_students():
    values = np.random.default_rng(0).normal(0.03, 0.5, 300)
    found = no_effect_report(key(), values, bound=0.3, **FEW)
    equal = equivalence_test(values, bound=0.3)
    assert found.equivalence_p_value == pytest.approx(float(equal.p_value))
    assert found.difference_p_value == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue)
    assert found.minimal_detectable_effect == pytest.approx(float(equal.minimal_detectable_effect))
    assert found.low < found.estimate < found.high


def test_seeds_are_the_units():
    rng = np.random.default_rng(1)
    base = rng.random((6, 400)) < 0.7
    other = np.where(rng.random((6, 400)) < 0.1, ~base, base)
    found = no_effect_report(key(), other, base, bound=0.1, **FEW)
    means = (other * 1.0 - base).mean(axis=1)
    assert found.method == "student, seeds"
    assert found.seeds == 6
    assert found.difference_p_value == pytest.approx(float(paired_t_test(means).p_value))
    order = [3, 0, 5, 1, 4, 2]
    moved = no_effect_report(key(), other[order], base[order], bound=0.1, **FEW)
    assert moved.equivalence_p_value == pytest.approx(found.equivalence_p_value)


def test_identical_arms_in_every_seed_are_judged_by_the_items():
    base = np.stack([reference(300)] * 3)
    found = no_effect_report(key(), base, base, bound=0.05, **FEW)
    assert found.method == "score, every seed"
    assert found.verdict == "no effect"
    assert found.minimal_detectable_effect > 0.01  # not the 0 that no variance would give
    one = no_effect_report(key(), base[0], base[0], bound=0.05, **FEW)
    assert found.smallest_bound == pytest.approx(one.smallest_bound)


def test_noise_is_not_called_no_effect_when_n_is_small():
    rng = np.random.default_rng(2)
    verdicts = [
        no_effect_report(key(), *(rng.random((2, 40)) < 0.6), bound=0.05, num_resamples=20).verdict for _ in range(20)
    ]
    assert "no effect" not in verdicts  # 40 independent items cannot show it: p < 0.05 needs an se below 0.03


def test_mean_effect():
    values = np.random.default_rng(3).normal(size=(4, 300))
    one = mean_effect(key(), values[0], **FEW)
    assert (one.method, one.seeds, one.n) == ("items", 1, 300)
    assert one.low < one.estimate < one.high
    assert mean_effect(key(), values[:1], **FEW) == one
    assert mean_effect(key(), values, **FEW).method == "crossed"
    assert mean_effect(key(), values, resample="hierarchical", **FEW).method == "hierarchical"
    assert mean_effect(key(), np.full(300, 0.2), **FEW).degenerate


def test_table():
    base = reference(300)
    arms = {"zero": arm(300, 60), "full": base, "donor": arm(300, 6, 5), "noise": arm(300, 18)}
    triggers = {"zero": 1.0, "full": np.ones(300), "donor": np.arange(300) % 2, "noise": 1.0}
    table = effects_table(key(), arms, reference="full", trigger_rate=triggers, parse_rate=triggers, **FEW)
    assert list(table.index) == ["full", "zero", "donor", "noise"]
    assert list(table.columns[:3]) == ["trigger_rate", "parse_rate", "accuracy"]
    assert table.loc["donor", "trigger_rate"] == 0.5
    assert table.loc["full", "difference"] == 0
    for name in ("zero", "donor", "noise"):
        test = mcnemar_test(arms[name], base)
        assert table.loc[name, "accuracy"] == arms[name].mean()
        assert table.loc[name, "difference"] == pytest.approx(float(test.difference))
        assert table.loc[name, "p_value"] == test.p_value
        assert (table.loc[name, "low"], table.loc[name, "high"]) == (test.low, test.high)
    p_values = table.loc[["zero", "donor", "noise"], "p_value"]
    for column, method in (("holm", "holm"), ("benjamini_hochberg", "fdr_bh")):
        expected = multipletests(p_values, method=method)[1]
        np.testing.assert_allclose(table.loc[p_values.index, column], expected, rtol=1e-9)
    assert table.loc["zero", "verdict"] == "effect"
    assert not table.isna().any().any()
    assert set(table["test"]) == {"reference", "mcnemar"}


def test_table_of_seeds():
    rng = np.random.default_rng(4)
    base = rng.random((5, 200)) < 0.8
    arms = {"full": base, "zero": base & (rng.random((5, 200)) < 0.6)}
    table = effects_table(key(), arms, reference="full", corrections=("holm",), **FEW)
    assert (table["seeds"] == 5).all()
    assert table.loc["zero", "test"] == "student, seeds"
    assert "benjamini_hochberg" not in table
    assert table.loc["zero", "high"] < 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: effects_table(key(), {"a": [0, 1]}, reference="b"),
        lambda: effects_table(key(), {"a": [0, 1], "b": [0, 1, 1]}, reference="a"),
        lambda: effects_table(key(), {"a": [0, 1], "b": [0, 1]}, reference="a", corrections=("bonferroni",)),
        lambda: effects_table(key(), {"a": [0, 1], "b": [0, 1]}, reference="a", parse_rate={"a": 1.0}),
        lambda: no_effect_report(key(), [0.1, 0.2], bound=0.0),
        lambda: no_effect_report(key(), [0, 1], [0, 1, 1], bound=0.1),
        lambda: mean_effect(key(), [1.0]),
        lambda: mean_effect(key(), np.ones((2, 2, 2))),
        lambda: mean_effect(key(), [1.0, 2.0], resample="items"),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()


def test_a_verdict_is_of_two_tests():
    cases = ((0.01, False), (0.01, True), (0.6, False), (0.6, True))
    assert [verdict(*case) for case in cases] == ["effect", "negligible", "inconclusive", "no effect"]
    assert verdict(0.01, False, alpha=0.001) == "inconclusive"


def test_nobody_has_a_bound_of_his_own():
    """What is "no effect" in an audit is "no effect" in an ablation and in a study."""
    functions = (audit.audit, reasoning.ablate, no_effect_report, effects_table)
    defaults = [inspect.signature(function).parameters["bound"].default for function in functions]
    configs = (audits.Options(), mediation.Config(), latent_optimisation.Config())
    assert set(defaults) | {config.bound for config in configs} == {BOUND}
    # The reach that its docstring promises, to the item.
    inside = [bool(proportions_equivalence([1] * n, [1] * n, bound=BOUND).equivalent) for n in (148, 149)]
    assert inside == [False, True]
