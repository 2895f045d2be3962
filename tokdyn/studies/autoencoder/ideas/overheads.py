"""What the extreme decoder costs beside the plain one: seconds, operations, bytes, parameters."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn.claims import RERUN
from tokdyn.studies.autoencoder.costs import TOKENS, TrainingStep, num_params
from tokdyn.studies.autoencoder.design import GRIDS, HEALTHY, Program
from tokdyn.studies.autoencoder.ideas.common import Reader, Row, Run
from tokdyn.studies.autoencoder.trainings import model_of
from tokdyn.studies.rules import Equals, Every, Judgement, exact, one_more

PART = "overheads"
ABOUT = (
    "The extreme decoder beside the dense one at 192 words and 8 x 8 x 5, 128 tokens a step: a training step of the "
    "whole model (loss, gradient, Adam), and loss and gradient of the decoder alone. Operations and bytes are XLA's "
    "counts; seconds are timed in turn, four rounds a block, and each block gives the ratio of two medians. The "
    "notebook says 3 times the computation and 6 times the decoder's memory."
)
ROUNDS = 4
SHOWN = ""
WHOLE, ALONE = "whole step", "decoder alone"
SECONDS, OPERATIONS, BYTES, PARAMETERS = "seconds, ratio", "operations, ratio", "peak bytes, ratio", "parameters, ratio"
ROWS = tuple(itertools.product((WHOLE, ALONE), (SECONDS, OPERATIONS, BYTES, PARAMETERS)))


class DecoderStep(TrainingStep):
    """Loss and gradient of a decoder alone, on given codes.

    Attributes:
        num_params: of the decoder.
    """

    def __init__(self, decoder: Any, vocabulary_size: int = 192) -> None:
        """Compiles it, and runs it once."""
        side, colours = GRIDS["8x8x5"]
        values = jax.random.uniform(jax.random.key(3), (TOKENS, side * side, colours))
        ids = jax.random.randint(jax.random.key(1), (TOKENS,), 3, vocabulary_size)
        variables = decoder.init(jax.random.key(0), side * side, colours)
        self.num_params = num_params(variables["params"])

        def step(variables: Any, values: jax.Array, key: jax.Array) -> Any:
            def objective(params: Any) -> jax.Array:
                logits = decoder.apply({**variables, "params": params}, values, key=key, train=True)[0]
                return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), ids[:, None], axis=-1))

            return jax.value_and_grad(objective)(variables["params"])

        self.compile(step, (variables, values, jax.random.key(2)))


def measure(run: Run) -> list[Row]:
    """Ratios, one for each of so many blocks: half of ``run.seeds``, at least two."""
    models: dict[str, ae.Autoencoder] = {
        name: model_of(Program(decoder=name), dict(HEALTHY)) for name in ("extreme", "dense")
    }
    steps: dict[str, list[TrainingStep]] = {
        WHOLE: [TrainingStep(model) for model in models.values()],
        ALONE: [DecoderStep(model.decoder) for model in models.values()],
    }
    seconds: dict[str, list[float]] = {condition: [] for condition in steps}
    for _ in range(max(2, run.seeds // 2)):
        rounds = [{condition: [step() for step in pair] for condition, pair in steps.items()} for _ in range(ROUNDS)]
        for condition in steps:
            slow, fast = (statistics.median(one[condition][which] for one in rounds) for which in (0, 1))
            seconds[condition].append(slow / fast)
    rows = []
    for condition, (extreme, dense) in steps.items():
        counted = {
            OPERATIONS: extreme.operations / dense.operations,
            BYTES: extreme.peak_bytes / dense.peak_bytes,
            PARAMETERS: extreme.num_params / dense.num_params,
        }
        rows.append(Row(condition, SECONDS, np.array(seconds[condition])))
        rows += [Row(condition, name, np.array([ratio])) for name, ratio in counted.items()]
    return rows


_READ = Reader(PART)


def _ratio(of: xarray.Dataset, condition: str, measure: str) -> float:
    return float(_READ.seeds(of, condition, measure).mean())


def _told(measure: str, words: str) -> Any:
    return lambda of: (
        ", ".join(f"{condition} {_ratio(of, condition, measure):.2f}" for condition in (WHOLE, ALONE))
        + (f" of {words}")
    )


def claims() -> Iterator[Judgement]:
    """The two overheads that the notebook printed."""
    yield Judgement(
        "diffusion_lm.overhead_time", Every(Equals(3.0, 1.0)),
        lambda of: [one_more(_READ.seeds(of, WHOLE, SECONDS)), exact(_ratio(of, WHOLE, OPERATIONS))], RERUN,
        told=lambda of: f"{_ratio(of, WHOLE, SECONDS):.2f} of seconds, {_ratio(of, WHOLE, OPERATIONS):.2f} of "
        f"operations; of the decoder alone {_ratio(of, ALONE, SECONDS):.2f} and {_ratio(of, ALONE, OPERATIONS):.2f}",
        note="a training step, extreme over dense decoder; the rule reads where a further block of seconds, timed "
        "in turn in one process, would lie, and operations as XLA counts them",
    )  # fmt: skip
    yield Judgement(
        "diffusion_lm.overhead_memory", Every(Equals(6.0, 1.0)),
        lambda of: [exact(_ratio(of, condition, BYTES)) for condition in (WHOLE, ALONE)], RERUN,
        told=lambda of: f"{_told(BYTES, 'peak bytes')(of)}; {_told(PARAMETERS, 'parameters')(of)}",
        note="extreme over dense decoder; the rule reads the peak bytes that XLA plans for a training step, and for "
        "loss and gradient of the decoder alone",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    return (
        f"A step with the extreme decoder takes {_ratio(of, WHOLE, SECONDS):.1f} times the seconds and "
        f"{_ratio(of, WHOLE, BYTES):.1f} times the bytes of one with the dense decoder (3 and 6 were said)."
    )
