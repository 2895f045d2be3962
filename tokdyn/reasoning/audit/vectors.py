"""Tables of what latents are like: alike, degenerate, moving, near their targets, readable."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit.schema import Run
from tokdyn.reasoning.audit.tables import Settings, frame
from tokdyn.reasoning.diagnose.degeneration import norm_ratio
from tokdyn.reasoning.diagnose.probing import PENALTIES, correct_at_sites, grouped_intervals
from tokdyn.reasoning.diagnose.similarity import SPACES
from tokdyn.stats import clopper_pearson

NUM_FOLDS = 5


def similarity(run: Run, settings: Settings) -> Any:
    """``diagnose.similarity_table`` of the latents and of every reference. Slots count from 1; 0 is a reference."""
    table = diagnose.similarity_table(run.arrays["latents"], run.named("reference/*"))
    return table.assign(slot=table["slot"] + 1)


def within_items(run: Run, settings: Settings) -> Any:
    """Cosine between every two slots of one item (``diagnose.similarity``), mean over items, by space."""
    rows = []
    for space in SPACES:
        moved = diagnose.transformed(run.arrays["latents"], space=space)
        # Not all of diagnose.similarity: it would compare every two items, too.
        matrix = diagnose.cosines(moved, moved).mean(axis=0)
        for one, other in zip(*np.triu_indices(len(matrix), 1), strict=True):
            rows.append({"slot": one + 1, "other_slot": other + 1, "space": space, "cosine": float(matrix[one, other])})
    return frame(rows)


def degeneration(run: Run, settings: Settings) -> Any:
    """``diagnose.degeneration`` by slot, and within items (slot 0); lengths beside those of every reference."""
    latents = run.arrays["latents"]
    found = diagnose.degeneration(latents)
    ratios = {f"norm / {name}": norm_ratio(found.norm, vectors) for name, vectors in run.named("reference/*").items()}
    rows: list[dict[str, Any]] = [
        {
            "slot": slot + 1,
            "effective_rank": float(found.rank_by_index[slot]),
            "distinct": float(found.distinct_by_index[slot]),
            "of": len(latents),
            "norm": float(found.norm[slot]),
            **{name: float(ratio[slot]) for name, ratio in ratios.items()},
        }
        for slot in range(latents.shape[1])
    ]
    rows.append(
        {"slot": 0, "effective_rank": float(found.rank_within), "distinct": float(found.distinct_within),
         "of": latents.shape[1], "norm": float(found.norm.mean()),
         **{name: float(ratio.mean()) for name, ratio in ratios.items()}}
    )  # fmt: skip
    return frame(rows)


def movement(run: Run, settings: Settings) -> Any:
    """``diagnose.movement`` from slot to slot, the latents of all items together."""
    latents = run.arrays["latents"]
    if latents.shape[1] < 2:
        raise ValueError("latents: expected at least two slots to see a movement, got 1")
    found = diagnose.movement(np.swapaxes(latents, 0, 1))
    return frame(
        [
            {"slot": slot + 2, "residual": float(found.residual[slot]), "relative": float(found.relative[slot]),
             "distinct": int(found.distinct[slot + 1]), "length": float(found.length[slot + 1])}
            for slot in range(latents.shape[1] - 1)
        ]
    )  # fmt: skip


def retrieval(run: Run, settings: Settings) -> Any:
    """``diagnose.retrieval`` of each item's own target, by slot and space."""
    latents, targets = run.arrays["latents"], run.arrays["latent_targets"]
    rows = []
    for slot in range(latents.shape[1]):
        for space in SPACES:
            found = diagnose.retrieval(
                latents[:, slot], targets[:, slot], space=space, confidence=1 - settings.alpha
            )  # fmt: skip
            rows.append(
                {"slot": slot + 1, "space": space, "accuracy": found.accuracy, "low": found.low, "high": found.high,
                 "chance": found.chance, "own_cosine": found.own_cosine, "other_cosine": found.other_cosine,
                 "n": found.n}
            )  # fmt: skip
    return frame(rows)


def cross_task(run: Run, settings: Settings) -> Any:
    """``diagnose.cross_task`` with the other task's latents, by slot and space."""
    rows = []
    for space in SPACES:
        found = diagnose.cross_task(run.arrays["latents"], run.arrays["other_task_latents"], space=space)
        names = ("between", "within_first", "within_second", "gap")
        for slot in range(len(found.gap)):
            rows.append(
                {"slot": slot + 1, "space": space, **{name: float(getattr(found, name)[slot]) for name in names}}
            )
    return frame(rows)


def latent_changes(run: Run, settings: Settings) -> Any:
    """``diagnose.latent_change`` under every changed input, by slot, mean over items."""
    rows = []
    for name, latents in run.named("input/*/latents").items():
        found = diagnose.latent_change(run.arrays["latents"], latents)
        for slot in range(latents.shape[1]):
            rows.append(
                {
                    "input": name,
                    "slot": slot + 1,
                    "cosine": float(found.cosine[:, slot].mean()),
                    "relative_distance": float(found.relative_distance[:, slot].mean()),
                    "undefined": float(found.undefined[:, slot].mean()),
                    "n": run.num_items,
                }
            )
    return frame(rows)


def probes(run: Run, settings: Settings) -> Any:
    """What a linear probe reads from each slot: ``diagnose.ridge_probe``, or with types ``probe_selectivity``."""
    sites = np.swapaxes(run.arrays["latents"], 0, 1)
    groups = run.arrays.get("groups")
    rows = []
    for name, labels in run.named("labels/*").items():
        num_labels = int(labels.max()) + 1
        if "types" in run.arrays:
            found = diagnose.probe_selectivity(
                settings.key, sites, labels, run.arrays["types"], num_labels=num_labels, groups=groups,
                num_folds=NUM_FOLDS, **settings.resampled,
            )  # fmt: skip
            columns = ["accuracy", "low", "high", "control_accuracy"]
            columns += ["selectivity", "selectivity_low", "selectivity_high"]
            for slot in range(len(sites)):
                row = {column: float(getattr(found, column)[slot]) for column in columns}
                shared = {"chance": found.chance, "learnable": found.learnable, "n": found.n}
                rows.append({"label": name, "slot": slot + 1, **row, **shared})
            continue
        folds = diagnose.assign_folds(settings.key, len(labels), num_folds=NUM_FOLDS, groups=groups)
        correct = correct_at_sites(
            sites, labels[None], folds, sizes=(num_labels,), num_folds=NUM_FOLDS, penalties=PENALTIES
        )[:, 0].astype(np.float64)
        if groups is None:
            exact = clopper_pearson(correct.sum(axis=1), len(labels), confidence=1 - settings.alpha)
            ends = np.stack([exact.low, exact.high], axis=1)
        else:
            ends = grouped_intervals(settings.key, correct, groups, settings.num_resamples, 1 - settings.alpha)
        chance = float(np.bincount(labels).max() / len(labels))
        for slot, (low, high) in enumerate(ends):
            row = {"accuracy": float(correct[slot].mean()), "low": float(low), "high": float(high)}
            rows.append({"label": name, "slot": slot + 1, **row, "chance": chance, "n": len(labels)})
    return frame(rows)


def attributes(run: Run, settings: Settings) -> Any:
    """``diagnose.held_out_attributes``: labels read from all slots, from the question and from the image."""
    labels = run.named("labels/*")
    latents = run.arrays["latents"]
    table = diagnose.held_out_attributes(
        settings.key, latents.reshape(len(latents), -1), run.arrays["features/question"], run.arrays["features/image"],
        np.stack(list(labels.values()), axis=1), sizes=[int(each.max()) + 1 for each in labels.values()],
        groups=run.arrays.get("groups"), num_folds=NUM_FOLDS, **settings.resampled,
    )  # fmt: skip
    return table.assign(attribute=[list(labels)[index] for index in table["attribute"]]).rename(
        columns={"attribute": "label"}
    )
