"""ARI and NMI of 10,000 pairs of labelings of 320 features."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import tokdyn as td
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved

COUNT, SAMPLE, NUM_FEATURES, SIZE = 10_000, 300, 320, 4
OURS, LOOP, TORCH = "tokdyn", "scikit-learn loop", "torchmetrics loop"


@jax.jit
def with_tokdyn(labels: jax.Array, predicted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """ARI and NMI `[R]` of labels and predicted ids `[R, N]`."""

    def one(labels: jax.Array, predicted: jax.Array) -> tuple[jax.Array, jax.Array]:
        table = td.metrics.contingency(labels, predicted, num_labels=SIZE, num_predicted=SIZE)
        return td.metrics.adjusted_rand_index_from(table), td.metrics.normalized_mutual_information_from(table)

    return td.vmap(one)(labels, predicted)


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``scores``."""
    generator = np.random.default_rng(0)
    labels = np.broadcast_to(np.repeat(np.arange(SIZE, dtype=np.int32), NUM_FEATURES // SIZE), (COUNT, NUM_FEATURES))
    # Predictions from perfect to random: a share of the labels, different in every pair, is drawn anew.
    redrawn = generator.random(labels.shape) < generator.random((COUNT, 1))
    predicted = np.where(redrawn, generator.integers(0, SIZE, labels.shape), labels).astype(np.int32)
    arrays = jnp.asarray(labels), jnp.asarray(predicted)
    pairs = list(zip(labels[:SAMPLE], predicted[:SAMPLE], strict=True))

    def with_sklearn() -> np.ndarray:
        return np.array([(adjusted_rand_score(*pair), normalized_mutual_info_score(*pair)) for pair in pairs]).T

    expected = with_sklearn()
    np.testing.assert_allclose(np.stack(with_tokdyn(*arrays))[:, :SAMPLE], expected, atol=1e-5)
    forms = {OURS: lambda: with_tokdyn(*arrays), LOOP: with_sklearn}
    counts = {OURS: COUNT, LOOP: SAMPLE}
    checked = {OURS: f"{SAMPLE} pairs equal scikit-learn's to 1e-5", LOOP: "the reference"}
    missing = {}
    try:
        import torch
        from torchmetrics.functional.clustering import adjusted_rand_score as torch_ari
        from torchmetrics.functional.clustering import normalized_mutual_info_score as torch_nmi

        torch.set_num_threads(1)
        tensors = [tuple(torch.from_numpy(np.array(x)).long() for x in pair) for pair in pairs]

        def with_torchmetrics() -> np.ndarray:
            return np.array([(float(torch_ari(*pair)), float(torch_nmi(*pair))) for pair in tensors]).T

        np.testing.assert_allclose(with_torchmetrics(), expected, atol=1e-5)
        forms[TORCH], counts[TORCH], checked[TORCH] = with_torchmetrics, SAMPLE, "equal to scikit-learn's to 1e-5"
    except ImportError as error:
        missing[TORCH] = f"not installed ({error.name})"
    entries = entries_from(interleaved(forms, repeats), counts, checked, missing)
    goals = [Goal(OURS, (LOOP,), 100.0), Goal(OURS, (TORCH,), 10.0)]
    return Section("ARI and NMI of 10,000 labelings, N=320", "pairs", entries, goals)
