"""Operators in a world with exact truth: parts are learned as codes, and combinations that were never seen are read."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, geometry, keys
from tokdyn.autoencoder import layers
from tokdyn.data import combinations
from tokdyn.geometry import composers
from tokdyn.numerics import squared_distances
from tokdyn.studies.composition.design import CHANNELS, EMBEDDING, SIDE, WORLDS
from tokdyn.studies.composition.published import as_pytorch
from tokdyn.train.fit import fit

SHAPE = (SIDE, SIDE, CHANNELS)
NUMBERS = math.prod(SHAPE)
# Operators that are one program: a number tells them apart.
PROGRAMS: dict[str, dict[str, dict[str, float]]] = {
    "summed": {
        "embedding sum": {"width": EMBEDDING, "scale": 1.0},
        "pattern sum": {"width": NUMBERS, "scale": 1.0},
        "pattern mean": {"width": NUMBERS, "scale": 0.0},
    },
    "convolved": {"untrained convolution": {"trained": 0.0}, "convolution": {"trained": 1.0}},
    "attended": {"attention": {}},
    "bound": {"binding": {}},
    "framed": {"roles": {}},
}
BASE = {"width": float(NUMBERS), "scale": 1.0, "trained": 1.0}
Params = dict[str, Any]


@functools.cache
def world(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(labels [N, F], tokens [N, F], pictures [N, H W 3])``: tokens number the parts of all factors, once each.

    The two objects of a relation are of one vocabulary: the same token stands for an object in either place.
    """
    with jax.ensure_compile_time_eval():  # the same numbers whoever traces
        found = combinations.combinations() if name == "factors" else combinations.relations()
        pictures = np.asarray(found.pictures, np.float32).reshape(len(found.labels), -1)
    counts = found.labels.max(axis=0) + 1
    starts = np.cumsum([0, *counts[:-1]]) if name == "factors" else np.array([0, 0, counts[0]])
    return found.labels, found.labels + starts, pictures


def sizes(name: str) -> tuple[int, ...]:
    """Values of each factor."""
    labels, _, _ = world(name)
    return tuple(int(count) for count in labels.max(axis=0) + 1)


def held_out(name: str, key: jax.Array) -> jax.Array:
    """Which combinations are held out, bool `[N]`: a third of the pairs of shape and colour, a quarter of objects'."""
    labels, _, _ = world(name)
    if name == "factors":
        return combinations.hold_out(key, labels)
    return combinations.hold_out(key, labels, alike=True, modulus=4)


@functools.cache
def count_held_out(name: str) -> int:
    """How many are held out, whatever the key."""
    with jax.ensure_compile_time_eval():
        return int(np.asarray(held_out(name, jax.random.key(0))).sum())


class Parts:
    """Codes of parts, an operator, and a network that reads all factors and draws the picture from the whole."""

    def __init__(self, name: str, program: str, hidden: int, config: dict[str, Any]) -> None:
        _, self.tokens, pictures = world(name)
        self.factors, self.vocabulary = len(WORLDS[name]), int(self.tokens.max()) + 1
        self.sizes, self.program, self.config = sizes(name), program, config
        self.reader = layers.Mlp((hidden,), sum(self.sizes) + pictures.shape[1])
        self.composer: Any = None
        if program == "convolved":
            self.composer = composers.convolution(num_parts=self.factors, channels=CHANNELS)
        if program == "attended":
            self.composer = composers.attention(num_parts=self.factors, shape=SHAPE)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Standard normal codes, a reader as PyTorch has it, and what the operator has."""
        own = {name: keys.for_purpose(key, name) for name in ("parts", "reader", "composer", "roles")}
        shapes = jax.eval_shape(
            lambda key: layers.initial(self.reader, key, jnp.zeros((1, NUMBERS)))["params"], own["reader"]
        )
        reader = as_pytorch(own["reader"], shapes)
        if self.program == "summed":  # numbers that are not there are no inputs
            first = reader["Dense_0"]
            reader["Dense_0"] = {**first, "kernel": first["kernel"] * jnp.sqrt(NUMBERS / self.config["width"])}
        params = {
            "parts": draws.normal(own["parts"], (self.vocabulary, NUMBERS), jnp.result_type(float)),
            "reader": reader,
        }
        state: dict[str, Any] = {}
        if self.composer is not None:
            params["composer"] = self.composer.init(own["composer"])["params"]
        if self.program == "framed":
            state["roles"] = geometry.unitary_codes(own["roles"], self.factors, SHAPE)
        return {"params": params, "state": state}

    def compose(self, variables: dict[str, Any], tokens: jax.Array) -> jax.Array:
        """The codes of combinations `[B, H W C]`, from the numbers of their parts `[B, F]`."""
        params, config = variables["params"], self.config
        codes = params["parts"]
        if self.program == "summed":
            there = jnp.arange(NUMBERS) < config["width"]
            scale = jnp.where(config["scale"] > 0, 1.0, 1 / self.factors)
            return scale * jnp.sum(jnp.where(there, codes, 0)[tokens], axis=1)
        patterns = codes.reshape(-1, *SHAPE)
        if self.program == "bound":
            # Unitary codes have length 1; standard normal ones, the root of the number of their entries.
            own = geometry.unitary(patterns, axes=3)[tokens.T]
            whole = geometry.compose(own, "binding", axes=3) * math.sqrt(NUMBERS)
        elif self.program == "framed":
            # Each part in each role once, rather than once for every combination.
            roles = variables["state"]["roles"]
            own = geometry.bind(roles[:, None], patterns[None], axes=3)
            whole = jnp.sum(own[jnp.arange(self.factors), tokens], axis=1)
        else:
            weights = params["composer"]
            if self.program == "convolved":
                weights = jax.tree.map(
                    lambda of: jnp.where(config["trained"] > 0, of, jax.lax.stop_gradient(of)), weights
                )
            whole = self.composer.apply({"params": weights, "state": {}}, patterns[tokens.T])
        return whole.reshape(len(tokens), NUMBERS)

    def read(self, variables: dict[str, Any], codes: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        """Logits of every factor `[B, values]`, and pictures `[B, H W 3]`."""
        own = {"params": variables["params"]["reader"], "state": {}}
        out = jnp.asarray(layers.applied(self.reader, own, codes, key=None, train=False)[0])
        *logits, pictures = jnp.split(out, np.cumsum(self.sizes), axis=1)
        return logits, pictures


def in_world(
    config: dict[str, Any], key: jax.Array, *, name: str, program: str, num_steps: int, hidden: int
) -> dict[str, jax.Array]:
    """One training on the seen combinations, judged on those held out.

    Args:
        config: ``learning_rate``, and ``width``, ``scale`` and ``trained`` as in ``PROGRAMS``.
        key: of the split and of the initial weights.
        name: "factors" or "relations" (static).
        program: of ``PROGRAMS`` (static).
        num_steps: on all seen combinations at once (static).
        hidden: width of the reader (static).

    Returns:
        Shares of the held-out combinations: ``exact`` (every factor read right), ``unordered`` (all right but for an
        exchange of the two objects), ``drawn`` (the picture nearest to the drawn one is the true one, among all);
        ``seen`` is ``exact`` of the combinations trained on, ``by_factor`` `[F]` the share of each.
    """
    labels, tokens, pictures = (jnp.asarray(of) for of in world(name))
    number = count_held_out(name)
    order = jnp.argsort(held_out(name, keys.for_purpose(key, "split")), stable=True)
    seen, held = order[: len(order) - number], order[len(order) - number :]
    model = Parts(name, program, hidden, config)
    middle = pictures.mean(axis=0)
    spread = jnp.mean((pictures - middle) ** 2)

    def objective(model: Parts, variables: Any, batch: dict[str, jax.Array], key: jax.Array) -> Any:
        logits, drawn = model.read(variables, model.compose(variables, batch["tokens"]))
        told = [
            -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(of), batch["labels"][:, [factor]], axis=1))
            for factor, of in enumerate(logits)
        ]
        missed = jnp.mean((drawn - (batch["pictures"] - middle)) ** 2) / spread
        return sum(told) + missed, (variables["state"], {})

    data = {"labels": labels[seen], "tokens": tokens[seen], "pictures": pictures[seen]}
    made = fit(
        model, objective, data, key=keys.for_purpose(key, "training"), num_steps=num_steps,
        hyper={"learning_rate": config["learning_rate"]},
    )  # fmt: skip

    logits, drawn = model.read(made.variables, model.compose(made.variables, tokens))
    told = jnp.stack([jnp.argmax(of, axis=1) for of in logits], axis=1)
    right = told == labels
    exact = jnp.all(right, axis=1)
    either = exact
    if name == "relations":
        either |= jnp.all(told[:, jnp.array([1, 0, 2])] == labels, axis=1)
    nearest = jnp.argmin(squared_distances(drawn, pictures - middle), axis=1)
    share = {"exact": exact, "unordered": either, "drawn": nearest == jnp.arange(len(labels))}
    return {
        **{name: of[held].mean() for name, of in share.items()},
        "seen": exact[seen].mean(),
        "by_factor": right[held].mean(axis=0),
    }
