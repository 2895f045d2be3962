"""The driver: stopping, statuses, masks, and what it says to bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn.solve import random_features

KEY = constant_key(0)
FEATURES = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
ATTRACT = td.catalog.soft_kmeans(temperature=0.5)


@td.part
class Creep(td.Term):
    """Moves every token by ``size / 2^step`` along the first axis: step lengths that are known."""

    size: float

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(jnp.zeros_like(tokens).at[:, 0].set(self.size * 0.5**step)), memory


@td.part
class Explode(td.Term):
    """Multiplies every token by ten thousand."""

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(9999.0 * tokens), memory


def status(result):
    return td.Status(int(result.status)).name


class TestStopping:
    """Displacements are 1, 1/2, 1/4, ... (exact in float32)."""

    dynamics = td.compose(creep=Creep(1.0))

    def run(self, **options):
        return td.run(self.dynamics, None, FEATURES, tokens=np.zeros((2, 3), np.float32), **options)

    @pytest.mark.parametrize(("tol", "steps"), [(1.5, 1), (1.0, 2), (0.5, 3), (0.3, 3), (0.25, 4)])
    def test_stops_at_the_first_step_strictly_below_tol_and_counts_it(self, tol, steps):
        result = self.run(max_steps=30, tol=tol)
        assert (int(result.num_steps), status(result)) == (steps, "CONVERGED")

    def test_converged_at_the_very_last_step_is_converged(self):
        assert status(self.run(max_steps=3, tol=0.3)) == "CONVERGED"
        assert status(self.run(max_steps=2, tol=0.3)) == "MAX_STEPS"

    def test_tol_zero_never_stops(self):
        result = td.run(ATTRACT, None, FEATURES, tokens=FEATURES[:1], max_steps=50, tol=0.0)
        assert (int(result.num_steps), status(result)) == (50, "MAX_STEPS")
        assert float(result.displacement) < 1e-6

    def test_min_steps(self):
        assert int(self.run(max_steps=30, tol=0.3, min_steps=7).num_steps) == 7
        assert int(self.run(max_steps=5, tol=0.3, min_steps=7).num_steps) == 5

    def test_reports_the_last_displacement_and_residual(self):
        result = self.run(max_steps=30, tol=0.3)
        assert (float(result.displacement), float(result.residual)) == (0.25, 0.25)


def test_residual_is_not_fooled_by_a_turning_point():
    """A slow oscillator: its step length passes below tol at a turning point, far from rest; its force does not."""

    @td.part
    class Spring(td.Term):
        def apply(self, key, step, flow, tokens, memory, context):
            return flow.push(-0.01 * tokens), memory

    dynamics = td.compose(spring=Spring(), inertia=td.inertia(momentum=0.999))
    options = {"tokens": np.ones((1, 3), np.float32), "max_steps": 5000, "tol": 2e-3}
    early = td.run(dynamics, None, FEATURES, **options)
    right = td.run(dynamics, None, FEATURES, stop="residual", **options)
    assert status(early) == "CONVERGED"
    assert float(np.linalg.norm(early.tokens)) > 0.5
    assert float(right.residual) < 2e-3
    assert float(np.linalg.norm(right.tokens)) < 0.25


def test_nonfinite_is_a_status_and_stops_the_run_in_every_lane_apart():
    tokens = np.stack([np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)])
    dynamics = td.compose(explode=Explode())
    run = compiled(jax.vmap(lambda t: td.run(dynamics, None, FEATURES, tokens=t, max_steps=30, tol=1e-3)))
    result = run(tokens)
    assert [td.Status(int(s)).name for s in result.status] == ["NONFINITE", "CONVERGED"]
    assert int(result.num_steps[0]) == 10  # 1e4^10 is beyond float32, and the norms of what comes before are not
    broken = FEATURES.copy()
    broken[3, 1] = np.nan
    nan = td.run(ATTRACT, None, broken, tokens=FEATURES[:2], max_steps=30, tol=1e-3)
    assert (status(nan), int(nan.num_steps)) == ("NONFINITE", 1)


class TestInvalidMasks:
    def test_too_few_features_to_draw_from(self):
        mask = np.arange(30) < 2
        assert status(td.run(ATTRACT, KEY, FEATURES, num_tokens=3, max_steps=5, tol=0.0, mask=mask)) == "INVALID"
        assert status(td.run(ATTRACT, KEY, FEATURES, num_tokens=2, max_steps=5, tol=0.0, mask=mask)) == "MAX_STEPS"

    def test_no_feature_and_no_token(self):
        options = {"tokens": FEATURES[:2], "max_steps": 5, "tol": 1e-3}
        assert status(td.run(ATTRACT, None, FEATURES, mask=np.zeros(30, bool), **options)) == "INVALID"
        assert status(td.run(ATTRACT, None, FEATURES, token_mask=np.zeros(2, bool), **options)) == "INVALID"


class TestStart:
    draw = staticmethod(compiled(random_features, static_argnums=2))

    def test_draws_features_without_replacement_from_those_that_exist(self):
        mask = np.arange(30) % 3 == 0
        drawn = self.draw(KEY, FEATURES, 10, mask=mask)
        expected = FEATURES[::3]
        assert sorted(map(tuple, drawn)) == sorted(map(tuple, expected))

    def test_every_feature_is_as_likely(self):
        """3,000 draws of 1 in 30: each count is Binomial(3000, 1/30); five standard deviations."""
        draw = jax.vmap(lambda k: random_features(k, jnp.arange(30.0)[:, None], 1))
        drawn = compiled(lambda: draw(jax.random.split(KEY, 3000)))()
        counts = np.bincount(drawn.astype(int).ravel(), minlength=30)
        assert np.all(np.abs(counts - 100) < 5 * np.sqrt(100 * 29 / 30))

    def test_padding_and_a_mask_change_nothing(self):
        expected = self.draw(KEY, FEATURES, 5, jitter=0.1)
        padded = np.concatenate([FEATURES, np.full((9, FEATURES.shape[1]), np.nan, np.float32)])
        np.testing.assert_array_equal(self.draw(KEY, padded, 5, mask=np.arange(39) < 30, jitter=0.1), expected)
        np.testing.assert_array_equal(self.draw(KEY, FEATURES, 5, mask=np.ones(30, bool), jitter=0.1), expected)

    def test_jitter_has_its_scale(self):
        moved = self.draw(KEY, np.zeros((4000, 2), np.float32), 4000, jitter=0.05)
        assert abs(float(moved.std()) / 0.05 - 1) < 5 / np.sqrt(2 * 8000)

    def test_more_tokens_than_features(self):
        with pytest.raises(ValueError, match="num_tokens: expected at most the number of features, 30, got 31"):
            random_features(KEY, FEATURES, 31)


def test_init_and_step_are_what_run_does():
    dynamics = td.catalog.published("inertia_repulsion")
    result = td.run(dynamics, KEY, FEATURES, num_tokens=3, max_steps=4, tol=0.0)
    state = td.init(dynamics, KEY, FEATURES, num_tokens=3)
    for _ in range(4):
        state, _ = td.step(dynamics, KEY, state, FEATURES)
    np.testing.assert_allclose(state.tokens, result.tokens, rtol=1e-5)


def test_steps_outside_jit_share_one_program():
    traced = []

    @td.part
    class Shrink(td.Term):
        def apply(self, key, step, flow, tokens, memory, context):
            traced.append(step)
            return flow.push(-0.5 * tokens), memory

    dynamics = td.compose(shrink=Shrink())
    state = td.init(dynamics, None, FEATURES, tokens=FEATURES[:2])
    for _ in range(3):
        state, info = td.step(dynamics, None, state, FEATURES)
    np.testing.assert_allclose(state.tokens, FEATURES[:2] / 8, rtol=1e-6)
    np.testing.assert_allclose(info.displacement, -FEATURES[:2] / 8, rtol=1e-6)
    assert len(traced) == 1


def test_trajectory_keeps_what_keep_returns_and_nothing_else():
    _, kept = td.trajectory(
        ATTRACT, KEY, FEATURES, num_tokens=3, num_steps=6, keep=lambda state, info: jnp.abs(info.displacement).max()
    )
    assert kept.shape == (6,)
    first, *_, last = np.asarray(kept)
    assert last < first


def test_without_an_attraction_features_go_to_the_nearest_token():
    tokens = np.float32([[-1.0, 0, 0], [1.0, 0, 0]])
    result = td.run(td.compose(repel=td.repulsion(strength=0.0)), None, FEATURES, tokens=tokens, max_steps=1, tol=0.0)
    np.testing.assert_array_equal(np.argmax(result.assignment, -1), (FEATURES[:, 0] > 0).astype(int))


def test_dtype_follows_the_features():
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            result = td.run(ATTRACT, KEY, FEATURES.astype(dtype), num_tokens=3, max_steps=4, tol=1e-3)
            assert {result.tokens.dtype, result.assignment.dtype, result.residual.dtype} == {jnp.dtype(dtype)}


GOOD = {"num_tokens": 3, "max_steps": 5, "tol": 1e-3}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": FEATURES[0]}, r"features: expected a floating-point array \[N, D\], got shape \(3,\)"),
        (
            {"features": FEATURES.astype(int)},
            r"features: expected a floating-point array \[N, D\], got shape \(30, 3\) and dtype int32",
        ),
        ({"features": FEATURES.astype(np.float16)}, "features: expected float32, float64 or bfloat16"),
        ({"tol": np.array([1e-3, 1e-4])}, r"tol: expected one number, got shape \(2,\)"),
        ({"min_steps": np.arange(3)}, r"min_steps: expected one number, got shape \(3,\)"),
        ({"tol": td.annealing(start=1.0, end=0.1, num_steps=3)}, "tol: expected one number, got a schedule"),
        ({"mask": "abc"}, r"mask: expected a boolean array \[N\] of length 30, got a str"),
        ({"features": "abc"}, r"features: expected a floating-point array \[N, D\], got a str"),
        (
            {"features": np.zeros((0, 3), np.float32)},
            "features: expected at least one feature of at least one dimension",
        ),
        ({"num_tokens": 31}, "num_tokens: expected at most the number of features, 30, got 31"),
        ({"num_tokens": 0}, "num_tokens: expected a static integer of at least 1, got 0"),
        ({"num_tokens": None}, "num_tokens: expected a number, because no tokens are given, got None"),
        ({"num_tokens": 2.0}, r"num_tokens: expected a static integer of at least 1, got 2.0 \(float\)"),
        ({"max_steps": 0}, "max_steps: expected a static integer of at least 1, got 0"),
        ({"tol": -1.0}, "tol: expected a number of at least 0, got -1.0"),
        ({"tol": float("nan")}, "tol: expected a number of at least 0, got nan"),
        ({"stop": "never"}, "stop: expected one of 'displacement', 'residual', got 'never'"),
        ({"adjoint": "magic"}, "adjoint: expected one of 'none', 'unroll', 'checkpoint', 'implicit', got 'magic'"),
        (
            {"tokens": np.zeros((3, 2), np.float32)},
            r"tokens: expected shape \(K, 3\), as the features have, got shape \(3, 2\)",
        ),
        ({"tokens": np.zeros((2, 3), np.float32)}, "num_tokens: expected 2, the number of tokens given, got 3"),
        ({"mask": np.ones(29, bool)}, r"mask: expected a boolean array \[N\] of length 30, got shape \(29,\)"),
        (
            {"mask": np.ones(30, np.float32)},
            r"mask: expected a boolean array \[N\] of length 30, got shape \(30,\) and dtype float32",
        ),
        ({"token_mask": np.ones(4, bool)}, r"token_mask: expected a boolean array \[K\] of length 3"),
        ({"key": None}, "key: expected a JAX key, because no tokens are given, got None"),
        ({"dynamics": td.attraction(temperature=1.0)}, "dynamics: expected what td.compose returned, got a Attraction"),
        (
            {"dynamics": td.catalog.langevin(), "key": None, "tokens": np.zeros((3, 3), np.float32)},
            "key: expected a JAX key, because the part 'noise' is random, got None",
        ),
        (
            {"dynamics": td.catalog.langevin(), "adjoint": "implicit"},
            "adjoint: expected one other than 'implicit' for a random part",
        ),
        (
            {"dynamics": td.catalog.annealed(), "adjoint": "implicit"},
            "adjoint: expected one other than 'implicit' for a schedule",
        ),
    ],
)
@pytest.mark.parametrize("under", ["plain", "jit"])
def test_bad_input_gets_one_sentence(changes, sentence, under):
    arguments = {"dynamics": ATTRACT, "key": KEY, "features": FEATURES, **GOOD, **changes}

    def call(offset):
        return (
            td.run(
                arguments["dynamics"],
                arguments["key"],
                arguments["features"],
                **{name: value for name, value in arguments.items() if name not in ("dynamics", "key", "features")},
            ).tokens
            + offset
        )

    with pytest.raises(ValueError, match=sentence):
        (call if under == "plain" else jax.jit(call))(0.0)


def test_static_errors_are_raised_inside_vmap_too():
    with pytest.raises(ValueError, match="num_tokens: expected at most the number of features, 30, got 99"):
        jax.vmap(lambda k: td.run(ATTRACT, k, FEATURES, num_tokens=99, max_steps=5, tol=0.0))(jax.random.split(KEY, 2))


@pytest.mark.parametrize("key", [0, jax.random.wrap_key_data(np.zeros((3, 2), np.uint32)), "key"])
def test_something_that_is_no_key(key):
    with pytest.raises(ValueError, match=r"key: expected one JAX key, such as jax.random.key\(0\), got"):
        td.run(ATTRACT, key, FEATURES, num_tokens=2, max_steps=2, tol=0.0)


def test_old_style_keys_are_keys():
    result = td.run(ATTRACT, jax.random.PRNGKey(0), FEATURES, num_tokens=2, max_steps=2, tol=0.0)
    assert np.isfinite(result.tokens).all()
