"""What each decoder costs beside a transformer of equal size: parameters, operations, memory, seconds of a step."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import xarray

from tokdyn import autoencoder as ae
from tokdyn.autoencoder import layers
from tokdyn.dynamics.parts import part, static
from tokdyn.studies.autoencoder.design import HEALTHY, Program
from tokdyn.studies.autoencoder.trainings import loss_of, model_of
from tokdyn.studies.documents import table
from tokdyn.typing import PyTree

DECODERS = ("linear", "dense", "convolutional", "hybrid", "extreme")
TOKENS = 128  # of a step, for every model
LENGTH = 8  # of a sentence, for the transformer
HEADS = 4
BLOCKS = 2


class _Transformer(nn.Module):
    of: Transformer

    @nn.compact
    def __call__(self, ids: jax.Array, *, train: bool) -> jax.Array:
        width, dtype = self.of.width, jnp.result_type(float)
        sentences = ids.reshape(-1, LENGTH)
        values = self.param("words", layers.normal(0.02), (self.of.vocabulary_size, width), dtype)[sentences]
        values = values + self.param("places", layers.normal(0.02), (LENGTH, width), dtype)
        seen = nn.make_causal_mask(sentences)
        for _ in range(BLOCKS):
            normed = nn.LayerNorm(param_dtype=dtype)(values)
            values = values + nn.MultiHeadDotProductAttention(HEADS, param_dtype=dtype)(normed, mask=seen)
            normed = nn.LayerNorm(param_dtype=dtype)(values)
            values = values + layers.dense(width)(jax.nn.gelu(layers.dense(4 * width)(normed)))
        logits = layers.dense(self.of.vocabulary_size)(nn.LayerNorm(param_dtype=dtype)(values))
        return logits.reshape(len(ids), -1)


@part
class Transformer:
    """A usual language model: two pre-norm blocks, causal attention over sentences of ``LENGTH`` tokens."""

    vocabulary_size: int = static()
    width: int = static()

    def init(self, key: jax.Array) -> dict[str, Any]:
        return layers.initial(_Transformer(self), key, jnp.zeros(LENGTH, jnp.int32))

    def apply(
        self, variables: dict[str, Any], ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[ae.Pass, Any]:
        logits, state = layers.applied(_Transformer(self), variables, ids, key=key, train=train)
        nothing = jnp.zeros(())
        return ae.Pass(logits, nothing, ae.Code(nothing, None, nothing)), state


def transformer_like(vocabulary_size: int, num_params: int) -> Transformer:
    """The transformer whose number of parameters is nearest.

    Args:
        vocabulary_size: words.
        num_params: wanted.

    Returns:
        A model; its width is a multiple of the number of heads.
    """
    widths = range(HEADS, 1024, HEADS)
    # Words in and out, places, and for each block attention (4 w^2) and the dense layers (8 w^2); biases besides.
    nearest = min(widths, key=lambda w: abs(2 * vocabulary_size * w + LENGTH * w + BLOCKS * 12 * w * w - num_params))
    return Transformer(vocabulary_size, nearest)


def costs(*, repeats: int = 30) -> list[dict[str, Any]]:
    """One training step (loss, gradient, Adam) of every decoder at 192 words and 8 x 8 x 5, and of a transformer.

    Each is timed in turn, ``repeats`` times over; the seconds are medians. The transformer has as many parameters as
    the model with the extreme decoder or the dense one.

    Args:
        repeats: how often each step is timed.

    Returns:
        A record for each: parameters, floating-point operations and peak bytes as XLA counts them, seconds, and the
        ratios to the transformer of equal size.
    """
    programs = {name: Program(decoder=name) for name in DECODERS}
    models: dict[str, Any] = {name: model_of(program, dict(HEALTHY)) for name, program in programs.items()}
    sizes = {name: _num_params(model) for name, model in models.items()}
    for name in ("dense", "extreme"):
        models[f"transformer like {name}"] = transformer_like(models[name].decoder.vocabulary_size, sizes[name])
    steps = {name: TrainingStep(model) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            seconds[name].append(step())
    records = []
    for name, step in steps.items():
        nearest = min(
            (other for other in steps if other.startswith("transformer")),
            key=lambda other: abs(steps[other].num_params - step.num_params),
        )
        peer, own = steps[nearest], statistics.median(seconds[name])
        records.append(
            {
                "model": name,
                "parameters": step.num_params,
                "operations": step.operations,
                "peak bytes": step.peak_bytes,
                "seconds": own,
                "beside": nearest,
                "operations ratio": step.operations / peer.operations,
                "memory ratio": step.peak_bytes / peer.peak_bytes,
                "time ratio": own / statistics.median(seconds[nearest]),
            }
        )
    return records


def num_params(params: PyTree) -> int:
    """Numbers in a pytree of arrays, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _num_params(model: Any) -> int:
    return num_params(jax.eval_shape(model.init, jax.random.key(0))["params"])


class TrainingStep:
    """A compiled training step (loss, gradient, Adam) of ``TOKENS`` words, with what XLA counts of it.

    Attributes:
        num_params: of the model.
        operations: floating-point operations; NaN where the backend does not tell, as the next.
        peak_bytes: all that a step holds at once: weights, Adam's memory, their new values, and what is in between.
    """

    def __init__(self, model: Any, vocabulary_size: int = 192) -> None:
        """Compiles it, and runs it once.

        Args:
            model: an autoencoder, or what is called like one.
            vocabulary_size: words; the first three are marks, and are not drawn.
        """
        self.num_params = _num_params(model)
        optimiser, loss = optax.adam(1e-3), loss_of(Program(), dict(HEALTHY))
        variables = model.init(jax.random.key(0))
        ids = jax.random.randint(jax.random.key(1), (TOKENS,), 3, vocabulary_size)

        def step(variables: Any, memory: Any, key: jax.Array) -> tuple[Any, Any]:
            def objective(params: Any) -> tuple[jax.Array, Any]:
                return loss(model, {**variables, "params": params}, ids, key)

            (_, (state, _)), gradients = jax.value_and_grad(objective, has_aux=True)(variables["params"])
            updates, memory = optimiser.update(gradients, memory)
            return {"params": optax.apply_updates(variables["params"], updates), "state": state}, memory

        self.compile(step, (variables, optimiser.init(variables["params"]), jax.random.key(2)))

    def compile(self, step: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Compiles a step for its arguments, counts it, and runs it once."""
        self.arguments = arguments
        self.compiled = jax.jit(step).lower(*arguments).compile()
        counted, memory = self.compiled.cost_analysis(), self.compiled.memory_analysis()
        self.operations = float(counted["flops"]) if counted else math.nan
        self.peak_bytes = math.nan
        if memory is not None:
            self.peak_bytes = float(
                memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
            )
        self()

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        jax.block_until_ready(self.compiled(*self.arguments))
        return time.perf_counter() - start


def cost_table(dataset: xarray.Dataset) -> str:
    """What ``costs`` found, in the study's Dataset, as a table of the report."""
    names = ["cost_parameters", "cost_operations", "cost_peak_bytes", "cost_seconds", "cost_operations_ratio",
             "cost_memory_ratio", "cost_time_ratio"]  # fmt: skip
    rows = []
    for model in dataset["model"].values:
        one = dataset.sel(model=model)
        row: dict[str, Any] = {"model": str(model)}
        row |= {
            "parameters": f"{int(one[names[0]]):,}",
            "MFlop a step": float(one[names[1]]) / 1e6,
            "peak MiB": float(one[names[2]]) / 2**20,
            "ms a step": 1e3 * float(one[names[3]]),
            "beside": str(one["cost_beside"].values),
            "operations x": float(one[names[4]]),
            "memory x": float(one[names[5]]),
            "time x": float(one[names[6]]),
        }
        rows.append(row)
    return table(rows)
