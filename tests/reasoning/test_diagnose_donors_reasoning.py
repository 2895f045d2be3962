"""Answers that follow the donor in a planted share; what cannot be seen is left out; broken output is no lift."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from tiny import key

from tokdyn.reasoning.diagnose import donor_lift, donor_share, margin_shift

OWN = np.arange(100) % 4
DONOR = (OWN + 1 + (np.arange(100) % 3)) % 4
FEW = {"num_resamples": 200}


def follow(count):
    return np.where(np.arange(100) < count, DONOR, OWN)


def test_planted_share():
    control = np.where(np.arange(100) >= 95, DONOR, OWN)
    found = donor_lift(key(), follow(40), DONOR, OWN, control_answers=control, **FEW)
    assert (found.donor_rate, found.control_rate, found.n) == pytest.approx((0.40, 0.05, 100))
    assert found.lift.estimate == pytest.approx(0.35)
    assert found.lift.low < 0.35 < found.lift.high
    assert found.p_value == pytest.approx(scipy_stats.binomtest(40, 45).pvalue)
    assert found.own_rate == pytest.approx(0.6)
    assert found.other_rate == pytest.approx(0)


def test_items_where_the_donor_agrees_are_left_out():
    donor = DONOR.copy()
    donor[::2] = OWN[::2]  # believing the donor changes nothing there
    found = donor_lift(key(), donor, donor, OWN, control_answers=OWN, **FEW)
    assert found.n == 50
    np.testing.assert_array_equal(found.eligible, np.arange(100) % 2 == 1)
    assert found.lift.estimate == 1


def test_broken_output_is_no_lift():
    broken = donor_lift(key(), np.full(100, -1), DONOR, OWN, control_answers=OWN, **FEW)
    assert broken.lift.estimate == 0
    assert broken.other_rate == pytest.approx(1)
    assert broken.lift.degenerate
    assert broken.p_value == 1


def test_chance_and_guessing():
    guesses = np.random.default_rng(0).integers(0, 4, 100)
    found = donor_lift(key(), guesses, DONOR, OWN, chance=0.25, **FEW)
    assert abs(found.lift.estimate) < 5 * np.sqrt(0.25 * 0.75 / 100)
    assert found.control == "chance"
    assert found.p_value == 1


def test_permuting_items_and_seeds():
    order = np.random.default_rng(1).permutation(100)
    plain = donor_lift(key(), follow(40), DONOR, OWN, control_answers=OWN, **FEW)
    moved = donor_lift(key(), follow(40)[order], DONOR[order], OWN[order], control_answers=OWN[order], **FEW)
    assert plain.lift.estimate == moved.lift.estimate
    assert plain.p_value == moved.p_value
    seeds = donor_lift(
        key(), np.stack([follow(40), follow(60)]), DONOR, OWN, control_answers=np.stack([OWN, OWN]), **FEW
    )
    assert seeds.lift.estimate == pytest.approx(0.5)
    assert seeds.lift.method == "crossed"


def test_margin_shift():
    rng = np.random.default_rng(2)
    sham = -1 + 0.1 * rng.normal(size=100)
    push = np.where(np.arange(100) < 25, 3.0, 0.0)
    found = margin_shift(key(), sham, sham + push, sham - 0.25, **FEW)
    assert found.shift.estimate == pytest.approx(0.75)
    assert found.control_shift.estimate == pytest.approx(-0.25)
    assert found.excess.estimate == pytest.approx(1.0)
    assert found.flipped == 0.25
    assert margin_shift(key(), sham, sham, **FEW).excess is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: donor_lift(key(), OWN, DONOR, OWN),
        lambda: donor_lift(key(), OWN, DONOR, OWN, control_answers=OWN, chance=0.1),
        lambda: donor_lift(key(), OWN, OWN, OWN, chance=0.1),
        lambda: donor_lift(key(), OWN * 1.0, DONOR, OWN, chance=0.1),
        lambda: donor_lift(key(), OWN, DONOR[:5], OWN, chance=0.1),
        lambda: margin_shift(key(), [0.0, 1.0], [0.0]),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()


def drawn_share(rng, share, *, items=200, choices=4, skew=0.0, right=0.8, shock=0.0):
    """What ``donor_share`` finds where a share follows, and others break or keep an answer that may be wrong."""
    weights = np.arange(1.0, choices + 1) ** skew
    weights /= weights.sum()
    targets = rng.choice(choices, items, p=weights)
    donor = np.roll(targets, -1)
    clean = np.where(rng.random(items) < right, targets, rng.integers(0, choices, items))
    broken = np.where(rng.random(items) < shock, rng.choice(choices, items, p=weights), clean)
    return donor_share(np.where(rng.random(items) < share, donor, broken), donor, clean)


class TestShare:
    @pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 1.0])
    @pytest.mark.parametrize("options", [{}, {"shock": 1.0}, {"choices": 3, "shock": 0.4}, {"skew": 1.5, "shock": 1.0}])
    def test_the_planted_share_is_found(self, share, options):
        rng = np.random.default_rng(0)
        found = [drawn_share(rng, share, **options) for _ in range(300)]
        estimates = np.array([one.share for one in found])
        assert abs(estimates.mean() - share) < 4 * estimates.std() / np.sqrt(300) + 0.003
        held = np.mean([one.low <= share <= one.high for one in found])
        assert held > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 300)

    def test_two_answers_leave_it_open(self):
        found = drawn_share(np.random.default_rng(0), 0.3, choices=2)
        assert np.isnan(found.share)
        assert found.low == 0
        assert found.low < 0.3 < found.high

    def test_without_chance_it_is_the_raw_rate(self):
        """Each item has a donor of its own: nobody gives its answer by chance."""
        clean = np.arange(100)
        donor = np.roll(clean, -1)
        found = donor_share(np.where(clean < 30, donor, clean), donor, clean)
        assert found.share == pytest.approx(0.3, abs=1e-12)
        assert (found.rate, found.n) == (0.3, 100)

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [(([0.5, 1], [0, 1], [1, 0]), "answers"), (([0, 1], [0, 1, 2], [1, 0]), "donor_answers"),
         (([0, 1], [0, 1], [0, 1]), "donor_answers"), (([0, 1], [1, 0], [[0, 1]]), "clean_answers")],
    )  # fmt: skip
    def test_bad_input(self, arguments, name):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            donor_share(*arguments)
