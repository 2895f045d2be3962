"""The study's Dataset: what every diagnostic said of every training, at every dial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.reasoning import audit
from tokdyn.reasoning.audit.diagnostics import DIAGNOSTICS
from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.reasoning.audit.tables import Settings, lift
from tokdyn.reasoning.references import CHANNELS, Reference
from tokdyn.reasoning.training import items_of
from tokdyn.studies.calibration.design import BASE, SCALE, Config
from tokdyn.studies.calibration.ensembles import num_blocks, references, train_all
from tokdyn.tree import unstacked

VARIABLES = {
    "value": "p-value, 1 for yes and 0 for no, or score; NaN where a reference has fewer trainings or no dial",
    "kind": "what the value is: p-value, verdict, score",
    "looks": "whether the diagnostic only observes: its value is the same at every dial",
    "bears": "whether the answer follows what the slots' cache holds, as declared",
    "truth": "what is declared of each channel",
    "accuracy": "share of right answers, clean and under every arm",
    "donor_rate": "share of the donor's answers under a donor's slot cache, where they are wrong for the item",
    "donor_control": "share of the same answers without intervention",
    "base_accuracy": "share of right answers of the marker-driven reasoner's base, another training of which each is",
    "curve": "share of right answers in training",
}


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "", workers: int = 2
) -> xarray.Dataset:
    """``VARIABLES`` over diagnostic, reference, training, dial, arm, channel.

    Progress counts blocks of trainings, then reasoners that were judged.
    """
    blocks = num_blocks(config)
    total, done = blocks + sum(config.trainings(name) for name in config.references), 0

    def finished() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    known = references(config)
    trained, training_seconds = train_all(config, known, finished, store=store, workers=workers)
    suite = audit.suite(
        _members(config, known, trained), dials=config.dials, repetitions=1, num_items=config.num_items, key=config.key
    )
    # One after the other, in one thread: probes take batches of eigenvalues (see ``numerics.singular_values``).
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in config.references}
    for member, family in suite.families():
        found[member.name.rpartition(", training ")[0]].append(_judged(family))
        finished()
    dataset = _assembled(config, known, trained, found, suite.dials)
    if "marker" in config.references:
        dataset["base_accuracy"] = ("training", _padded(_base(config, known[BASE], trained[BASE]), config))
    return dataset.assign_attrs(training_seconds=training_seconds, suite=suite.sha256, scale=SCALE)


def _members(config: Config, known: dict[str, Reference], trained: dict[str, Any]) -> list[audit.Member]:
    return [
        audit.Member(f"{name}, training {number}", known[name], jax.tree.map(jnp.asarray, variables))
        for name in config.references
        for number, variables in enumerate(unstacked(trained[name]["variables"]))
    ]


def _judged(family: dict[float, Run]) -> dict[str, Any]:
    """Values of all diagnostics `[diagnostics, dials]`, and accuracy by arm at the last dial."""
    runs = list(family.values())
    values = np.empty((len(DIAGNOSTICS), len(runs)))
    for row, one in zip(values, DIAGNOSTICS.values(), strict=True):
        row[:] = float(one.judge(runs[0])) if one.looks else [float(one.judge(run)) for run in runs]
    whole = runs[-1]
    found = lift(whole, Settings(jax.random.key(0), num_resamples=2), "donor", control=CLEAN)
    accuracy = {CLEAN: whole.right.mean(), **{arm: whole.outcomes(arm).mean() for arm in whole.arms}}
    return {"values": values, "accuracy": accuracy, "donor_rate": found.donor_rate,
            "donor_control": found.control_rate}  # fmt: skip


def _assembled(
    config: Config, known: dict[str, Reference], trained: dict[str, Any], found: dict[str, list[Any]],
    dials: tuple[float, ...],
) -> xarray.Dataset:  # fmt: skip
    """Null reasoners have one value, at dial 0."""
    names, most = list(config.references), max(config.trainings(name) for name in config.references)
    arms = list(next(iter(found.values()))[0]["accuracy"])
    values = np.full((len(DIAGNOSTICS), len(names), most, len(dials)), np.nan)
    accuracy = np.full((len(names), most, len(arms)), np.nan)
    rates = {name: np.full((len(names), most), np.nan) for name in ("donor_rate", "donor_control")}
    for row, name in enumerate(names):
        for number, one in enumerate(found[name]):
            values[:, row, number, : one["values"].shape[1]] = one["values"]
            accuracy[row, number] = [one["accuracy"][arm] for arm in arms]
            for rate, table in rates.items():
                table[row, number] = one[rate]
    curves = [np.asarray(trained[name]["history"]["right"]) for name in names]
    return xarray.Dataset(
        {
            "value": (("diagnostic", "reference", "training", "dial"), values),
            "kind": ("diagnostic", [one.kind for one in DIAGNOSTICS.values()]),
            "looks": ("diagnostic", [one.looks for one in DIAGNOSTICS.values()]),
            "bears": ("reference", [known[name].truth["slot cache"] == "content" for name in names]),
            "truth": (("reference", "channel"), [[known[name].truth[one] for one in CHANNELS] for name in names]),
            "accuracy": (("reference", "training", "arm"), accuracy),
            **{name: (("reference", "training"), table) for name, table in rates.items()},
            "curve": (("reference", "training", "record"), np.stack([_padded(one, config) for one in curves])),
        },
        {
            "diagnostic": list(DIAGNOSTICS), "reference": names, "training": np.arange(most), "dial": list(dials),
            "channel": list(CHANNELS), "arm": arms, "record": np.arange(curves[0].shape[1]) + 1,
        },
    )  # fmt: skip


def _base(config: Config, reference: Reference, trained: dict[str, Any]) -> np.ndarray:
    """Accuracy of the base's trainings on fresh items `[trainings]`."""
    key = keys.for_purpose(jax.random.key(config.key), "items of the base")
    items = items_of(reference.task, key, config.num_items)

    def right(variables: Any) -> jax.Array:
        return jnp.mean(reference.model.apply(variables, items)[0].answer[:, 0] == items.answer[:, 0])

    return np.asarray(jax.jit(lambda variables: jax.lax.map(right, variables))(trained["variables"]))


def _padded(values: np.ndarray, config: Config) -> np.ndarray:
    """As many trainings as the reference with most has; NaN for those that are not there."""
    most = max(config.trainings(name) for name in config.references)
    return np.concatenate([values, np.full((most - len(values), *values.shape[1:]), np.nan)])
