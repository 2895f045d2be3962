"""What the forces must do by mathematics: limits, invariants, another library's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

import tokdyn as td


@pytest.fixture
def scene():
    generator = np.random.default_rng(5)
    features = np.concatenate([generator.normal(c, 0.5, (30, 3)) for c in (-2.0, 0.5, 3.0)])
    return features, features[[0, 31, 62, 5]] + 0.05


def one_step(dynamics, features, tokens, **options):
    return np.asarray(td.run(dynamics, None, features, tokens=tokens, max_steps=1, tol=0.0, **options).tokens)


def free_energy(features, tokens, temperature):
    """-T sum_i log sum_k exp(-|x_i - s_k|^2 / T): what attraction descends."""
    scores = -cdist(features, tokens, "sqeuclidean") / temperature
    return -temperature * float(np.sum(np.logaddexp.reduce(scores, axis=1)))


def test_temperature_zero_is_one_lloyd_step(scene):
    features, tokens = scene
    lloyd = KMeans(n_clusters=4, init=tokens, n_init=1, max_iter=1, tol=0.0).fit(features).cluster_centers_
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            one_step(td.catalog.soft_kmeans(temperature=0.0), features, tokens), lloyd, atol=1e-12
        )


def test_infinite_temperature_is_the_mean(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        moved = one_step(td.catalog.soft_kmeans(temperature=1e14), features, tokens)
    np.testing.assert_allclose(moved, np.broadcast_to(features.mean(axis=0), moved.shape), atol=1e-9)


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.5, 1.9])
def test_free_energy_falls_by_exactly_what_the_identity_says(scene, rate):
    """F(s) - F(s') = rate (2 - rate) sum_k m_k |mu_k - s_k|^2 + T sum_i KL(w_i(s) | w_i(s')): research note 2.1."""
    features, tokens = scene
    temperature = 1.3

    def weights(tokens):
        scores = -cdist(features, tokens, "sqeuclidean") / temperature
        scores -= scores.max(axis=1, keepdims=True)
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    with jax.enable_x64(True):
        moved = one_step(td.catalog.soft_kmeans(temperature=temperature, rate=rate), features, tokens)
    before, after = weights(tokens), weights(moved)
    mass = before.sum(axis=0)
    means = before.T @ features / mass[:, None]
    kullback = np.sum(before * (np.log(before) - np.log(after)))
    expected = rate * (2 - rate) * np.sum(mass * np.sum((means - tokens) ** 2, axis=1)) + temperature * kullback
    fallen = free_energy(features, tokens, temperature) - free_energy(features, moved, temperature)
    assert fallen > 0
    np.testing.assert_allclose(fallen, expected, rtol=1e-9)


@pytest.mark.parametrize(("relative", "collapses"), [(0.9, False), (1.1, True)])
def test_tokens_merge_exactly_above_the_critical_temperature(relative, collapses):
    """T_c = 2 lambda_max of the 1/N covariance; near it a small difference is multiplied by 2 lambda_max / T a step."""
    features = np.random.default_rng(0).normal(size=(500, 4)) * [1.5, 1.0, 0.7, 0.5]
    values, vectors = np.linalg.eigh(np.cov(features.T, bias=True))
    critical = 2 * values[-1]
    start = features.mean(axis=0) + 1e-6 * np.array([1, -1])[:, None] * vectors[:, -1]
    with jax.enable_x64(True):
        moved = one_step(td.catalog.soft_kmeans(temperature=relative * critical), features, start)
        growth = np.linalg.norm(moved[0] - moved[1]) / np.linalg.norm(start[0] - start[1])
        np.testing.assert_allclose(growth, 1 / relative, rtol=1e-6)
        dynamics = td.catalog.soft_kmeans(temperature=relative * critical)
        end = td.run(dynamics, None, features, tokens=start, max_steps=2000, tol=1e-13).tokens
    assert (np.linalg.norm(end[0] - end[1]) < 1e-6) == collapses


def test_safe_attraction_is_translation_equivariant_and_the_published_one_is_not():
    """A token whose mass is below the published floor of 1e-9 goes to the origin; ours goes to its features' mean."""
    features = np.concatenate([np.zeros((20, 2)), np.full((20, 2), 30.0)]) + np.random.default_rng(1).normal(
        size=(40, 2)
    )
    tokens = np.array([[0.0, 0.0], [30.0, 30.0], [-9.0, 9.0]])
    with jax.enable_x64(True):
        safe, published = td.catalog.soft_kmeans(), td.catalog.published("baseline")
        for shift in (50.0, -3.0):
            moved = one_step(safe, features + shift, tokens + shift)
            np.testing.assert_allclose(moved - shift, one_step(safe, features, tokens), atol=1e-9)
        there = one_step(published, features + 50.0, tokens + 50.0)[2]
        np.testing.assert_allclose(there, 0.0, atol=1e-6)
        assert np.linalg.norm(one_step(safe, features + 50.0, tokens + 50.0)[2] - 50.0) < 15


def test_a_token_without_any_mass_stays():
    features = np.zeros((10, 2), np.float32) + np.arange(10, dtype=np.float32)[:, None] * 0.01
    tokens = np.array([[0.0, 0.0], [500.0, 500.0]], np.float32)
    np.testing.assert_array_equal(one_step(td.catalog.soft_kmeans(), features, tokens)[1], tokens[1])


def test_repulsion_equals_the_published_loop():
    tokens = np.random.default_rng(3).normal(size=(5, 4))
    expected = np.zeros_like(tokens)
    for i in range(5):
        for j in range(5):
            if i != j:
                gap = tokens[i] - tokens[j]
                expected[i] += 0.05 * gap / (np.linalg.norm(gap) + 1e-3) ** 3
    with jax.enable_x64(True):
        moved = one_step(td.compose(repel=td.repulsion(strength=0.05)), np.ones((6, 4)), tokens)
        np.testing.assert_allclose(moved - tokens, expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["coulomb", "plummer"])
def test_repulsion_conserves_the_centre_and_plummer_is_smooth(kernel):
    tokens = np.random.default_rng(4).normal(size=(6, 3))
    with jax.enable_x64(True):
        repel = td.compose(repel=td.repulsion(strength=0.3, eps=0.2, kernel=kernel))
        moved = one_step(repel, np.ones((2, 3)), tokens)
        np.testing.assert_allclose(moved.mean(axis=0), tokens.mean(axis=0), atol=1e-12)
        far = one_step(repel, np.ones((2, 3)), np.array([[0.0, 0, 0], [1e3, 0, 0]]))
        # Both kernels fall with the square of the distance.
        np.testing.assert_allclose(far[1, 0] - 1e3, 0.3 / 1e6, rtol=1e-3)


def test_published_kernel_peaks_at_half_its_softening_length():
    """The largest kick is 4 rho / (27 eps^2), at distance eps / 2."""
    eps, distances = 0.1, np.linspace(1e-4, 0.5, 4001)
    with jax.enable_x64(True):
        repel = td.compose(repel=td.repulsion(strength=1.0, eps=eps))

        def kick(distance):
            tokens = jnp.stack([jnp.zeros(2), jnp.array([1.0, 0.0]) * distance])
            return td.run(repel, None, jnp.ones((2, 2)), tokens=tokens, max_steps=1, tol=0.0).tokens[1, 0] - distance

        kicks = np.asarray(jax.vmap(kick)(jnp.asarray(distances)))
    np.testing.assert_allclose(kicks.max(), 4 / (27 * eps**2), rtol=1e-6)
    np.testing.assert_allclose(distances[int(kicks.argmax())], eps / 2, atol=2e-4)


def test_zero_momentum_and_zero_strength_are_absent_parts(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        attract = td.attraction(temperature=1.0)
        alone = td.run(td.compose(attract=attract), None, features, tokens=tokens, max_steps=20, tol=0.0)
        idle = td.compose(attract=attract, repel=td.repulsion(strength=0.0), inertia=td.inertia(momentum=0.0))
        together = td.run(idle, None, features, tokens=tokens, max_steps=20, tol=0.0)
    np.testing.assert_array_equal(alone.tokens, together.tokens)


def test_inertia_is_the_heavy_ball_recursion():
    """On a force that is linear in the tokens, s' = s - a s + m (s - s_before) exactly."""

    @td.part
    class Spring(td.Term):
        stiffness: float

        def apply(self, key, step, flow, tokens, memory, context):
            return flow.push(-self.stiffness * tokens), memory

    with jax.enable_x64(True):
        dynamics = td.compose(spring=Spring(0.3), inertia=td.inertia(momentum=0.7))
        _, path = td.trajectory(dynamics, None, np.ones((2, 1)), tokens=np.array([[1.0]]), num_steps=25)
    before = now = 1.0
    expected = []
    for _ in range(25):
        before, now = now, now - 0.3 * now + 0.7 * (now - before)
        expected.append(now)
    np.testing.assert_allclose(path[:, 0, 0], expected, rtol=1e-12)


def test_noise_alone_is_a_random_walk():
    """Variance a coordinate = scale^2 steps. 4,000 walkers: a variance has relative standard error sqrt(2 / 4000)."""
    dynamics = td.compose(noise=td.noise(scale=0.5))
    tokens = jnp.zeros((1000, 4))
    result = td.run(dynamics, jax.random.key(0), jnp.zeros((1, 4)), tokens=tokens, max_steps=9, tol=0.0)
    variance = float(jnp.var(result.tokens))
    assert abs(variance / (0.25 * 9) - 1) < 4 * np.sqrt(2 / 4000)
    assert abs(float(result.tokens.mean())) < 4 * np.sqrt(0.25 * 9 / 4000)


def test_annealing_reaches_its_ends_and_holds_the_run(scene):
    features, tokens = scene
    schedule = td.annealing(start=50.0, end=0.5, num_steps=15)
    np.testing.assert_allclose([schedule.at(0), schedule.at(15), schedule.at(99)], [50.0, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(td.annealing(start=3.0, end=1.0, num_steps=4, shape="linear").at(1), 2.5)
    with jax.enable_x64(True):
        annealed = td.compose(attract=td.attraction(temperature=schedule))
        result = td.run(annealed, None, features, tokens=tokens, max_steps=60, tol=1e3)
        assert int(result.num_steps) == 15  # any displacement meets this tolerance, but the schedule is not over
        # From there on it is soft k-means at the last temperature.
        end = td.run(annealed, None, features, tokens=tokens, max_steps=80, tol=1e-10)
        plain = td.run(td.catalog.soft_kmeans(temperature=0.5), None, features, tokens=end.tokens, max_steps=1, tol=0.0)
    np.testing.assert_allclose(plain.tokens, end.tokens, atol=1e-9)


def test_assignment_is_the_softmax_of_the_final_tokens(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        result = td.run(td.catalog.soft_kmeans(temperature=0.8), None, features, tokens=tokens, max_steps=5, tol=0.0)
        scores = -cdist(features, np.asarray(result.tokens), "sqeuclidean") / 0.8
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.assignment, expected, rtol=1e-9)


def test_float32_far_from_the_origin_keeps_its_digits(scene):
    """The product form of the distances is taken relative to the centre; without that these labels are noise."""
    features, tokens = scene
    near = td.run(td.catalog.soft_kmeans(), None, features.astype(np.float32), tokens=tokens, max_steps=8, tol=0.0)
    far = td.run(
        td.catalog.soft_kmeans(), None, (features + 512).astype(np.float32), tokens=tokens + 512, max_steps=8, tol=0.0
    )
    np.testing.assert_allclose(far.tokens - 512, near.tokens, atol=3e-3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: td.attraction(temperature=-1.0), "temperature: expected a number of at least 0, got -1.0"),
        (
            lambda: td.repulsion(strength=0.1, kernel="gauss"),
            "kernel: expected one of 'coulomb', 'plummer', got 'gauss'",
        ),
        (lambda: td.inertia(momentum=float("nan")), "momentum: expected a number of at least 0, got nan"),
        (lambda: td.annealing(start=0.0, end=1.0, num_steps=3), "start: expected a number above 0, got 0.0"),
        (lambda: td.compose(), "parts: expected at least one named part"),
        (lambda: td.compose(attract=3.0), "attract: expected a part with an apply method .* got a float"),
        (lambda: td.compose(attract=td.Term), "attract: expected a part with an apply method"),
    ],
)
def test_bad_parts_get_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_dynamics_prints_as_it_was_written():
    shown = repr(td.compose(attract=td.attraction(temperature=1.0), inertia=td.inertia(momentum=0.5)))
    assert "inertia=Inertia(momentum=0.5)" in shown
    assert td.compose(inertia=td.inertia(momentum=0.5))["inertia"].momentum == 0.5
    with pytest.raises(ValueError, match="name: expected one of inertia, got 'attract'"):
        td.compose(inertia=td.inertia(momentum=0.5))["attract"]


class TestUsersOwnParts:
    """The mistakes that the author of a first force makes, each answered in a sentence."""

    features = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)

    def run(self, part):
        return td.run(td.compose(mine=part), None, self.features, tokens=self.features[:3], max_steps=2, tol=0.0)

    @pytest.mark.parametrize("returns", ["flow", "array", "nothing"])
    def test_apply_must_return_flow_and_memory(self, returns):
        @td.part
        class Forgetful(td.Term):
            def apply(self, key, step, flow, tokens, memory, context):
                return {"flow": flow.push(tokens), "array": tokens, "nothing": None}[returns]

        with pytest.raises(ValueError, match=r"mine: expected apply to return \(flow, memory\), got a"):
            self.run(Forgetful())

    def test_a_class_without_the_decorator(self):
        class Bare(td.Term):
            def apply(self, key, step, flow, tokens, memory, context):
                return flow, memory

        with pytest.raises(
            ValueError, match=r"mine: expected a part whose class is decorated with td.part, got a bare Bare"
        ):
            td.compose(mine=Bare())

    def test_text_in_a_traced_field(self):
        @td.part
        class Named(td.Term):
            kind: str = "a"

            def apply(self, key, step, flow, tokens, memory, context):
                return flow, memory

        with pytest.raises(ValueError, match=r"mine.kind: expected a number .* got 'a'"):
            self.run(Named())

    def test_whole_numbers_are_numbers(self):
        """An int compiles no other program than a float, and can be differentiated."""
        from tokdyn.solve.driver import _run

        dynamics = td.with_values(td.catalog.soft_kmeans(), {"attract.temperature": 2.0})
        options = {"tokens": self.features[:3], "max_steps": 7, "tol": 0.0}
        td.run(dynamics, None, self.features, **options)
        before = _run._cache_size()
        td.run(td.with_values(dynamics, {"attract.temperature": 3}), None, self.features, **options)
        assert _run._cache_size() == before


def test_the_two_forms_of_distances_are_one_rule(scene):
    features, tokens = scene
    with jax.enable_x64(True):
        forms = [
            td.compose(attract=td.attraction(temperature=0.8, distances=form), inertia=td.inertia(momentum=0.3))
            for form in ("product", "difference")
        ]
        token_mask = np.array([True, True, True, False])
        options = {"token_mask": token_mask, "mask": np.arange(90) < 80}
        one, other = (one_step(form, features, tokens, **options) for form in forms)
    np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("shape", [(40, 3), (40, 30), (40, 300)])
def test_products_keep_full_precision_on_accelerators(shape):
    """By default some accelerators round the factors of a float32 product to 10 bits."""
    dynamics = td.catalog.soft_kmeans()
    program = jax.jit(lambda x, s: td.run(dynamics, None, x, tokens=s, max_steps=5, tol=0.0)[:2])
    features, tokens = (jax.ShapeDtypeStruct((rows, shape[1]), "float32") for rows in (shape[0], 4))
    products = [line for line in program.lower(features, tokens).as_text().splitlines() if "dot_general" in line]
    assert len(products) >= 3  # the centre, and two a step
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (td.attraction(temperature=np.ones(20)), "temperature: expected one number in a run"),
        (td.repulsion(strength=np.ones(2)), "strength: expected one number in a run"),
        (td.inertia(momentum=np.ones((1, 1))), "momentum: expected one number in a run"),
        (td.noise(scale=np.ones(3)), "scale: expected one number in a run"),
    ],
)
def test_arrays_of_numbers_are_for_vmap(part, sentence):
    with pytest.raises(ValueError, match=sentence):
        td.run(td.compose(x=part), jax.random.key(0), jnp.ones((20, 2)), num_tokens=3, max_steps=2, tol=0.0)


def test_a_narrow_dtype_does_not_shorten_a_schedule():
    """1,001 is no bfloat16 number."""
    annealed = td.catalog.annealed(start=2.0, end=1.0, num_steps=1001)
    features = jnp.arange(8, dtype=jnp.bfloat16)[:, None]
    assert int(td.run(annealed, None, features, tokens=features[:2], max_steps=1500, tol=1e9).num_steps) == 1001
