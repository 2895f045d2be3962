"""Questions that were not asked: what else of the picture can be read from latents?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, describe_array, floating
from tokdyn.numerics import namespace
from tokdyn.reasoning.diagnose.probing import PENALTIES, assign_folds, correct_at_sites, grouped_intervals
from tokdyn.stats import mcnemar_test


def held_out_attributes(
    key: jax.Array,
    latents: ArrayLike,
    question: ArrayLike,
    image: ArrayLike,
    attributes: ArrayLike,
    *,
    sizes: Sequence[int],
    groups: ArrayLike | None = None,
    num_folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> Any:
    """Can what was not asked be read from latents, better than from the question alone, as well as from the image?

    One probe for each attribute and source. Latents that hold the picture answer questions that were never asked; those
    that hold the answer do not.

    Args:
        key: a key: folds and intervals.
        latents: `[items, features]`, slots flattened.
        question: the blind baseline `[items, other features]`, for example counts of words.
        image: the upper bound `[items, other features]`: pixels, patch features.
        attributes: integers `[items, attributes]`.
        sizes: how many values each attribute has.
        groups: what folds must not split, labels `[items]`.
        num_folds: at least 3.
        penalties: of `ridge_probe`.
        num_resamples: of the intervals.
        confidence: between 0 and 1.

    Returns:
        ``pandas.DataFrame``, one row for each attribute and source ("question", "latents", "image"): attribute, source,
        accuracy, chance (most common value), difference (to the question), low, high, p_value (McNemar's), n.

    Raises:
        ValueError: shapes that do not fit, or values outside their range.

    References:
        CapImagine, arXiv 2602.22766 (questions on other attributes of the same regions).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.diagnose import held_out_attributes
        >>> colour = jnp.arange(60) % 3
        >>> seen, blind = jax.nn.one_hot(colour, 3), jnp.ones((60, 2))
        >>> table = held_out_attributes(jax.random.key(0), blind, blind, seen, colour[:, None], sizes=[3],
        ...                             num_resamples=100)
        >>> float(table.set_index("source").loc["image", "accuracy"])
        1.0
    """
    import pandas as pd

    values = np.asarray(attributes)
    sources = {"question": question, "latents": latents, "image": image}
    arrays = {
        name: floating(name, each, axes="[items, features]", xp=namespace(each)) for name, each in sources.items()
    }
    if values.ndim != 2 or values.dtype.kind not in "iu" or len(sizes) != values.shape[1]:
        raise bad("attributes", f"integers [items, {len(sizes)}]", describe_array(values))
    for name, array in arrays.items():
        if len(array) != len(values):
            raise bad(name, f"{len(values)} items as attributes", len(array))
    folds = assign_folds(key, len(values), num_folds=num_folds, groups=groups)
    for index, size in enumerate(sizes):
        least, most = values[:, index].min(), values[:, index].max()
        if least < 0 or most >= size:
            raise bad("attributes", f"values from 0 to {size - 1} in column {index}", f"{least} to {most}")
    counts, candidates = tuple(int(size) for size in sizes), tuple(penalties)
    every = {
        name: correct_at_sites(array[None], values.T, folds, sizes=counts, num_folds=num_folds, penalties=candidates)[0]
        for name, array in arrays.items()
    }
    rows = []
    for index in range(len(sizes)):
        truth, correct = values[:, index], {name: right[index] for name, right in every.items()}
        for name, right in correct.items():
            difference = right.astype(np.float64) - correct["question"]
            ends = grouped_intervals(key, difference[None], groups, num_resamples, confidence)[0]
            rows.append(
                {
                    "attribute": index,
                    "source": name,
                    "accuracy": float(right.mean()),
                    "chance": float(np.bincount(truth).max() / len(truth)),
                    "difference": float(difference.mean()),
                    "low": float(ends[0]),
                    "high": float(ends[1]),
                    "p_value": float(mcnemar_test(right, correct["question"]).p_value),
                    "n": len(truth),
                }
            )
    return pd.DataFrame(rows)
