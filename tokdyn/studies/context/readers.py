"""Readers of a polyseme's sense in a sentence: each makes a pattern, and all read it out in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from tokdyn import geometry, keys
from tokdyn.geometry import Language, Sentences
from tokdyn.numerics import ratio
from tokdyn.reasoning.transformer import Network, empty_cache
from tokdyn.studies.context.design import DIMENSIONS, MOST_SENSES, POLYSEMES
from tokdyn.train.fit import fit

BATCH = 64
RATE = 0.01
WIDTH, HEADS, LAYERS, HIDDEN = DIMENSIONS, 4, 2, 2 * DIMENSIONS
Params = dict[str, Any]


class Maker(Protocol):
    """What makes the pattern of a sentence's polyseme."""

    width: int

    def init(self, key: jax.Array) -> Params:
        """Initial weights."""
        ...

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """Of tokens `[L, D]`, of which some exist and one, at the place, is the polyseme: `[width]`."""
        ...


def others(mask: jax.Array, place: jax.Array) -> jax.Array:
    """The other words of a sentence `[L]`."""
    return mask & (jnp.arange(mask.shape[0]) != place)


class Alone:
    """The token's own pattern, whatever stands around it."""

    width = DIMENSIONS

    def init(self, key: jax.Array) -> Params:
        """No weights."""
        return {}

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """The token at the place."""
        return tokens[place]


class Average(Alone):
    """The mean of the other words."""

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """As the class says."""
        return _mean(tokens, others(mask, place))


class BySide(Alone):
    """The means of the words before and of those behind, side by side."""

    width = 2 * DIMENSIONS

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """As the class says."""
        order, there = jnp.arange(mask.shape[0]), others(mask, place)
        return jnp.concatenate([_mean(tokens, there & (order < place)), _mean(tokens, there & (order > place))])


class Similar(Alone):
    """The token and what it is connected to, by likeness of the words alone: nothing is trained."""

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """As the class says."""
        sees = mask[:, None] & mask
        weights = geometry.connections(tokens, sees=sees, temperature=float(DIMENSIONS) ** 0.5)
        return geometry.connected(tokens, weights)[place]


class Connected(Alone):
    """A dynamic connection map that is trained: whom a token is connected to, and what passes, by side."""

    def init(self, key: jax.Array) -> Params:
        """Queries, keys, a preference for each side, and a map of patterns for each side."""
        made = jax.random.normal(key, (2, DIMENSIONS, DIMENSIONS)) / DIMENSIONS**0.5
        return {
            "query": made[0], "key": made[1], "side": jnp.zeros(2),
            "maps": jnp.broadcast_to(jnp.eye(DIMENSIONS), (2, DIMENSIONS, DIMENSIONS)),
        }  # fmt: skip

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """As the class says."""
        there, behind = others(mask, place), (jnp.arange(mask.shape[0]) > place).astype(int)
        query = tokens[place] @ params["query"]
        scores = (tokens @ params["key"]) @ query / DIMENSIONS**0.5 + params["side"][behind]
        weights = jax.nn.softmax(jnp.where(there, scores, -jnp.inf))
        passed = jnp.stack([weights * (1 - behind), weights * behind]) @ tokens  # [2, D]
        return tokens[place] + jnp.einsum("sd,sde->e", passed, params["maps"])


class Transformer:
    """Two layers of attention over the same vectors, in a stream of their width."""

    width = WIDTH

    def __init__(self, length: int) -> None:
        self.network = Network(
            words=1, patch_size=0, positions=length, constants=1, width=WIDTH, heads=HEADS, layers=LAYERS,
            hidden=HIDDEN, head="none",
        )  # fmt: skip

    def init(self, key: jax.Array) -> Params:
        """Weights of all layers."""
        return dict(self.network.init(key, jnp.zeros(1, jnp.int32), jnp.zeros((0, 0))))

    def pattern(self, params: Params, tokens: jax.Array, mask: jax.Array, place: jax.Array) -> jax.Array:
        """The last layer's state at the place."""
        length = tokens.shape[0]
        sees = mask | jnp.eye(length, dtype=bool)
        cache = empty_cache(self.network, length, tokens.dtype)
        found, _ = self.network.apply(params, tokens, 0, None, cache, sees, None, method="extend")
        return found.states[place]


class Readers:
    """Makers of patterns, each with a linear score for every sense of every polyseme: the readout is of one kind.

    They share a program and the sentences of each step, but no weight. Adam treats every weight by itself, so that each
    is trained as if it were alone.
    """

    def __init__(self, makers: Mapping[str, Maker], vectors: jax.Array, prior: jax.Array) -> None:
        self.makers, self.vectors, self.prior = dict(makers), vectors, prior

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Weights of the makers, and readouts of zeros."""
        params = {
            name: {
                "maker": maker.init(keys.for_purpose(key, name)),
                "readout": jnp.zeros((POLYSEMES, MOST_SENSES, maker.width)),
                "bias": jnp.zeros((POLYSEMES, MOST_SENSES)),
            }
            for name, maker in self.makers.items()
        }
        return {"params": params, "state": {}}

    def apply(self, variables: dict[str, Any], given: Sentences) -> dict[str, jax.Array]:
        """Log probabilities of the senses by each reader `[N, S]`."""
        word, found = polyseme(given), {}
        tokens = self.vectors[given.words]
        for name, maker in self.makers.items():
            params = variables["params"][name]
            make = jax.vmap(maker.pattern, in_axes=(None, 0, 0, 0))
            patterns = make(params["maker"], tokens, given.mask, given.place)
            scores = jnp.einsum("nd,nsd->ns", patterns, params["readout"][word]) + params["bias"][word]
            found[name] = jax.nn.log_softmax(jnp.where(self.prior[word] > 0, scores, -jnp.inf), axis=1)
        return found


def polyseme(given: Sentences) -> jax.Array:
    """The word that each sentence is about `[N]`."""
    return jnp.take_along_axis(given.words, given.place[:, None], axis=1)[:, 0]


def right(logs: jax.Array, given: Sentences) -> jax.Array:
    """Share of the sentences whose most likely sense is the true one `[]`."""
    return jnp.mean(jnp.argmax(logs, axis=1) == given.sense)


def trained(
    makers: Mapping[str, Maker], vectors: jax.Array, made: Language, given: Sentences, key: jax.Array, steps: int
) -> Callable[[Sentences], dict[str, jax.Array]]:
    """A function of sentences: log probabilities of their senses, by readers trained on others with known senses."""
    readers = Readers(makers, vectors, made.prior)

    def loss(model: Readers, variables: Any, batch: Sentences, key: jax.Array) -> Any:
        each = model.apply(variables, batch).values()
        missed = [-jnp.mean(jnp.take_along_axis(logs, batch.sense[:, None], axis=1)) for logs in each]
        return sum(missed), (variables["state"], {})

    found = fit(readers, loss, given, key=key, num_steps=steps, batch_size=BATCH, hyper={"learning_rate": RATE})
    return lambda sentences: readers.apply(found.variables, sentences)


def by_regions(vectors: jax.Array, made: Language, given: Sentences, asked: Sentences) -> jax.Array:
    """Log masses of a word's sense regions, contracted by the context of a sentence `[N, S]`.

    A sense is the Gaussian region of the mean context words of its training sentences. Covariances of senses with few
    sentences lean on the one that all share.
    """
    points, word = contexts(vectors, given), polyseme(given)
    of_sense = jax.nn.one_hot(word * MOST_SENSES + given.sense, POLYSEMES * MOST_SENSES, axis=0, dtype=points.dtype)
    senses = jax.vmap(lambda weights: geometry.region_of(points, weights=weights))(of_sense)
    shared = ratio(jnp.einsum("s,sde->de", senses.mass, senses.covariance), senses.mass.sum())
    shared = shared + 1e-3 * jnp.trace(shared) / DIMENSIONS * jnp.eye(DIMENSIONS)
    trust = (senses.mass / (senses.mass + 2 * DIMENSIONS))[:, None, None]
    senses = senses._replace(covariance=trust * senses.covariance + (1 - trust) * shared)
    each = jax.vmap(jax.vmap(geometry.log_density, in_axes=(None, 0)), in_axes=(0, None))
    logs = each(senses, contexts(vectors, asked)).T.reshape(-1, POLYSEMES, MOST_SENSES)
    return jnp.take_along_axis(logs, polyseme(asked)[:, None, None], axis=1)[:, 0]


def commonest(given: Sentences, asked: Sentences) -> jax.Array:
    """Share right by the commonest sense of each word among the sentences learned from `[]`."""
    counts = jnp.zeros((POLYSEMES, MOST_SENSES)).at[polyseme(given), given.sense].add(1.0)
    return jnp.mean(jnp.argmax(counts, axis=1)[polyseme(asked)] == asked.sense)


def seen(given: Sentences, asked: Sentences, key: jax.Array) -> jax.Array:
    """Share of sentences that are, word by word, among those learned from `[]`."""
    marks = jax.random.bits(keys.for_purpose(key, "marks"), (given.words.shape[1] + 1,), jnp.uint32)

    def mark(of: Sentences) -> jax.Array:
        columns = jnp.concatenate([of.words, of.place[:, None]], axis=1).astype(jnp.uint32)
        return jnp.sum((columns + 1) * marks, axis=1, dtype=jnp.uint32)

    return jnp.mean((mark(asked)[:, None] == mark(given)).any(axis=1))


def contexts(vectors: jax.Array, given: Sentences) -> jax.Array:
    """Mean of the other words of each sentence `[N, D]`."""
    return jax.vmap(lambda words, mask, place: _mean(vectors[words], others(mask, place)))(
        given.words, given.mask, given.place
    )


def _mean(tokens: jax.Array, there: jax.Array) -> jax.Array:
    return jnp.where(there, 1.0, 0.0) @ tokens / jnp.maximum(there.sum(), 1)
