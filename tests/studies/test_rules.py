"""Every verdict can turn: the rules by laws, and every declared claim on numbers out of the air."""

import importlib
import math

import numpy as np
import pretended
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokdyn import claims
from tokdyn.studies import rules
from tokdyn.studies.rules import (
    AtLeast,
    AtMost,
    Context,
    Equals,
    Estimate,
    Every,
    InGeneral,
    Judgement,
    Rises,
    Some,
    Typical,
    exact,
)

REPRODUCED, CONTRADICTED, QUALIFIED, OPEN = "reproduced", "contradicted", "qualified", "open"
RULES = (Equals(0.5, 0.1), AtLeast(0.5), AtMost(0.5), Rises(0.1), Typical(0.5, 0.4))
MANY = (Every, Some, InGeneral)
UNKNOWN = exact(math.nan)
NUMBERS = st.floats(-2, 2)


def claims_of(study):
    """The module that declares its claims."""
    module = importlib.import_module(f"tokdyn.studies.{study.replace('-', '_')}")
    return module if hasattr(module, "CLAIMS") else importlib.import_module(f"{module.__name__}.claims")


def declared():
    """Every declaration of every study, by claim."""
    return {one.claim: (study, one) for study in pretended.SHAPES for one in claims_of(study).CLAIMS}


DECLARED = declared()
JUDGED = {name: pair for name, pair in DECLARED.items() if isinstance(pair[1], Judgement)}
# What follows from arithmetic, or from the shape of the design, whatever the runs say.
ARITHMETIC = {
    "diffusion_lm.capacity_147", "diffusion_lm.capacity_320", "diffusion_lm.capacity_75",
    "diffusion_lm.capacity_utilisation", "diffusion_lm.collapse_the_frequency", "dynamics.runs_per_method",
}  # fmt: skip


@st.composite
def intervals(draw):
    value, below, above = draw(NUMBERS), draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return Estimate(value, value - below, value + above)


class TestRules:
    @given(st.sampled_from(RULES), intervals())
    def test_a_number_decides_only_if_its_whole_interval_says_the_same(self, rule, of):
        """Where a rule decides, every number of the interval would have decided alike."""
        verdict = rule(of)
        inside = {rule(exact(number)) for number in np.linspace(of.low, of.high, 41)}
        if isinstance(rule, Typical):
            assert (verdict == CONTRADICTED) == (not of.low <= rule.number <= of.high)
        elif verdict in (REPRODUCED, CONTRADICTED):
            assert inside <= {verdict, QUALIFIED}
        elif verdict == OPEN:
            # An interval that straddles; its ends decide differently.
            assert len({rule(exact(of.low)), rule(exact(of.high))} | inside) > 1

    @given(st.sampled_from(RULES), intervals(), st.floats(1, 3))
    def test_a_wider_interval_never_turns_a_verdict_into_its_opposite(self, rule, of, factor):
        wider = Estimate(of.value, of.value - factor * (of.value - of.low), of.value + factor * (of.high - of.value))
        assert {rule(of), rule(wider)} != {REPRODUCED, CONTRADICTED} or isinstance(rule, Typical)

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_every_verdict_is_reached(self, rule):
        ends = np.linspace(-1, 2, 61)
        reached = {rule(Estimate((low + high) / 2, low, high)) for low in ends for high in ends if low <= high}
        assert reached == {REPRODUCED, CONTRADICTED, OPEN} | ({QUALIFIED} if isinstance(rule, Rises) else set())

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_what_was_not_measured_decides_nothing(self, rule):
        assert rule(UNKNOWN) == OPEN
        assert all(many(rule)() == OPEN for many in MANY)
        with pytest.raises(ValueError, match="estimates: expected one for the rule"):
            rule(exact(1), exact(1))

    def test_swapping_the_arms_turns_a_difference(self):
        values = np.random.default_rng(0).normal(1.0, 0.5, 20)
        assert Rises()(rules.mean(values)) == REPRODUCED
        assert Rises()(rules.mean(-values)) == CONTRADICTED
        assert Rises()(rules.mean(values - values.mean())) == OPEN

    def test_many_cases(self):
        up, down, unsure = exact(1.0), exact(-1.0), Estimate(0.0, -1.0, 1.0)
        for cases, every, some, general in (
            ([up, up], REPRODUCED, REPRODUCED, REPRODUCED),
            ([up, unsure], OPEN, REPRODUCED, OPEN),
            ([up, down], CONTRADICTED, REPRODUCED, QUALIFIED),
            ([down, unsure], CONTRADICTED, OPEN, OPEN),
            ([down, down], CONTRADICTED, CONTRADICTED, CONTRADICTED),
        ):
            assert [many(Rises())(*cases) for many in MANY] == [every, some, general]

    def test_false_verdicts_on_noise_are_as_rare_as_the_intervals_say(self):
        """Without any effect, a sign is called by chance in 5 % of the cases: both sides together."""
        generator = np.random.default_rng(1)
        said = [Rises()(rules.mean(generator.normal(size=12))) for _ in range(2000)]
        assert abs(np.mean([verdict != OPEN for verdict in said]) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)
        # Of ten at once, one is called in 5 % of the families at most.
        families = [
            Every(Rises())(*(rules.mean(row, together=10) for row in generator.normal(size=(10, 12))))
            for _ in range(500)
        ]
        assert np.mean([verdict == CONTRADICTED for verdict in families]) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 500)

    def test_a_further_run_lies_in_its_interval_as_often_as_it_says(self):
        generator = np.random.default_rng(2)
        draws = generator.normal(size=(4000, 9))
        inside = [(of := rules.one_more(row[:8])).low <= row[8] <= of.high for row in draws]
        assert abs(np.mean(inside) - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 4000)

    def test_simultaneous_intervals_are_wider(self):
        one = Estimate(0.0, -1.96, 1.96)
        (alone,), five = rules.widened([one]), rules.widened([one] * 5)
        assert alone.high == pytest.approx(1.96)
        assert five[0].high == pytest.approx(2.5758, abs=1e-3)  # normal quantile of 0.995

    @pytest.mark.parametrize(
        ("number", "reading", "verdict"),
        [
            (REPRODUCED, REPRODUCED, REPRODUCED),
            (REPRODUCED, CONTRADICTED, QUALIFIED),
            (REPRODUCED, OPEN, OPEN),
            (CONTRADICTED, OPEN, CONTRADICTED),
            (CONTRADICTED, REPRODUCED, CONTRADICTED),
            (OPEN, CONTRADICTED, OPEN),
        ],
    )
    def test_a_number_that_means_less_is_qualified(self, number, reading, verdict):
        assert rules.with_reading(number, reading) == verdict


@pytest.fixture(scope="module")
def datasets():
    return {study: [pretended.dataset(study, seed) for seed in range(4)] for study in pretended.SHAPES}


@pytest.fixture(scope="module")
def found(datasets):
    return {study: [claims_of(study).findings(of) for of in every] for study, every in datasets.items()}


class TestDeclarations:
    def test_every_one_is_in_the_table_and_may_judge_its_claim(self):
        known = {claim.id: claim for claim in claims.load()}
        assert set(DECLARED) <= set(known)
        for name, (_, one) in JUDGED.items():
            assert one.design in claims.KINDS[known[name].kind], name
        for name, (_, one) in DECLARED.items():
            if isinstance(one, Context):
                assert known[name].kind in ("model", "setting"), name

    def test_every_settled_claim_is_declared(self):
        settled = {claim.id for claim in claims.load() if claim.verdict != OPEN}
        assert settled <= set(JUDGED)

    @pytest.mark.parametrize("name", sorted(JUDGED))
    def test_its_verdict_can_turn(self, name, datasets):
        """Its numbers follow the runs, and around its rule's bounds every such number decides otherwise."""
        study, one = JUDGED[name]
        measured = [_several(one.measure(of)) for of in datasets[study]]
        if name not in ARITHMETIC:
            assert len({str(values) for values in measured}) > 1
        count = max(map(len, measured))
        if count:
            assert {REPRODUCED, CONTRADICTED, OPEN} <= _reached(one.rule, count)
        if one.reading is not None:
            reading, measure = one.reading
            read = [_several(measure(of)) for of in datasets[study]]
            assert len({str(values) for values in read}) > 1
            assert {REPRODUCED, CONTRADICTED, OPEN} <= _reached(reading, max(map(len, read)))

    @pytest.mark.parametrize("study", pretended.SHAPES)
    def test_findings_say_what_they_follow_from(self, study, found):
        for one in found[study]:
            claims.updated(one)  # the table accepts every verdict: its design may judge such a claim
            for name, finding in one.items():
                if finding.verdict == OPEN:
                    assert (bool(finding.note), finding.ours) == (True, None), name
                else:
                    assert all((finding.rule, finding.design, finding.command)), name

    def test_verdicts_move_with_the_numbers(self, found):
        """Over a few Datasets of chance numbers many claims get more than one verdict."""
        moved = [len({one[name].verdict for one in found[study]}) > 1 for name, (study, _) in JUDGED.items()]
        assert np.mean(moved) > 0.25


SHIFTS = (-9, -1, 0, 1, 9)


def _several(found):
    return [found] if isinstance(found, Estimate) else list(found)


def _reached(rule, count):
    """Verdicts of a rule on so many equal estimates around its own numbers."""
    inner = getattr(rule, "rule", rule)
    about = [0.0] + [value for name in ("number", "bound", "negligible") if (value := getattr(inner, name, None))]
    spans = [abs(getattr(inner, name, 0.0)) for name in ("tolerance", "width")]
    size = max([*spans, *map(abs, about), 1e-3])
    places = [centre + shift * scale for centre in about for scale in (size, 0.01 * size) for shift in SHIFTS]
    halves = [0.0, getattr(inner, "tolerance", size) / 2, getattr(inner, "width", size) / 3, 3 * size, 20 * size]
    return {rule(*[Estimate(x, x - half, x + half)] * count) for x in places for half in halves}
