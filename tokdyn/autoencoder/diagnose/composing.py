"""A small autoencoder that any combination of primitives fits: one program for choices, one for numbers as codes.

Every primitive is a number, so that combinations share a compiled program and train side by side.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tokdyn import draws, keys
from tokdyn.autoencoder import bottlenecks, decoders, encoders
from tokdyn.autoencoder.base import Code, Variables, autoencoder
from tokdyn.autoencoder.diagnose.faults import CHANNELS, EMBEDDING, PUBLISHED, RESERVED, SIZE, WIDTH, frequencies_of
from tokdyn.autoencoder.diagnose.measurements import Words, measure
from tokdyn.dynamics.parts import part, static
from tokdyn.train import fit

CELLS, STEPS, RECORDS, BATCH, VALIDATION, BLOCK = 16, 160, 10, 48, 48, 16
LOSSES = ("cross-entropy", "squared error", "binary cross-entropy", "focal loss", "margin loss")
CODES = ("gumbel", "straight-through", "categorical", "sigmoid", "numbers", "rounded levels")
OPTIMISERS = ("adam", "momentum", "rmsprop")
# A sound member; what each number does is said where it is read.
PLAIN: dict[str, float] = {
    "zipf": 0.0, "common": 0.0, "subset": 1.0, "garbled": 0.0, "colliding": 1.0, "loss": 0.0, "smoothing": 0.0,
    "double_softmax": 0.0, "shuffled": 0.0, "shift": 0.0, "merged": 1.0, "scale": 1.0, "temperature": 1.0,
    "uncounted": 0.0, "doubt": 0.0, "code": 0.0, "dropout": 0.0, "heard": 1.0, "published": 0.0, "noise": 0.0,
    "moved_answers": 0.0, "optimiser": 0.0, "learning_rate": 1e-2, "decay": 0.0, "penalty": 0.0, "encoder_rate": 1.0,
    "decoder_rate": 1.0, "gradient_noise": 0.0, "moving": 1.0, "text": 1.0, "unknown": 0.0,
    "clip": 1e9, "neighbour": 0.0, "to_and_fro": 0.0,
    "always_garbled": 0.0, "pooled": 0.0, "scrambled": 0.0, "reversed_at_evaluation": 0.0, "mean_answer": 0.0,
    "one_rival": 0.0, "sign_lost": 0.0, "misplaced": 0.0, "late_reset": 0.0,
    "one_word": 0.0, "any_certainty": 0.0, "cap": 1e9, "twins": 0.0, "another_row": 0.0, "coarse": 0.0, "climbs": 0.0,
    "swapped": 0.0,
}  # fmt: skip
UNIT = {"embedding_std": 1.0, "hidden_gain": 2.0**0.5, "output_std": 1.5 / WIDTH**0.5}


@part
class _Reading:
    """An encoder of inputs that may be garbled in training, or fall together."""

    inner: Any
    garbled: jax.Array
    always: jax.Array
    colliding: jax.Array
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()

    def init(self, key: jax.Array) -> Variables:
        return self.inner.init(key)

    def apply(self, variables: Variables, ids: jax.Array, *, key: jax.Array | None, train: bool) -> tuple[Any, Any]:
        ids = jnp.floor(ids / self.colliding) * self.colliding
        if key is not None:
            share = jnp.maximum(self.garbled, self.always) if train else self.always
            lost = draws.uniform(keys.for_purpose(key, "lost"), ids.shape) < share
            other = draws.uniform(keys.for_purpose(key, "other"), ids.shape) * SIZE
            ids = jnp.where(lost, jnp.floor(other), ids)
        return self.inner.apply(variables, ids.astype(jnp.int32), key=key, train=train)


@part
class _Coding:
    """One of several bottlenecks without weights, by number."""

    kind: jax.Array
    numbers: bool = static()

    def init(self, key: jax.Array, channels: int) -> Variables:
        return {"params": {}, "state": {}}

    def apply(self, variables: Variables, inputs: jax.Array, **named: Any) -> tuple[Code, Any]:
        if self.numbers:
            squashed = jnp.tanh(inputs)
            rounded = squashed + jax.lax.stop_gradient(jnp.round(squashed) - squashed)
            values = jnp.stack([jax.nn.sigmoid(inputs), inputs, rounded])[self.kind - 3]
            return Code(values, None, jnp.zeros(())), {}
        choices = (bottlenecks.gumbel(), bottlenecks.straight_through(), bottlenecks.categorical())
        codes = [choice.apply(variables, inputs, **named)[0] for choice in choices]
        # A branch that is not taken passes a gradient of exactly 0.
        return jax.tree.map(lambda *leaves: jnp.stack(leaves)[self.kind], *codes), {}


@part
class _Answering:
    """A decoder that may hear little, hear noise, drop most of what it hears, or answer for another word in the end."""

    inner: Any
    numbers: dict[str, Any]
    vocabulary_size: int = static()

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        return self.inner.init(key, cells, channels)

    def apply(self, variables: Variables, values: jax.Array, *, key: jax.Array | None, train: bool) -> tuple[Any, Any]:
        values = jnp.where(self.numbers["neighbour"] > 0, jnp.roll(values, 1, axis=0), values)
        values = jnp.where(self.numbers["pooled"] > 0, jnp.mean(values, axis=1, keepdims=True), values)
        if key is not None:
            order = jnp.argsort(draws.uniform(keys.for_purpose(key, "order"), values.shape[:2]), axis=1)
            mixed = jnp.take_along_axis(values, order[:, :, None], axis=1)
            values = jnp.where(self.numbers["scrambled"] > 0, mixed, values)
        if not train:
            values = jnp.where(self.numbers["reversed_at_evaluation"] > 0, values[:, ::-1], values)
        heard = values * self.numbers["heard"]
        if key is not None:
            noise = draws.normal(keys.for_purpose(key, "noise"), values.shape)
            heard = heard + self.numbers["noise"] * noise
        if train and key is not None:
            kept = draws.uniform(keys.for_purpose(key, "kept"), values.shape) >= self.numbers["dropout"]
            heard = jnp.where(kept, heard / (1.0 - self.numbers["dropout"]), 0.0)
        logits, state = self.inner.apply(variables, heard, key=key, train=train)
        other = logits + jnp.where(
            jnp.arange(SIZE) % 2 == 0, jnp.roll(logits, -1, axis=-1), jnp.roll(logits, 1, axis=-1)
        )
        logits = jnp.where(self.numbers["twins"] > 0, 0.5 * other, logits)
        if train:
            logits = jnp.where(self.numbers["another_row"] > 0, jnp.roll(logits, 1, axis=0), logits)
        logits = jnp.clip(logits, -self.numbers["clip"], self.numbers["clip"])
        if not train:
            logits = jnp.where(self.numbers["moved_answers"] > 0, jnp.roll(logits, 1, axis=-1), logits)
        return logits, state


def _loss(numbers: dict[str, Any], model: Any, variables: Variables, ids: jax.Array, key: jax.Array) -> Any:
    """The chosen loss, with what may be wrong with it: ``(loss, (state, metrics))``."""
    output, state = model.apply(variables, ids, key=keys.for_purpose(key, "model"), train=True)
    shuffled = jax.random.permutation(keys.for_purpose(key, "targets"), ids)
    targets = jnp.where(numbers["shuffled"] > 0, shuffled, ids)
    targets = jnp.where(numbers["shift"] > 0, jnp.roll(targets, 1), targets)
    targets = (jnp.floor(targets / numbers["merged"]) * numbers["merged"]).astype(jnp.int32)
    own = jax.nn.one_hot(targets, SIZE)
    logits = output.logits / numbers["temperature"]
    logits = jnp.where(numbers["mean_answer"] > 0, jnp.mean(logits, axis=0, keepdims=True), logits)
    logits = jnp.where(numbers["double_softmax"] > 0, jax.nn.softmax(logits), logits)
    log_p = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    right = jnp.sum(own * logits, axis=1)
    smooth = (1.0 - numbers["smoothing"]) * own + numbers["smoothing"] / SIZE
    rows = jnp.stack([
        -jnp.sum(smooth * log_p, axis=1),
        jnp.sum((p - own) ** 2, axis=1),
        jnp.sum(optax.sigmoid_binary_cross_entropy(logits, own), axis=1),
        -jnp.sum(own * (1.0 - p) ** 2 * log_p, axis=1),
        jnp.sum(jax.nn.relu(1.0 + logits - right[:, None]) * (1.0 - own), axis=1) / 4.0,
    ])[numbers["loss"].astype(jnp.int32)]  # fmt: skip
    rival = jnp.sum(jnp.roll(own, 1, axis=1) * logits, axis=1)
    rows = jnp.where(numbers["one_rival"] > 0, jax.nn.softplus(rival - right), rows)
    rows = jnp.where(numbers["any_certainty"] > 0, -jnp.max(log_p, axis=1), rows)
    rows = jnp.minimum(rows, numbers["cap"])
    counted = jnp.where(ids >= SIZE * (1.0 - numbers["uncounted"]), 0.0, 1.0)
    doubt = -jnp.sum(p * log_p, axis=1)
    squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(variables["params"]))
    answers = jnp.mean(counted * rows - numbers["doubt"] * doubt)
    return numbers["scale"] * answers + numbers["penalty"] * squares, (state, {})


class _Memory(NamedTuple):
    first: Any
    second: Any
    steps: jax.Array


def _optimiser(**numbers: Any) -> optax.GradientTransformation:
    """Adam, momentum or RMSprop, with decoupled decay and with what may be wrong with an update."""

    def init(params: Any) -> _Memory:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return _Memory(zeros, zeros, jnp.zeros((), jnp.int32))

    def update(gradients: Any, memory: _Memory, params: Any = None) -> tuple[Any, _Memory]:
        count = memory.steps + 1
        kind = numbers["optimiser"].astype(jnp.int32)
        noise = jax.random.fold_in(jax.random.key(0), count)

        def noisy(slope: jax.Array, place: int) -> jax.Array:
            size = numbers["gradient_noise"] * jnp.sqrt(jnp.mean(slope**2))
            return slope + size * draws.normal(jax.random.fold_in(noise, place), slope.shape, slope.dtype)

        def moved_by_one(slope: jax.Array) -> jax.Array:
            return jnp.where(numbers["misplaced"] > 0, jnp.roll(slope.reshape(-1), 1).reshape(slope.shape), slope)

        def turned(slope: jax.Array) -> jax.Array:
            return jnp.where(numbers["swapped"] > 0, jnp.flip(slope), slope)

        gradients = jax.tree.map(turned, jax.tree.map(moved_by_one, gradients))
        leaves, structure = jax.tree.flatten(gradients)
        gradients = jax.tree.unflatten(structure, [noisy(leaf, place) for place, leaf in enumerate(leaves)])
        keep = jnp.array([0.9, 0.9, 0.0])[kind]
        first = jax.tree.map(lambda m, g: keep * m + (1.0 - keep) * g, memory.first, gradients)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, memory.second, gradients)
        back = (numbers["to_and_fro"] > 0) & (count % 2 == 0)
        rate = jnp.where(back, -1.0, 1.0) * numbers["learning_rate"]

        def step(m: jax.Array, v: jax.Array, w: jax.Array, place: int) -> jax.Array:
            root = jnp.sqrt(v / (1.0 - 0.99**count)) + 1e-8
            steps = jnp.stack([m / (1.0 - 0.9**count) / root, m, m / root])[kind]
            steps = jnp.where(numbers["sign_lost"] > 0, jnp.abs(steps), steps)
            kept = draws.uniform(jax.random.fold_in(jax.random.key(1), place), w.shape) < numbers["moving"]
            usual = jnp.where(kept, -rate * steps - jnp.minimum(jnp.abs(rate) * numbers["decay"], 0.5) * w, 0.0)
            fresh = 0.1 * draws.normal(jax.random.fold_in(jax.random.key(2), place), w.shape, w.dtype)
            reset = (numbers["late_reset"] > 0) & (count == STEPS - STEPS // 20)
            usual = jnp.where((numbers["climbs"] > 0) & (count > STEPS // 2), -usual, usual)
            grain = jnp.where(numbers["coarse"] > 0, numbers["coarse"], 1.0)
            rounded = grain * jnp.round((w + usual) / grain) - w
            usual = jnp.where(numbers["coarse"] > 0, rounded, usual)
            return jnp.where(reset, fresh - w, usual)

        triples = zip(*(jax.tree.leaves(tree) for tree in (first, second, params)), strict=True)
        moved = [step(m, v, w, place) for place, (m, v, w) in enumerate(triples)]
        updates = jax.tree.unflatten(structure, moved)
        for name in ("encoder", "decoder"):
            factor = numbers[f"{name}_rate"]
            updates = {**updates, name: jax.tree.map(lambda leaf, factor=factor: factor * leaf, updates[name])}
        return updates, _Memory(first, second, count)

    return optax.GradientTransformation(init, update)


def composed(with_numbers: bool, numbers: dict[str, Any], key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
    """Train one combination and measure it: ``(measurements, losses [records])``; pure.

    Args:
        with_numbers: whether codes are numbers, without indices; static.
        numbers: the values of ``PLAIN``'s names `[]`.
        key: of everything.
    """
    scales: Any = {name: jnp.where(numbers["published"] > 0, PUBLISHED[name], UNIT[name]) for name in UNIT}
    table = encoders.table(
        vocabulary_size=SIZE,
        cells=CELLS,
        channels=CHANNELS,
        embedding=EMBEDDING,
        width=WIDTH,
        output_bias=0.0,
        **scales,
    )
    model = autoencoder(
        _Reading(table, numbers["garbled"], numbers["always_garbled"], numbers["colliding"], SIZE, CELLS, CHANNELS),
        _Coding(numbers["code"].astype(jnp.int32), with_numbers),
        _Answering(decoders.dense(vocabulary_size=SIZE, width=WIDTH), numbers, SIZE),
    )
    shares = frequencies_of(numbers["zipf"], numbers["common"])
    allowed = jnp.arange(SIZE) < RESERVED + jnp.round(numbers["subset"] * (SIZE - RESERVED))

    def drawn(key: jax.Array, count: int, shares: jax.Array) -> jax.Array:
        cumulated = jnp.cumsum(shares) / jnp.sum(shares)
        places = jnp.searchsorted(cumulated, jax.random.uniform(key, (count,)), side="right")
        return jnp.clip(places, RESERVED, SIZE - 1).astype(jnp.int32)

    def batch(key: jax.Array, step: jax.Array) -> jax.Array:
        ids = drawn(key, BATCH, jnp.where(allowed, shares, 0.0))
        return jnp.where(numbers["one_word"] > 0, ids[0], ids)

    loss = functools.partial(_loss, numbers)
    names = (
        "optimiser",
        "learning_rate",
        "decay",
        "encoder_rate",
        "decoder_rate",
        "gradient_noise",
        "moving",
        "to_and_fro",
        "sign_lost",
        "misplaced",
        "late_reset",
        "coarse",
        "climbs",
        "swapped",
    )
    trained = fit(
        model,
        loss,
        batch,
        key=key,
        num_steps=STEPS,
        record_every=STEPS // RECORDS,
        optimiser=_optimiser,
        hyper={name: numbers[name] for name in names},
    )
    text = drawn(keys.for_purpose(key, "validation"), VALIDATION, shares)
    text = jnp.where(jnp.arange(VALIDATION) < jnp.round(numbers["unknown"] * VALIDATION), 1, text)
    found = measure(
        model, trained.variables, model.init(keys.for_purpose(key, "init")), Words(shares, text),
        key=keys.for_purpose(key, "diagnosis"), loss=loss, num_steps=STEPS,
    )  # fmt: skip
    for name in ("validation", "ceiling", "constant"):
        found[f"accuracy.{name}"] = jnp.where(numbers["text"] > 0, found[f"accuracy.{name}"], jnp.nan)
    return found, trained.history["loss"]
