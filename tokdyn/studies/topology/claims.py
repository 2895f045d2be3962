"""What the study says to published claims about topology and projections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from tokdyn.claims import CONTEXT, REPAIRED, RERUN, Finding
from tokdyn.studies import rules
from tokdyn.studies.intervals import mean_shown
from tokdyn.studies.rules import AtMost, Context, Equals, Estimate, InGeneral, Judgement, Rises, Typical
from tokdyn.studies.topology.design import NEAR, PUBLISHED, SHORT, WORDS

COMMAND = "tokdyn study topology"
CHANCE = NEAR / (len(WORDS) - 1)
# Widths of an interval for a further run, as wide as five trainings of the published model may leave it.
SHARES, OVERLAPS, SCORES, LOSSES = 0.8, 0.15, 0.3, 0.005
GONE = 5e-5  # of a loss that is printed as 0.0000
SMALL = 0.01  # of the spread at the start


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def published(dataset: xarray.Dataset, name: str, end: str = "after") -> np.ndarray:
    """A number of the published model `[seed]`."""
    return np.asarray(dataset[name].sel(model=PUBLISHED, end=end).values, float)


def lost_in_two(dataset: xarray.Dataset, source: str) -> np.ndarray:
    """What two dimensions keep less than the best number of them, of rows that are mapped `[seed]`.

    Which is best the other seeds say: chosen by the seed itself, the best would be above two by luck alone.
    """
    kept = dataset["fitted"].sel(source=source).transpose("dimension", "sweep_seed").values.astype(float)
    two = int(np.flatnonzero(dataset["dimension"].values == 2)[0])
    seeds = range(kept.shape[1])
    best = [int(np.argmax(np.delete(kept, seed, axis=1).mean(axis=1))) for seed in seeds]
    return np.array([kept[best[seed], seed] - kept[two, seed] for seed in seeds])


def enough(dataset: xarray.Dataset, source: str, name: str = "fitted") -> int:
    """The smallest dimension whose mean overlap is at most ``SHORT`` below the largest one's."""
    kept = dataset[name].sel(source=source).mean("sweep_seed")
    fits = kept.values >= float(kept.max()) - SHORT
    return int(dataset["dimension"].values[int(np.argmax(fits))])


def enough_without_one(dataset: xarray.Dataset, source: str, name: str = "fitted") -> tuple[int, int]:
    """The least and the largest answer of ``enough`` when any one seed is left out."""
    seeds = dataset.sizes["sweep_seed"]
    each = [
        enough(dataset.isel(sweep_seed=[other for other in range(seeds) if other != seed]), source, name)
        for seed in range(seeds)
    ]
    return min(each), max(each)


def linear_from(dataset: xarray.Dataset, source: str) -> int | None:
    """The smallest dimension in which principal components keep more than the map does; None where there is none."""
    means = dataset.sel(source=source)[["fitted", "components"]].mean("sweep_seed")
    more = means["components"].values > means["fitted"].values
    return int(dataset["dimension"].values[int(np.argmax(more))]) if more.any() else None


def _lost(of: xarray.Dataset) -> list[Estimate]:
    names = of["source"].values
    return [rules.mean(lost_in_two(of, name), together=len(names)) for name in names]


def _shrunk(of: xarray.Dataset) -> Estimate:
    return rules.mean(published(of, "spread") / np.maximum(published(of, "spread", "before"), 1e-12))


def _dimensions(of: xarray.Dataset) -> str:
    return "dimensions that are enough: " + ", ".join(f"{enough(of, name)} ({name})" for name in of["source"].values)


def _projected(words: str, **names: str) -> Callable[[xarray.Dataset], str]:
    """Scores of a map by UMAP's loss beside those of random places: the published ones are of vectors of CLIP."""

    def told(of: xarray.Dataset) -> str:
        each = []
        for name, label in names.items():
            own, chance = (of[name].sel(map=one).values.astype(float) for one in ("network, umap", "random"))
            each.append(f"{label} {mean_shown(own, within=None)} (random {chance.mean():.3f})")
        ours = "vectors of a sentence encoder, as CLIP's are not at hand, mapped by UMAP's loss: "
        return ours + ", ".join(each) + words

    return told


_KEPT, _FAR, _BETWEEN = {"map_overlap": "overlap"}, {"pearson": "correlation"}, {"midpoints": "midpoints"}
CLAIMS = (
    Judgement(
        "diffusion_lm.topological_reconstruction", Typical(0.528, SHARES),
        lambda of: rules.one_more(published(of, "reconstruction")), RERUN,
        note="chance is 0.028; vectors of a sentence encoder, as CLIP's are not at hand",
    ),
    Judgement(
        "diffusion_lm.topological_neighbours", Typical(0.094, OVERLAPS),
        lambda of: rules.one_more(published(of, "overlap_published")), RERUN,
        reading=(AtMost(CHANCE), lambda of: rules.mean(published(of, "overlap"))),
        note="read as: no more than chance, by distances that are right; the published ones are products, which are "
             "noise where all points nearly coincide",
    ),
    Judgement(
        "diffusion_lm.topological_overall", Typical(0.323, SCORES),
        lambda of: rules.one_more(published(of, "overall")), RERUN,
        note="mean of four scores, of which one, of patterns, says nothing about meaning",
    ),
    Judgement(
        "diffusion_lm.topological_loss", AtMost(GONE), lambda of: rules.one_more(published(of, "topology")), RERUN,
        reading=(Typical(0.0041, LOSSES), lambda of: rules.one_more(published(of, "topology", "before"))),
        note="the last one; read as: the first one is 0.0041",
    ),
    Judgement(
        "diffusion_lm.topological_abandoned", AtMost(SMALL), _shrunk, RERUN,
        reading=(AtMost(CHANCE), lambda of: rules.mean(published(of, "overlap"))),
        note="spread of places over that at the start; read as: what is left of the map keeps no more than chance. A "
             "pull without a push is least where all words have one place: the loss asks for it, and is as small for a "
             "map that keeps its neighbours and is shrunk",
    ),
    Judgement(
        "diffusion_lm.umap_chance", Equals(0.14, 0.03),
        lambda of: rules.mean(of["map_overlap"].sel(map="random").values), CONTEXT,
        note="places at random; by counting, 5 of the 35 others",
    ),
    Context("diffusion_lm.umap_neighbours", _projected("", **_KEPT)),
    Context("diffusion_lm.umap_over_chance", _projected("", **_KEPT)),
    Context("diffusion_lm.umap_global", _projected("", **_FAR)),
    Context("diffusion_lm.umap_composition", _projected("", **_BETWEEN)),
    Context(
        "diffusion_lm.umap_overall", _projected("; published is the mean of the three", **_KEPT, **_FAR, **_BETWEEN)
    ),
    Judgement(
        "diffusion_lm.two_dimensions", InGeneral(Rises(SHORT)), _lost, REPAIRED, told=_dimensions,
        note="overlap of five nearest, the best dimension (by the other seeds) less two: 189 and the published 36 "
             "words, a planted tree, factors, categories",
    ),
)  # fmt: skip
