"""The ridge probe against sklearn, fold by fold; control tasks that must and must not be learned; planted sites."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from tokdyn.reasoning.diagnose import assign_folds, control_labels, held_out_attributes, probe_selectivity, ridge_probe

compiled = jax.jit(ridge_probe, static_argnames=("num_labels", "num_folds", "penalties"))
ONE = {"num_labels": 3, "num_folds": 4, "penalties": (0.3,)}


def problem(num_items=90, num_features=7, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num_items)
    features = rng.normal(size=(num_items, num_features)) + 2.0
    features[:, :3] += 0.8 * np.eye(3)[labels]
    return features.astype(np.float32), labels, np.asarray(assign_folds(jax.random.key(seed), num_items, num_folds=4))


def absolute(features, penalty):
    return penalty * ((features - features.mean(0)) ** 2).sum() / features.shape[1]


@pytest.mark.parametrize("num_features", [7, 120])  # fewer and more features than items
def test_agrees_with_sklearn_in_every_fold(num_features):
    features, labels, folds = problem(num_features=num_features)
    probe = compiled(features, labels, folds, num_labels=3, num_folds=4, penalties=(0.3,))
    expected = np.empty_like(labels)
    for fold in range(4):
        model = RidgeClassifier(alpha=absolute(features, 0.3)).fit(features[folds != fold], labels[folds != fold])
        expected[folds == fold] = model.predict(features[folds == fold])
    np.testing.assert_array_equal(probe.predicted, expected)
    assert probe.accuracy == pytest.approx((expected == labels).mean())


def test_the_penalty_is_the_nested_choice():
    features, labels, folds = problem(num_features=40)
    penalties = (1e-3, 1.0, 30.0)
    probe = compiled(features, labels, folds, num_labels=3, num_folds=4, penalties=penalties)
    targets = 2 * np.eye(3)[labels] - 1
    for fold in range(4):
        errors = []
        for penalty in penalties:
            error = 0.0
            for other in set(range(4)) - {fold}:
                inside, outside = (folds != fold) & (folds != other), folds == other
                x, t = features[inside].astype(float), targets[inside]
                centred = x - x.mean(0)
                gram = centred.T @ centred + absolute(features, penalty) * np.eye(40)
                weights = np.linalg.solve(gram, centred.T @ (t - t.mean(0)))
                outputs = (features[outside] - x.mean(0)) @ weights + t.mean(0)
                error += ((outputs - targets[outside]) ** 2).sum()
            errors.append(error)
        assert probe.penalty[fold] == pytest.approx(penalties[int(np.argmin(errors))])


def test_units_rotations_and_item_order_do_not_matter():
    features, labels, folds = problem()
    plain = compiled(features, labels, folds, **ONE).predicted
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0].astype(np.float32)
    order = np.random.default_rng(2).permutation(90)
    np.testing.assert_array_equal(compiled(1000 * features @ turn, labels, folds, **ONE).predicted, plain)
    moved = compiled(features[order], labels[order], folds[order], **ONE).predicted
    np.testing.assert_array_equal(moved, plain[order])


def test_random_labels_are_at_chance_and_constants_are_safe():
    rng = np.random.default_rng(3)
    features, _, folds = problem()
    found = [compiled(features, rng.integers(0, 3, 90), folds, **ONE).accuracy for _ in range(20)]
    # Folds share items, so that the 20 accuracies vary more than binomially: their own spread is the measure.
    assert abs(np.mean(found) - 1 / 3) < 5 * np.std(found) / np.sqrt(20)
    constant = compiled(np.ones_like(features), np.arange(90) % 3 // 2, folds, **ONE)
    np.testing.assert_array_equal(constant.predicted, 0)  # the majority


def test_vmap_over_sites():
    features, labels, folds = problem()
    sites = jnp.stack([features + 2 * np.eye(7)[labels], 0 * features]).astype(jnp.float32)
    both = jax.vmap(lambda each: compiled(each, labels, folds, **ONE).accuracy)(sites)
    np.testing.assert_allclose(both[0], compiled(sites[0], labels, folds, **ONE).accuracy)
    assert both[0] > both[1] + 0.3


def test_folds_keep_groups_whole_and_even():
    groups = np.repeat(np.arange(23), np.random.default_rng(4).integers(1, 6, 23))
    folds = assign_folds(jax.random.key(0), len(groups), num_folds=4, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in range(23))
    sizes = np.bincount(folds, minlength=4)
    assert sizes.max() - sizes.min() <= 5
    assert (assign_folds(jax.random.key(1), len(groups), num_folds=4, groups=groups) != folds).any()


def test_control_labels_are_a_function_of_the_type():
    types, labels = np.arange(4000) % 400, np.arange(4000) % 5 // 4
    drawn = control_labels(jax.random.key(0), types, labels)
    np.testing.assert_array_equal(drawn, drawn[types])
    # 400 types, one label in five: as frequent as in the task.
    assert abs(drawn.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 400)


def selectivity(sites, labels, types, **options):
    return probe_selectivity(
        jax.random.key(0), sites, labels, types, num_labels=2, num_controls=3, num_resamples=300, **options
    )


def test_selectivity_tells_meaning_from_memory():
    rng = np.random.default_rng(5)
    types, labels = np.arange(120) % 12, rng.integers(0, 2, 120)
    meaning = np.eye(2)[labels] + 0.1 * rng.normal(size=(120, 2))
    memory = np.eye(12)[types]
    nothing = rng.normal(size=(120, 12))
    sites = np.zeros((2, 3, 120, 12), np.float32)
    sites[0, :] = sites[1, 0] = nothing
    sites[1, 1, :, :2], sites[1, 2] = meaning, memory
    found = selectivity(jnp.asarray(sites), labels, types)
    assert found.accuracy.shape == (2, 3)
    assert np.unravel_index(found.selectivity.argmax(), (2, 3)) == (1, 1)  # planted there
    assert found.accuracy[1, 1] == 1
    assert found.selectivity_low[1, 1] > 0.3
    assert found.control_accuracy[1, 2] == 1  # types are remembered: selectivity is what the type says by chance
    assert found.selectivity[1, 2] < 0
    assert found.low[0, 0] < found.chance < found.high[0, 0] + 0.1
    assert found.learnable == 1


def test_a_control_task_within_groups_cannot_be_learned():
    rng = np.random.default_rng(6)
    types = np.arange(120) % 12
    labels = rng.integers(0, 2, 120)
    found = selectivity(np.eye(12, dtype=np.float32)[types], labels, types, groups=types)
    assert found.learnable == 0
    assert found.num_groups == 12
    assert found.control_accuracy < 0.8  # nothing carries over from other types


def test_held_out_attributes_are_found_at_their_column():
    rng = np.random.default_rng(7)
    attributes = rng.integers(0, 3, (90, 2))
    image = np.concatenate([np.eye(3)[attributes[:, 0]], np.eye(3)[attributes[:, 1]]], axis=1)
    latents = np.concatenate([rng.normal(size=(90, 3)), np.eye(3)[attributes[:, 1]]], axis=1)
    question = rng.normal(size=(90, 6))
    table = held_out_attributes(
        jax.random.key(0),
        *(jnp.asarray(each, jnp.float32) for each in (latents, question, image)),
        attributes,
        sizes=[3, 3],
        num_resamples=300,
    ).set_index(["attribute", "source"])
    assert (table.loc[[(0, "image"), (1, "image")], "accuracy"] == 1).all()
    assert table.loc[(1, "latents"), "accuracy"] == 1
    assert table.loc[(1, "latents"), "low"] > 0.3
    assert table.loc[(1, "latents"), "p_value"] < 1e-6
    assert table.loc[(0, "latents"), "low"] < 0.05
    assert table.loc[(0, "question"), "difference"] == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: ridge_probe(jnp.ones((4, 2)), jnp.zeros(3, int), jnp.zeros(4, int), num_labels=2, num_folds=3),
        lambda: ridge_probe(jnp.ones((4, 2)), jnp.zeros(4, int), jnp.zeros(4, int), num_labels=2, num_folds=2),
        lambda: assign_folds(jax.random.key(0), 4, num_folds=3, groups=[0, 0, 1, 1]),
        lambda: control_labels(jax.random.key(0), [0, 1], [0, 1, 2]),
        lambda: selectivity(jnp.ones((6, 2)), np.array([0, 1, 2, 0, 1, 2]), np.arange(6)),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected .*, got "):
        call()
