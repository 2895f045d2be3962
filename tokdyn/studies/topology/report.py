"""Why the published model gave its map up, what repairs it, and which dimension is enough, in words and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import xarray

from tokdyn.studies.documents import Figure, Report, bullets, table
from tokdyn.studies.intervals import mean_shown as shown
from tokdyn.studies.meanings import COUNT, TITLES
from tokdyn.studies.skeleton import Study, machine
from tokdyn.studies.topology import design
from tokdyn.studies.topology.claims import CHANCE, enough, enough_without_one, findings, linear_from
from tokdyn.studies.topology.design import DIMENSIONS, MODELS, NEAR, PAIRS, PUBLISHED, REPAIRED, SHORT, WORDS, Config
from tokdyn.studies.topology.experiment import VARIABLES, measure

CHANCES = {"reconstruction": 1 / len(WORDS), "overlap_published": CHANCE, "overlap": CHANCE,
           "composition": design.TOP / len(WORDS)}  # fmt: skip
PUBLISHED_NUMBERS = {"reconstruction": 0.528, "overlap_published": 0.094, "overall": 0.323}


def headline(dataset: xarray.Dataset) -> str:
    """The published model and its repair, and the dimension."""
    after = dataset.sel(end="after").mean("seed")
    own, other = (after.sel(model=name) for name in (PUBLISHED, REPAIRED))
    kept = {name: float(dataset["map_overlap"].sel(map=f"network, {name}").mean()) for name in design.LOSSES}
    return "\n".join([
        f"published model: {100 * float(own['reconstruction']):.1f} % of the words come back (chance 2.8 %), overlap "
        f"{float(own['overlap_published']):.3f} by its own distances and {float(own['overlap']):.3f} by right ones "
        f"(chance {CHANCE:.3f}); with a push as well {float(other['overlap']):.3f}",
        "overlap of one network by its loss alone: " + ", ".join(f"{name} {value:.3f}" for name, value in kept.items()),
        f"dimensions of a map that are enough (within {SHORT:g} of the best): " + ", ".join(
            f"{source} {enough(dataset, source)}" for source in dataset["source"].values)
        + "; principal components keep more from " + ", ".join(
            f"{linear_from(dataset, source)} ({source})" for source in dataset["source"].values),
    ])  # fmt: skip


def _whole_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    names = {"reconstruction": "words that come back", "overlap_published": "overlap, its own distances",
             "overlap": "overlap, right distances", "composition": "composition", "interpretability": "patterns' score",
             "overall": "overall"}  # fmt: skip
    for name, title in names.items():
        row: dict[str, Any] = {"score": title}
        row["published"] = f"{PUBLISHED_NUMBERS[name]:.3f}" if name in PUBLISHED_NUMBERS else ""
        row["chance"] = f"{CHANCES[name]:.3f}" if name in CHANCES else ""
        row["before training"] = shown(dataset[name].sel(model=PUBLISHED, end="before"))
        rows.append(row | {model: shown(dataset[name].sel(model=model, end="after")) for model in MODELS})
    return rows


def _cause_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    return [
        {
            "model": model, "steps": float(dataset["steps"].sel(model=model).mean()),
            "pull's loss, first": f"{float(dataset['topology'].sel(model=model, end='before').mean()):.2g}",
            "last": f"{float(dataset['topology'].sel(model=model, end='after').mean()):.2g}",
            "spread of places, before": f"{float(dataset['spread'].sel(model=model, end='before').mean()):.2g}",
            "after": f"{float(dataset['spread'].sel(model=model, end='after').mean()):.2g}",
            "trustworthiness": shown(dataset["trustworthiness"].sel(model=model, end="after")),
            "continuity": shown(dataset["continuity"].sel(model=model, end="after")),
            "distances (rank correlation)": shown(
                dataset["rank_correlation"].sel(model=model, end="after"), within=(-1, 1)),
        }
        for model in MODELS
    ]  # fmt: skip


def _ends(dataset: xarray.Dataset, name: str, pull: str) -> str:
    """Means before training and after."""
    first, last = dataset[name].sel(pull=pull).mean("pull_seed").values
    return f"{first:.2g} to {last:.2g}"


def _pull_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    return [
        {
            "pull, distances by": name, "overlap, its own distances": shown(dataset["pull_published"].sel(pull=name)),
            "overlap, right distances": shown(dataset["pull_overlap"].sel(pull=name)),
            "trustworthiness": shown(dataset["pull_trustworthiness"].sel(pull=name)),
            "continuity": shown(dataset["pull_continuity"].sel(pull=name)),
            "distances (rank correlation)": shown(dataset["pull_correlation"].sel(pull=name), within=(-1, 1)),
            "spread of places": _ends(dataset, "pull_spread", name), "loss": _ends(dataset, "pull_loss", name),
            "temperature": _ends(dataset, "pull_temperature", name),
        }
        for name in dataset["pull"].values
    ]  # fmt: skip


def _map_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    return [
        {
            "map": name, "overlap": shown(dataset["map_overlap"].sel(map=name)),
            "trustworthiness": shown(dataset["map_trustworthiness"].sel(map=name)),
            "continuity": shown(dataset["map_continuity"].sel(map=name)),
            "distances (rank correlation)": shown(dataset["map_correlation"].sel(map=name), within=(-1, 1)),
            "distances (absolute Pearson)": shown(dataset["pearson"].sel(map=name)),
            "loss, shrunk": f"{float(dataset['map_shrunk_loss'].sel(map=name).mean()):.1g}",
            "midpoints of pairs": shown(dataset["midpoints"].sel(map=name)),
        }
        for name in dataset["map"].values
    ]  # fmt: skip


def _dimension_rows(dataset: xarray.Dataset, source: str) -> list[dict[str, Any]]:
    one = dataset.sel(source=source)
    return [
        {"dimensions": int(count)} | {
            title: shown(one[name].sel(dimension=count))
            for name, title in (("fitted", "rows of the map"), ("held_out", "rows held out"),
                                ("components", "principal components"))
        }
        for count in DIMENSIONS
    ]  # fmt: skip


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """The report."""
    blocks = [
        f"{config.seeds} trainings of the whole model in each condition, {config.map_seeds} maps with each loss, "
        f"{config.sweep_seeds} in each dimension. {dataset.attrs['simulation_seconds']:.0f} s, compilation included "
        f"({machine(dataset)}). Intervals are of means over seeds (95 %, Student).",
        bullets(headline(dataset).splitlines()),
        "## The published model end to end",
        f"{len(WORDS)} words in six categories: a vector becomes a place in the plane, place and vector become a "
        "pattern of 32 x 32 x 3, and a small CNN reads the word from it (`geometry.topological`). The pull on places "
        f"is the mean distance to the {NEAR} nearest in meaning, over a learned temperature. *Published* has distances "
        "by products, as PyTorch has them for more than 25 points; *contrastive* has a pull that also pushes apart "
        "what is not near in meaning, and distances by differences. Vectors are of a sentence encoder "
        "(`geometry.word_vectors`), with zeros up to 512: CLIP is not at hand. The published schedule of the learning "
        "rate, which falls where the loss stands still, is left out.",
        table(_whole_rows(dataset)),
        "*Composition* counts the two words of "
        f"{len(PAIRS)} pairs among the first {design.TOP} that the mean of their patterns is read as. *Overall* is the "
        "mean of reconstruction, overlap by its own distances, composition and the patterns' score (variance, "
        "smoothness and likeness of channels), of which the last says nothing about meaning. Chance "
        f"of the pull's scores is {CHANCE:.3f} (overlap), about 0.5 (trustworthiness, continuity) and 0 (distances).",
        "What happens to the map:",
        table(_cause_rows(dataset)),
        f"The pull alone, one change at a time ({config.pull_seeds} seeds; words to places and no further):",
        table(_pull_rows(dataset)),
        "A pull without a push is least where all places are one: spread and loss fall together, while the temperature "
        "hardly moves. There the products leave rounding errors for distances, and the published overlap counts these; "
        "by differences even the collapsed map keeps some order. With a push places stay apart, and the form of "
        "distances makes no difference: the missing push is the cause, the products add noise to its effect.",
        "## The loss alone",
        'The same 36 words in the plane by one network (`geometry.train_map(form="network")`) that differs in its '
        "loss alone. *Loss, shrunk*: the published loss, when a map is shrunk to the spread where the published model "
        f"ends ({design.SHRUNK:g}): it is as near to zero for a map that keeps its neighbours as for a random one, so "
        "that a loss of zero does not show that topology was given up. Midpoints: two words among the five nearest to "
        "the middle of their places, published for a UMAP of CLIP vectors as 50 %; random places are the chance level "
        "(two words are the nearest to their own midpoint unless others lie between). The published overlap of 49.4 % "
        "and correlation of 0.105 are of those vectors and stay open.",
        table(_map_rows(dataset)),
        "## Which dimension is enough?",
        f"{COUNT} rows in maps of positions (`geometry.train_map`), of which {design.HELD_OUT} are held out and "
        f"mapped afterwards; of the published {len(WORDS)} words {design.HELD_OUT_PUBLISHED}. "
        f"The rule, fixed before the run: the smallest dimension whose mean overlap is at most {SHORT:g} below the "
        "largest. Rows of the map are judged among themselves, rows held out among all. A map of neighbours does not "
        "go on rising: where the number of dimensions nears that of the structure, a linear map keeps more.",
    ]
    for source in dataset["source"].values:
        held = enough(dataset, source, "held_out")
        blocks += [
            f"### {TITLES[str(source)].capitalize()}",
            f"Enough: **{enough(dataset, source)}** for rows of the map{_without(dataset, source, 'fitted')}, "
            f"{held} for rows that were held out{_without(dataset, source, 'held_out')}. "
            f"Chance {chances(source)[0]:.3f} and {chances(source)[1]:.3f}. " + _linear(dataset, source),
            table(_dimension_rows(dataset, source)),
        ]
    return Report("Topology: what a map of meanings keeps", blocks, _figures(dataset), notes=bullets([
        "Maps are trained on the neighbours by which they are judged; rows held out are the test.",
        "36 words in six categories are easy: two principal components nearly keep their neighbours.",
        "Real words are the same in all seeds: their intervals are over starts and held-out rows, not over words.",
    ]))  # fmt: skip


def chances(source: str) -> tuple[float, float]:
    """Of the overlap of rows of the map, among themselves, and of rows held out, among all."""
    few = source == "published words"
    count, held = (len(WORDS), design.HELD_OUT_PUBLISHED) if few else (COUNT, design.HELD_OUT)
    return NEAR / (count - held - 1), NEAR / (count - 1)


def _without(dataset: xarray.Dataset, source: str, name: str) -> str:
    """Whether the answer hangs on one seed."""
    low, high = enough_without_one(dataset, source, name)
    return "" if low == high else f" ({low} to {high} with any one seed left out)"


def _linear(dataset: xarray.Dataset, source: str) -> str:
    first = linear_from(dataset, source)
    if first is None:
        return "Principal components keep less in every dimension."
    return f"From {first} dimensions on, as many principal components keep more than the map does."


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import topology

        if name == "models":
            return topology.models(dataset, chance=CHANCE, published=PUBLISHED_NUMBERS["overlap_published"])
        chosen = {
            (kind, str(source)): enough(dataset, source, kind)
            for kind in ("fitted", "held_out") for source in dataset["source"].values
        }  # fmt: skip
        held_out = {source: chances(source)[1] for source in design.SOURCES}
        return topology.dimensions(dataset, chance=held_out, enough=chosen, titles=TITLES)

    captions = {
        "models": "Five nearest in meaning that are among the five nearest in the plane: left the whole model, by its "
                  "own distances and by right ones, right one network by its loss alone. Every seed (dots) and the "
                  "mean with its 95 % interval; dashed: chance; dotted: published.",
        "dimensions": "The same for maps of more dimensions, of rows that the map was fitted to and of rows held out: "
                      "means with 95 % intervals; dashed: chance. Rings: the dimension that is enough.",
    }  # fmt: skip
    return [Figure(f"{name}.png", caption, partial(drawn, name)) for name, caption in captions.items()]


STUDY = Study("topology", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES)
