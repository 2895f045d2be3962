"""The report's tables, as records: scores, alarms by design, strengths, truths, published ways of asking."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray

from tokdyn import claims
from tokdyn.reasoning.audit.areas import roc_areas
from tokdyn.reasoning.audit.scores import Scores, Table, alarmed, scored
from tokdyn.reasoning.audit.suite import ASKED
from tokdyn.reasoning.estimands import DEPENDS, IDLE
from tokdyn.stats import mean_interval
from tokdyn.studies.documents import brackets

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
# Shares of answers that change under another item's cache, by which trainings are grouped.
STRENGTHS = {"none": (-1.0, IDLE), "5 to 15 %": (DEPENDS, 0.15), "15 to 40 %": (0.15, 0.4), "over 40 %": (0.4, 1.01)}


def alpha_of(dataset: xarray.Dataset) -> float:
    """The level of the design."""
    return float(json.loads(dataset.attrs["config"])["alpha"])


def alarm_shares(dataset: xarray.Dataset) -> xarray.DataArray:
    """Share of each training's runs with an alarm `[diagnostics, strata, designs, trainings]`."""
    stacked = dataset.stack(stratum=("task", "size")).transpose(
        "diagnostic", "stratum", "design", "training", "run", ...
    )
    nulls = stacked["bears"].values == 0
    made = [
        alarmed(values, str(kind), alpha=alpha_of(dataset), nulls=nulls).mean(axis=-1)
        for values, kind in zip(stacked["value"].values, dataset["kind"].values, strict=True)
    ]
    names = [", ".join(one) for one in stacked["stratum"].values]
    return xarray.DataArray(
        np.stack(made), dims=("diagnostic", "stratum", "design", "training"),
        coords={"diagnostic": dataset["diagnostic"].values, "stratum": names, "design": dataset["design"].values},
    )  # fmt: skip


def areas(dataset: xarray.Dataset) -> Rows:
    """Scores without a threshold: area under the ROC curve in each stratum, the worst named; best score first."""
    stacked = dataset.stack(stratum=("task", "size")).transpose(
        "diagnostic", "stratum", "design", "training", "run", ...
    )
    names = [", ".join(one) for one in stacked["stratum"].values]
    scores = np.flatnonzero(dataset["kind"].values == "score")
    found = roc_areas(stacked["value"].values[scores], bears(dataset))
    told = np.vectorize(lambda area, low, high: f"{area:.3f} {brackets(low, high)}", otypes=[object])
    worst, each = told(found.worst, found.worst_low, found.worst_high), told(found.area, found.low, found.high)
    return [
        {
            "score": str(dataset["diagnostic"].values[scores[i]]), "worst stratum": worst[i],
            "which": names[int(found.area[i].argmin())], **dict(zip(names, each[i], strict=True)),
        }
        for i in np.argsort(-found.worst, kind="stable")
    ]  # fmt: skip


def bears(dataset: xarray.Dataset) -> np.ndarray:
    """1, 0 or NaN `[strata, designs, trainings]`."""
    return dataset["bears"].stack(stratum=("task", "size")).transpose("stratum", "design", "training").values


def judged(dataset: xarray.Dataset) -> tuple[Table, Scores]:
    """Alarms and truths as a table, and its scores."""
    shares = alarm_shares(dataset)
    names = (tuple(map(str, shares[dim].values)) for dim in ("diagnostic", "stratum", "design"))
    table = Table(shares.values, bears(dataset), *names)
    return table, scored(table)


def ranking(dataset: xarray.Dataset) -> Rows:
    """One record for each diagnostic, best first: score, interval, ties, worst stratum, designs it is right about."""
    table, found = judged(dataset)
    rows: Rows = []
    for i, name in enumerate(table.diagnostics):
        false, missed = _worst(table, i, 0.0), _worst(table, i, 1.0)
        rows.append({
            "rank": 1 + int((found.worst > found.worst[i]).sum()), "diagnostic": name, "score": float(found.worst[i]),
            "low": float(found.worst_low[i]), "high": float(found.worst_high[i]),
            "ties": bool(found.behind_low[i] <= 0), "stratum": table.strata[int(found.balanced[i].argmin())],
            "sensitivity": float(found.sensitivity[i].mean()), "false_alarms": float(found.false_alarms[i].mean()),
            **_designs_of(table, i, int(found.balanced[i].argmin())),
            "false_design": false[0], "false_rate": false[1], "missed_design": missed[0], "missed_rate": 1 - missed[1],
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["rank"], row["diagnostic"]))


def _worst(table: Table, diagnostic: int, truth: float) -> tuple[str, float]:
    """The design of that truth with the most wrong answers, over strata: its name and its share of alarms."""
    shares = _by_design(table.alarms[diagnostic], table.bears, truth)
    if np.isnan(shares).all():
        return "-", np.nan
    pick = np.nanargmax if truth == 0 else np.nanargmin
    place = int(pick(shares))
    return table.designs[place], float(shares[place])


def _designs_of(table: Table, diagnostic: int, stratum: int) -> dict[str, int]:
    """How few designs make a score: those of either truth that it judges there, and of how many it is mostly right."""
    alarms, truths = table.alarms[diagnostic, [stratum]], table.bears[[stratum]]
    made: dict[str, int] = {}
    for name, truth in (("used", 1.0), ("idle", 0.0)):
        shares = _by_design(alarms, truths, truth)
        right = shares[np.isfinite(shares)]
        made |= {f"{name}_designs": int(right.size), f"{name}_right": int((np.abs(right - truth) < 0.5).sum())}
    return made


def _by_design(alarms: np.ndarray, truths: np.ndarray, truth: float) -> np.ndarray:
    """Mean over trainings, strata weighing alike `[designs]`; NaN where there is none of that truth."""
    chosen = (truths == truth) & np.isfinite(alarms)
    count = chosen.sum(axis=2)
    means = np.divide(np.where(chosen, alarms, 0.0).sum(axis=2), count, out=np.zeros(count.shape), where=count > 0)
    strata = (count > 0).sum(axis=0)
    return np.divide(means.sum(axis=0), strata, out=np.full(strata.shape, np.nan), where=strata > 0)


def summary(dataset: xarray.Dataset) -> Rows:
    """``ranking`` for readers."""
    return [
        {
            "rank": row["rank"], "diagnostic": row["diagnostic"],
            "worst stratum": f"{row['score']:.3f} {brackets(row['low'], row['high'])}",
            "which": row["stratum"],
            "used designs found": f"{row['used_right']} of {row['used_designs']}",
            "idle ones left alone": f"{row['idle_right']} of {row['idle_designs']}",
            "shown to be behind the best": "no" if row["ties"] else "yes",
            "sensitivity": row["sensitivity"], "false alarms": row["false_alarms"],
            "most false alarms": f"{row['false_design']}: {row['false_rate']:.2f}",
            "most missed": f"{row['missed_design']}: {row['missed_rate']:.2f}",
        }
        for row in ranking(dataset)
    ]  # fmt: skip


def ties(dataset: xarray.Dataset) -> str:
    """In words: why diagnostics that do badly may not be shown to be behind the best."""
    rows = [row for row in ranking(dataset) if row["ties"]]
    if len(rows) < 2:
        return "All others are shown to be behind the best."
    wide = max(rows, key=lambda row: row["high"] - row["low"])
    return (
        f"That {len(rows) - 1} others are not shown to be behind the best is no praise. A score rests on few designs, "
        f"here {wide['used_designs']} of used and {wide['idle_designs']} of idle latents in a stratum, and its "
        "interval speaks of further designs like these. Who is wholly right about some designs and wholly wrong about "
        "others, as those who look at masks, cosines or probes are, has a score that hangs on which designs there are: "
        f"{wide['diagnostic']!r} finds {wide['used_right']} of {wide['used_designs']} used designs and leaves "
        f"{wide['idle_right']} of {wide['idle_designs']} idle ones alone, so that its interval is "
        f"{wide['high'] - wide['low']:.2f} wide. More trainings of the same designs would not narrow it; more designs "
        "would."
    )


def by_stratum(dataset: xarray.Dataset) -> Rows:
    """Sensitivity / false alarms of each diagnostic in each stratum."""
    table, found = judged(dataset)
    order = np.argsort(-found.worst, kind="stable")
    return [
        {"diagnostic": table.diagnostics[i],
         **{name: f"{found.sensitivity[i, j]:.2f} / {found.false_alarms[i, j]:.2f}"
            for j, name in enumerate(table.strata)}}
        for i in order
    ]  # fmt: skip


def columns(dataset: xarray.Dataset) -> list[tuple[str, str, bool]]:
    """What alarms are shown of: (title, design, whether an alarm is right); designs of both truths stand twice."""
    truths, made = bears(dataset), []
    for truth, said in ((1.0, "used"), (0.0, "idle")):
        for j, name in enumerate(dataset["design"].values):
            if (truths[:, j] == truth).any():
                twice = (truths[:, j] == 1 - truth).any()
                made.append((f"{name} ({said})" if twice else str(name), str(name), truth == 1.0))
    return made


def alarm_table(dataset: xarray.Dataset) -> xarray.DataArray:
    """Share of alarms `[diagnostics, columns]`, best diagnostic first, strata weighing alike."""
    shares, truths = alarm_shares(dataset), bears(dataset)
    order = [row["diagnostic"] for row in ranking(dataset)]
    titles = columns(dataset)
    rows = []
    for name in order:
        alarms = shares.sel(diagnostic=name).values
        of = {truth: _by_design(alarms, truths, truth) for truth in (1.0, 0.0)}
        places = [list(dataset["design"].values).index(design) for _, design, _ in titles]
        rows.append([of[1.0 if right else 0.0][j] for j, (_, _, right) in zip(places, titles, strict=True)])
    return xarray.DataArray(
        np.array(rows), dims=("diagnostic", "column"),
        coords={"diagnostic": order, "column": [title for title, _, _ in titles]},
    )  # fmt: skip


def by_design(dataset: xarray.Dataset) -> Rows:
    """``alarm_table`` for readers."""
    found = alarm_table(dataset)
    return [
        {"diagnostic": str(name), **dict(zip(map(str, found["column"].values), row.tolist(), strict=True))}
        for name, row in zip(found["diagnostic"].values, found.values, strict=True)
    ]


def by_strength(dataset: xarray.Dataset) -> dict[str, np.ndarray]:
    """Share of alarms of each diagnostic by how much the cache matters, and Student's interval over trainings.

    Returns:
        By diagnostic `[3, strengths]`: mean over trainings, lower and upper end; NaN where there are none.
    """
    shares = alarm_shares(dataset)
    stacked = dataset["estimand"].sel(quantity="changed").stack(stratum=("task", "size"))
    changed = stacked.transpose("stratum", "design", "training").values
    made = {}
    for name in shares["diagnostic"].values:
        rows = []
        for low, high in STRENGTHS.values():
            values = shares.sel(diagnostic=name).values[(changed > low) & (changed <= high)]
            rows.append(_mean_of(values[np.isfinite(values)]))
        made[str(name)] = np.array(rows).T
    return made


def _mean_of(values: np.ndarray) -> tuple[float, float, float]:
    if len(values) < 2:
        return (float(values.mean()) if len(values) else np.nan, np.nan, np.nan)
    found = mean_interval(values)
    return float(values.mean()), max(0.0, float(found.low)), min(1.0, float(found.high))


def strengths(dataset: xarray.Dataset) -> Rows:
    """``by_strength`` for readers, best diagnostic first."""
    found = by_strength(dataset)
    return [
        {"diagnostic": row["diagnostic"],
         **{title: float(found[row["diagnostic"]][0, i]) for i, title in enumerate(STRENGTHS)}}
        for row in ranking(dataset)
    ]  # fmt: skip


def own_question(dataset: xarray.Dataset) -> Rows:
    """Diagnostics that intervene, held against the question that they ask by themselves."""
    shares, rows = alarm_shares(dataset), []
    for name, asks, looks in zip(*(dataset[one].values for one in ("diagnostic", "asks", "looks")), strict=True):
        if looks:
            continue
        stacked = dataset["estimand"].sel(quantity=ASKED[str(asks)][1]).stack(stratum=("task", "size"))
        measured = stacked.transpose("stratum", "design", "training").values
        alarms = shares.sel(diagnostic=name).values
        there = np.isfinite(alarms)
        used, idle = alarms[there & (measured > DEPENDS)], alarms[there & (measured < IDLE)]
        rows.append({
            "diagnostic": str(name), "asks about": str(asks),
            "sensitivity": float(used.mean()) if used.size else np.nan, "trainings": int(used.size),
            "false alarms": float(idle.mean()) if idle.size else np.nan, "trainings that do not": int(idle.size),
        })  # fmt: skip
    return rows


def truths(dataset: xarray.Dataset) -> Rows:
    """What was measured of each design, means over strata and trainings, and how many trainings are open."""
    rows = []
    for name in dataset["design"].values:
        one = dataset.sel(design=name)
        of = {str(quantity): float(one["estimand"].sel(quantity=quantity).mean()) for quantity in
              ("accuracy", "changed", "necessary", "sufficient", "indirect", "changed_embedding", "changed_presence",
               "changed_markers")}  # fmt: skip
        held = one["bears"].values
        declared = float(one["declared"])
        rows.append({
            "design": str(name), "by masks": "open" if np.isnan(declared) else "used" if declared else "idle",
            "used": int((held == 1).sum()), "idle": int((held == 0).sum()), "open": int(np.isnan(held).sum()),
            "answers see slots": "yes" if bool(one["attends"]) else "no",
            **{quantity.replace("_", ", "): value for quantity, value in of.items()},
        })  # fmt: skip
    return rows


def protocols(dataset: xarray.Dataset) -> Rows:
    """Published ways of asking: how often each misleads, in the worst design of either truth."""
    known = {row["diagnostic"]: row for row in ranking(dataset)}
    return [
        {
            "way of asking": text,
            "rank": known[name]["rank"],
            "false alarms, worst": f"{known[name]['false_design']}: {known[name]['false_rate']:.2f}",
            "missed, worst": f"{known[name]['missed_design']}: {known[name]['missed_rate']:.2f}",
            "published, for context only": _published(ids),
        }
        for text, (name, ids) in PROTOCOLS.items()
    ]


def levels(dataset: xarray.Dataset) -> Rows:
    """P-values on trainings whose cache is idle by masks: share of runs at or below the level, and of trainings hit."""
    rows = []
    exact = dataset.sel(design=dataset["declared"] == 0)
    for name in dataset["diagnostic"].values[dataset["kind"].values == "p-value"]:
        values = exact["value"].sel(diagnostic=name)
        hits = (values <= alpha_of(dataset)).where(np.isfinite(values))
        rows.append({
            "diagnostic": str(name), "runs": int(np.isfinite(values).sum()),
            "at or below the level": float(hits.mean()),
            **{str(one): float(hits.sel(design=one).mean()) for one in exact["design"].values},
        })  # fmt: skip
    return rows


def _published(ids: tuple[str, ...]) -> str:
    known = {claim.id: claim for claim in claims.load()}
    return "; ".join(f"{known[one].claim}: {known[one].published}" for one in ids) or "-"
