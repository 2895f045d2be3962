"""From what was measured on one reasoner to its part of the Dataset: effects, arrows, mediation, donors, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray

from tokdyn import keys
from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit import Member, Run
from tokdyn.reasoning.audit.diagnostics import DIAGNOSTICS, UNDECIDED, YES, Diagnostic, accuracy
from tokdyn.reasoning.audit.suite import ASKED
from tokdyn.reasoning.audit.tables import Judged, Settings, answer_changes, lift, mediated
from tokdyn.reasoning.items import Item
from tokdyn.stats import clopper_pearson
from tokdyn.studies.mediation.contraction import against_effects
from tokdyn.studies.mediation.design import (
    CHANGES,
    CLEAN,
    EFFECTS,
    EXCHANGES,
    LOOKED_UP,
    RUNS,
    SHOWN,
    SITES,
    SPACES,
    Config,
    places,
)  # fmt: skip

# Every diagnostic of the audit that says yes or no by itself, as everywhere; scores need other reasoners' thresholds.
WAYS: dict[str, Diagnostic] = {name: one for name, one in DIAGNOSTICS.items() if one.kind != "score"}
# Two truths that an answer can be held against. The first is what papers conclude on, whatever they have intervened on.
QUESTIONS = ("do answers use what the cache holds?", "does what it acts on matter?")
OUTCOMES = ("right", "false alarm", "missed", "undecided", "open", "not judged")
# By which diagnostic each question of ``suite.ASKED`` is answered here.
ANSWERS = {
    "cache": DIAGNOSTICS["donor lift, cache"], "embedding": DIAGNOSTICS["accuracy, donor's embedding"],
    "presence": DIAGNOSTICS["accuracy, slots removed"], "markers": accuracy("markers removed"),
}  # fmt: skip
MEASURED = ("changed", "necessary", "followed", "indirect", "direct", "sufficient")

VARIABLES = {
    "opened": "share of items whose likeliest word after the question opens the slots (they are opened in any case)",
    "trigger_rate": "share of items in which slots were used",
    "parse_rate": "share of answers that are one of the task's choices",
    "accuracy": "share of right answers",
    "accuracy_low": "lower end of its exact 95 % interval",
    "accuracy_high": "its upper end",
    "difference": "accuracy minus that of the clean run",
    "difference_low": "lower end of its 95 % interval",
    "difference_high": "its upper end",
    "p_value": "of McNemar's exact test that there is no difference",
    "holm": "the same, adjusted by Holm over the arms of a reference",
    "minimal_detectable_effect": "smallest difference of accuracy that the test finds with a power of 0.8",
    "equivalence_p_value": "of the test that the difference is outside the bound",
    "equivalent": "1 where the difference was shown to be inside the bound",
    "verdict": "no effect, negligible, effect or inconclusive, as diagnose.effects_table says",
    "flip_rate": "share of items whose likeliest choice is another than in the clean run",
    "log_probability_shift": "mean change of the log-probability of the right choice, nats",
    "divergence": "mean KL divergence of the choices' distribution from that of the clean run, nats",
    "largest_logit_change": "largest change of a choice's logit against the clean run",
    "answer": "number of the choice that was answered; -1 where the reasoner lacks the arm",
    "right_answer": "number of the right choice",
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
    "outcome": "against the truth: right, false alarm, missed, undecided, open (truth), not judged (trained so)",
    "truth": "whether answers depend on it, by masks or as measured: yes, no, open",
    "found": "the same, by the diagnostic that asks about it",
    "estimand": "shares of items, measured on thousands (reasoning.estimands); NaN where nobody did",
    "seconds": "wall time of the measurement, with waiting for its programs",
}


class Measured(NamedTuple):
    """A reasoner through all its runs.

    Attributes:
        run: the suite's run, with the arms of this study beside the battery.
        items: of the run `[items, ...]`.
        opened: items whose likeliest word after the question opens the slots `[items]`.
        latents: by site `[items, slots, width]`.
        changed: the same under another input, by change and site.
        gains: as in ``contraction.gains``.
        margins: by what is exchanged `[4, items]`.
        looked_up: choices of the second reading of foreign latents, by arm `[items]`.
        seconds: of wall time, with compiling.
    """

    run: Run
    items: Item
    opened: np.ndarray
    latents: dict[str, np.ndarray]
    changed: dict[str, dict[str, np.ndarray]]
    gains: np.ndarray
    margins: dict[str, np.ndarray]
    looked_up: dict[str, np.ndarray]
    seconds: float


def fills(parts: Sequence[xarray.Dataset]) -> dict[str, Any]:
    """What stands where a reference does not have an arm or a slot, by variable."""
    return {
        str(name): {"U": "", "O": "", "i": -1}.get(values.dtype.kind, np.nan)
        for part in parts for name, values in part.data_vars.items()
    }  # fmt: skip


def analysed(name: str, member: Member, found: Measured, config: Config) -> xarray.Dataset:
    """One reasoner's part of the Dataset.

    Args:
        name: of the reasoner.
        member: of the suite, with its truth.
        found: of its runs.
        config: bounds.

    Returns:
        Variables of ``VARIABLES`` with a leading axis of one reference.
    """
    key = keys.for_purpose(jax.random.key(config.key), f"intervals of {name}")
    judged = Judged(found.run, Settings(key, config.bound, num_resamples=config.resamples, share=config.share))
    arms, slots = [CLEAN, *found.run.arms], np.arange(1, member.reference.model.places.slots + 1)
    lifts, where = _donors(member, found, judged)
    parts: dict[str, tuple[tuple[str, ...], Any]] = {
        "opened": ((), found.opened.mean()),
        "answer": (("arm", "item"), np.stack([found.run.of(arm, "answers") for arm in arms])),
        "right_answer": (("item",), found.run.arrays["targets"]),
        "seconds": ((), found.seconds),
        **_arms(judged, arms), **_arrow_to_latents(found), **_alike(found), **against_effects(found.gains, found.run),
        **_mediated(found, judged), **lifts, **_held_against_truth(member, judged),
    }  # fmt: skip
    coordinates: dict[str, Any] = {
        "reference": [name], "arm": arms, "place": where, "site": list(SITES), "space": list(SPACES),
        "change": list(CHANGES), "run": list(RUNS), "exchange": list(EXCHANGES), "effect_name": list(EFFECTS),
        "way": list(WAYS), "question": list(QUESTIONS), "channel": list(ASKED), "quantity": list(MEASURED),
        "slot": slots, "other_slot": slots,
    }  # fmt: skip
    made = {
        variable: (("reference", *dims), _without_length(np.asarray(values)[None]))
        for variable, (dims, values) in parts.items()
    }
    return xarray.Dataset(made, coordinates)


def better_than_chance(right: np.ndarray, chance: float) -> bool:
    """Whether more answers are right than by guessing, by the exact interval: otherwise nothing can be broken."""
    return bool(clopper_pearson(int(right.sum()), right.size).low > chance)


def outcome(said: str, truth: bool | None) -> str:
    """One of ``OUTCOMES``.

    Args:
        said: "yes", "no" or "undecided".
        truth: whether yes is right; None where that is open.

    Example:
        >>> from tokdyn.studies.mediation.analysis import outcome
        >>> outcome("yes", False), outcome("no", True), outcome("no", None)
        ('false alarm', 'missed', 'open')
    """
    if truth is None or said == UNDECIDED:
        return "open" if truth is None else "undecided"
    if (said == YES) == truth:
        return "right"
    return "false alarm" if said == YES else "missed"


def _without_length(values: np.ndarray) -> np.ndarray:
    """Texts as objects, which no longer text can be too long for."""
    return values.astype(object) if values.dtype.kind == "U" else values


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


def _arrow_to_latents(found: Measured) -> dict[str, Any]:
    """How far latents move when the input is changed; items averaged."""
    moved = [[diagnose.latent_change(found.latents[site], found.changed[change][site]) for site in SITES]
             for change in CHANGES]  # fmt: skip
    dims = ("change", "site", "slot")
    return {
        "cosine_changed": (dims, np.array([[one.cosine.mean(axis=0) for one in row] for row in moved])),
        "distance_changed": (dims, np.array([[one.relative_distance.mean(axis=0) for one in row] for row in moved])),
    }


def _alike(found: Measured) -> dict[str, Any]:
    """How alike latents are between items and within one, beside words and patches."""
    parts: dict[str, Any] = {}
    between, matrices, within = [], [], []
    steps = np.asarray(found.items.steps)[:SHOWN]
    for site in SITES:
        latents = found.latents[site]
        others = found.run.named("reference/*") if site == SITES[0] else {}
        table = diagnose.similarity_table(latents, others or None).set_index(["set", "slot", "space"])["cosine"]
        slots = range(latents.shape[1])
        between.append([[table["latents", slot, space] for space in SPACES] for slot in slots])
        for name in others:
            parts[f"cosine_{name}"] = (("space",), np.array([table[name, -1, space] for space in SPACES]))
        shown = [latents[:SHOWN][np.argsort(steps[:, min(slot, steps.shape[1] - 1)], kind="stable"), slot]
                 for slot in slots]  # fmt: skip
        matrices.append([np.asarray(diagnose.cosines(one, one)) for one in shown])
        within.append(np.asarray(diagnose.similarity(latents).within_items))
    path = found.latents["embedding"]
    residual = np.full(path.shape[1], np.nan)
    if len(residual) > 1:
        residual[1:] = np.asarray(diagnose.movement(np.swapaxes(path, 0, 1)).relative)
    return {
        **parts,
        "cosine_between": (("site", "slot", "space"), np.array(between)),
        "between_matrix": (("site", "slot", "row", "column"), np.array(matrices)),
        "within_matrix": (("site", "slot", "other_slot"), np.array(within)),
        "distinct_latents": (("slot",), np.asarray(diagnose.degeneration(path).distinct_by_index, float)),
        "latent_residual": (("slot",), residual),
    }


def _mediated(found: Measured, judged: Judged) -> dict[str, Any]:
    """Natural effects through the cache of the slots, and beside them those of what the slots are fed."""
    margin, effects, shares, kinds = [], [], [], []
    for exchange in EXCHANGES:
        values = found.margins[exchange].astype(float)  # [runs, items], in the order of RUNS
        margin.append(np.where(values.any(axis=0), values, np.nan))
        made = judged.mediation if exchange == "cache" else mediated(list(values), judged.settings)
        effects.append([[getattr(getattr(made, name), end) for end in ("estimate", "low", "high")] for name in EFFECTS])
        share = made.mediated_share
        shares.append([float(share.ratio), float(share.low), float(share.high)])
        kinds.append(str(share.kind))
    table, dims = np.array(effects), ("exchange", "effect_name")
    columns = np.array(shares).T
    return {
        "margin": (("exchange", "run", "item"), np.array(margin)),
        "effect": (dims, table[..., 0]), "effect_low": (dims, table[..., 1]), "effect_high": (dims, table[..., 2]),
        "mediated_share": (("exchange",), columns[0]), "mediated_share_low": (("exchange",), columns[1]),
        "mediated_share_high": (("exchange",), columns[2]), "mediated_share_kind": (("exchange",), np.array(kinds)),
    }  # fmt: skip


def _donors(member: Member, found: Measured, judged: Judged) -> tuple[dict[str, Any], list[str]]:
    """Do answers go where the donor points? By where its latents were written."""
    model = member.reference.model
    known = places(model.places.slots, words=model.protocol.source == "word")
    rows = []
    for place, (arm, _) in known.items():
        second = place.endswith(LOOKED_UP)
        made = lift(judged.run, judged.settings, arm, found.looked_up[arm]) if second else judged.lift(arm)
        of = made.lift
        rows.append([of.estimate, of.low, of.high, made.donor_rate, made.control_rate, made.own_rate])
    names = ("lift", "lift_low", "lift_high", "donor_rate", "control_rate", "own_rate")
    columns = np.array(rows, float).T
    return {name: (("place",), column) for name, column in zip(names, columns, strict=True)}, list(known)


def _held_against_truth(member: Member, judged: Judged) -> dict[str, Any]:
    """What each way of asking concludes, and whether that is true."""
    able = better_than_chance(judged.run.right, member.reference.task.chance)
    said = {name: one.says(judged) if able else UNDECIDED for name, one in WAYS.items()}
    outcomes = [
        ["not judged" if one.met(member.design) else outcome(said[name], member.depends_on(question))
         for question in ("cache", one.asks)]
        for name, one in WAYS.items()
    ]  # fmt: skip
    words = {True: "yes", False: "no", None: "open"}
    measured = member.estimands
    return {
        "said": (("way",), np.array([said[name] for name in WAYS])),
        "outcome": (("way", "question"), np.array(outcomes)),
        "truth": (("channel",), np.array([words[member.depends_on(question)] for question in ASKED])),
        "found": (("channel",), np.array([one.says(judged) if able else UNDECIDED for one in ANSWERS.values()])),
        "estimand": (("quantity",), np.array([np.nan if measured is None else getattr(measured, name)
                                              for name in MEASURED], float)),
    }  # fmt: skip
