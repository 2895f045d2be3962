"""The fused kernel is the plain loop: the same numbers up to rounding, and the same rules for when to stop.

No GPU is needed: Pallas interprets the kernel, and its GPU form is lowered without being run.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled

import tokdyn as td
from tokdyn.solve import fused, stepping
from tokdyn.solve.loop import until_rest

EPS = float(np.finfo(np.float32).eps)
RUNS = 3


@functools.cache
def scene(num_runs=RUNS, num_features=21, num_dimensions=2, num_tokens=3):
    """Overlapping clusters and starting tokens of each run."""
    draw = np.random.default_rng(0)
    centres = 3.0 * draw.normal(size=(num_runs, num_tokens, num_dimensions))
    owners = np.arange(num_features) % num_tokens
    features = centres[:, owners] + 0.7 * draw.normal(size=(num_runs, num_features, num_dimensions))
    tokens = centres + draw.normal(size=centres.shape)
    return np.float32(features), np.float32(tokens)


def prepared(dynamics, features, tokens):
    """One run's ``(dynamics, state, contexts)``."""
    dynamics = stepping.cast(dynamics, features.dtype)
    contexts = stepping.prepare(dynamics, features, None, None)
    return dynamics, stepping.at_rest(dynamics, tokens, contexts, None), contexts


def both(
    dynamics, features, tokens, *, swept=None, tol=1e-3, min_steps=0, max_steps=40, stop="displacement", mask=None
):
    """``(fused, plain)``: the Progress of all runs. Features `[N, D]` and tokens `[K, D]` are shared by them."""
    mapped = (swept is not None, tokens.ndim == 3, features.ndim == 3)
    dynamics = jax.tree.map(np.float32, dynamics)
    if swept:
        runs = len(next(iter(swept.values())))
        dynamics = jax.tree.map(lambda leaf: np.full(runs, leaf, np.float32), dynamics)
        dynamics = td.with_values(dynamics, {path: np.float32(values) for path, values in swept.items()})
    options = {"mapped": mapped, "max_steps": max_steps, "stop": stop}
    return _both(dynamics, features, tokens, mask, np.float32(tol), np.int32(min_steps), **options)


@functools.partial(compiled, static_argnames=("mapped", "max_steps", "stop"))
def _both(dynamics, features, tokens, mask, tol, min_steps, *, mapped, max_steps, stop):
    """One program for all tests that differ in numbers; ``mapped`` says what has an axis of runs."""
    of_dynamics, of_tokens, of_features = mapped
    options = {"max_steps": max_steps, "stop": stop}
    one = jax.tree.map(lambda leaf: leaf[0], dynamics) if of_dynamics else dynamics
    # What depends on the features, the state included through its memory's context, has their axis.
    prepare = functools.partial(stepping.prepare, one, mask=mask, token_mask=None)
    contexts = jax.vmap(prepare)(features) if of_features else prepare(features)
    rest = functools.partial(stepping.at_rest, one, contexts=tuple(() for _ in one.parts), token_mask=None)
    state = jax.vmap(rest)(tokens) if of_tokens else rest(tokens)
    arguments = (dynamics, state, contexts, tol, min_steps)
    spread = list(zip(arguments, (of_dynamics, of_tokens, of_features, False, False), strict=True))
    batched = tuple(jax.tree.map(lambda _, own=own: own, tree) for tree, own in spread)
    runs = next(leaf.shape[0] for leaf, own in zip(*map(jax.tree.leaves, (arguments, batched)), strict=True) if own)
    kernel = fused.run_fused(*arguments, batched=batched, num_runs=runs, interpret=True, **options)

    def loop(dynamics, state, contexts, tol, min_steps):
        far = jnp.asarray(jnp.inf, jnp.float32)
        begun = stepping.Progress(state, far, far, jnp.zeros((), bool))
        return until_rest(dynamics, None, begun, contexts, None, tol, min_steps, adjoint="none", **options)[0]

    return kernel, jax.vmap(loop, tuple(0 if own else None for _, own in spread))(*arguments)


def assert_same(found, expected, *, size=5.0):
    """Equal up to rounding, which each of the steps adds to and the map carries on.

    A step leaves a few roundings of numbers of that size (its sums are means, in which most cancel); where the map
    contracts, what steps add up to does not exceed their number times that. Runs may stop at another step only where
    the watched number passed ``tol`` by less than this bound; no run of these scenes is so near, hence equal steps.
    """
    bound = 8 * EPS * size * max(int(np.max(expected.state.step)), 1)
    np.testing.assert_array_equal(found.done, expected.done)
    np.testing.assert_array_equal(found.state.step, expected.state.step)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for name, a, b in zip(
        ("tokens", "memory", "displacement", "residual"),
        (found.state.tokens, found.state.memory, found.displacement, found.residual),
        (expected.state.tokens, expected.state.memory, expected.displacement, expected.residual),
        strict=True,
    ):
        for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            assert left.dtype == right.dtype
            np.testing.assert_allclose(left, right, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("method", td.catalog.PUBLISHED_METHODS)
def test_the_published_rules(method):
    assert_same(*both(td.catalog.published(method), *scene()))


@pytest.mark.parametrize(("stop", "min_steps"), [("displacement", 30), ("residual", 0)])
def test_both_stops_and_the_fewest_steps(stop, min_steps):
    found, plain = both(td.catalog.published("inertia"), *scene(), stop=stop, min_steps=min_steps)
    assert_same(found, plain)
    assert found.done.all()
    assert (found.state.step >= min_steps).all()


def test_features_shared_by_runs_that_sweep_numbers():
    """Temperature 0 counts as the floor; the largest step stops where steps are up."""
    features, tokens = scene()
    swept = {"attract.temperature": [0.0, 1.0, 30.0], "inertia.momentum": [0.5, 0.0, 0.9]}
    found, plain = both(td.catalog.published(), features[0], tokens[0], swept=swept, tol=1e-4)
    assert_same(found, plain)
    assert len(set(found.state.step.tolist())) > 1  # each stops by itself


def test_steps_that_are_up():
    found, plain = both(td.catalog.published("inertia_repulsion"), *scene(), tol=0.0, max_steps=5)
    assert_same(found, plain)
    assert not found.done.any()
    np.testing.assert_array_equal(found.state.step, 5)


def test_one_run_of_shared_features_and_own_tokens():
    features, tokens = scene()
    assert_same(*both(td.catalog.published("repulsion"), features[0], tokens[:1]))


@pytest.mark.parametrize(("num_features", "num_tokens", "num_dimensions"), [(16, 4, 1), (5, 1, 3), (33, 5, 2)])
def test_sizes_with_and_without_padding(num_features, num_tokens, num_dimensions):
    arrays = scene(num_features=num_features, num_tokens=num_tokens, num_dimensions=num_dimensions)
    assert_same(*both(td.catalog.repelled(strength=1.0, eps=0.3), *arrays, max_steps=15))


def test_masked_features_have_no_mass():
    features, tokens = scene()
    mask = np.arange(features.shape[1]) % 4 > 0
    found, plain = both(td.catalog.published(), np.where(mask[:, None], features, np.float32(0)), tokens, mask=mask)
    assert_same(found, plain)
    unmasked, _ = both(td.catalog.published(), features, tokens)
    assert np.abs(found.state.tokens - unmasked.state.tokens).max() > 0.01


def test_order_of_parts():
    """Each part sees the tokens as they were, so that order is rounding."""
    parts = {"inertia": td.inertia(momentum=0.4), "attract": td.attraction(temperature=1.0, rate=0.7)}
    assert_same(*both(td.compose(**parts), *scene()))


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_coincident_tokens_feel_no_push(eps):
    """One step: in more, two tokens that rounding has parted by a last digit may fly apart, in either loop."""
    features, tokens = scene()
    dynamics = td.compose(attract=td.attraction(temperature=1.0), repel=td.repulsion(strength=0.01, eps=eps))
    found, plain = both(dynamics, features, tokens[:, [0, 0, 2]], max_steps=1)
    assert_same(found, plain)
    np.testing.assert_allclose(found.state.tokens[:, 0], found.state.tokens[:, 1], rtol=0, atol=1e-5)


def test_a_token_without_mass_stays():
    features, tokens = scene()
    tokens = np.concatenate([np.full_like(tokens[:, :1], 1e4), tokens[:, 1:]], axis=1)
    found, plain = both(td.catalog.soft_kmeans(), features, tokens, max_steps=10)
    np.testing.assert_array_equal(found.state.tokens[:, 0], 1e4)
    assert_same(
        found._replace(state=found.state._replace(tokens=found.state.tokens[:, 1:])),
        plain._replace(state=plain.state._replace(tokens=plain.state.tokens[:, 1:])),
    )


def test_a_feature_that_is_nan_ends_its_run_alone():
    features, tokens = scene()
    features = features.copy()
    features[1, 4, 0] = np.nan
    found, plain = both(td.catalog.published("inertia"), features, tokens)
    assert_same(found, plain)
    assert found.state.step[1] == 1
    assert found.done[1]
    assert np.isnan(found.displacement[1])
    assert np.isfinite(found.displacement[[0, 2]]).all()


def on_cuda():
    """A context in which the kernel lowers for a GPU that is not there: from jax 0.12 on its kind must be named."""
    if jax.version.__version_info__ < (0, 12):
        return contextlib.nullcontext()
    sharding = pytest.importorskip("jax.sharding")
    if not hasattr(sharding, "AbstractDevice"):
        pytest.skip("this jax cannot name a GPU that is not there")
    gpu = sharding.AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=None, platform="gpu")
    return sharding.use_abstract_mesh(sharding.AbstractMesh((), (), abstract_device=gpu))


@pytest.mark.parametrize(("method", "num_tokens"), [("inertia_repulsion", 3), ("baseline", 1)])
def test_it_lowers_for_cuda(method, num_tokens):
    features, tokens = scene(num_tokens=num_tokens)
    dynamics, state, contexts = jax.eval_shape(prepared, td.catalog.published(method), features[0], tokens[0])
    arguments = (dynamics, state, contexts, np.float32(1e-3), np.int32(0))
    batched = jax.tree.map(lambda _: False, arguments)

    @jax.jit
    def kernel(*arguments):
        return fused.run_fused(*arguments, batched=batched, num_runs=4, max_steps=40, stop="residual")

    with on_cuda():
        call = "__gpu$xla.gpu.triton"
        allowed = [jax.export.DisabledSafetyCheck.custom_call(call)]
        exported = jax.export.export(kernel, platforms=["cuda"], disabled_checks=allowed)(*arguments)
    assert call in exported.mlir_module()


def test_what_it_takes_and_what_not():
    features, tokens = (array[0] for array in scene())
    attract = td.attraction(temperature=1.0)

    def said_of(dynamics, features, tokens, token_mask=None):
        """What it says while ``run`` is traced, where it is asked: nothing is compiled."""
        said = []

        def asked(dynamics, features, tokens):
            dynamics, state, contexts = prepared(dynamics, features, tokens)
            if token_mask is None:
                said.append(fused.supports(dynamics, contexts, state))
            else:
                said.append(fused.supports(dynamics, stepping.prepare(dynamics, features, None, token_mask), state))
                said.append(fused.supports(dynamics, contexts, state, token_mask))

        jax.eval_shape(asked, dynamics, features, tokens)
        return said

    def takes(dynamics, features=features, tokens=tokens):
        (said,) = said_of(dynamics, features, tokens)
        return said

    for name in ("published/inertia_repulsion", "soft_kmeans", "repelled"):
        assert takes(td.catalog.build(name))
    assert takes(td.compose(inertia=td.inertia(momentum=0.1), attract=attract))
    for name in ("annealed", "langevin"):  # a schedule, a random part
        assert not takes(td.catalog.build(name))
    assert not takes(td.compose(attract=td.attraction(temperature=1.0, distances="difference")))
    assert not takes(td.compose(one=attract, two=attract))
    assert not takes(td.compose(inertia=td.inertia(momentum=0.1)))
    assert not takes(td.compose(attract=attract), features.astype(jnp.bfloat16), tokens.astype(jnp.bfloat16))
    assert not takes(td.compose(attract=attract), tokens=np.ones((64, 2), np.float32))
    assert not takes(td.compose(attract=attract), np.ones((1 << 14, 2), np.float32))
    assert not takes(td.compose(attract=attract), np.ones((20, 9), np.float32), np.ones((3, 9), np.float32))
    assert said_of(td.catalog.published(), features, tokens, np.ones(len(tokens), bool)) == [False, False]
    with jax.enable_x64(True):
        assert not takes(td.catalog.published(), np.ones((20, 2)), np.ones((3, 2)))


def test_vmap_of_run_uses_it_where_there_is_a_gpu(monkeypatch):
    """As on a GPU, but interpreted: the kernel is called once for all runs, nested maps included, and never for one."""
    calls = []

    def interpreted(*arguments, **options):
        calls.append(options["num_runs"])
        return original(*arguments, **options, interpret=True)

    original = fused.run_fused
    monkeypatch.setattr(fused, "run_fused", interpreted)
    dynamics = td.catalog.published("inertia_repulsion")
    features, tokens = scene()

    def fit(features, tokens):
        return td.run(dynamics, None, features, tokens=tokens, max_steps=30, tol=1e-3)

    plain = jax.vmap(fit)(features, tokens)
    assert calls == []
    monkeypatch.setattr(fused, "is_available", lambda: True)
    jax.clear_caches()
    try:
        kernel = jax.vmap(fit)(features, tokens)
        assert calls == [RUNS]
        np.testing.assert_array_equal(kernel.num_steps, plain.num_steps)
        np.testing.assert_allclose(kernel.tokens, plain.tokens, atol=1e-4)
        fit(features[0], tokens[0])
        assert calls == [RUNS]
        _, tangent = jax.jvp(lambda x: jax.vmap(fit)(x, tokens).tokens, (features,), (np.ones_like(features),))
        assert np.isfinite(tangent).all()
        masked = lambda x, t: td.run(dynamics, None, x, tokens=t, max_steps=3, tol=0.0, token_mask=[True, True, False])  # noqa: E731
        jax.vmap(masked)(features, tokens)
        assert calls == [RUNS]
    finally:
        jax.clear_caches()


@pytest.mark.parametrize(
    ("backend", "capability", "variable", "available"),
    [
        ("cpu", None, None, False),
        ("gpu", "9.0", None, True),
        ("gpu", "7.5", None, False),
        ("gpu", "gfx90a", None, False),
        ("gpu", "9.0", "0", False),
    ],
)
def test_is_available(monkeypatch, backend, capability, variable, available):
    class Device:
        compute_capability = capability

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "devices", lambda: [Device()])
    if variable is not None:
        monkeypatch.setenv("TOKDYN_FUSED", variable)
    assert fused.is_available() is available
