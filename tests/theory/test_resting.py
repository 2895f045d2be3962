"""Resting places by NumPy: those of the plain rule, in far fewer steps near a critical temperature."""

import itertools

import numpy as np
import pytest

from tokdyn.theory import resting


def plain(values, places, numbers, heat, steps):
    for _ in range(steps):
        logits = -((values[:, None] - places[None]) ** 2).sum(axis=-1) / heat + np.log(numbers)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        places = weights.T @ values / weights.sum(axis=0)[:, None]
    return places


def scene(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(size=(80, 3)) + 4 * rng.normal(size=3) for _ in range(3)])
    values -= values.mean(axis=0)
    return values, values[rng.choice(len(values), 4, replace=False)], rng.integers(1, 4, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_where_points_rest_is_where_the_plain_rule_leaves_them(seed, dtype):
    values, places, numbers = scene(seed)
    found = resting.settled(resting.rows_of(values.astype(dtype)), places, numbers, 2.0)
    again = plain(values, found.astype(np.float64), numbers, 2.0, 1)
    spread = np.sqrt((values**2).sum(axis=1).mean())
    assert np.abs(again - found).max() < 3 * resting.TOLERANCE * spread
    # And it is the same resting place that thousands of plain steps find.
    np.testing.assert_allclose(found, plain(values, places, numbers, 2.0, 3000), atol=2e-4 * spread)


def test_responsibilities_count_every_token_of_a_point():
    values, places, numbers = scene(0)
    found = resting.shares(resting.rows_of(values), places, numbers, 3.0)
    each = np.repeat(places, numbers, axis=0)
    logits = -((values[:, None] - each[None]) ** 2).sum(axis=-1) / 3.0
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    bounds = np.concatenate([[0], np.cumsum(numbers)])
    expected = [weights[:, a:b].sum(axis=1) for a, b in itertools.pairwise(bounds)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_near_a_critical_temperature_steps_are_few(monkeypatch):
    """A pair 1 % below the temperature at which it parts: plain steps gain 1 % each."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4000, 1))
    values -= values.mean()
    heat = 0.99 * 2 * float(values.var())
    steps = []
    shares = resting.shares
    monkeypatch.setattr(resting, "shares", lambda *given: steps.append(1) or shares(*given))
    found = resting.settled(resting.rows_of(values), np.array([[-0.3], [0.3]]), np.ones(2), heat)
    rest = plain(values, found, np.ones(2), heat, 4000)
    assert len(steps) < 150
    assert np.abs(found - rest).max() < 0.1 * np.abs(rest).max()


def test_a_point_that_owns_nothing_stays():
    values, places, numbers = scene(1)
    places[0] = 1e4
    found = resting.settled(resting.rows_of(values), places, numbers, 1.0)
    assert (found[0] == 1e4).all()
