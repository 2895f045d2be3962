"""Composition: each operator's laws, inverses to a derived tolerance, an oracle by definition, and bad input."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokdyn import geometry

EPS = np.finfo(np.float32).eps
DIMENSIONS, SHAPE, PARTS = 60, (4, 4, 3), 3


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def unitary_ones(axes=1):
    shape = (DIMENSIONS,) if axes == 1 else SHAPE
    return np.asarray(geometry.unitary_codes(jax.random.key(0), 2 * PARTS, shape))


def tolerance(largest, condition=1.0, transforms=6):
    """Of some Fourier transforms of n numbers, each exact to eps log2 n of the largest entry's order, root mean square.

    N. Higham, Accuracy and Stability of Numerical Algorithms, section 24.1; 4 standard deviations or more.
    """
    return 4 * transforms * EPS * np.log2(DIMENSIONS) * condition * largest


def condition_of(part):
    """Largest over smallest modulus of its Fourier coefficients: what division can do to an error."""
    moduli = np.abs(np.fft.fft(part.astype(float)))
    return moduli.max() / moduli.min()


def by_definition(parts, operator):
    """What ``compose`` should make, in double precision, by NumPy."""
    whole = parts.astype(float)
    if operator != "binding":
        return whole.mean(axis=0) if operator == "mean" else whole.sum(axis=0)
    axes = tuple(range(1, parts.ndim))
    return np.fft.ifftn(np.prod(np.fft.fftn(whole, axes=axes), axis=0)).real


@pytest.mark.parametrize(("operator", "axes"), [("mean", 1), ("sum", 1), ("binding", 1), ("binding", 3)])
def test_what_is_removed_is_gone(operator, axes):
    parts = unitary_ones(axes)[:PARTS]
    whole = geometry.compose(parts, operator, axes=axes)
    np.testing.assert_allclose(whole, by_definition(parts, operator), atol=tolerance(1.0))
    count = {"count": PARTS} if operator == "mean" else {}
    rest = geometry.remove(whole, parts[2], operator, axes=axes, **count)
    np.testing.assert_allclose(rest, by_definition(parts[:2], operator), atol=tolerance(1.0))
    # And not by chance: another part leaves something else.
    other = geometry.remove(whole, parts[1], operator, axes=axes, **count)
    assert np.abs(np.asarray(other) - np.asarray(rest)).max() > 0.1


def test_what_is_removed_from_its_role_is_gone():
    roles, parts = np.split(unitary_ones(3), 2)
    whole = geometry.compose(parts, "roles", roles=roles, axes=3)
    bound = [by_definition(np.stack(pair), "binding") for pair in zip(roles, parts, strict=True)]
    np.testing.assert_allclose(whole, sum(bound), atol=tolerance(1.0))
    rest = geometry.remove(whole, parts[2], "roles", roles=roles[2], axes=3)
    np.testing.assert_allclose(rest, bound[0] + bound[1], atol=tolerance(1.0))
    wrong = geometry.remove(whole, parts[2], "roles", roles=roles[1], axes=3)
    assert np.abs(np.asarray(wrong) - np.asarray(rest)).max() > 0.1


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_binding_is_undone_within_the_condition_of_the_part(seed):
    one, other = draws(seed, 2, DIMENSIONS)
    bound = geometry.bind(one, other)
    back = geometry.unbind(bound, other)
    lengths = np.linalg.norm(one)
    np.testing.assert_allclose(back, one, atol=tolerance(lengths, condition_of(other)))


def test_binding_is_circular_convolution():
    """By its definition, term by term, in double precision."""
    one, other = draws(1, 2, DIMENSIONS)
    places = np.arange(DIMENSIONS)
    expected = np.array([np.sum(one.astype(float) * other[(i - places) % DIMENSIONS]) for i in places])
    largest = np.linalg.norm(one) * np.linalg.norm(other)
    np.testing.assert_allclose(geometry.bind(one, other), expected, atol=tolerance(largest))
    # Along several axes: the same with a pair of indices.
    a, b = draws(2, 2, *SHAPE)
    direct = np.zeros(SHAPE)
    for shift in np.ndindex(SHAPE):
        direct += a[shift] * np.roll(b, shift, axis=(0, 1, 2))
    found = geometry.bind(a, b, axes=3)
    np.testing.assert_allclose(found, direct, atol=tolerance(np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("operator", ["mean", "sum", "binding"])
def test_order_and_grouping_do_not_matter_where_it_is_said(operator):
    parts = unitary_ones()[:PARTS]
    whole = geometry.compose(parts, operator)
    np.testing.assert_allclose(geometry.compose(parts[[2, 0, 1]], operator), whole, atol=tolerance(1.0))
    if operator == "binding":
        grouped = geometry.bind(geometry.bind(parts[0], parts[1]), parts[2])
        np.testing.assert_allclose(grouped, whole, atol=tolerance(1.0))


def test_roles_tell_orders_apart():
    roles, parts = np.split(unitary_ones(), 2)
    one = np.asarray(geometry.compose(parts, "roles", roles=roles))
    other = np.asarray(geometry.compose(parts[[1, 0, 2]], "roles", roles=roles))
    # Two of three parts are elsewhere: a cosine of 1/3, give or take noise of 1 / sqrt(D).
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine < 1 / 3 + 4 / np.sqrt(DIMENSIONS)


def test_unitary_codes_are_isometries():
    code, other = unitary_ones()[:2]
    pair = draws(3, 2, DIMENSIONS)
    moved = np.asarray(geometry.bind(pair, code))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(pair, axis=1), rtol=tolerance(1.0))
    np.testing.assert_allclose(moved[0] @ moved[1], pair[0] @ pair[1], atol=tolerance(DIMENSIONS))
    np.testing.assert_allclose(np.abs(np.fft.fft(code)), 1, atol=tolerance(1.0))
    # Unitary codes form a group: bound, and made unitary again, they are as before.
    together = geometry.bind(code, other)
    again = geometry.unitary(np.stack([together, 3 * code]))
    np.testing.assert_allclose(again, np.stack([together, code]), atol=tolerance(1.0))


def test_unitary_of_degenerate_codes_is_defined():
    """A constant has one coefficient, zeros have none; what has no phase becomes 1."""
    found = np.asarray(geometry.unitary(np.stack([np.full(DIMENSIONS, -2.0), np.zeros(DIMENSIONS)]).astype(np.float32)))
    np.testing.assert_allclose(np.abs(np.fft.fft(found)), 1, atol=tolerance(1.0))
    np.testing.assert_allclose(found[1], np.eye(1, DIMENSIONS)[0], atol=tolerance(1.0))


@pytest.mark.slow  # the study's own test of frames has the same law
def test_the_noise_of_a_filler_read_back_is_as_derived():
    """From a frame of P parts a filler returns with P - 1 others turned at random: a cosine of about 1 / sqrt(P)."""
    count, width = 4, 1024
    roles = np.asarray(geometry.unitary_codes(jax.random.key(1), count, (width,)))
    fillers = draws(4, count, width) / np.sqrt(width)
    frame = geometry.compose(fillers, "roles", roles=roles)
    found = np.asarray(geometry.unbind(np.broadcast_to(frame, roles.shape), roles))
    cosines = np.sum(found * fillers, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(fillers, axis=1)
    # A filler's part of the noise has standard deviation sqrt((P - 1) / D), and lengths vary by sqrt(P / 2 D).
    np.testing.assert_allclose(cosines, 1 / np.sqrt(count), atol=4 * np.sqrt((count - 1) / width) / np.sqrt(count))


class TestBlend:
    def test_its_limits_are_the_mean_and_the_part_that_agrees_best(self):
        parts, query = draws(5, PARTS, DIMENSIONS), draws(6, DIMENSIONS)
        hot, cold = (np.asarray(geometry.blend(parts, query, temperature=of)) for of in (1e6, 1e-6))
        np.testing.assert_allclose(hot, parts.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(cold, parts[np.argmax(parts @ query)], atol=1e-6)
        one = np.asarray(geometry.blend(parts, query))
        turned = np.asarray(geometry.blend(parts[[1, 2, 0]], query))
        np.testing.assert_allclose(one, turned, atol=1e-6)
        assert (one <= parts.max(axis=0) + 1e-6).all()
        assert (one >= parts.min(axis=0) - 1e-6).all()


class TestTrained:
    SHAPE = (5, 4, 2)

    @pytest.fixture(scope="class")
    @staticmethod
    def parts():
        return draws(7, PARTS, 2, *TestTrained.SHAPE)

    def test_a_convolution_is_linear_and_knows_the_order(self, parts):
        composer = geometry.convolution(num_parts=PARTS, channels=2)
        variables = jax.tree.map(lambda leaf: draws(8, *leaf.shape), jax.eval_shape(composer.init, jax.random.key(0)))
        apply = jax.jit(composer.apply)
        whole = np.asarray(apply(variables, parts))
        kernel, bias = (variables["params"]["Convolution_0"][name].astype(float) for name in ("kernel", "bias"))
        # In the middle of the pattern, by hand.
        window = parts[:, 0, 1:4, 1:4].transpose(1, 2, 0, 3).reshape(3, 3, -1)
        np.testing.assert_allclose(whole[0, 2, 2], np.einsum("ijc,ijcd->d", window, kernel) + bias, rtol=1e-4)
        zero, three = (np.asarray(apply(variables, of)) for of in (np.zeros_like(parts), 3 * parts))
        np.testing.assert_allclose(three - zero, 3 * (whole - zero), atol=1e-3)
        assert np.abs(np.asarray(apply(variables, parts[[1, 0, 2]])) - whole).max() > 0.1

    @pytest.mark.parametrize("ordered", [True, False])
    def test_attention_knows_the_order_only_if_it_is_to(self, parts, ordered):
        composer = geometry.attention(num_parts=PARTS, shape=self.SHAPE, width=4, places=2, ordered=ordered)
        variables = jax.tree.map(lambda leaf: draws(9, *leaf.shape), jax.eval_shape(composer.init, jax.random.key(0)))
        apply = jax.jit(composer.apply)
        whole = np.asarray(apply(variables, parts))
        turned = np.asarray(apply(variables, parts[[1, 2, 0]]))
        assert whole.shape == parts.shape[1:]
        if ordered:
            assert np.abs(turned - whole).max() > 0.1
        else:
            np.testing.assert_allclose(turned, whole, atol=1e-5)
        # Items of a batch are composed each by itself.
        np.testing.assert_allclose(np.asarray(apply(variables, parts[:, ::-1])), whole[::-1], atol=1e-5)


class TestAnalogies:
    SIZES = (3, 4)

    @pytest.fixture(scope="class")
    @staticmethod
    def questions():
        place = {pair: n for n, pair in enumerate(np.ndindex(TestAnalogies.SIZES))}
        return np.array(
            [[place[r, s], place[r, t], place[q, s], place[q, t]]
             for r in range(3) for q in range(3) for s in range(4) for t in range(4) if r != q and s != t]
        )  # fmt: skip

    def test_factors_that_add_up_are_exact(self, questions):
        generator = np.random.default_rng(10)
        left, right = generator.normal(size=(3, 16)), generator.normal(size=(4, 16))
        codes = (left[:, None] + right).reshape(12, 16).astype(np.float32)
        found = geometry.analogies(codes, questions)
        assert float(found.accuracy) == 1
        assert float(found.chance) == pytest.approx(1 / 9)
        assert (np.asarray(found.rank) == 0).all()

    def test_random_codes_are_at_chance(self, questions):
        """Pooled over codes drawn anew: questions of one set of codes are not independent."""
        shares = [float(geometry.analogies(draws(seed, 12, 16), questions).accuracy) for seed in range(60)]
        # c is excluded, so that b and c's sum, less a, is nearest to a random other one.
        assert np.mean(shares) == pytest.approx(1 / 9, abs=4 * np.std(shares, ddof=1) / np.sqrt(len(shares)))

    def test_by_hand(self):
        codes = np.float32([[1, 0], [1, 1], [0, 1], [-1, 2], [-1, 1.9]])
        found = geometry.analogies(codes, [[0, 1, 2, 3]])  # (0, 2): nearest of the rest is (-1, 2), then (-1, 1.9)
        assert np.asarray(found.rank).tolist() == [0]
        assert float(found.accuracy_among_all) == 0  # (0, 1) is c itself
        assert float(found.without_difference) == 1


FLAT = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: geometry.compose(FLAT[:1]), "parts: expected two or more along the first axis, got 1"),
        (lambda: geometry.compose([FLAT[0]]), "parts: expected two or more, got 1"),
        (lambda: geometry.compose(FLAT[0]), r"parts: expected two or more along the first axis, got shape \(4,\)"),
        (
            lambda: geometry.compose([np.ones(3), np.ones(4)]),
            r"parts: expected arrays of one shape, got shapes \(3,\) and \(4,\)",
        ),
        (lambda: geometry.compose(FLAT * np.nan), "parts: expected finite numbers, got infinite or NaN entries"),
        (lambda: geometry.compose(FLAT.astype(int)), "parts: expected floating-point codes"),
        (lambda: geometry.compose([["a"], ["b"]]), "parts: expected floating-point codes"),
        (lambda: geometry.compose(FLAT, "stack"), "operator: expected one of 'mean', 'sum', 'binding', 'roles'"),
        (lambda: geometry.compose(FLAT, "roles"), r"roles: expected an array of shape \(2, 4\) for the operator"),
        (lambda: geometry.compose(FLAT, "roles", roles=FLAT[:, :3]), r"roles: expected an array of shape \(2, 4\)"),
        (lambda: geometry.compose(FLAT, "sum", roles=FLAT), "roles: expected none for the operator 'sum'"),
        (lambda: geometry.compose(FLAT, axes=4), "axes: expected a static integer of at most 3"),
        (lambda: geometry.remove(FLAT[0], FLAT[0, :3]), r"part: expected the shape of composed, \(4,\), got \(3,\)"),
        (lambda: geometry.remove(FLAT[0], FLAT[1]), "count: expected a static integer of at least 2, got None"),
        (lambda: geometry.remove(FLAT[0], FLAT[1], "sum", count=2), "count: expected none for the operator 'sum'"),
        (lambda: geometry.remove(FLAT[0], FLAT[1], "difference"), "operator: expected one of"),
        (lambda: geometry.bind(FLAT[0], FLAT[0, :2]), "right: expected the shape of left"),
        (lambda: geometry.unitary(FLAT / 0 * np.float32(0)), "codes: expected finite numbers"),
        (lambda: geometry.blend(FLAT, FLAT), r"query: expected the shape of a part, \(4,\), got \(2, 4\)"),
        (lambda: geometry.blend(FLAT, FLAT[0], temperature=0.0), "temperature: expected a number above 0"),
        (lambda: geometry.unitary_codes(jax.random.key(0), 0, (4,)), "count: expected a static integer of at least 1"),
        (lambda: geometry.unitary_codes(jax.random.key(0), 1, ()), "shape: expected a tuple of 1 to 3 whole numbers"),
        (lambda: geometry.convolution(num_parts=1), "num_parts: expected a static integer of at least 2, got 1"),
        (lambda: geometry.convolution(width=2), "width: expected an odd number, got 2"),
        (lambda: geometry.convolution().apply({}, np.ones((3, 2, 2, 3), np.float32)), "parts: expected 2, as many"),
        (lambda: geometry.convolution().apply({}, np.ones((2, 2, 2, 4), np.float32)), "patterns of 3 channels"),
        (lambda: geometry.attention(shape=(8, 8)), "shape: expected height, width and channels"),
        (lambda: geometry.attention().apply({}, np.ones((2, 4, 4, 3), np.float32)), r"patterns of shape \(8, 8, 3\)"),
        (lambda: geometry.analogies(np.ones((3, 2), np.float32), [[0, 1, 2, 2]]), "codes: expected four or more rows"),
        (lambda: geometry.analogies(np.ones((5, 2), np.float32), [[0, 1, 2, 5]]), "rows of codes, 0 to 4, got 0 to 5"),
        (lambda: geometry.analogies(np.ones((5, 2), np.float32), [[0, 1, 2, 2]]), "four different rows in each"),
        (lambda: geometry.analogies(np.ones((5, 2), np.float32), [[0, 1, 2]]), r"questions: expected whole numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input(call, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("unit", [1e-20, 1e18])
def test_unbinding_in_any_unit(unit):
    """Squares of the spectrum vanish or overflow in single precision; what is unbound is not changed by the unit."""
    code, other = draws(8, 2, DIMENSIONS)
    bound = geometry.bind(other, code)
    scale = np.float32(unit)
    expected = np.asarray(geometry.unbind(bound, code))
    np.testing.assert_allclose(np.asarray(geometry.unbind(bound * scale, code * scale)), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(geometry.unitary(code * scale), geometry.unitary(code), atol=1e-5)
