"""What the tables say, in sentences: what was seen, what it is worth, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.reasoning.audit.verdicts import at_floor, inert, shock
from tokdyn.stats import clopper_pearson

# Latents this alike, and much less so without their mean, are alike by that mean.
_ALIKE, _APART = 0.9, 0.5
_LITTLE_MASS = 0.05
_SHOCK = 2.0


def findings(run: Run, tables: Mapping[str, Any], *, alpha: float) -> list[str]:
    """Sentences about the tables that there are.

    Args:
        run: what was audited.
        tables: of ``audit``.
        alpha: level of tests.
    """
    said = _accuracy(run, tables["arms"], alpha) + _arms(run, tables["arms"], alpha, inert(run)) + shock(run)
    makers = {
        "donors": _donors,
        "gains": _gains,
        "mediation": _mediation,
        "similarity": _similarity,
        "degeneration": _degeneration,
        "latent_changes": _latent_changes,
        "retrieval": _retrieval,
        "probes": _probes,
        "narrowing": _narrowing,
        "relevant_attention": _relevant,
        "dependence": _dependence,
    }
    for name, make in makers.items():
        if name in tables:
            said += make(tables[name])
    if "confidence" in tables:
        said += _confidence(run, tables["confidence"])
    if not run.arms:
        said.append(
            "No arm was run: what is said of latents here is what they are like, not whether the answer uses them."
        )
    return said


def _accuracy(run: Run, table: Any, alpha: float) -> list[str]:
    count, right = run.num_items, int(run.right.sum())
    exact = clopper_pearson(right, count, confidence=1 - alpha)
    said = [
        f"{count} items, {right / count:.3f} right (exact {1 - alpha:.0%} interval {float(exact.low):.3f} to "
        f"{float(exact.high):.3f})."
    ]
    clean = table.set_index("arm").loc[CLEAN]
    for column, what in (("trigger_rate", "latents were used"), ("parse_rate", "the answer could be read")):
        if column in table and clean[column] < 1:
            said.append(f"In {clean[column]:.1%} of items {what}: an intervention cannot show in the others.")
    if floor := at_floor(run, alpha=alpha):
        said.append(f"Floor: {floor}. An arm can hardly make it worse.")
    if right == count:
        said.append("Ceiling: all are right. No arm can make it better, and one that adds noise can only look harmful.")
    return said


def _arms(run: Run, table: Any, alpha: float, still: Mapping[str, bool]) -> list[str]:
    said: list[str] = []
    clean = table.set_index("arm").loc[CLEAN]
    for row in table[table["arm"] != CLEAN].to_dict("records"):
        if row["arm"] in still:
            said.append(f"Arm {row['arm']!r} did nothing: all that was saved of it equals the clean run.")
            continue
        if 0 < (kept := _untouched(run, row["arm"])) < 1:
            said.append(
                f"Arm {row['arm']!r} leaves the logits of {kept:.1%} of items as they were, to the last bit: there the "
                "hook did not fire, or the answer cannot see what it changed."
            )
        change = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        words = {
            "effect": f"changes accuracy by {change}, p = {row['holm']:.2g} (Holm)",
            "negligible": f"changes accuracy by {change}: real, and inside the bound",
            "no effect": f"was shown to change accuracy by at most {row['smallest_bound']:.3f}",
            "inconclusive": f"is inconclusive: {change}; a change below {row['minimal_detectable_effect']:.3f} would "
            "hardly have been seen",
        }
        if row["holm"] > alpha:
            words["effect"] += ", which does not survive the correction over arms"
        said.append(f"Arm {row['arm']!r} {words[row['verdict']]}.")
        lost = 1 - row.get("parse_rate", 1.0)
        if lost > 0.01 + 1 - clean.get("parse_rate", 1.0):
            said.append(
                f"Arm {row['arm']!r} gives no readable answer in {lost:.1%} of items, which count as wrong here: its "
                "change of accuracy is in part that."
            )
    return said


def _untouched(run: Run, arm: str) -> float:
    """Share of items whose logits an arm leaves as they were; 0 where there are none to compare."""
    clean, given = run.of(CLEAN, "logits"), run.of(arm, "logits")
    if clean is None or given is None:
        return 0.0
    return float((clean == given).all(axis=-1).mean())


def _donors(table: Any) -> list[str]:
    return [
        f"With the latents of arm {row['arm']!r}, {row['donor_rate']:.1%} of {row['n']} answers go where the donor "
        f"points ({row['control_rate']:.1%} in {row['control']!r}; lift {row['lift']:+.3f}, {row['low']:+.3f} to "
        f"{row['high']:+.3f}; without those that would by chance {row['share']:.3f}, {row['share_low']:.3f} to "
        f"{row['share_high']:.3f}); {row['other_rate']:.1%} are neither the donor's nor the own answer."
        for row in table.to_dict("records")
    ]


def _gains(table: Any) -> list[str]:
    first = table.iloc[0]
    gain = f"{first['gain']:+.3f} ({first['gain_low']:+.3f} to {first['gain_high']:+.3f})"
    if not table["defined"].any():
        return [f"The gain over {first['base']!r} is {gain}: shares of it are not reported, for it may be none."]
    kept = ", ".join(f"{row['arm']!r} keeps {row['percent_retained']:.0f} %" for row in table.to_dict("records"))
    return [f"Of the gain over {first['base']!r}, {gain}: {kept}."]


def _mediation(table: Any) -> list[str]:
    rows = table.set_index("effect")
    said = ", ".join(
        f"{name} {rows.loc[name, 'estimate']:+.3f} ({rows.loc[name, 'low']:+.3f} to {rows.loc[name, 'high']:+.3f})"
        for name in ("total", "direct", "indirect")
    )
    return [f"Effects of the image on the margin, nats: {said}."]


def _similarity(table: Any) -> list[str]:
    cosine = table.set_index(["set", "slot", "space"])["cosine"]
    slots = sorted(set(table.loc[table["set"] == "latents", "slot"]))
    raw = [cosine["latents", slot, "raw"] for slot in slots]
    centred = [cosine["latents", slot, "centred"] for slot in slots]
    said = [f"Raw cosine between items, by slot: {_numbers(raw)}; about their mean: {_numbers(centred)}."]
    if min(raw) > _ALIKE and max(centred) < _APART:
        said.append("The high raw cosines are those of a common mean: they do not say that latents are the same.")
    for name in dict.fromkeys(table.loc[table["set"] != "latents", "set"]):
        said.append(f"The same for {name!r}: raw {cosine[name, 0, 'raw']:.3f}.")
    return said


def _degeneration(table: Any) -> list[str]:
    slots = table[table["slot"] > 0]
    said = []
    same = [str(row["slot"]) for row in slots.to_dict("records") if row["distinct"] == 1]
    if same:
        said.append(f"At slot {', '.join(same)} all items have the same latent (to 1 % of the typical length).")
    for column in (name for name in table if name.startswith("norm / ")):
        far = slots[(slots[column] > _SHOCK) | (slots[column] < 1 / _SHOCK)]
        if len(far):
            said.append(
                f"Latents are {_numbers(far[column])} times as long as {column.removeprefix('norm / ')!r} at slot "
                f"{', '.join(map(str, far['slot']))}."
            )
    return said


def _latent_changes(table: Any) -> list[str]:
    return [
        f"Under input {name!r} latents move by {_numbers(rows['relative_distance'])} of their length, by slot."
        for name, rows in table.groupby("input", sort=False)
    ]


def _retrieval(table: Any) -> list[str]:
    rows = table[table["space"] == "centred"]
    chance = rows["chance"].iloc[0]
    return [f"Own target found, by slot: {_numbers(rows['accuracy'])} of items, by chance {chance:.3f}."]


def _probes(table: Any) -> list[str]:
    said = []
    for name, rows in table.groupby("label", sort=False):
        best = rows.loc[rows["accuracy"].idxmax()]
        measured = f"{best['accuracy']:.3f} ({best['low']:.3f} to {best['high']:.3f}), chance {best['chance']:.3f}"
        if best["low"] <= best["chance"]:
            said.append(f"A linear probe reads {name!r} from no slot better than chance: at best {measured}.")
            continue
        text = f"A linear probe reads {name!r} best from slot {best['slot']}: {measured}"
        if "selectivity" in table:
            known = best["learnable"] > 0
            text += f", selectivity {best['selectivity']:+.3f}" if known else ", control tasks could not be learned"
        said.append(text + ".")
    return [*said, "What a probe reads need not be what the answer uses; the best of many slots is best by luck too."]


def _narrowing(table: Any) -> list[str]:
    row = table.iloc[0]
    said = [
        f"Attention to the image is {'narrower' if row['difference'] < 0 else 'wider'} at latents than at answers by "
        f"{abs(row['difference']):.3f} nats ({row['low']:+.3f} to {row['high']:+.3f})."
    ]
    if min(row["latent_mass"], row["answer_mass"]) < _LITTLE_MASS:
        said.append(
            f"Little attention is on the image at all (latents {row['latent_mass']:.3f}, answers "
            f"{row['answer_mass']:.3f}): its entropy says little."
        )
    return said


def _relevant(table: Any) -> list[str]:
    return [
        f"{row['share']:.1%} of the attention of {row['queries']} queries to the image is on the {row['area']:.1%} of "
        f"it that matters ({row['low']:+.3f} to {row['high']:+.3f} beyond the area)."
        for row in table.to_dict("records")
    ]


def _dependence(table: Any) -> list[str]:
    return [
        f"Input {row['input']!r} makes the {row['words']} {'less' if row['mean'] >= 0 else 'more'} likely by "
        f"{abs(row['mean']):.3f} nats{' a word' if row['words'] == 'text' else ''}; less likely are {row['share']:.1%} "
        f"of {row['count']} {'words' if row['words'] == 'text' else 'answers'}."
        for row in table.to_dict("records")
    ]


def _confidence(run: Run, table: Any) -> list[str]:
    row = table.set_index("measure").loc["maximum"]
    both = 0 < run.right.sum() < run.num_items
    area = f"ROC area for being right {row['roc_area']:.3f}" if both else "all answers alike right or wrong, so no ROC"
    return [
        f"Mean confidence {row['mean']:.3f}; calibration error {row['calibration_error']:.3f} "
        f"({row['if_calibrated']:.3f} if calibrated); {area}."
    ]


def _numbers(values: Any) -> str:
    return ", ".join(f"{float(value):.3f}" for value in values)
