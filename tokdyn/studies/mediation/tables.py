"""The report's tables, as records."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from tokdyn.reasoning.audit.suite import ASKED
from tokdyn.studies.documents import brackets
from tokdyn.studies.mediation.analysis import OUTCOMES, QUESTIONS
from tokdyn.studies.mediation.design import CHANGES, CLEAN, EFFECTS, EXCHANGES, SITES, SPACES

Rows = list[dict[str, Any]]
NOTHING = 1e-3  # nats; a divergence below it is called none


def _names(dataset: xarray.Dataset) -> list[str]:
    return [str(name) for name in dataset["reference"].values]


def _slots(one: xarray.Dataset) -> list[int]:
    """Numbers of the slots that a reasoner has."""
    return [int(slot) for slot in one["slot"].values if np.isfinite(one["distinct_latents"].sel(slot=slot))]


def verdict(one: xarray.Dataset) -> str:
    """A reasoner in a sentence: its accuracy, what is true of it, and which ways of asking were wrong.

    Args:
        one: the Dataset of one reasoner.
    """
    truth, found = (dict(zip(one["channel"].values, one[name].values, strict=True)) for name in ("truth", "found"))
    text = f"{one['reference'].item()}: {float(one['accuracy'].sel(arm=CLEAN)):.1%} of fresh items right; "
    if all(value == "undecided" for value in found.values()):
        return text + "nothing can be concluded, since that is not above guessing."
    text += "does the answer depend on it, and what was found: "
    text += ", ".join(f"{question} {truth[question]} ({found[question]})" for question in ASKED) + "."
    said = dict(zip(one["way"].values, one["outcome"].sel(question=QUESTIONS[0]).values, strict=True))
    for kind in ("false alarm", "missed"):
        if ways := [str(way) for way, outcome in said.items() if outcome == kind]:
            text += f" On what the cache holds, {kind}: {', '.join(ways)}."
    return text


def counts(dataset: xarray.Dataset, question: str) -> Rows:
    """How often each way was right, those with the most right answers and the fewest wrong ones first."""
    values = dataset["outcome"].sel(question=question)
    rows = [
        {"way of asking": str(way), **{kind: int((values.sel(way=way) == kind).sum()) for kind in OUTCOMES}}
        for way in dataset["way"].values
    ]
    return sorted(rows, key=lambda row: (row["false alarm"] + row["missed"], -row["right"]))


def summary(dataset: xarray.Dataset) -> list[str]:
    """What ways of asking were never wrong, and how often others were, on what the cache holds."""
    rows = counts(dataset, QUESTIONS[0])
    wrong = [row for row in rows if row["false alarm"] + row["missed"]]
    never = [
        f"{row['way of asking']} ({row['right']} right, {row['undecided']} undecided)" for row in rows
        if row not in wrong
    ]  # fmt: skip
    others = [f"{row['way of asking']} ({row['false alarm']} false alarms, {row['missed']} missed)" for row in wrong]
    said = f"never wrong on the {dataset.sizes['reference']} reasoners, of {len(rows)} ways to ask"
    return [f"{said}: {', '.join(never) or 'none'}", f"wrong: {', '.join(others) or 'none'}"]


def outcomes(dataset: xarray.Dataset, question: str) -> Rows:
    """Ways of asking x reasoners: what was concluded, and whether it is right; best way first."""
    values, said = dataset["outcome"].sel(question=question), dataset["said"]
    return [
        {"way of asking": row["way of asking"]}
        | {name: f"{values.sel(way=row['way of asking'], reference=name).item()} "
                 f"({said.sel(way=row['way of asking'], reference=name).item()})" for name in _names(dataset)}
        for row in counts(dataset, question)
    ]  # fmt: skip


def measured(dataset: xarray.Dataset) -> Rows:
    """The suite's truth by question, and the estimands behind it."""
    return [
        {"reasoner": name}
        | {str(question): str(dataset["truth"].sel(reference=name, channel=question).item())
           for question in dataset["channel"].values}
        | {str(of): float(dataset["estimand"].sel(reference=name, quantity=of)) for of in dataset["quantity"].values}
        for name in _names(dataset)
    ]  # fmt: skip


def readable(dataset: xarray.Dataset) -> Rows:
    """Triggers, answers that can be read, and accuracy, first of all."""
    rows = []
    for name in _names(dataset):
        one = dataset.sel(reference=name)
        clean = one.sel(arm=CLEAN)
        lowest = int(np.nanargmin(one["parse_rate"].values))
        rows.append(
            {
                "reasoner": name,
                "slots used": float(clean["trigger_rate"]),
                "would open them": float(one["opened"]),
                "answers readable": float(clean["parse_rate"]),
                "fewest readable": float(one["parse_rate"][lowest]),
                "in arm": str(one["arm"].values[lowest]),
                "accuracy": float(clean["accuracy"]),
                "95 %": brackets(clean["accuracy_low"], clean["accuracy_high"]),
                "detectable change": float(clean["minimal_detectable_effect"]),
            }
        )
    return rows


def changes(dataset: xarray.Dataset) -> Rows:
    """The arrow from the image to latents."""
    rows = []
    for name in _names(dataset):
        for site in SITES:
            one = dataset.sel(reference=name, site=site)
            for slot in _slots(dataset.sel(reference=name)):
                at = one.sel(slot=slot)
                cells = {
                    change: f"{float(at['cosine_changed'].sel(change=change)):.3f} "
                    f"({float(at['distance_changed'].sel(change=change)):.3f})"
                    for change in CHANGES
                }
                rows.append({"reasoner": name, "of": site, "slot": slot, **cells})
    return rows


def likeness(dataset: xarray.Dataset) -> Rows:
    """Cosines between items, words, patches."""
    rows: Rows = []
    for name in _names(dataset):
        one = dataset.sel(reference=name)
        for site in SITES:
            for slot in _slots(one):
                values = one["cosine_between"].sel(site=site, slot=slot)
                rows.append(
                    {"reasoner": name, "of": f"{site}, slot {slot}"}
                    | {space: float(values.sel(space=space)) for space in SPACES}
                )
        for kind in ("words", "patches"):
            cells = {space: float(one[f"cosine_{kind}"].sel(space=space)) for space in SPACES}
            rows.append({"reasoner": name, "of": kind, **cells})
    return rows


def recurrence(dataset: xarray.Dataset) -> Rows:
    """Distinct latents, movement and gain by slot."""
    return [
        {
            "reasoner": name, "slot": slot,
            "distinct latents": int(dataset["distinct_latents"].sel(reference=name, slot=slot)),
            "of items": dataset.sizes["item"],
            "change from the slot before": float(dataset["latent_residual"].sel(reference=name, slot=slot)),
            "gain": float(dataset["latent_gain"].sel(reference=name, slot=slot)),
            "donor here (KL, nats)": float(dataset["donor_divergence"].sel(reference=name, slot=slot)),
            "correlation": float(dataset["gain_correlation"].sel(reference=name, slot=slot)),
            "95 %": brackets(
                dataset["gain_correlation_low"].sel(reference=name, slot=slot),
                dataset["gain_correlation_high"].sel(reference=name, slot=slot),
                2,
            ),
        }
        for name in _names(dataset) for slot in _slots(dataset.sel(reference=name))
    ]  # fmt: skip


def contraction(dataset: xarray.Dataset) -> str:
    """Whether a small gain goes with a small effect of a donor: over reasoners, and over items of one."""
    rows = [row for row in recurrence(dataset) if np.isfinite(row["gain"])]
    says = {
        "does not hand its latents on, and donors move nothing": lambda gain, moved: gain == 0 and not moved,
        "does not hand its latents on, yet donors move the answer": lambda gain, moved: gain == 0 and moved,
        "hands its latents on, and donors move the answer": lambda gain, moved: gain > 0 and moved,
        "hands its latents on, yet donors move nothing": lambda gain, moved: gain > 0 and not moved,
    }
    lines = []
    for text, holds in says.items():
        names = [
            f"{row['reasoner']} slot {row['slot']} (gain {row['gain']:.2f}, {row['donor here (KL, nats)']:.2g} nats)"
            for row in rows if holds(row["gain"], row["donor here (KL, nats)"] > NOTHING)
        ]  # fmt: skip
        if names:
            lines.append(f"{text}: {', '.join(names)}")
    return "; ".join(lines) + "."


def donors(dataset: xarray.Dataset) -> Rows:
    """Lifts by where the donor's latents were written."""
    rows = []
    for name in _names(dataset):
        for place in dataset["place"].values:
            one = dataset.sel(reference=name, place=place)
            if not np.isfinite(one["lift"]):
                continue
            rows.append(
                {
                    "reasoner": name,
                    "written to": str(place),
                    "follow the donor": float(one["donor_rate"]),
                    "control": float(one["control_rate"]),
                    "lift": float(one["lift"]),
                    "95 %": brackets(one["lift_low"], one["lift_high"]),
                    "stay right": float(one["own_rate"]),
                }
            )
    return rows


def mediation(dataset: xarray.Dataset) -> Rows:
    """Effects by path."""
    rows = []
    for exchange in EXCHANGES:
        for name in _names(dataset):
            one = dataset.sel(reference=name, exchange=exchange)
            cells = {}
            for effect in EFFECTS:
                of = one.sel(effect_name=effect)
                cells[effect] = (
                    f"{float(of['effect']):.2f} {brackets(of['effect_low'], of['effect_high'], 2)}"
                )  # fmt: skip
            kind = str(one["mediated_share_kind"].item())
            share = f"{float(one['mediated_share']):.3f} "
            share += (
                brackets(one["mediated_share_low"], one["mediated_share_high"]) if kind == "interval" else f"({kind})"
            )
            rows.append({"exchanged": exchange, "reasoner": name, **cells, "indirect / total": share})
    return rows


def arms(one: xarray.Dataset) -> Rows:
    """Every arm of a reasoner."""
    rows = []
    for arm in one["arm"].values:
        at = one.sel(arm=arm)
        if not np.isfinite(at["accuracy"]):
            continue
        rows.append(
            {
                "arm": str(arm),
                "parsed": float(at["parse_rate"]),
                "accuracy": float(at["accuracy"]),
                "change": float(at["difference"]),
                "95 %": brackets(at["difference_low"], at["difference_high"]),
                "p (Holm)": float(at["holm"]),
                "verdict": str(at["verdict"].item()),
                "flipped": float(at["flip_rate"]),
                "log p of the right (nats)": float(at["log_probability_shift"]),
                "KL (nats)": float(at["divergence"]),
            }
        )
    return rows


def arms_frame(dataset: xarray.Dataset) -> Any:
    """All arms of all reasoners as a ``pandas.DataFrame``, for a CSV file."""
    columns = [
        str(name) for name, values in dataset.data_vars.items() if values.dims == ("reference", "arm")
    ]  # fmt: skip
    frame = dataset[columns].to_dataframe().reset_index()
    return frame[np.isfinite(frame["accuracy"].to_numpy(float))]
