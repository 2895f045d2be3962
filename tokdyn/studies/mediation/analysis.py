"""From what was measured on one reasoner to its part of the Dataset: effects, arrows, mediation, donors, similarity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit import Run
from tokdyn.reasoning.audit.export import numbered, recorded
from tokdyn.reasoning.audit.schema import MEDIATION
from tokdyn.reasoning.audit.tables import Judged, Settings, answer_changes, lift, mediated
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.references import CHANNELS, Reference
from tokdyn.stats import clopper_pearson
from tokdyn.studies.mediation import protocols
from tokdyn.studies.mediation.contraction import against_effects
from tokdyn.studies.mediation.design import (
    CHANGES,
    CLEAN,
    EFFECTS,
    EXCHANGES,
    RUNS,
    SHOWN,
    SITES,
    SPACES,
    WORDS,
    Config,
    battery,
)  # fmt: skip

VARIABLES = {
    "opened": "share of items whose likeliest word after the question opens the slots (they are opened in any case)",
    "trigger_rate": "share of items in which slots were used",
    "parse_rate": "share of answers that are one of the task's choices",
    "accuracy": "share of right answers",
    "accuracy_low": "lower end of its exact 95 % interval (items of all seeds together)",
    "accuracy_high": "its upper end",
    "difference": "accuracy minus that of the clean run",
    "difference_low": "lower end of its 95 % interval",
    "difference_high": "its upper end",
    "p_value": "of the test that there is no difference (McNemar; several seeds: Student)",
    "holm": "the same, adjusted by Holm over the arms of a reference",
    "minimal_detectable_effect": "smallest difference of accuracy that the test finds with a power of 0.8",
    "equivalence_p_value": "of the test that the difference is outside the bound",
    "equivalent": "1 where the difference was shown to be inside the bound",
    "verdict": "no effect, negligible, effect or inconclusive, as diagnose.effects_table says",
    "flip_rate": "share of items whose likeliest choice is another than in the clean run",
    "log_probability_shift": "mean change of the log-probability of the right choice, nats",
    "divergence": "mean KL divergence of the choices' distribution from that of the clean run, nats",
    "largest_logit_change": "largest change of a choice's logit against the clean run",
    "answer": "word that was given as answer; -1 where the reference lacks the arm",
    "right_answer": "the right word",
    "cosine_changed": "cosine of a latent with itself under another input, mean over items",
    "distance_changed": "length of its change over its own length, mean over items",
    "cosine_between": "mean cosine of one slot's latents between different items",
    "cosine_words": "mean cosine between embeddings of the words that answers are chosen from",
    "cosine_patches": "mean cosine between embeddings of image patches",
    "between_matrix": "raw cosine between two items' latents at one slot, items sorted by their step at that slot",
    "within_matrix": "raw cosine between two slots of one item, mean over items",
    "distinct_latents": "latents that remain at a slot when those nearer than 1 % of the typical length are merged",
    "latent_residual": "root mean square change of a latent from the slot before, over its length",
    "latent_gain": "root mean square change of the next latent for a small random change of this one, mean over items",
    "donor_divergence": "mean KL divergence of the choices' distribution under a donor's latent at that slot, nats",
    "gain_correlation": "Spearman's correlation of the two over items; NaN where one of them does not vary",
    "gain_correlation_low": "lower end of its 95 % interval",
    "gain_correlation_high": "its upper end",
    "margin": "logit of the answer to x' minus logit of the answer to x; NaN where the two answers are one",
    "effect": "mean effect of exchanging the picture on the margin, nats",
    "effect_low": "lower end of its 95 % interval",
    "effect_high": "its upper end",
    "mediated_share": "indirect over total effect",
    "mediated_share_low": "lower end of its Fieller set",
    "mediated_share_high": "upper end of its Fieller set",
    "mediated_share_kind": "interval, or what else the set is",
    "lift": "share of answers that go where the donor points, beyond the control",
    "lift_low": "lower end of its 95 % interval",
    "lift_high": "its upper end",
    "donor_rate": "share of answers that go where the donor points",
    "control_rate": "the same share of the same answers with an unrelated donor (words: in the clean run)",
    "own_rate": "share of answers that stay right",
    "said": "what a way of asking concludes: yes, no or undecided",
    "outcome": "that against the truth: right, false alarm, missed or undecided",
    "truth": "of a channel, as declared by the reference",
    "found": "of a channel, by its best diagnostic",
    "seconds": "wall time of the measurement, with waiting for its programs",
}
# Where a donor's latents were written: the arm. All embeddings at once leave two readings, of which the other is the
# donor's last word but one, looked up in the own picture; so do words.
_PLACES = {
    "cache": "donor, cache",
    "residual": "donor, residual",
    "all embeddings, last word": "donor, embedding",
    "all embeddings, looked up": "donor, embedding",
    "markers' cache": "donor, markers' cache",
}
_OF_WORDS = {"words, last word": WORDS[0], "words, looked up": WORDS[0]}
_LOOKED_UP = "looked up"


def fills(parts: Sequence[xarray.Dataset]) -> dict[str, Any]:
    """What stands where a reference does not have an arm or a slot, by variable."""
    return {
        str(name): {"U": "", "O": "", "i": -1}.get(values.dtype.kind, np.nan)
        for part in parts for name, values in part.data_vars.items()
    }  # fmt: skip


def analysed(name: str, reference: Reference, items: Item, found: Mapping[str, Any], config: Config) -> xarray.Dataset:
    """One reasoner's part of the Dataset.

    Args:
        name: of the reference.
        reference: with its truth.
        items: `[items, ...]`.
        found: of ``measurement.measurements``, leaves `[seeds, ...]`.
        config: bounds.

    Returns:
        Variables of ``VARIABLES`` with a leading axis of one reference.
    """
    key = keys.for_purpose(jax.random.key(config.key), f"intervals of {name}")
    run = _record(reference, items, found)
    judged = Judged(run, Settings(key, config.bound, num_resamples=config.resamples, share=config.share))
    arms = [CLEAN, *run.arms]
    parts: dict[str, tuple[tuple[str, ...], Any]] = {
        "opened": ((), found["opened"].mean()),
        "answer": (("seed", "arm", "item"), np.stack([found["arms"][arm].answer[..., 0] for arm in arms], axis=1)),
        "right_answer": (("item",), np.asarray(items.answer[:, 0])),
        "seconds": ((), found["seconds"]),
    }
    parts |= _arms(judged, arms)
    parts |= _arrow_to_latents(found) | _alike(found, items)
    parts |= against_effects(found, run)
    parts |= _mediated(found, parts["right_answer"][1], judged)
    lifts, places = _donors(reference, found, judged)
    parts |= lifts
    parts |= _held_against_truth(reference, judged)
    coordinates: dict[str, Any] = {
        "reference": [name], "arm": arms, "place": places, "site": list(SITES), "space": list(SPACES),
        "change": list(CHANGES), "run": list(RUNS), "exchange": list(EXCHANGES), "effect_name": list(EFFECTS),
        "way": list(protocols.WAYS), "question": list(protocols.QUESTIONS), "channel": list(CHANNELS),
        "slot": np.arange(1, reference.model.places.slots + 1),
        "other_slot": np.arange(1, reference.model.places.slots + 1),
        "seed": np.arange(config.seeds),
    }  # fmt: skip
    made = {
        variable: (("reference", *dims), _without_length(np.asarray(values)[None]))
        for variable, (dims, values) in parts.items()
    }
    return xarray.Dataset(made, coordinates)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once for each shape, on first use."""
    return jax.jit(function)


def _without_length(values: np.ndarray) -> np.ndarray:
    """Texts as objects, which no longer text can be too long for."""
    return values.astype(object) if values.dtype.kind == "U" else values


def _record(reference: Reference, items: Item, found: Mapping[str, Any]) -> Run:
    """Arms in the order of the battery (trees of JAX have their names sorted), what donors point at, the exchange."""
    kept, slots = found["arms"], range(1, reference.model.places.slots + 1)
    order = (*battery(len(slots), reference.model.width, jax.random.key(0)), *WORDS)
    arrays = recorded(reference.task, items, kept[CLEAN], {arm: kept[arm] for arm in order if arm in kept})
    goals = dict.fromkeys(_PLACES.values(), _pointed(reference, found, "donor"))
    goals |= {f"donor, slot {slot}": _pointed(reference, found, "donor", slot) for slot in slots}
    for arm, goal in goals.items():
        control = "unrelated donor, cache" if arm == "donor, residual" else f"unrelated {arm}"
        arrays |= {f"arm/{arm}/donor_targets": goal, f"arm/{arm}/control": np.asarray(control)}
    if WORDS[0] in kept:
        arrays[f"arm/{WORDS[0]}/donor_targets"] = _pointed(reference, found, "words")
    margins = np.swapaxes(found["runs"]["cache"], 0, 1).astype(float)
    arrays |= {f"mediation/{name}": row for name, row in zip(MEDIATION, margins, strict=True)}
    return Run(arrays)


def _pointed(reference: Reference, found: Mapping[str, Any], kind: str, step: int | None = None) -> np.ndarray:
    """Choices that foreign latents speak for, if they are followed from a step; by default the last `[items]`."""
    last = reference.task.num_steps
    words = found["points_at"][kind][f"after step {last if step is None else min(step, last)}"]
    return numbered(reference.task, words[0])


def _arms(judged: Judged, arms: list[str]) -> dict[str, Any]:
    """Rows of the table, and the arrow from latents to answers: flips, shifts, divergences."""
    table, run = judged.effects.loc[arms], judged.run
    columns = {
        "trigger_rate": "trigger_rate", "parse_rate": "parse_rate", "accuracy": "accuracy",
        "difference": "difference", "difference_low": "low", "difference_high": "high", "p_value": "p_value",
        "holm": "holm", "minimal_detectable_effect": "minimal_detectable_effect",
        "equivalence_p_value": "equivalence_p_value", "equivalent": "equivalent",
    }  # fmt: skip
    parts = {name: (("arm",), table[column].to_numpy(float)) for name, column in columns.items()}
    parts["verdict"] = (("arm",), table["verdict"].to_numpy(object))
    exact = clopper_pearson(np.rint(table["accuracy"].to_numpy() * run.right.size), run.right.size)
    parts |= {"accuracy_low": (("arm",), exact.low), "accuracy_high": (("arm",), exact.high)}
    changes = answer_changes(run, judged.settings).set_index("arm").reindex(arms, fill_value=0.0)
    for variable in ("flip_rate", "log_probability_shift", "divergence", "largest_logit_change"):
        parts[variable] = (("arm",), changes[variable].to_numpy(float))
    return parts


def _arrow_to_latents(found: Mapping[str, Any]) -> dict[str, Any]:
    """How far latents move when the input is changed; seeds and items averaged."""
    cosine, distance = [], []
    for change in CHANGES:
        for site in SITES:
            before, after = found["latents"][site], found["changed"][change][site]
            moved = _compiled(diagnose.latent_change)(*(x.reshape(-1, *x.shape[2:]) for x in (before, after)))
            cosine.append(np.asarray(moved.cosine.mean(axis=0)))
            distance.append(np.asarray(moved.relative_distance.mean(axis=0)))
    shape, dims = (len(CHANGES), len(SITES), -1), ("change", "site", "slot")
    return {
        "cosine_changed": (dims, np.reshape(cosine, shape)),
        "distance_changed": (dims, np.reshape(distance, shape)),
    }


def _alike(found: Mapping[str, Any], items: Item) -> dict[str, Any]:
    """How alike latents are between items and within one, beside words and patches; the first seed's."""
    parts: dict[str, Any] = {}
    between, matrices, within = [], [], []
    for site in SITES:
        latents = found["latents"][site][0]
        others = {"words": found["words"][0], "patches": found["patches"][0]} if site == SITES[0] else None
        table = diagnose.similarity_table(latents, others).set_index(["set", "slot", "space"])["cosine"]
        slots = range(latents.shape[1])
        between.append([[table["latents", slot, space] for space in SPACES] for slot in slots])
        if others:
            for name in others:
                parts[f"cosine_{name}"] = (("space",), np.array([table[name, -1, space] for space in SPACES]))
        steps = np.asarray(items.steps)[:SHOWN]
        rows = []
        for slot in slots:
            order = np.argsort(steps[:, min(slot, steps.shape[1] - 1)], kind="stable")
            chosen = latents[:SHOWN][order, slot]
            rows.append(np.asarray(_compiled(diagnose.cosines)(chosen, chosen)))
        matrices.append(rows)
        within.append(np.asarray(_compiled(diagnose.similarity)(latents).within_items))
    path = np.swapaxes(found["latents"]["embedding"][0], 0, 1)
    moved = _compiled(diagnose.movement)(path) if len(path) > 1 else None
    residual = np.full(len(path), np.nan)
    if moved is not None:
        residual[1:] = np.asarray(moved.relative)
    distinct = np.asarray(_compiled(diagnose.degeneration)(np.swapaxes(path, 0, 1)).distinct_by_index, float)
    return {
        **parts,
        "cosine_between": (("site", "slot", "space"), np.array(between)),
        "between_matrix": (("site", "slot", "row", "column"), np.array(matrices)),
        "within_matrix": (("site", "slot", "other_slot"), np.array(within)),
        "distinct_latents": (("slot",), distinct),
        "latent_residual": (("slot",), residual),
    }


def _mediated(found: Mapping[str, Any], right: np.ndarray, judged: Judged) -> dict[str, Any]:
    """Natural effects through the cache of the slots, and beside them those of what the slots are fed."""
    differ = found["exchanged"][0] != right
    margin, effects, shares, kinds = [], [], [], []
    for exchange in EXCHANGES:
        values = np.swapaxes(found["runs"][exchange], 0, 1).astype(float)  # [runs, seeds, items], in the order of RUNS
        margin.append(np.where(differ, values, np.nan))
        made = judged.mediation if exchange == "cache" else mediated(values, judged.settings)
        effects.append([[getattr(getattr(made, name), end) for end in ("estimate", "low", "high")] for name in EFFECTS])
        share = made.mediated_share
        shares.append([float(share.ratio), float(share.low), float(share.high)])
        kinds.append(str(share.kind))
    table, dims = np.array(effects), ("exchange", "effect_name")
    columns = np.array(shares).T
    return {
        "margin": (("exchange", "run", "seed", "item"), np.array(margin)),
        "effect": (dims, table[..., 0]), "effect_low": (dims, table[..., 1]), "effect_high": (dims, table[..., 2]),
        "mediated_share": (("exchange",), columns[0]), "mediated_share_low": (("exchange",), columns[1]),
        "mediated_share_high": (("exchange",), columns[2]), "mediated_share_kind": (("exchange",), np.array(kinds)),
    }  # fmt: skip


def _donors(reference: Reference, found: Mapping[str, Any], judged: Judged) -> tuple[dict[str, Any], list[str]]:
    """Do answers go where the donor points? By where its latents were written."""
    slots = range(1, reference.model.places.slots + 1)
    places = _PLACES | {f"slot {slot}": f"donor, slot {slot}" for slot in slots}
    places |= _OF_WORDS if WORDS[0] in found["arms"] else {}
    rows = []
    for place, arm in places.items():
        made = judged.lift(arm)
        if place.endswith(_LOOKED_UP):
            kind = "words" if arm in WORDS else "donor"
            before = _pointed(reference, found, kind, reference.task.num_steps - 1)
            made = lift(judged.run, judged.settings, arm, before)
        of = made.lift
        rows.append([of.estimate, of.low, of.high, made.donor_rate, made.control_rate, made.own_rate])
    names = ("lift", "lift_low", "lift_high", "donor_rate", "control_rate", "own_rate")
    columns = np.array(rows, float).T
    return {name: (("place",), column) for name, column in zip(names, columns, strict=True)}, list(places)


def _held_against_truth(reference: Reference, judged: Judged) -> dict[str, Any]:
    """What each way of asking concludes, and whether that is true."""
    able = protocols.better_than_chance(judged.run.right, reference.task.chance)
    concluded = lambda asks: asks.concludes(judged) if able else protocols.UNDECIDED  # noqa: E731
    said = {name: concluded(way.asks) for name, way in protocols.WAYS.items()}
    channels = protocols.found_channels(said, [concluded(asks) for asks in protocols.MARKERS])
    truth = reference.truth
    outcomes = [
        [protocols.outcome(said[name], truth["slot cache"] == "content"),
         protocols.outcome(said[name], truth[way.channel] in way.wanted)]
        for name, way in protocols.WAYS.items()
    ]  # fmt: skip
    return {
        "said": (("way",), np.array([said[name] for name in protocols.WAYS])),
        "outcome": (("way", "question"), np.array(outcomes)),
        "truth": (("channel",), np.array([truth[channel] for channel in CHANNELS])),
        "found": (("channel",), np.array([channels[channel] for channel in CHANNELS])),
    }
