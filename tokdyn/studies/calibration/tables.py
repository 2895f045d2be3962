"""The report's tables, as records: alarms by reasoner, sensitivity and false alarms, truths, protocols."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray

from tokdyn import claims
from tokdyn.reasoning.audit.schema import CLEAN
from tokdyn.stats import clopper_pearson, paired_t_test
from tokdyn.stats.intervals import ProportionInterval
from tokdyn.studies.documents import brackets
from tokdyn.typing import EitherArray

Rows = list[dict[str, Any]]

# What papers ask -> the diagnostic here, and claims that give the published numbers.
PROTOCOLS = {
    "zeros for what slots are fed, alone": ("accuracy, zero embedding", ()),
    "near-zero values (CapImagine on Mirage)": (
        "accuracy, near-zero embedding",
        ("capimagine.mirage_stage_2_original", "capimagine.mirage_stage_2_near_zero"),
    ),
    "one constant for all latents (CapImagine)": (
        "accuracy, one direction for all",
        (
            "capimagine.mirage_stage_1_original", "capimagine.mirage_stage_1_constant",
            "capimagine.monet_original_vstar", "capimagine.monet_constant_vstar",
        ),
    ),
    "Gaussian noise instead (CapImagine on Mirage)": (
        "accuracy, noise embedding",
        ("capimagine.mirage_stage_1_original", "capimagine.mirage_stage_1_replace_noise"),
    ),
    "cosine alone": ("cosine between items below 0.9", ("capimagine.similarity_between_inputs",)),
    "probe alone": ("probe reads the answer", ("capimagine.probe_latents", "capimagine.probe_image")),
    "entropy of attention (Beyond Visual Memory)": ("attention narrower at latents", ()),
    "slots removed": ("accuracy, slots removed", ()),
    "slot cache of another item (ours)": ("donor lift, cache", ()),
    "mediated share above a tenth (ours)": ("indirect / total above 0.1", ()),
}  # fmt: skip


def alpha_of(dataset: xarray.Dataset) -> float:
    """The level of the design."""
    return float(json.loads(dataset.attrs["config"])["alpha"])


def null_names(dataset: xarray.Dataset) -> list[str]:
    """References whose answers do not follow what the slots' cache holds."""
    return [str(name) for name in dataset["reference"].values if not dataset["bears"].sel(reference=name)]


def bearing_names(dataset: xarray.Dataset) -> list[str]:
    """References whose answers do."""
    return [str(name) for name in dataset["reference"].values if dataset["bears"].sel(reference=name)]


def threshold(dataset: xarray.Dataset, diagnostic: str) -> float:
    """Of a score: what a share of alpha of the null reasoners with even numbers exceeds at most."""
    values = dataset["value"].sel(diagnostic=diagnostic, reference=null_names(dataset), dial=0.0)
    even = values.isel(training=slice(0, None, 2)).values
    return float(np.quantile(even[np.isfinite(even)], 1 - alpha_of(dataset), method="higher"))


def alarms(dataset: xarray.Dataset) -> xarray.DataArray:
    """Alarms (1 or 0; NaN where nothing was judged) over diagnostic, reference, training, dial.

    A p-value at or below alpha is one, and a score above its threshold. Null reasoners that made a threshold (those
    with even numbers) are not judged by it.
    """
    parts = []
    for name, kind in zip(dataset["diagnostic"].values, dataset["kind"].values, strict=True):
        values = dataset["value"].sel(diagnostic=name)
        if kind == "p-value":
            flags = values <= alpha_of(dataset)
        elif kind == "verdict":
            flags = values > 0.5
        else:
            flags = values > threshold(dataset, str(name))
            made = ~dataset["bears"] & (dataset["training"] % 2 == 0)
            values = values.where(~made)
        parts.append(flags.astype(float).where(np.isfinite(values)))
    return xarray.concat(parts, dataset["diagnostic"]).transpose("diagnostic", "reference", "training", "dial")


def exact(flags: EitherArray) -> tuple[int, int, ProportionInterval]:
    """Alarms, those judged, and the exact interval of the rate."""
    flags = np.asarray(flags, float)
    flags = flags[np.isfinite(flags)]
    return int(flags.sum()), flags.size, clopper_pearson(int(flags.sum()), flags.size)


def rates(dataset: xarray.Dataset) -> Rows:
    """One row a diagnostic, best first: sensitivity at the full dial and over all, false alarms and the worst null.

    ``sensitivity`` and ``false`` are shares, with ``_low`` and ``_high`` of exact 95 % intervals; ``dial80`` is the
    smallest dial with at least 80 % alarms (NaN: none); ``above`` names the null reasoners on which the whole interval
    of the false alarms is above alpha; ``difference`` is the mean sensitivity over dials above 0 minus the false
    alarms.
    """
    found = alarms(dataset)
    rows: Rows = []
    dials = [float(dial) for dial in dataset["dial"].values if dial > 0]
    for name in dataset["diagnostic"].values:
        one = found.sel(diagnostic=name)
        bearing, null = one.sel(reference=bearing_names(dataset)), one.sel(reference=null_names(dataset), dial=0.0)
        curve = {dial: float(bearing.sel(dial=dial).mean()) for dial in dials}
        alarmed, judged, interval = exact(bearing.sel(dial=1.0))
        false, nulls, false_interval = exact(null)
        worst = max(null_names(dataset), key=lambda other: float(null.sel(reference=other).mean()))
        above = [other for other in null_names(dataset)
                 if float(exact(null.sel(reference=other))[2].low) > alpha_of(dataset)]  # fmt: skip
        mean = float(np.mean(list(curve.values())))
        rows.append(
            {
                "diagnostic": str(name), "kind": str(dataset["kind"].sel(diagnostic=name).item()),
                "sensitivity": alarmed / judged, "sensitivity_low": float(interval.low),
                "sensitivity_high": float(interval.high), "mean_sensitivity": mean,
                "dial80": next((dial for dial in dials if curve[dial] >= 0.8), np.nan),
                "false": false / nulls, "false_low": float(false_interval.low),
                "false_high": float(false_interval.high), "nulls": nulls, "worst": worst,
                "false_worst": float(null.sel(reference=worst).mean()), "above": ", ".join(above),
                "difference": mean - false / nulls,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: -row["difference"])
    for row in rows:
        row["rank"] = 1 + sum(other["difference"] > row["difference"] for other in rows)
    return rows


def summary(dataset: xarray.Dataset) -> Rows:
    """``rates`` for readers."""
    return [
        {
            "rank": row["rank"],
            "diagnostic": row["diagnostic"],
            "sensitivity": f"{row['sensitivity']:.3f} {brackets(row['sensitivity_low'], row['sensitivity_high'])}",
            "mean over dials": row["mean_sensitivity"],
            "80 % from dial": row["dial80"],
            "false alarms": f"{row['false']:.3f} {brackets(row['false_low'], row['false_high'])}",
            "worst null": f"{row['worst']}: {row['false_worst']:.2f}",
            "keeps its level": _level(row, alpha_of(dataset)),
        }
        for row in rates(dataset)
    ]


def _level(row: dict[str, Any], alpha: float) -> str:
    if row["above"]:
        return f"no: {row['above']}"
    return "yes" if row["false_high"] <= 2 * alpha else "not shown to break it"


def by_reasoner(dataset: xarray.Dataset) -> Rows:
    """Share of trainings with an alarm, as they are (full dial; null reasoners at 0)."""
    shares = shares_by_reasoner(dataset)
    return [
        {"diagnostic": str(name), **{str(other): float(shares.sel(diagnostic=name, reference=other))
                                     for other in dataset["reference"].values}}
        for name in dataset["diagnostic"].values
    ]  # fmt: skip


def shares_by_reasoner(dataset: xarray.Dataset) -> xarray.DataArray:
    """Share of trainings with an alarm `[diagnostics, references]`."""
    found = alarms(dataset)
    return found.sel(dial=1.0).where(dataset["bears"], found.sel(dial=0.0)).mean("training")


def sensitivity(dataset: xarray.Dataset) -> dict[str, np.ndarray]:
    """By diagnostic the share of alarms over the dial, and the ends of its exact interval `[3, dials]`."""
    found, curves = alarms(dataset).sel(reference=bearing_names(dataset)), {}
    for name in dataset["diagnostic"].values:
        columns = []
        for dial in dataset["dial"].values:
            alarmed, judged, interval = exact(found.sel(diagnostic=name, dial=dial))
            columns.append((alarmed / judged, float(interval.low), float(interval.high)))
        curves[str(name)] = np.array(columns).T
    return curves


def curves(dataset: xarray.Dataset) -> Rows:
    """Sensitivity by dial, for readers."""
    names = [f"dial {float(dial):g}" for dial in dataset["dial"].values]
    return [
        {"diagnostic": name, **dict(zip(names, curve[0].tolist(), strict=True))}
        for name, curve in sensitivity(dataset).items()
    ]


def truths(dataset: xarray.Dataset) -> Rows:
    """What holds of each reference over its trainings: mean, 95 % interval of the mean over trainings, worst."""
    rows = []
    for name in dataset["reference"].values:
        one = dataset.sel(reference=name)
        there = np.isfinite(one["donor_rate"].values)
        accuracy = {str(arm): one["accuracy"].sel(arm=arm).values[there] for arm in dataset["arm"].values}
        lift = (one["donor_rate"] - one["donor_control"]).values[there]
        row = {
            "reasoner": str(name), "declared of the cache": str(one["truth"].sel(channel="slot cache").item()),
            "trainings": int(there.sum()), "clean": _mean(accuracy[CLEAN]),
            "fewest right": float(accuracy[CLEAN].min()), "donor's cache": _mean(accuracy["donor"]),
            "mean cache": _mean(accuracy["mean"]), "donor lift": _mean(lift),
            "mean embedding": _mean(accuracy["mean embedding"]), "slots removed": _mean(accuracy["removed"]),
            "markers removed": _mean(accuracy["markers removed"]),
        }  # fmt: skip
        rows.append(row)
    return rows


def marker_gain(dataset: xarray.Dataset) -> str:
    """How much of the marker-driven reasoner's gain stays without slots, and without markers, over trainings."""
    if "base_accuracy" not in dataset:
        return ""
    accuracy = dataset["accuracy"].sel(reference="marker")
    base = dataset["base_accuracy"].values
    gain = accuracy.sel(arm=CLEAN).values - base
    slots, markers = (accuracy.sel(arm=arm).values - base for arm in ("removed", "markers removed"))
    there = np.isfinite(gain)
    return (
        f"The marker-driven reasoner gains {_mean(gain[there])} of accuracy over its base without slots "
        f"({_mean(base[there])}). With markers only it keeps {_mean(slots[there] / gain[there])} of the gain, without "
        f"markers {_mean(markers[there] / gain[there])} (means of ratios over {int(there.sum())} trainings)."
    )


def protocols(dataset: xarray.Dataset) -> Rows:
    """Published ways of asking: how often each misleads, in the worst case of either kind."""
    shares, found = shares_by_reasoner(dataset), alarms(dataset)
    rows = []
    for text, (name, ids) in PROTOCOLS.items():
        one = shares.sel(diagnostic=name)
        null = max(null_names(dataset), key=lambda other: float(one.sel(reference=other)))
        missed = min(bearing_names(dataset), key=lambda other: float(one.sel(reference=other)))
        rows.append(
            {
                "way of asking": text,
                "false alarms, worst null": _worst(found, name, null, 0.0, wanted=1.0),
                "missed, worst load-bearing": _worst(found, name, missed, 1.0, wanted=0.0),
                "published, for context only": _published(ids),
            }
        )
    return rows


def _worst(found: xarray.DataArray, diagnostic: str, reference: str, dial: float, *, wanted: float) -> str:
    flags = found.sel(diagnostic=diagnostic, reference=reference, dial=dial).values
    count, judged, interval = exact(np.where(np.isfinite(flags), flags == wanted, np.nan))
    return f"{reference}: {count} of {judged} {brackets(float(interval.low), float(interval.high))}"


def _published(ids: tuple[str, ...]) -> str:
    known = {claim.id: claim for claim in claims.load()}
    return "; ".join(f"{known[one].claim}: {known[one].published}" for one in ids) or "-"


def _mean(values: np.ndarray) -> str:
    """Mean over trainings, with Student's interval."""
    if not np.ptp(values):
        return f"{values[0]:.3f}"
    found = paired_t_test(values)
    return f"{values.mean():.3f} {brackets(float(found.low), float(found.high))}"
