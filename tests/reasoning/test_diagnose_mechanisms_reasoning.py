"""Gain retained in closed form, refused without a gain, and as a ratio of means."""

import numpy as np
import pytest
from tiny import key

from tokdyn.reasoning.diagnose import component_gains, gain_retained, marker_dependence

ITEM = np.arange(200) % 10
BASE, FULL = ITEM < 4, ITEM < 8
OPTIONS = {"base_name": "latents disabled", "num_resamples": 200}


@pytest.mark.parametrize(("kept", "percent"), [(4, 0), (6, 50), (8, 100), (9, 125), (3, -25)])
def test_closed_form(kept, percent):
    found = gain_retained(key(), kept > ITEM, BASE, FULL, **OPTIONS)
    assert found.percent == pytest.approx(percent)
    assert found.defined
    assert found.base == "latents disabled"
    assert (found.accuracy_arm, found.accuracy_base, found.accuracy_full) == (kept / 10, 0.4, 0.8)
    assert found.numerator.estimate == pytest.approx((kept - 4) / 10)
    assert found.rest.estimate == pytest.approx((8 - kept) / 10)
    assert str(found.fieller.kind) == "interval"
    assert found.fieller.low - 1e-9 <= percent / 100 <= found.fieller.high + 1e-9


def test_refused_where_there_is_no_gain():
    rng = np.random.default_rng(0)
    base, full, arm = rng.random((3, 200)) < 0.6
    found = gain_retained(key(), arm, base, full, **OPTIONS)
    assert found.percent is None
    assert not found.defined
    assert str(found.fieller.kind) != "interval"
    assert found.denominator.low <= 0 <= found.denominator.high
    assert np.isfinite(found.numerator.estimate)  # numerator and denominator are always there
    same = gain_retained(key(), BASE, FULL, FULL, **OPTIONS)
    assert same.percent is None
    assert str(same.fieller.kind) == "undefined"


def test_ratio_of_means_not_mean_of_ratios():
    # Benchmark accuracies: gains 0.2, 0.3 and 0.001, of which the arm keeps 0.1, 0.15 and 0.01 (ten times all of it).
    base = np.array([0.5, 0.4, 0.6])
    full, arm = base + np.array([0.2, 0.3, 0.001]), base + np.array([0.1, 0.15, 0.01])
    found = gain_retained(key(), arm, base, full, unit="benchmarks", **OPTIONS)
    assert float(found.fieller.ratio) == pytest.approx(0.26 / 0.501)
    assert found.percent is None  # three benchmarks, one without a gain: the set of the ratio is unbounded
    full, arm = base + np.array([0.2, 0.3, 0.25]), base + np.array([0.1, 0.14, 0.11])
    sure = gain_retained(key(), arm, base, full, unit="benchmarks", **OPTIONS)
    assert sure.percent == pytest.approx(100 * 0.35 / 0.75)


def test_seeds_and_units():
    rng = np.random.default_rng(1)
    base, full, arm = (rng.random((4, 200)) < share for share in (0.3, 0.8, 0.6))
    items = gain_retained(key(), arm, base, full, **OPTIONS)
    seeds = gain_retained(key(), arm, base, full, unit="seeds", **OPTIONS)
    assert items.percent == pytest.approx(seeds.percent)
    assert (items.fieller.n, seeds.fieller.n) == (200, 4)
    assert items.numerator.method == "crossed"
    assert items.numerator.seeds == 4
    order = rng.permutation(200)
    moved = gain_retained(key(), arm[:, order], base[:, order], full[:, order], **OPTIONS)
    assert moved.fieller.low == pytest.approx(float(items.fieller.low))


def test_dependence_is_what_is_not_retained():
    without = ITEM < 5
    dependence, kept = (f(key(), without, BASE, FULL, **OPTIONS) for f in (marker_dependence, gain_retained))
    assert dependence.percent == pytest.approx(100 - kept.percent)
    assert dependence.numerator.estimate == pytest.approx(kept.rest.estimate)
    assert float(dependence.fieller.low) == pytest.approx(1 - float(kept.fieller.high))


def test_components_are_named():
    found = component_gains(key(), {"markers": FULL, "format": ITEM < 5}, BASE, FULL, **OPTIONS)
    assert {name: round(each.percent, 6) for name, each in found.items()} == {"markers": 100, "format": 25}


@pytest.mark.parametrize(
    "call",
    [
        lambda: gain_retained(key(), BASE, BASE, FULL, base_name=""),
        lambda: gain_retained(key(), BASE[:5], BASE, FULL, base_name="x"),
        lambda: gain_retained(key(), 2.0 * BASE, BASE, FULL, base_name="x"),
        lambda: gain_retained(key(), BASE, BASE, FULL, base_name="x", unit="seeds"),
        lambda: gain_retained(key(), BASE, BASE, FULL, base_name="x", unit="models"),
        lambda: component_gains(key(), {}, BASE, FULL, base_name="x"),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
