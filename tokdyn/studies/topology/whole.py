"""The published model end to end, trained and judged as published, and by distances that are right."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from tokdyn import geometry
from tokdyn.autoencoder import layers
from tokdyn.dynamics.parts import part
from tokdyn.geometry import topology as model_of
from tokdyn.studies.meanings import WIDTH, of_words
from tokdyn.studies.topology.design import ALONE, CLIP, ENOUGH, NEAR, PAIRS, RATE, SETTINGS, SIDE, TOP, WORDS
from tokdyn.train.fit import Fit, Variables, fit

SCORES = ("reconstruction", "overlap_published", "composition", "interpretability", "overall")


def vectors() -> np.ndarray:
    """Of the 36 words, in the published width `[36, 512]`."""
    return of_words(WORDS)


def trained(condition: str, key: jax.Array, rows: jax.Array, *, num_steps: int) -> dict[str, Any]:
    """One training, judged before and after.

    Args:
        condition: one of ``MODELS`` (static).
        key: of weights and dropout.
        rows: vectors `[36, D]`.
        num_steps: at most (static).

    Returns:
        Scores before and after `[2]` by name, ``steps``, ``topology`` at the first and at the last step, and the
        ``spread`` of places, before and after.
    """
    number = ALONE.index(", ".join(SETTINGS[condition]))
    start, made = _fitted(number, key, rows, num_steps)
    by_products = SETTINGS[condition][1] == "products"
    both = [_scores(variables, rows, by_products) for variables in (start, made.variables)]
    pulled = np.asarray(made.history["topology"])
    return {
        **{name: np.stack([np.asarray(one[name]) for one in both]) for name in both[0]},
        "steps": np.asarray(made.step),
        "topology": pulled[[0, int(made.step) - 1]],
    }


@part
class AnyPull(model_of.TopologicalLoss):
    """The loss with one of the pulls ``ALONE``, by its number: all of them are one program."""

    number: jax.Array

    def topology(self, places: jax.Array, temperature: jax.Array) -> jax.Array:
        """The pull `[]`, on places `[N, d]`."""
        each = [model_of.TopologicalLoss(self.neighbours, *name.split(", ")) for name in ALONE]
        return jnp.stack([one.topology(places, temperature) for one in each])[self.number]


def any_pull(number: jax.Array) -> AnyPull:
    """The loss with the pull ``ALONE[number]``."""
    usual = model_of.topological_loss(vectors(), num_neighbours=NEAR)
    return AnyPull(usual.neighbours, usual.pull, usual.form, number)


@functools.partial(jax.jit, static_argnums=3)
def _fitted(number: jax.Array, key: jax.Array, rows: jax.Array, num_steps: int) -> tuple[Variables, Fit]:
    model = model_of.topological(words=len(WORDS), width=WIDTH, side=SIDE)
    start = model.init(key)
    return start, fit(
        model, any_pull(number), rows, key=key, num_steps=num_steps, hyper={"learning_rate": RATE}, optimiser=clipped,
        variables=start, record_every=1, evaluate=lambda model, variables, key: {},
        stop=lambda record: record["right"] >= ENOUGH,
    )  # fmt: skip


@jax.jit
def _scores(variables: Variables, rows: jax.Array, by_products: jax.Array) -> dict[str, jax.Array]:
    model = model_of.topological(words=len(WORDS), width=WIDTH, side=SIDE)
    return judged(model, variables, rows, by_products)


class Places:
    """The part of the model from vectors to places, with the temperature of the published pull."""

    layers = model_of.projector(2)

    def init(self, key: jax.Array) -> Variables:
        """Initial weights."""
        made = layers.initial(self.layers, key, jnp.zeros((2, WIDTH)))
        return {"params": {"projector": made["params"], "temperature": jnp.ones(())}, "state": made["state"]}

    def apply(self, variables: Variables, rows: jax.Array, *, key: jax.Array | None = None, train: bool = False) -> Any:
        """Places `[N, 2]`."""
        own = {"params": variables["params"]["projector"], "state": variables["state"]}
        return jnp.tanh(layers.applied(self.layers, own, rows, key=key, train=train)[0])


def pulled(number: jax.Array, key: jax.Array, rows: jax.Array, *, num_steps: int) -> dict[str, jax.Array]:
    """Places trained by the pull alone, judged; spread, the pull and its temperature before and after `[2]`.

    Args:
        number: of the pull, in ``ALONE`` `[]`.
        key: of weights and dropout.
        rows: vectors `[36, D]`.
        num_steps: how many (static).
    """
    pulling = any_pull(number)

    def objective(model: Places, variables: Variables, batch: jax.Array, key: jax.Array) -> Any:
        places = model.apply(variables, batch, key=key, train=True)
        return 0.5 * pulling.topology(places, variables["params"]["temperature"]), (variables["state"], {})

    model = Places()
    start = model.init(key)
    made = fit(
        model, objective, rows, key=key, num_steps=num_steps, hyper={"learning_rate": RATE}, optimiser=clipped,
        variables=start,
    )  # fmt: skip
    both = (start, made.variables)
    each = [model.apply(variables, rows) for variables in both]
    warmth = [variables["params"]["temperature"] for variables in both]
    kept = geometry.preservation(rows, each[1], num_neighbours=NEAR, metric="cosine")
    by_products = jnp.asarray([name.endswith("products") for name in ALONE])[number]
    return {
        "pull_overlap": kept.overlap,
        "pull_trustworthiness": kept.trustworthiness,
        "pull_continuity": kept.continuity,
        "pull_correlation": kept.rank_correlation,
        "pull_published": overlap_published(rows, each[1], by_products),
        "pull_spread": jnp.stack([spread(places) for places in each]),
        "pull_loss": jnp.stack([pulling.topology(*pair) for pair in zip(each, warmth, strict=True)]),
        "pull_temperature": jnp.stack(warmth),
    }


def spread(places: jax.Array) -> jax.Array:
    """Standard deviation of places, over both axes `[]`."""
    return jnp.sqrt(jnp.mean(jnp.var(places, axis=0)))


def clipped(learning_rate: jax.Array) -> optax.GradientTransformation:
    """Adam, of gradients that are cut to length 1."""
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(learning_rate))


def judged(
    model: model_of.Topological, variables: Variables, rows: jax.Array, by_products: ArrayLike
) -> dict[str, jax.Array]:
    """The published scores, and the overlap by distances that are right.

    Args:
        model: the model.
        variables: its weights.
        rows: vectors `[36, D]`.
        by_products: whether the published score has distances by products `[]`.
    """
    (places, patterns, logits), _ = model.apply(variables, rows)
    right = jnp.mean(jnp.argmax(logits, axis=1) == jnp.arange(len(WORDS)))
    kept = geometry.preservation(rows, places, num_neighbours=NEAR, metric="cosine")
    composed = composition(model, variables, patterns)
    seen = interpretability(patterns)
    published = overlap_published(rows, places, by_products)
    return {
        "reconstruction": right,
        "overlap_published": published,
        "overlap": kept.overlap,
        "trustworthiness": kept.trustworthiness,
        "continuity": kept.continuity,
        "rank_correlation": kept.rank_correlation,
        "composition": composed,
        "interpretability": seen,
        "overall": (right + published + composed + seen) / 4,
        "spread": spread(places),
    }


def overlap_published(rows: jax.Array, places: jax.Array, by_products: ArrayLike) -> jax.Array:
    """Share of the nearest by meaning among the nearest in the plane: of the k + 1 best the first is dropped, as
    itself.

    Args:
        rows: vectors `[N, D]`.
        places: `[N, d]`.
        by_products: whether distances in the plane are by products, else by differences `[]`.
    """
    unit = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
    meant = jax.lax.top_k(unit @ unit.T, NEAR + 1)[1][:, 1:]
    products, differences = (model_of.distances_squared(places, form) for form in ("products", "differences"))
    there = jax.lax.top_k(-jnp.sqrt(jnp.where(by_products, products, differences)), NEAR + 1)[1][:, 1:]
    return jnp.mean((meant[:, :, None] == there[:, None]).any(axis=2))


def composition(model: model_of.Topological, variables: Variables, patterns: jax.Array) -> jax.Array:
    """Share of the two words among the first five that the mean of their patterns is read as."""
    number = np.array([[WORDS.index(word) for word in pair] for pair in PAIRS])
    logits = model.read(variables, patterns[number].mean(axis=1))
    best = jax.lax.top_k(logits, TOP)[1]
    return jnp.mean((best[:, :, None] == jnp.asarray(number)[:, None]).any(axis=1))


def interpretability(patterns: jax.Array) -> jax.Array:
    """The published score: variance in space, smoothness and likeness of channels, averaged; none is about meaning."""
    varied = jnp.var(patterns, axis=(1, 2), ddof=1).mean(axis=1)
    rough = sum(jnp.abs(jnp.diff(patterns, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2))
    flat = patterns.reshape(len(patterns), -1, 3)
    centred = flat - flat.mean(axis=1, keepdims=True)
    size = jnp.sqrt(jnp.sum(centred**2, axis=1))
    alike = jnp.einsum("nca,ncb->nab", centred, centred) / jnp.maximum(size[:, :, None] * size[:, None], 1e-12)
    channels = jnp.abs(alike[:, [0, 0, 1], [1, 2, 2]]).mean(axis=1)
    return jnp.mean((varied + 1 / (1 + rough) + channels) / 3)
