"""The figures of the study: outcomes by group, the bench of the diagnosis, and a close look at one seed."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import mean_interval
from tokdyn.studies.autoencoder import claims, design, diagnosing, ideas
from tokdyn.studies.autoencoder.texts import text_of
from tokdyn.studies.documents import Figure


def figures(dataset: xarray.Dataset) -> list[Figure]:
    """What the Dataset has enough for."""
    made = []
    if (dataset["group"] == "factorial").any():
        caption = "Share of the words that come back right, for every combination of faults."
        made.append(Figure("faults.png", caption, partial(_faults, dataset)))
    made += [
        Figure(f"{group}.png", caption, partial(_outcomes, dataset, group))
        for group, caption in (
            ("phases", "The notebook's phases, as published (crosses) and repaired, with 95 % intervals."),
            ("extreme", "The extreme decoder by learning rate."),
            ("sizes", "Vocabulary and frequencies, as published and repaired."),
        )
        if (dataset["group"] == group).any()
    ]
    if (dataset["condition"] == claims.LARGE).any():
        beside = "" if "text" in dataset.attrs else " beside the published log"
        caption = f"Training loss of the extreme decoder{beside} (means of 20 steps); bands span the seeds."
        made.append(Figure("extreme_loss.png", caption, partial(_curves, dataset)))
    return made + further(dataset) + (_looked_at(dataset) if "example_patterns" in dataset else [])


def further(dataset: xarray.Dataset) -> list[Figure]:
    """What needs no condition: the bench of the diagnosis, and the notebook's proposals."""
    made = diagnosing.figures(dataset) if "bench_model" in dataset.dims else []
    return made + (ideas.figures(dataset) if "idea_row" in dataset.dims else [])


def _faults(dataset: xarray.Dataset) -> Any:
    from tokdyn import plot

    columns = [one.faults for one in design.factorial(["sigmoid"])]
    values = [
        [
            float(dataset["types"].sel(condition=design.condition(*faults, bottleneck=kind).name).mean())
            for faults in columns
        ]
        for kind in design.BOTTLENECKS
    ]
    names = ["\n".join(faults) or "repaired" for faults in columns]
    return plot.fault_matrix(
        values, row_names=list(design.BOTTLENECKS), column_names=names, label="share of words right"
    )


def _outcomes(dataset: xarray.Dataset, group: str) -> Any:
    from tokdyn import plot

    # Texts of different sizes have different ceilings: there the words count, not the validation text.
    of_words = group == "sizes"
    part = dataset["types" if of_words else "validation"].sel(condition=dataset["group"] == group)
    names = [str(name) for name in part["condition"].values]
    values = part.values.astype(float)
    interval = mean_interval(values) if part.sizes["seed"] > 1 else None
    low, high = (interval.low, interval.high) if interval else (values[:, 0], values[:, 0])
    text = text_of(dataset)
    if of_words:
        return plot.outcomes(names, values.mean(axis=1), low, high, label="share of words right")
    return plot.outcomes(
        names,
        values.mean(axis=1),
        low,
        high,
        label="accuracy on the validation text",
        published={} if "text" in dataset.attrs else {name: claims.ACCURACY.get(name) for name in names},
        lines={f"ceiling, {text.vocabulary_size} words": text.ceiling, "always the commonest": text.constant_accuracy},
    )


def _curves(dataset: xarray.Dataset) -> Any:
    from tokdyn import plot

    rates = [name for name in dataset["condition"].values if str(name).startswith("7 extreme, rate")]
    steps = np.arange(1, 11) * 20.0
    curves = {
        f"rate {float(dataset['learning_rate'].sel(condition=name)):g}": dataset["loss_curve"]
        .sel(condition=name)
        .values
        for name in rates
    }
    size, own_text = text_of(dataset).vocabulary_size, "text" in dataset.attrs
    levels = {f"a uniform guess, ln {size}": math.log(size)}
    theirs = None if own_text else (steps, np.array(claims.LOSS_CURVE))
    return plot.loss_curves(steps, curves, levels=levels, published=theirs)


def _depth(layer: str) -> str:
    """Sorts the embedding before the encoder, and the encoder before the decoder."""
    return f"{layer.startswith('decoder')}{not layer.endswith('embedding')}{layer}"


def _looked_at(dataset: xarray.Dataset) -> list[Figure]:
    """The close look at one seed."""
    side = math.isqrt(dataset.sizes["cell"])
    names, words = [str(x) for x in dataset["example"].values], [str(x) for x in dataset["word"].values]
    patterns = dataset["example_patterns"].values

    def gallery() -> Any:
        from tokdyn import plot

        rows = np.concatenate([patterns[:1, 0], patterns[-1:, 0], patterns[:, -1]])
        titles = ["published start", "repaired start", *(f"trained: {name}" for name in names)]
        return plot.pattern_gallery(rows, side=side, words=words, rows=titles)

    def association() -> Any:
        from tokdyn import plot

        values = dataset["example_association"].values
        return plot.association_matrices(values, titles=names, label="cosine of two words' patterns")

    def gradients() -> Any:
        from tokdyn import plot

        # From the word to the answer.
        by_depth = dataset.sortby(xarray.DataArray([_depth(str(x)) for x in dataset["layer"].values], dims="layer"))
        layers = [str(x).replace("Mlp_0.", "").replace(".kernel", "") for x in by_depth["layer"].values]
        return plot.gradient_flow(layers, dict(zip(names, by_depth["example_gradient"].values, strict=True)))

    def landscape() -> Any:
        from tokdyn import plot

        slices = dict(zip(names, dataset["example_landscape"].values, strict=True))
        return plot.landscape(dataset["across"].values, slices)

    def training(path: Path) -> object:
        from tokdyn import plot

        return plot.save_pattern_animation(
            path, patterns[-1], side=side, words=words, steps=dataset["frame"].values,
            values=dataset["example_types"].values[-1], label="words right",
        )  # fmt: skip

    return [
        Figure("gallery.png", "Probabilities of the colours in every cell, for twelve words (Gumbel codes).", gallery),
        Figure("association.png", "How alike the trained patterns of 48 words are.", association),
        Figure("gradients.png", "Norm of the first gradient, layer by layer.", gradients),
        Figure(
            "landscape.png",
            "The loss around the end of training, on a plane of two filter-normalised random directions.",
            landscape,
        ),
        Figure("training.gif", "Patterns while they are learned, loss and start repaired.", write=training),
    ]
