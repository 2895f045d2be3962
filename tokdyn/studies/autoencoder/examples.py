"""One seed of a few conditions, looked at closely: patterns while they are learned, gradients, the loss at the end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.autoencoder.diagnose.gradients import gradient_flow
from tokdyn.autoencoder.diagnose.landscape import filter_normalised, slice_2d
from tokdyn.studies.autoencoder.design import Condition, condition
from tokdyn.studies.autoencoder.texts import corpus_of
from tokdyn.studies.autoencoder.trainings import batches_of, loss_of, model_of
from tokdyn.train import Fit, fit

WORDS = 12  # shown in the gallery, the commonest first
MATRIX = 48  # words of an association matrix
FRAMES = 10
POINTS = 17  # of a landscape, a side
RADIUS = 1.0


def shown() -> list[Condition]:
    """The published second phase at the larger grid, each of its faults repaired, and both."""
    both = ("double softmax", "published start")
    return [
        condition(*both, name="published", bottleneck="gumbel"),
        condition("published start", name="loss repaired", bottleneck="gumbel"),
        condition("double softmax", name="start repaired", bottleneck="gumbel"),
        condition(name="both repaired", bottleneck="gumbel"),
    ]


def examples(key: int = 0) -> xarray.Dataset:
    """What the figures of single trainings show.

    Args:
        key: seed of the JAX key.

    Returns:
        A Dataset over example: ``example_patterns`` `[example, frame, word, cell, channel]`, ``example_types``
        `[example, frame]`, ``example_association`` `[example, word, word]`, ``example_gradient`` `[example, layer]`,
        ``example_landscape`` `[example, point, point]`.
    """
    conditions = shown()
    seed = keys.for_seed(jax.random.key(key), 0)
    columns = {name: jnp.array([one[name] for one in conditions]) for name, _ in conditions[0].numbers}
    program = conditions[0].program
    text = corpus_of(program.words)
    everything, few = jnp.asarray(text.types), text.types[:WORDS]
    every = program.num_steps // FRAMES

    def train(numbers: dict[str, Any], start: Fit | None, until: jax.Array | int) -> Fit:
        data, size = batches_of(program, numbers["skew"])
        return fit(
            model_of(program, numbers), loss_of(program, numbers), data, key=seed, num_steps=program.num_steps,
            batch_size=size, hyper={"learning_rate": numbers["learning_rate"]}, record_every=every, start=start,
            until=until,
        )  # fmt: skip

    def look(numbers: dict[str, Any], state: Fit) -> dict[str, jax.Array]:
        output = model_of(program, numbers).apply(state.variables, everything, key=seed)[0]
        right = jnp.argmax(output.logits, axis=-1) == everything
        assert output.code.probabilities is not None
        return {"patterns": output.code.probabilities, "types": right.mean()}

    def closely(numbers: dict[str, Any], start: Fit, end: Fit) -> dict[str, Any]:
        model, loss = model_of(program, numbers), loss_of(program, numbers)
        flow = gradient_flow(model, loss, start.variables, everything, key=seed)

        def error(params: Any) -> jax.Array:
            return loss(model, {**end.variables, "params": params}, everything, seed)[0]

        params = end.variables["params"]
        directions = tuple(filter_normalised(keys.for_purpose(seed, name), params) for name in ("across", "along"))
        slices = slice_2d(error, params, (directions[0], directions[1]), radius=RADIUS, points=POINTS)
        return {"gradient": {name: layer.gradient for name, layer in flow.items()}, "landscape": slices.losses}

    state = jax.jit(jax.vmap(lambda numbers: train(numbers, None, 0)))(columns)
    go = jax.jit(jax.vmap(train, (0, 0, None)))
    watch = jax.jit(jax.vmap(look))
    first, frames = state, [watch(columns, state)]
    for frame in range(1, FRAMES + 1):
        state = go(columns, state, jnp.int32(frame * every))
        frames.append(watch(columns, state))
    patterns = np.stack([np.asarray(frame["patterns"]) for frame in frames], axis=1)
    found = jax.jit(jax.vmap(closely))(columns, first, state)
    layers = [name for name in found["gradient"] if name.endswith(("kernel", "embedding"))]
    final = patterns[:, -1, :MATRIX].reshape(len(conditions), MATRIX, -1)
    final = final / np.linalg.norm(final, axis=-1, keepdims=True)
    steps = np.linspace(-RADIUS, RADIUS, POINTS)
    dims = ("example", "frame", "word", "cell", "channel")
    return xarray.Dataset(
        {
            "example_patterns": (dims, patterns[:, :, :WORDS].astype(np.float32)),
            "example_types": (("example", "frame"), np.stack([np.asarray(x["types"]) for x in frames], axis=1)),
            "example_association": (("example", "word_of_matrix", "other"), final @ final.transpose(0, 2, 1)),
            "example_gradient": (("example", "layer"), np.stack([found["gradient"][x] for x in layers], axis=1)),
            "example_landscape": (("example", "across", "along"), np.asarray(found["landscape"])),
        },
        coords={
            "example": [one.name for one in conditions],
            "frame": np.arange(FRAMES + 1) * every,
            "word": [text.words[number] for number in few],
            "layer": layers,
            "across": steps,
            "along": steps,
        },
    )
