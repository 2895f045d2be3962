"""What can be read from latents by a linear probe, and how much of that the probe learned by itself.

What a probe reads is not what the model uses; and a probe that also reads arbitrary labels is a memory, not a reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import keys
from tokdyn.checks import bad, describe_array, floating, whole_number
from tokdyn.metrics._arrays import integers
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.arrays import one_by_one, product, program
from tokdyn.reasoning.diagnose.effects import mean_effects
from tokdyn.stats import clopper_pearson, hierarchical_bootstrap

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


class Probe(NamedTuple):
    """A cross-validated linear probe.

    Attributes:
        predicted: label of each item, from a probe that did not see its fold, int32 `[items]`.
        correct: bool `[items]`.
        accuracy: mean of it `[]`.
        penalty: the one chosen without each fold, relative as in `ridge_probe` `[folds]`.
    """

    predicted: jax.Array
    correct: jax.Array
    accuracy: jax.Array
    penalty: jax.Array


class Selectivity(NamedTuple):
    """Probes of many sites against control tasks; every array has the sites' shape.

    Attributes:
        accuracy: of the labels.
        low: lower end of its interval.
        high: its upper end.
        control_accuracy: of labels drawn at random for each type, mean over control tasks.
        selectivity: accuracy - control_accuracy.
        selectivity_low: lower end of its interval.
        selectivity_high: its upper end.
        chance: share of the most common label.
        learnable: share of items whose type also occurs in another fold: only there can a control task be learned. At
            0 the control is at chance whatever the probe does, and selectivity says nothing.
        n: items.
        num_groups: units that were resampled for the intervals: groups, or items without groups.
    """

    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    control_accuracy: np.ndarray
    selectivity: np.ndarray
    selectivity_low: np.ndarray
    selectivity_high: np.ndarray
    chance: float
    learnable: float
    n: int
    num_groups: int


def ridge_probe(
    features: ArrayLike,
    labels: ArrayLike,
    folds: ArrayLike,
    *,
    num_labels: int,
    num_folds: int,
    penalties: Sequence[float] | jax.Array = PENALTIES,
) -> Probe:
    r"""Linear probe of integer labels: ridge regression on targets of +1 and -1, cross-validated, in closed form.

    With centred features X and targets T of the other folds, `W = (X^T X + \alpha I)^{-1} X^T T` and the largest output
    is the label. The penalty is `\alpha = \text{penalty} \cdot \mathrm{tr}(X^T X) / D` (so that the features' units do
    not matter), chosen for each fold by the squared error over the *other* folds in turn: nothing of the fold takes
    part. No iteration: works under jit, and vmap over layers and positions shares nothing and needs no change.

    Args:
        features: `[items, features]`.
        labels: integers `[items]`, 0 to num_labels - 1.
        folds: which fold each item is in: integers `[items]`, 0 to num_folds - 1; see `assign_folds`.
        num_labels: static.
        num_folds: static, at least 3: one for the test, one for the penalty, one to learn from.
        penalties: candidates `[penalties]`, above 0.

    Returns:
        `Probe`.

    Raises:
        ValueError: shapes that do not fit, or fewer than 3 folds.

    References:
        Alain and Bengio (2016), Understanding intermediate layers using linear classifier probes. arXiv 1610.01644.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import ridge_probe
        >>> labels = jnp.arange(30) % 3
        >>> probe = ridge_probe(jax.nn.one_hot(labels, 3), labels, jnp.arange(30) // 10, num_labels=3, num_folds=3)
        >>> float(probe.accuracy)
        1.0
    """
    xp = namespace(features, labels, folds, penalties)
    array = floating("features", features, axes="[items, features]", xp=xp)
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    truth = integers("labels", labels, length=len(array), xp=xp)
    fold = integers("folds", folds, length=len(array), xp=xp)
    num_labels = whole_number("num_labels", num_labels, at_least=1)
    num_folds = whole_number("num_folds", num_folds, at_least=3)
    candidates = xp.asarray(penalties, array.dtype)
    if candidates.ndim != 1 or candidates.size == 0:
        raise bad("penalties", "at least one number [penalties]", describe_array(candidates))
    predicted, best = _cross_validated(array, truth[None], fold, candidates, sizes=(num_labels,), num_folds=num_folds)
    correct = predicted[0] == truth
    return Probe(predicted[0], correct, xp.mean(correct, dtype=array.dtype), candidates[best[0]])


def assign_folds(key: jax.Array, num_items: int, *, num_folds: int = 5, groups: ArrayLike | None = None) -> np.ndarray:
    """Folds of nearly equal size, a whole group in one fold.

    Args:
        key: a key.
        num_items: items.
        num_folds: folds.
        groups: what must not be split (one picture asked several questions, one seed): labels `[items]`; None makes
            every item a group.

    Returns:
        `[items]` int32, 0 to num_folds - 1.

    Raises:
        ValueError: fewer groups than folds, or groups of another length.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import assign_folds
        >>> np.bincount(assign_folds(jax.random.key(0), 10, num_folds=5)).tolist()
        [2, 2, 2, 2, 2]
    """
    num_items = whole_number("num_items", num_items, at_least=1)
    num_folds = whole_number("num_folds", num_folds, at_least=2)
    names, index = np.unique(np.arange(num_items) if groups is None else np.asarray(groups), return_inverse=True)
    if index.shape != (num_items,):
        raise bad("groups", f"labels [items] of length {num_items}", f"shape {index.shape}")
    if len(names) < num_folds:
        raise bad("groups", f"at least {num_folds} groups, one for each fold", len(names))
    shuffled = np.asarray(jax.random.permutation(keys.for_purpose(key, "folds"), len(names)))
    sizes = np.bincount(index)
    load, fold_of = np.zeros(num_folds, np.int64), np.zeros(len(names), np.int32)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # large ones first, into the emptiest fold
        fold_of[group] = np.argmin(load)
        load[fold_of[group]] += sizes[group]
    return fold_of[index]


def control_labels(key: jax.Array, types: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Labels of a control task: one drawn for each type of item, from the labels' own frequencies.

    A probe that gets these right has remembered types, whatever the features mean (Hewitt and Liang).

    Args:
        key: a key.
        types: what an item is an instance of (a question's words, a picture's class): labels `[items]`.
        labels: of the real task: integers `[items]`.

    Returns:
        `[items]`, the dtype of labels.

    Raises:
        ValueError: two lengths.

    References:
        Hewitt and Liang (2019), Designing and interpreting probes with control tasks. EMNLP.

    Example:
        >>> import jax, numpy as np
        >>> from tokdyn.reasoning.diagnose import control_labels
        >>> drawn = control_labels(jax.random.key(0), ["a", "b", "a", "b"], [0, 1, 2, 3])
        >>> bool(drawn[0] == drawn[2] and drawn[1] == drawn[3])
        True
    """
    truth = np.asarray(labels)
    names, index = np.unique(np.asarray(types), return_inverse=True)
    if truth.ndim != 1 or index.shape != truth.shape:
        raise bad("types", f"labels [items] of length {truth.shape}", f"shape {index.shape}")
    drawn = np.asarray(jax.random.randint(keys.for_purpose(key, "control_labels"), (len(names),), 0, len(truth)))
    return truth[drawn][index]


def probe_selectivity(
    key: jax.Array,
    features: ArrayLike,
    labels: ArrayLike,
    types: ArrayLike,
    *,
    num_labels: int,
    groups: ArrayLike | None = None,
    num_folds: int = 5,
    num_controls: int = 5,
    penalties: Sequence[float] = PENALTIES,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> Selectivity:
    """Probe accuracy at many sites, with control tasks, chance and intervals.

    The interval resamples items, or whole groups; it does not repeat the probe's training. The best of many sites is
    best by luck too: choose a site on other items than those that judge it.

    Args:
        key: a key: folds, control tasks, intervals.
        features: `[..., items, features]`; the leading axes are sites, for example layers and positions.
        labels: integers `[items]`, 0 to num_labels - 1.
        types: of the control tasks, labels `[items]`; see `control_labels`. Each should occur several times.
        num_labels: how many.
        groups: what folds must not split, labels `[items]`. Groups that contain whole types make control tasks
            unlearnable: see ``learnable``.
        num_folds: at least 3.
        num_controls: control tasks, at least 1.
        penalties: of `ridge_probe`.
        num_resamples: of the intervals.
        confidence: between 0 and 1.

    Returns:
        `Selectivity`.

    Raises:
        ValueError: shapes that do not fit, labels outside their range, too few groups.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import probe_selectivity
        >>> labels = jnp.arange(60) % 2
        >>> sites = jnp.stack([jax.nn.one_hot(labels, 2), jnp.ones((60, 2))])  # the second says nothing
        >>> found = probe_selectivity(jax.random.key(0), sites, labels, jnp.arange(60) // 3, num_labels=2,
        ...                           num_resamples=100)
        >>> found.accuracy.shape, float(found.accuracy[0])
        ((2,), 1.0)
    """
    array = namespace(features).asarray(features)
    truth = np.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.ndim < 2 or truth.shape != array.shape[-2:-1]:
        expected = f"floating point [..., items, features] with {truth.shape} items"
        raise bad("features", expected, describe_array(array))
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= num_labels:
        raise bad("labels", f"integers from 0 to {num_labels - 1}", describe_array(truth))
    num_controls = whole_number("num_controls", num_controls, at_least=1)
    sites, n = array.shape[:-2], len(truth)
    folds = assign_folds(key, n, num_folds=num_folds, groups=groups)
    tasks = [truth] + [control_labels(jax.random.fold_in(key, index), types, truth) for index in range(num_controls)]
    flat = array.reshape(-1, *array.shape[-2:])
    correct = correct_at_sites(
        flat, np.stack(tasks), folds, sizes=(num_labels,) * len(tasks), num_folds=num_folds, penalties=tuple(penalties)
    ).astype(np.float64)
    excess = correct[:, 0] - correct[:, 1:].mean(axis=1)
    ends = grouped_intervals(key, np.concatenate([correct[:, 0], excess]), groups, num_resamples, confidence)
    if groups is None:
        exact = clopper_pearson(correct[:, 0].sum(axis=-1), n, confidence=confidence)
        ends[: len(flat)] = np.stack([exact.low, exact.high], axis=-1)
    ends = ends.reshape(2, *sites, 2)
    _, type_index = np.unique(np.asarray(types), return_inverse=True)
    elsewhere = [np.isin(type_index[folds == f], type_index[folds != f]).sum() for f in range(num_folds)]
    return Selectivity(
        accuracy=correct[:, 0].mean(axis=-1).reshape(sites),
        low=ends[0, ..., 0],
        high=ends[0, ..., 1],
        control_accuracy=correct[:, 1:].mean(axis=(1, 2)).reshape(sites),
        selectivity=excess.mean(axis=-1).reshape(sites),
        selectivity_low=ends[1, ..., 0],
        selectivity_high=ends[1, ..., 1],
        chance=float(np.bincount(truth).max() / n),
        learnable=float(sum(elsewhere) / n),
        n=n,
        num_groups=n if groups is None else len(np.unique(np.asarray(groups))),
    )


def _cross_validated(
    array: Any, tasks: Any, fold: Any, candidates: Any, *, sizes: tuple[int, ...], num_folds: int
) -> tuple[Any, Any]:
    """Predicted labels `[tasks, items]` and the number of the penalty `[tasks, folds]`, for labels `[tasks, items]`.

    Tasks share every factorisation, which does not depend on labels; ``sizes`` are their numbers of labels.
    """
    xp = namespace(array, tasks, fold)
    num_items, num_features = array.shape
    array = array - array.mean(axis=0)
    strength = candidates * _positive(xp.sum(array**2)) / num_features
    if num_features > num_items:
        # Ridge is blind to rotations: coordinates in the span of the items give the same probe.
        left, values, _ = xp.linalg.svd(array, full_matrices=False)
        array = left * values
    labels = np.arange(max(sizes))
    exists = labels < np.asarray(sizes)[:, None]  # [tasks, labels]; others have the target 0, and so the output 0
    targets = xp.where(exists, 2 * (tasks.T[..., None] == labels).astype(array.dtype) - 1, 0)  # [items, tasks, labels]
    first, second = np.triu_indices(num_folds)  # without folds f and g; f = g is the final fit without f

    def fit(pair: Any) -> tuple[Any, Any]:
        kept = xp.all(fold[:, None] != pair, axis=1).astype(array.dtype)
        outputs = _ridge(array, targets.reshape(num_items, -1), kept, strength).reshape(-1, *targets.shape)
        errors = xp.sum((outputs - targets) ** 2, axis=-1)  # [penalties, items, tasks]
        inside = [(fold == pair[side])[:, None] for side in (0, 1)]
        sums = xp.stack([xp.sum(xp.where(each, errors, 0), axis=1) for each in inside])
        return sums, xp.argmax(xp.where(exists, outputs, -xp.inf), axis=-1).astype(xp.int32)

    errors, predictions = one_by_one(fit, xp.stack([xp.asarray(first), xp.asarray(second)], axis=1))
    # The fit without f and g is judged on g when the test is on f, and on f when the test is on g.
    apart, tested = first != second, np.arange(num_folds)[:, None]
    judges = [(apart & (tested == side)).astype(array.dtype) for side in (first, second)]
    total = sum(xp.tensordot(judge, errors[:, 1 - side], axes=1) for side, judge in enumerate(judges))
    best = xp.argmin(total, axis=1).T  # [tasks, folds]
    final = predictions[~apart]  # [folds, penalties, items, tasks]
    predicted = final[fold, best[:, fold], xp.arange(num_items), xp.arange(len(tasks))[:, None]]
    return predicted, best


def _ridge(features: Any, targets: Any, kept: Any, strength: Any) -> Any:
    """Outputs for all items `[penalties, items, columns]` of the fits on the items kept."""
    xp = namespace(features)
    count = xp.maximum(kept.sum(), 1)
    mean, offset = kept @ features / count, kept @ targets / count
    centred = features - mean
    inside = centred * kept[:, None]
    values, directions = xp.linalg.eigh(product(inside.T, inside))
    projected = directions.T @ product(inside.T, targets - offset)
    weights = projected / (xp.maximum(values, 0)[:, None] + strength[:, None, None])
    return product(product(centred, directions), weights) + offset


def correct_at_sites(
    features: ArrayLike,
    tasks: ArrayLike,
    folds: ArrayLike,
    *,
    sizes: tuple[int, ...],
    num_folds: int,
    penalties: tuple[float, ...],
) -> np.ndarray:
    """Whether probes are right `[sites, tasks, items]`, for features `[sites, items, features]`.

    Args:
        features: of NumPy, or of jax, for which the probe is compiled.
        tasks: labels `[tasks, items]`.
        folds: `[items]`.
        sizes: number of labels of every task.
        num_folds: at least 3.
        penalties: of ``ridge_probe``.
    """
    run = program(_at_sites, features, static=("sizes", "num_folds", "penalties"))
    return np.asarray(run(features, tasks, folds, sizes=sizes, num_folds=num_folds, penalties=penalties))


def _at_sites(
    features: Any, tasks: Any, folds: Any, *, sizes: tuple[int, ...], num_folds: int, penalties: tuple[float, ...]
) -> Any:
    def site(array: Any) -> Any:
        array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
        candidates = namespace(array).asarray(penalties, array.dtype)
        predicted, _ = _cross_validated(array, tasks, folds, candidates, sizes=sizes, num_folds=num_folds)
        return predicted == tasks

    return one_by_one(site, features)


def grouped_intervals(
    key: jax.Array, values: np.ndarray, groups: ArrayLike | None, num_resamples: int, confidence: float
) -> np.ndarray:
    """Ends `[T, 2]` of the means of `[T, items]`: groups resampled where there are some, else items."""
    if groups is None:
        effects = mean_effects(key, values, num_resamples=num_resamples, confidence=confidence)
        return np.array([[each.low, each.high] for each in effects])
    padded, mask = _by_group(values, np.asarray(groups))
    found = hierarchical_bootstrap(
        key, padded, mask, num_resamples=num_resamples, confidence=confidence, weighting="items"
    )
    return np.stack([found.low, found.high], axis=-1)


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[T, items]` as `[T, groups, largest group]` and the mask of what is there."""
    _, index = np.unique(groups, return_inverse=True)
    counts = np.bincount(index)
    order = np.argsort(index, kind="stable")
    place = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.zeros((len(values), len(counts), counts.max()))
    padded[:, index[order], place] = values[:, order]
    return padded, np.arange(counts.max()) < counts[:, None]


def _positive(value: Any) -> Any:
    return namespace(value).where(value > 0, value, 1.0)
