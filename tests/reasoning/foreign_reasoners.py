"""Reasoners of kinds that the suite does not have, none of them a ``Reasoner``: they write a file, as any user's would.

Each is three functions of NumPy arrays: ``write`` puts a memory into slots, ``read`` answers from picture, question
and memory. Nothing attends to anything unless said. The task: two digits of 0 to 3, shown as noisy one-hot pixels, and
a question, whether to add or to subtract them modulo 4. They were written, and their truths said, before a diagnostic
was run on any of them.

| kind | what is foreign | the answer depends on the memory |
|---|---|---|
| `echo` | a fixed random recurrence; only a linear reading of three echoes is fitted | yes: it reads nothing else |
| `late` | the last slot's length opens a nonlinear gate, late, for pictures that are hard to read | partly |
| `recurrent` | a trained gated recurrence, read beside the picture, which was hidden half of the time | measured |
| `unread` | the memory says steps and answer; the reader projects exactly that away, and draws its answers | no |
| `amnesic` | a trained recurrence that is taught to say the steps; the answer reads the state before them | no |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

VALUES, NOISE, WIDTH = 4, 0.45, 24


class Questions(NamedTuple):
    """Items: pictures `[n, 2, 4]`, whether to subtract `[n]`, digits `[n, 2]`, answers `[n]`."""

    picture: np.ndarray
    subtract: np.ndarray
    digits: np.ndarray
    answer: np.ndarray


class Foreign(NamedTuple):
    """``write(items, random)`` gives a memory `[n, slots, width]`, ``read(items, memory)`` logits `[n, 4]`."""

    write: Callable[[Questions, np.random.Generator], np.ndarray]
    read: Callable[[Questions, np.ndarray], np.ndarray]
    draws: bool = False  # answers are drawn from the softmax, with new lots in every run


def questions(random: np.random.Generator, count: int) -> Questions:
    """Draw items."""
    digits = random.integers(0, VALUES, (count, 2))
    subtract = random.integers(0, 2, count)
    answer = (digits[:, 0] + np.where(subtract, -1, 1) * digits[:, 1]) % VALUES
    picture = np.eye(VALUES)[digits] + NOISE * random.normal(size=(count, 2, VALUES))
    return Questions(picture, subtract, digits, answer)


def other_picture(items: Questions) -> Questions:
    """The same questions about the next item's picture."""
    digits = np.roll(items.digits, -1, axis=0)
    answer = (digits[:, 0] + np.where(items.subtract, -1, 1) * digits[:, 1]) % VALUES
    return Questions(np.roll(items.picture, -1, axis=0), items.subtract, digits, answer)


def _seen(items: Questions) -> np.ndarray:
    """The answer that the likeliest digits give `[n]`."""
    digits = items.picture.argmax(-1)
    return (digits[:, 0] + np.where(items.subtract, -1, 1) * digits[:, 1]) % VALUES


def echo(seed: int) -> Foreign:
    """A random recurrence echoes the picture through three steps without input; a linear map reads the echoes."""
    random = np.random.default_rng([seed, 1])
    size = 160
    recurrent = 0.9 * np.linalg.qr(random.normal(size=(size, size)))[0]
    given = random.normal(size=(2 * VALUES + 2, size))

    def write(items: Questions, _: np.random.Generator) -> np.ndarray:
        flat = np.concatenate([items.picture.reshape(-1, 2 * VALUES), np.eye(2)[items.subtract]], axis=1)
        state, echoes = np.tanh(flat @ given), []
        for _step in range(3):
            state = np.tanh(state @ recurrent)
            echoes.append(state)
        return np.stack(echoes, axis=1)

    taught = questions(random, 6000)
    features = write(taught, random).reshape(6000, -1)
    gram = features.T @ features + 3.0 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ (8 * np.eye(VALUES)[taught.answer] - 2))
    return Foreign(write, lambda items, memory: memory.reshape(len(memory), -1) @ weights)


def late(seed: int) -> Foreign:
    """The reader looks at the picture; a long last slot, written for pictures that are hard to read, overrules it."""
    random = np.random.default_rng([seed, 2])
    codes = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0][:VALUES]
    mixing = random.normal(size=(2 * VALUES, WIDTH))

    def write(items: Questions, glimpse: np.random.Generator) -> np.ndarray:
        clear = items.picture - 0.7 * (items.picture - np.eye(VALUES)[items.digits])  # a longer look: less noise
        ordered = np.sort(items.picture, axis=-1)
        margin = (ordered[..., -1] - ordered[..., -2]).min(axis=-1)
        length = 0.5 + 1.0 / (1.0 + np.exp(10 * (margin - 0.15)))
        last = length[:, None] * codes[_seen(items._replace(picture=clear))]
        chatter = [np.sin((k + 1) * items.picture.reshape(-1, 2 * VALUES) @ mixing) for k in range(3)]
        return np.stack([*chatter, last], axis=1)

    def read(items: Questions, memory: np.ndarray) -> np.ndarray:
        last = memory[:, -1]
        gate = 1 / (1 + np.exp(-20 * (np.linalg.norm(last, axis=-1, keepdims=True) - 1.2)))
        return (1 - gate) * 5 * np.eye(VALUES)[_seen(items)] + gate * 8 * last @ codes.T

    return Foreign(write, read)


def unread(seed: int) -> Foreign:
    """Slots hold digits and answer, plain to any probe; values are taken orthogonally to all that they hold."""
    random = np.random.default_rng([seed, 3])
    basis = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    codes, rest = basis[: 3 * VALUES].reshape(3, VALUES, WIDTH), basis[3 * VALUES :]
    values = rest.T @ random.normal(size=(len(rest), VALUES))  # codes @ values is 0

    def write(items: Questions, noise: np.random.Generator) -> np.ndarray:
        said = np.stack([codes[0][items.digits[:, 0]], codes[1][items.digits[:, 1]], codes[2][items.answer]], axis=1)
        return said + 0.1 * noise.normal(size=said.shape)

    def read(items: Questions, memory: np.ndarray) -> np.ndarray:
        score = memory @ codes[:, :, :].sum((0, 1))  # attention to slots, by their own codes
        weights = np.exp(score - score.max(-1, keepdims=True))
        looked = np.einsum("ns,nsw->nw", weights / weights.sum(-1, keepdims=True), memory)
        return 4 * np.eye(VALUES)[_seen(items)] + 0.05 * looked @ values

    return Foreign(write, read, draws=True)


@functools.cache
def trained(num_seeds: int, amnesic: bool) -> Any:
    """Weights of gated recurrences `[seeds, ...]` on NumPy arrays; one compiled program."""
    import jax
    import jax.numpy as jnp
    import optax

    shapes = {
        "given": (2 * VALUES + 2, 3 * WIDTH), "recurrent": (WIDTH, 3 * WIDTH), "said": (WIDTH, VALUES),
        "hidden": (WIDTH + 2 * VALUES + 2, 48), "answer": (48, VALUES),
    }  # fmt: skip
    random = np.random.default_rng([7, int(amnesic)])
    start = {
        name: (random.normal(size=(num_seeds, *shape)) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in shapes.items()
    }
    optimiser = optax.adam(5e-3)

    def loss(weights: Any, key: Any) -> Any:
        keys = jax.random.split(key, 4)
        digits = jax.random.randint(keys[0], (64, 2), 0, VALUES)
        subtract = jax.random.randint(keys[1], (64,), 0, 2)
        answer = (digits[:, 0] + jnp.where(subtract, -1, 1) * digits[:, 1]) % VALUES
        picture = jnp.eye(VALUES)[digits] + NOISE * jax.random.normal(keys[2], (64, 2, VALUES))
        start, states = _recurred(jnp, weights, picture, jnp.eye(2)[subtract])
        shown = picture * jax.random.bernoulli(keys[3], 0.5, (64, 1, 1))
        logits = _answered(jnp, weights, start if amnesic else states[:, -1], shown, jnp.eye(2)[subtract])
        total = optax.softmax_cross_entropy_with_integer_labels(logits, answer).mean()
        for step, word in enumerate((digits[:, 0], digits[:, 1], answer) if amnesic else ()):
            total += optax.softmax_cross_entropy_with_integer_labels(states[:, step] @ weights["said"], word).mean()
        return total

    def train(weights: Any, seed: Any) -> Any:
        def step(carry: Any, number: Any) -> Any:
            weights, state = carry
            slopes = jax.grad(loss)(weights, jax.random.fold_in(jax.random.key(seed), number))
            moves, state = optimiser.update(slopes, state)
            return (optax.apply_updates(weights, moves), state), None

        return jax.lax.scan(step, (weights, optimiser.init(weights)), jnp.arange(2000))[0][0]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(train))(start, np.arange(num_seeds)))


def _recurred(np: Any, weights: Any, picture: Any, question: Any) -> tuple[Any, Any]:
    """State after picture and question `[n, width]`, and after each of three steps without input `[n, 3, width]`."""

    def step(state: Any, given: Any) -> Any:
        drive, back = given, state @ weights["recurrent"]
        keep = 1 / (1 + np.exp(-(drive[:, :WIDTH] + back[:, :WIDTH])))
        reset = 1 / (1 + np.exp(-(drive[:, WIDTH : 2 * WIDTH] + back[:, WIDTH : 2 * WIDTH])))
        return keep * state + (1 - keep) * np.tanh(drive[:, 2 * WIDTH :] + reset * back[:, 2 * WIDTH :])

    parts = [
        picture[:, 0] @ weights["given"][:VALUES],
        picture[:, 1] @ weights["given"][VALUES : 2 * VALUES],
        question @ weights["given"][2 * VALUES :],
    ]
    state = np.zeros((len(picture), WIDTH))
    for part in parts:
        state = step(state, part)
    start, states = state, []
    for _ in range(3):
        state = step(state, 0 * parts[0])
        states.append(state)
    return start, np.stack(states, axis=1)


def _answered(np: Any, weights: Any, state: Any, picture: Any, question: Any) -> Any:
    flat = np.concatenate([state, picture.reshape(len(picture), -1), question], axis=1)
    return np.tanh(flat @ weights["hidden"]) @ weights["answer"]


def _of_weights(weights: Any, amnesic: bool) -> Foreign:
    def read(items: Questions, memory: np.ndarray) -> np.ndarray:
        question = np.eye(2)[items.subtract]
        state = _recurred(np, weights, items.picture, question)[0] if amnesic else memory[:, -1]
        return _answered(np, weights, state, items.picture, question)

    return Foreign(lambda items, _: _recurred(np, weights, items.picture, np.eye(2)[items.subtract])[1], read)


def recurrent(seed: int, num_seeds: int = 20) -> Foreign:
    """One of ``num_seeds`` trained gated recurrences whose last state is read together with the picture."""
    return _of_weights({name: leaf[seed] for name, leaf in trained(num_seeds, False).items()}, False)


def amnesic(seed: int, num_seeds: int = 20) -> Foreign:
    """The same, but the answer reads the state before the steps, which are taught to say digits and answer."""
    return _of_weights({name: leaf[seed] for name, leaf in trained(num_seeds, True).items()}, True)


KINDS: dict[str, Callable[[int], Foreign]] = {
    "echo": echo, "late": late, "recurrent": recurrent, "unread": unread, "amnesic": amnesic,
}  # fmt: skip
# Where construction says so; the others are measured.
TRUTH = {"echo": True, "late": True, "unread": False, "amnesic": False}


def changed(one: Foreign, seed: int, count: int = 20_000) -> float:
    """Share of answers that are another under the next item's memory, the lots of drawn answers held fixed."""
    random = np.random.default_rng([seed, 5])
    items = questions(random, count)
    memory = one.write(items, random)
    lots = random.gumbel(size=(count, VALUES)) if one.draws else 0.0
    before, after = (one.read(items, each) + lots for each in (memory, np.roll(memory, -1, axis=0)))
    return float((before.argmax(-1) != after.argmax(-1)).mean())


def exported(one: Foreign, seed: int, count: int) -> dict[str, np.ndarray]:
    """What the page asks users to save: outcomes, arms, memory, and the margins of an exchange."""
    random = np.random.default_rng([seed, 6])
    items = questions(random, count)
    others = other_picture(items)
    memory, foreign = one.write(items, random), one.write(others, random)

    def answered(logits: np.ndarray) -> np.ndarray:
        return (logits + (random.gumbel(size=logits.shape) if one.draws else 0)).argmax(-1)

    def margin(asked: Questions, written: np.ndarray) -> np.ndarray:
        logits, rows = one.read(asked, written), np.arange(count)
        return logits[rows, others.answer] - logits[rows, items.answer]

    clean = one.read(items, memory)
    arrays = {"targets": items.answer, "answers": answered(clean), "logits": clean, "latents": memory}
    arrays |= {f"labels/step {step + 1}": items.digits[:, step] for step in range(2)}
    arms = {
        "donor": np.roll(memory, -1, axis=0),
        "unrelated": np.roll(memory, -2, axis=0),
        "mean": np.broadcast_to(memory.mean(axis=0), memory.shape),
        "zero": np.zeros_like(memory),
    }
    for name, written in arms.items():
        arrays[f"arm/{name}/answers"] = answered(one.read(items, written))
        arrays[f"arm/{name}/logits"] = one.read(items, written)
    arrays |= {"arm/donor/donor_targets": np.roll(items.answer, -1), "arm/donor/control": np.asarray("unrelated")}
    arrays["types"] = items.subtract
    runs = {"factual": (items, memory), "image_exchanged": (others, memory)}
    runs |= {"latents_exchanged": (items, foreign), "both_exchanged": (others, foreign)}
    arrays |= {f"mediation/{name}": margin(*pair) for name, pair in runs.items()}
    return {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}
