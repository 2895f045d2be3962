"""The published model end to end, trained and judged as published, and by distances that are right."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tokdyn import geometry
from tokdyn.autoencoder import layers
from tokdyn.geometry import topology as model_of
from tokdyn.studies.meanings import WIDTH, of_words
from tokdyn.studies.topology.design import CLIP, ENOUGH, NEAR, PAIRS, RATE, SETTINGS, SIDE, TOP, WORDS
from tokdyn.train.fit import Variables, fit

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
    pull, form = SETTINGS[condition]
    model = model_of.topological(words=len(WORDS), width=WIDTH, side=SIDE)
    loss = model_of.topological_loss(vectors(), num_neighbours=NEAR, pull=pull, form=form)  # type: ignore[arg-type]
    start = model.init(key)
    made = fit(
        model, loss, rows, key=key, num_steps=num_steps, hyper={"learning_rate": RATE}, optimiser=clipped,
        variables=start, record_every=1, evaluate=lambda model, variables, key: {},
        stop=lambda record: record["right"] >= ENOUGH,
    )  # fmt: skip
    both = [judged(model, variables, rows, form) for variables in (start, made.variables)]
    last = jnp.take(made.history["topology"], made.step - 1)
    return {
        **{name: jnp.stack([one[name] for one in both]) for name in both[0]},
        "steps": made.step,
        "topology": jnp.stack([made.history["topology"][0], last]),
    }


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


def pulled(condition: str, key: jax.Array, rows: jax.Array, *, num_steps: int) -> dict[str, jax.Array]:
    """Places trained by the pull alone: ``overlap`` by right distances, ``overlap_published`` by its own, ``spread``.

    Args:
        condition: one of ``ALONE`` (static).
        key: of weights and dropout.
        rows: vectors `[36, D]`.
        num_steps: how many (static).
    """
    pull, form = condition.split(", ")
    pulling = model_of.topological_loss(vectors(), num_neighbours=NEAR, pull=pull, form=form)  # type: ignore[arg-type]

    def objective(model: Places, variables: Variables, batch: jax.Array, key: jax.Array) -> Any:
        places = model.apply(variables, batch, key=key, train=True)
        return 0.5 * pulling.topology(places, variables["params"]["temperature"]), (variables["state"], {})

    model = Places()
    made = fit(model, objective, rows, key=key, num_steps=num_steps, hyper={"learning_rate": RATE}, optimiser=clipped)
    places = model.apply(made.variables, rows)
    return {
        "pull_overlap": geometry.preservation(rows, places, num_neighbours=NEAR, metric="cosine").overlap,
        "pull_published": overlap_published(rows, places, form),
        "pull_spread": jnp.sqrt(jnp.mean(jnp.var(places, axis=0))),
    }


def clipped(learning_rate: jax.Array) -> optax.GradientTransformation:
    """Adam, of gradients that are cut to length 1."""
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(learning_rate))


def judged(model: model_of.Topological, variables: Variables, rows: jax.Array, form: str) -> dict[str, jax.Array]:
    """The published scores, and the overlap by distances that are right.

    Args:
        model: the model.
        variables: its weights.
        rows: vectors `[36, D]`.
        form: of the published score's distances (static).
    """
    (places, patterns, logits), _ = model.apply(variables, rows)
    right = jnp.mean(jnp.argmax(logits, axis=1) == jnp.arange(len(WORDS)))
    kept = geometry.preservation(rows, places, num_neighbours=NEAR, metric="cosine")
    composed = composition(model, variables, patterns)
    seen = interpretability(patterns)
    published = overlap_published(rows, places, form)
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
        "spread": jnp.sqrt(jnp.mean(jnp.var(places, axis=0))),
    }


def overlap_published(rows: jax.Array, places: jax.Array, form: str) -> jax.Array:
    """Share of the nearest by meaning among the nearest in the plane: of the k + 1 best the first is dropped, as
    itself.

    Args:
        rows: vectors `[N, D]`.
        places: `[N, d]`.
        form: of the distances in the plane (static).
    """
    unit = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
    meant = jax.lax.top_k(unit @ unit.T, NEAR + 1)[1][:, 1:]
    there = jax.lax.top_k(-jnp.sqrt(model_of.distances_squared(places, form)), NEAR + 1)[1][:, 1:]
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
