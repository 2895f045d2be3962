"""The published experiment: four concepts are learned one by one, and then composed by what was never trained."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, keys
from tokdyn.autoencoder import layers
from tokdyn.geometry import composers
from tokdyn.studies.composition.design import (
    CHANNELS,
    COMPOSERS,
    CONCEPTS,
    EMBEDDING,
    FIXED,
    HELD_OUT_PAIRS,
    MOST_EPOCHS,
    PAIRS,
    SIDE,
    TRAINED_PAIRS,
)
from tokdyn.train.fit import fit

Params = dict[str, Any]


class Composed(NamedTuple):
    """How pairs are read, from the ranks of their two concepts `[pairs, 2]`, 0 for the most probable.

    Attributes:
        quality: the published one, `1 / (mean rank + 1)` `[]`.
        recognised: share of the concepts among the first four, of which there are four `[]`.
        first_two: share among the first two, where both belong `[]`.
        rankings: different rankings of the four concepts, over pairs `[]`.
    """

    quality: jax.Array
    recognised: jax.Array
    first_two: jax.Array
    rankings: jax.Array


class _Reader(layers.Module):
    """The published decoders: of patterns `[B, 8, 8, 3]` a small CNN, of embeddings `[B, 64]` an MLP."""

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        if values.ndim > 2:
            image = layers.GridStack(SIDE, (16, 32))(values.reshape(len(values), SIDE**2, -1))
            pooled = image.reshape(len(values), SIDE // 2, 2, SIDE // 2, 2, -1).mean(axis=(2, 4))
            values = layers.flat(pooled.reshape(len(values), (SIDE // 2) ** 2, -1))
        return layers.dense(len(CONCEPTS))(jax.nn.relu(layers.dense(64)(values)))


class _Joined(layers.Module):
    """What a convolution is to patterns, for embeddings: both side by side through one layer."""

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        return layers.dense(EMBEDDING)(values)


def as_pytorch(key: jax.Array, shapes: Params) -> Params:
    """Weights and biases as PyTorch draws them by default: uniform up to one over the root of a unit's inputs.

    All from one draw: a draw for each would be most of what is compiled.

    Args:
        key: a JAX key.
        shapes: of layers, as ``jax.eval_shape`` gives them: dicts with ``kernel`` and ``bias``.

    Returns:
        Arrays of these shapes.
    """
    leaves, structure = jax.tree.flatten_with_path(shapes)
    inputs = {path[:-1]: math.prod(leaf.shape[:-1]) for path, leaf in leaves if path[-1].key == "kernel"}
    ends = np.cumsum([leaf.size for _, leaf in leaves])
    drawn = jnp.split(draws.uniform(key, (int(ends[-1]),), jnp.result_type(float), -1.0, 1.0), ends[:-1])
    made = [
        values.reshape(leaf.shape) / math.sqrt(inputs[path[:-1]])
        for values, (path, leaf) in zip(drawn, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, made)


class Concepts:
    """Concepts as patterns through a sigmoid, or as embeddings; composed in several ways; read as one concept."""

    def __init__(self, model: str) -> None:
        self.is_visual = model == "visual"
        self.shape = (SIDE, SIDE, CHANNELS) if self.is_visual else (EMBEDDING,)
        self.convolution = composers.convolution(num_parts=2, channels=CHANNELS)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Initial weights, as PyTorch has them."""

        def shapes(key: jax.Array) -> dict[str, Any]:
            both = jnp.zeros((1, 2 * EMBEDDING))
            network = self.convolution.init(key) if self.is_visual else layers.initial(_Joined(), key, both)
            reader = layers.initial(_Reader(), key, jnp.zeros((1, *self.shape)))
            return {"network": network["params"], "reader": reader["params"]}

        made = as_pytorch(keys.for_purpose(key, "weights"), jax.eval_shape(shapes, key))
        own = keys.for_purpose(key, "concepts")
        made["concepts"] = draws.normal(own, (len(CONCEPTS), *self.shape), jnp.result_type(float))
        return {"params": made, "state": {}}

    def codes(self, params: Params) -> jax.Array:
        """Of all concepts `[4, ...]`."""
        values: jax.Array = params["concepts"]
        return jax.nn.sigmoid(values) if self.is_visual else values

    def compose(self, params: Params, first: jax.Array, second: jax.Array, how: str) -> jax.Array:
        """Two codes `[B, ...]` as one."""
        if how == "mean":
            return (first + second) / 2
        if how == "sum":
            return first + second
        if how == "max":
            return jnp.maximum(first, second)
        if how == "halves":  # columns of a pattern, numbers of an embedding
            axis = 2 if self.is_visual else 1
            half = first.shape[axis] // 2
            cut = [slice(None)] * axis
            return jnp.concatenate([first[(*cut, slice(half))], second[(*cut, slice(half, None))]], axis=axis)
        variables = {"params": params["network"], "state": {}}
        if self.is_visual:
            return jax.nn.sigmoid(self.convolution.apply(variables, jnp.stack([first, second])))
        both = jnp.concatenate([first, second], axis=1)
        joined, _ = layers.applied(_Joined(), variables, both, key=None, train=False)
        return jnp.asarray(joined)

    def read(self, params: Params, codes: jax.Array) -> jax.Array:
        """Logits of the concepts `[B, 4]`."""
        variables = {"params": params["reader"], "state": {}}
        return jnp.asarray(layers.applied(_Reader(), variables, codes, key=None, train=False)[0])


def judged(logits: jax.Array, pairs: np.ndarray) -> Composed:
    """Ranks of each pair's two concepts.

    Args:
        logits: of composed pairs `[pairs, 4]`.
        pairs: their concepts `[pairs, 2]`.

    Returns:
        ``Composed``.
    """
    order = jnp.argsort(-logits, axis=1)
    ranks = jnp.take_along_axis(jnp.argsort(order, axis=1), jnp.asarray(pairs), axis=1)
    code = order @ jnp.asarray(len(CONCEPTS) ** np.arange(len(CONCEPTS)))
    different = jnp.sum(jnp.all(code[:, None] != code[None, :], axis=1, where=np.tri(len(pairs), k=-1, dtype=bool)))
    return Composed(
        1 / (jnp.mean(ranks.astype(logits.dtype)) + 1),
        jnp.mean(ranks < len(CONCEPTS)),
        jnp.mean(ranks < 2),
        different,
    )


def on_concepts(config: dict[str, Any], key: jax.Array, *, model: str) -> dict[str, jax.Array]:
    """Trained on single concepts until all were right in one pass, as published; then every way to compose.

    Args:
        config: ``learning_rate``.
        key: of the initial weights.
        model: "visual" or "embedding" (static).

    Returns:
        Fields of ``Composed`` `[composers]`, and ``epochs``.
    """
    concepts = Concepts(model)

    def objective(model: Concepts, variables: Any, number: jax.Array, key: jax.Array) -> Any:
        params = variables["params"]
        logits = model.read(params, model.codes(params)[number][None])[0]
        right = (jnp.argmax(logits) == number).astype(logits.dtype)
        return -jax.nn.log_softmax(logits)[number], (variables["state"], {"right": right})

    count = len(CONCEPTS)
    made = fit(
        concepts, objective, lambda key, step: step % count, key=key, num_steps=MOST_EPOCHS * count,
        hyper={"learning_rate": config["learning_rate"]}, record_every=count,
        evaluate=lambda model, variables, key: {}, stop=lambda record: record["right"] == 1.0,
    )  # fmt: skip
    pairs = np.array(PAIRS)
    params = made.variables["params"]
    codes = concepts.codes(params)
    found = []
    for how in COMPOSERS:
        whole = concepts.compose(params, codes[pairs[:, 0]], codes[pairs[:, 1]], how)
        found.append(judged(concepts.read(params, whole), pairs)._asdict())
    each = {name: jnp.stack([one[name] for one in found]) for name in Composed._fields}
    return {**each, "epochs": made.step // count}


def on_pairs(config: dict[str, Any], key: jax.Array, *, model: str, num_steps: int) -> dict[str, Any]:
    """Trained on concepts and on two pairs, both of whose concepts are wanted; judged on the two other pairs.

    Args:
        config: ``learning_rate``; ``network``: 1 where the composer is trained, 0 where patterns are averaged and
            embeddings added.
        key: of the initial weights.
        model: "visual" or "embedding" (static).
        num_steps: one concept or pair a step (static).

    Returns:
        ``pair_quality`` on the held-out pairs, ``seen_pair_quality`` on those trained on.
    """
    concepts = Concepts(model)
    pairs = np.array(PAIRS)
    items = np.concatenate([np.repeat(np.arange(len(CONCEPTS))[:, None], 2, axis=1), pairs[list(TRAINED_PAIRS)]])

    def composed(model_: Concepts, params: Params, first: jax.Array, second: jax.Array) -> jax.Array:
        learned, fixed = (model_.compose(params, first, second, how) for how in ("network", FIXED[model]))
        return jnp.where(config["network"] > 0, learned, fixed)

    def objective(model_: Concepts, variables: Any, number: jax.Array, key: jax.Array) -> Any:
        params = variables["params"]
        first, second = jnp.asarray(items)[number]
        codes = model_.codes(params)
        whole = composed(model_, params, codes[first][None], codes[second][None])
        code = jnp.where(first == second, codes[first][None], whole)
        logs = jax.nn.log_softmax(model_.read(params, code)[0])
        return -(logs[first] + logs[second]) / 2, (variables["state"], {})

    made = fit(
        concepts, objective, lambda key, step: step % len(items), key=key, num_steps=num_steps,
        hyper={"learning_rate": config["learning_rate"]},
    )  # fmt: skip
    params = made.variables["params"]
    codes = concepts.codes(params)
    logits = concepts.read(params, composed(concepts, params, codes[pairs[:, 0]], codes[pairs[:, 1]]))
    held, seen = (np.array(chosen) for chosen in (HELD_OUT_PAIRS, TRAINED_PAIRS))
    return {
        "pair_quality": judged(logits[held], pairs[held]).quality,
        "seen_pair_quality": judged(logits[seen], pairs[seen]).quality,
    }


def chance(pairs: int) -> dict[str, float]:
    """The published quality of rankings at random, by counting.

    A ranking drawn anew for every pair gives the ranks of its two concepts as two of 0 to 3 without repetition. One
    ranking for all four pairs gives every concept's rank twice: a mean rank of 1.5, whatever the ranking.

    Args:
        pairs: how many.

    Returns:
        ``expected`` and ``spread`` (standard deviation) of independent rankings, ``same``: of one ranking for all four
        pairs, ``most``: the maximum.

    Example:
        >>> from tokdyn.studies.composition.published import chance
        >>> {name: round(value, 3) for name, value in chance(4).items()}
        {'expected': 0.407, 'spread': 0.055, 'same': 0.4, 'most': 0.667}
    """
    sums = [sum(two) for two in itertools.permutations(range(len(CONCEPTS)), 2)]
    one = np.bincount(sums) / len(sums)
    law = np.ones(1)
    for _ in range(pairs):
        law = np.convolve(law, one)
    qualities = 1 / (np.arange(len(law)) / (2 * pairs) + 1)
    expected = float(law @ qualities)
    spread = float(np.sqrt(law @ (qualities - expected) ** 2))
    middle = (len(CONCEPTS) - 1) / 2
    return {"expected": expected, "spread": spread, "same": 1 / (middle + 1), "most": 1 / (0.5 + 1)}
