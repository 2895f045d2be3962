"""The published training of words as features, with targets that mean something, or nothing, or are not there."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, geometry, keys
from tokdyn.dynamics.sphere import on_sphere
from tokdyn.studies.grounding.design import ALIGN, FIVE, GRAM, IDENTICAL, NONE, RANDOM, RATE, SEMANTIC, TARGETS
from tokdyn.studies.meanings import WIDTH, of_words
from tokdyn.train.fit import Variables, fit

AHEAD = 0.01  # how far each weight goes, down its gradient, to where the gradient is compared


def words(size: int) -> tuple[str, ...]:
    """The published five first, then the commonest of the table."""
    table = geometry.word_vectors().words
    return (*FIVE, *[word for word in table if word not in FIVE])[:size]


def meanings(size: int) -> np.ndarray:
    """Vectors of these words, in the published width `[V, 512]`."""
    return of_words(words(size))


class Words:
    """Features of length 1 for each word, and a linear layer that reads them: the published model."""

    def __init__(self, size: int) -> None:
        self.size = size

    def init(self, key: jax.Array) -> Variables:
        """As PyTorch has linear layers by default."""
        own = {name: keys.for_purpose(key, name) for name in ("features", "bias", "reader", "reader bias")}
        into, out = self.size**-0.5, WIDTH**-0.5
        dtype = jnp.result_type(float)
        return {
            "params": {
                "features": draws.uniform(own["features"], (self.size, WIDTH), dtype, -into, into),
                "bias": draws.uniform(own["bias"], (WIDTH,), dtype, -into, into),
                "reader": draws.uniform(own["reader"], (WIDTH, self.size), dtype, -out, out),
                "reader bias": draws.uniform(own["reader bias"], (self.size,), dtype, -out, out),
            },
            "state": {},
        }

    def features(self, params: dict[str, jax.Array]) -> jax.Array:
        """Of all words, of length 1 `[V, D]`."""
        return on_sphere(params["features"] + params["bias"])

    def logits(self, params: dict[str, jax.Array]) -> jax.Array:
        """Of all words `[V, V]`."""
        return self.features(params) @ params["reader"] + params["reader bias"]


def target(kind: jax.Array, key: jax.Array, meaning: jax.Array) -> jax.Array:
    """What features are to become, by the number of the kind of target `[V, D]`."""
    drawn = on_sphere(draws.normal(key, meaning.shape, meaning.dtype))
    same = jnp.broadcast_to(drawn[0], drawn.shape)
    table = {NONE: drawn, RANDOM: drawn, IDENTICAL: same, SEMANTIC: meaning}
    return jnp.stack([table[name] for name in TARGETS])[kind]


def trained(kind: jax.Array, key: jax.Array, meaning: jax.Array, *, num_steps: int, looks: bool) -> dict[str, Any]:
    """One training on all words at every step.

    Args:
        kind: number of the target among ``TARGETS``; the first has no loss but that of the reader.
        key: of weights and of targets.
        meaning: vectors of the words `[V, D]`.
        num_steps: of Adam (static).
        looks: whether the path of the gradient is measured (static).

    Returns:
        ``accuracy`` before and after every step `[steps + 1]`; ``cosines`` of all pairs of features, at the start and
        at the end `[2, V, V]`; ``alignment`` with the meanings, at both; ``agreement`` of the gradient with the one a
        step further, mean over steps.
    """
    wanted = target(kind, keys.for_purpose(key, "targets"), meaning)
    weight = jnp.where(kind == TARGETS.index(NONE), 0.0, 1.0)
    model = Words(len(meaning))

    def value(params: dict[str, jax.Array]) -> jax.Array:
        features, logs = model.features(params), jax.nn.log_softmax(model.logits(params))
        apart = jnp.mean(1 - jnp.sum(features * wanted, axis=1))
        gram = jnp.mean((features @ features.T - wanted @ wanted.T) ** 2)
        return -jnp.mean(jnp.diagonal(logs)) + weight * (ALIGN * apart + GRAM * gram)

    def objective(model: Words, variables: Variables, batch: jax.Array, key: jax.Array) -> Any:
        return value(variables["params"]), (variables["state"], {})

    def judged(model: Words, variables: Variables, key: jax.Array) -> dict[str, jax.Array]:
        params = variables["params"]
        found = {"accuracy": jnp.mean(jnp.argmax(model.logits(params), axis=1) == jnp.arange(model.size))}
        if looks:
            here = jax.grad(value)(params)
            ahead = jax.grad(value)(jax.tree.map(lambda of, slope: of - AHEAD * jnp.sign(slope), params, here))
            found["agreement"] = _cosine(here, ahead)
        return found

    start = model.init(keys.for_purpose(key, "weights"))
    first = judged(model, start, key)
    made = fit(
        model, objective, lambda key, step: step, key=key, num_steps=num_steps, hyper={"learning_rate": RATE},
        variables=start, record_every=1, evaluate=judged,
    )  # fmt: skip
    ends = jnp.stack([model.features(of["params"]) for of in (start, made.variables)])
    found = {
        "accuracy": jnp.concatenate([first["accuracy"][None], made.history["accuracy"]]),
        "cosines": ends[:, : len(FIVE)] @ ends[:, : len(FIVE)].swapaxes(1, 2),
        "alignment": jnp.mean(jnp.sum(ends * meaning, axis=2), axis=1),
    }
    return {**found, "agreement": made.history["agreement"].mean()} if looks else found


def _cosine(one: Any, other: Any) -> jax.Array:
    flat = [jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(of)]) for of in (one, other)]
    return jnp.sum(flat[0] * flat[1]) / jnp.sqrt(jnp.sum(flat[0] ** 2) * jnp.sum(flat[1] ** 2))
