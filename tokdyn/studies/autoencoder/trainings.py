"""One training of the study, measured as the published notebook was not; and all conditions of one program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.autoencoder.diagnose.information import (
    deterministic_information,
    gaussian_information,
    stochastic_information,
)
from tokdyn.autoencoder.diagnose.predictions import distinct_predictions, dominant_share
from tokdyn.autoencoder.diagnose.variance import input_share
from tokdyn.data import words
from tokdyn.numerics import share
from tokdyn.studies.autoencoder import design
from tokdyn.studies.autoencoder.design import Condition, Program
from tokdyn.studies.autoencoder.texts import corpus_of
from tokdyn.sweeps import Plan, sweep, zipped
from tokdyn.train import Fit, fit, reptile

# Noise at which the information in a continuous pattern is measured: that of the published sensitivity test.
CHANNEL_NOISE = 0.1
INFORMATION_SAMPLES = 2  # of every word: several hundred draws in all
UNIT = 2  # runs of one call: a run takes a good part of a second, and two threads share the calls


VARIABLES = {
    "types": "share of the training text's distinct words that come back right",
    "tokens": "the same, each word counted as often as it occurs",
    "validation": "accuracy on the validation text, unknown words included: the published number",
    "known": "accuracy on the known words of the validation text",
    "dominant": "share of the commonest prediction over the distinct words",
    "distinct": "number of different predictions over the distinct words",
    "loss_first": "mean loss of the first steps up to the first record",
    "loss_last": "mean loss of the last steps before the last record",
    "sensitivity": "KL divergence of the predictions under pattern noise of 0.1, nats; NaN without the penalty",
    "steps": "optimiser steps taken; training ends early once all words come back right",
    "information_start": "bits that the initial code carries about the word",
    "information": "bits that the trained code carries about the word",
    "pattern_std_start": "standard deviation of the initial pattern over words and cells",
    "pattern_std_words_start": "the same across words only",
    "input_share_start": "share of the variance of the initial logits that depends on the word",
    "patterns": "number of different patterns of the distinct words after training, the strongest channel of each cell",
    "patterns_of_one": "the same among as many draws of one word: what drawing alone makes different",
    "loss_curve": "mean loss between records",
    "types_curve": "types at each record",
}


def model_of(program: Program, numbers: dict[str, Any]) -> ae.Autoencoder:
    """The autoencoder of a condition.

    Args:
        program: its static choices.
        numbers: its traced ones, by the names of ``design.HEALTHY``.

    Returns:
        A model.
    """
    side, colours = design.GRIDS[program.grid]
    size = corpus_of(program.words).vocabulary_size
    scales = {name: numbers[name] for name in ("embedding_std", "hidden_gain", "output_std", "output_bias")}
    encoder = ae.encoders.table(vocabulary_size=size, cells=side * side, channels=colours, **scales)
    bottlenecks: dict[str, Callable[[], Any]] = {
        "categorical": ae.bottlenecks.categorical,
        "gumbel": functools.partial(ae.bottlenecks.gumbel, sampled=True),  # judged as published: by a sample
        "sigmoid": functools.partial(ae.bottlenecks.sigmoid, centred=numbers["centred"]),
        "straight_through": ae.bottlenecks.straight_through,
    }
    gain = {"vocabulary_size": size, "gain": numbers["decoder_gain"]}
    decoders: dict[str, Callable[[], Any]] = {
        "dense": lambda: ae.decoders.dense(dropout=program.dropout, **gain),
        "linear": lambda: ae.decoders.linear(**gain),
        "convolutional": lambda: ae.decoders.convolutional(height=side, dropout=program.dropout, **gain),
        "hybrid": lambda: ae.decoders.hybrid(vocabulary_size=size, height=side),
        "extreme": lambda: ae.decoders.extreme(vocabulary_size=size, height=side),
    }
    return ae.autoencoder(encoder, bottlenecks[program.bottleneck](), decoders[program.decoder]())


def loss_of(program: Program, numbers: dict[str, Any]) -> ae.losses.Objective:
    """The loss of a condition."""
    terms: dict[str, Any] = {"words": ae.losses.cross_entropy(double_softmax=numbers["double_softmax"])}
    if program.sensitivity:
        terms["sensitivity"] = ae.losses.sensitivity()
    return ae.losses.objective(**terms)


def batches_of(program: Program, skew: float) -> tuple[Any, int | None]:
    """``(data, batch_size)`` for ``fit``: the text in epochs, or draws from its frequencies."""
    text = corpus_of(program.words)
    if program.batch == "epochs":
        return jnp.asarray(text.train), program.batch_size
    return ae.word_draws(text.frequencies, batch_size=program.batch_size, power=skew), None


def learned_start(program: Program, numbers: dict[str, Any], key: jax.Array) -> Any:
    """Weights that Reptile moves towards where short trainings end, each on a text of the same words.

    What differs between texts is which word is how frequent.

    Args:
        program: static choices.
        numbers: as of ``evaluate``.
        key: of the texts and their batches.
    """
    model, loss = model_of(program, numbers), loss_of(program, numbers)
    text = corpus_of(program.words)
    # The special tokens stay where they are.
    frequencies = jnp.asarray(text.frequencies, jnp.result_type(float))

    def adapt(variables: Any, key: jax.Array) -> Fit:
        shuffled = jnp.asarray(text.types)[jax.random.permutation(keys.for_purpose(key, "text"), len(text.types))]
        drawn = ae.word_draws(
            frequencies.at[jnp.asarray(text.types)].set(frequencies[shuffled]), batch_size=program.batch_size
        )
        return fit(
            model, loss, drawn, key=key, num_steps=design.STEPS_ON_TEXT, variables=variables,
            hyper={"learning_rate": numbers["learning_rate"]}, record_every=design.STEPS_ON_TEXT,
        )  # fmt: skip

    start = model.init(keys.for_purpose(key, "init"))
    return reptile(adapt, start, key=key, num_rounds=design.ROUNDS, num_tasks=design.TEXTS)[0]


def evaluate(numbers: dict[str, Any], key: jax.Array, *, program: Program) -> dict[str, jax.Array]:
    """One training, start to end.

    Args:
        numbers: by the names of ``design.HEALTHY``.
        key: of initial weights, batches and noise.
        program: static choices.

    Returns:
        The variables of ``VARIABLES``.
    """
    text = corpus_of(program.words)
    model, loss = model_of(program, numbers), loss_of(program, numbers)
    everything, types = jnp.arange(text.vocabulary_size), jnp.asarray(text.types)
    frequencies = jnp.asarray(text.frequencies, jnp.result_type(float))

    def predictions(model: Any, variables: Any, key: jax.Array) -> jax.Array:
        return jnp.argmax(model.apply(variables, everything, key=key)[0].logits, axis=-1)

    def judged(model: Any, variables: Any, key: jax.Array) -> dict[str, jax.Array]:
        return {"types": share((predictions(model, variables, key) == everything)[types])}

    data, batch_size = batches_of(program, numbers["skew"])
    begun = learned_start(program, numbers, keys.for_purpose(key, "reptile")) if program.rounds else None
    result = fit(
        model, loss, data, key=key, num_steps=program.num_steps, batch_size=batch_size,
        hyper={"learning_rate": numbers["learning_rate"]}, record_every=program.record_every,
        evaluate=judged, stop=lambda record: record["types"] == 1.0, variables=begun,
    )  # fmt: skip
    last = result.step // program.record_every - 1
    draw = keys.for_purpose(key, "judge")
    predicted = predictions(model, result.variables, draw)
    right = predicted == everything
    validation = jnp.asarray(text.validation)
    on_validation, is_known = right[validation], validation != words.UNKNOWN
    start = model.init(keys.for_purpose(key, "init"))
    first = model.apply(start, types, key=draw)[0]
    last_code = model.apply(result.variables, types, key=draw)[0].code
    one = model.apply(result.variables, jnp.full_like(types, types[0]), key=draw)[0].code
    return {
        "types": share(right[types]),
        "tokens": jnp.sum(frequencies * right),
        "validation": jnp.mean(on_validation & is_known),
        "known": share(on_validation[text.validation != words.UNKNOWN]),
        "dominant": dominant_share(predicted[types], text.vocabulary_size),
        "distinct": distinct_predictions(predicted[types], text.vocabulary_size),
        "loss_first": result.history["loss"][0],
        "loss_last": result.history["loss"][last],
        "sensitivity": _divergence(result.history, last),
        "steps": result.step,
        "information_start": information_in(program, first.code, draw),
        "information": information_in(program, last_code, draw),
        "pattern_std_start": jnp.std(first.code.values),
        "pattern_std_words_start": jnp.mean(jnp.std(_expected(first.code), axis=0)),
        "input_share_start": input_share(first.logits),
        "patterns": _different(last_code.values),
        "patterns_of_one": _different(one.values),
        "loss_curve": result.history["loss"],
        "types_curve": result.history["types"],
    }


def _different(values: jax.Array) -> jax.Array:
    """How many patterns `[words, cells, channels]` differ in the strongest channel of some cell."""
    strongest = jnp.argmax(values.reshape(*values.shape[:2], -1), axis=-1)
    return jnp.sum(jnp.any(jnp.diff(strongest[jnp.lexsort(strongest.T)], axis=0) != 0, axis=1)) + 1


def _divergence(history: dict[str, jax.Array], last: jax.Array) -> jax.Array:
    """What the penalty `w max(0, m - KL)` says about the divergence, while it is above 0."""
    if "sensitivity" not in history:
        return jnp.asarray(jnp.nan)
    term = ae.losses.sensitivity()
    return term.least - history["sensitivity"][last] / term.weight


def _expected(code: ae.Code) -> jax.Array:
    """What differs between words before anything is drawn."""
    return code.values if code.probabilities is None else code.probabilities


def information_in(program: Program, code: ae.Code, key: jax.Array) -> jax.Array:
    """Bits that a code `[words, cells, ...]` carries about the word, all words being equally likely."""
    if code.probabilities is not None and program.bottleneck in ("categorical", "gumbel"):
        return stochastic_information(code.probabilities, key=key, samples=INFORMATION_SAMPLES).bits
    if code.indices is not None and program.bottleneck == "straight_through":
        return deterministic_information(code.indices).bits
    return gaussian_information(code.values, CHANNEL_NOISE, key=key, samples=INFORMATION_SAMPLES).bits


def run_program(
    program: Program,
    conditions: list[Condition],
    *,
    seeds: int,
    key: int = 0,
    progress: Callable[[int, int], None] | None = None,
    store: str | None = None,
) -> xarray.Dataset:
    """All conditions of one program, in one compilation.

    Args:
        program: shared by the conditions.
        conditions: at least one.
        seeds: of each.
        key: seed of the JAX key.
        progress: called with runs finished and runs in all.
        store: folder for the runs.

    Returns:
        ``VARIABLES`` over condition, seed and record.
    """
    columns = {name: [one[name] for one in conditions] for name in design.HEALTHY}
    found = sweep(
        functools.partial(evaluate, program=program), dict(design.HEALTHY), zipped("condition", columns), seeds=seeds,
        key=jax.random.key(key), dims={"loss_curve": ("record",), "types_curve": ("record",)}, unit=UNIT,
        progress=progress or False, store=store,
    )  # fmt: skip
    assert not isinstance(found, Plan)
    steps = (np.arange(found.sizes["record"]) + 1) * program.record_every
    found = found.drop_vars([name for name in found.coords if name != "seed"])
    return found.assign_coords(
        condition=[one.name for one in conditions], step=(("condition", "record"), np.tile(steps, (len(conditions), 1)))
    )


def joined(parts: Iterable[xarray.Dataset], conditions: list[Condition]) -> xarray.Dataset:
    """One Dataset in the order of the design."""
    parts = list(parts)
    most = max(part.sizes["record"] for part in parts)
    padded = [part.pad(record=(0, most - part.sizes["record"])) for part in parts]
    joined = xarray.concat(padded, "condition", join="outer").sel(condition=[one.name for one in conditions])
    described = {
        "group": [one.group for one in conditions],
        "faults": [", ".join(one.faults) for one in conditions],
        **{
            field: [getattr(one.program, field) for one in conditions]
            for field in ("words", "grid", "bottleneck", "decoder", "num_steps")
        },
        **{name: [one[name] for one in conditions] for name in ("learning_rate", "double_softmax", "skew")},
    }
    return joined.assign_coords({name: ("condition", values) for name, values in described.items()})
