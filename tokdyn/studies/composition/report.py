"""What composes and what does not, in words, tables and figures."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import xarray

from tokdyn.stats import mean_interval
from tokdyn.studies.composition import world
from tokdyn.studies.composition.claims import best_operator, findings, ratio
from tokdyn.studies.composition.design import (
    COMMUTATIVE,
    CONCEPTS,
    CONTROLS,
    FILLERS,
    HELD_OUT_PAIRS,
    OPERATORS,
    PAIRS,
    PRIMARY,
    RATES,
    TRAINED_PAIRS,
    Config,
)
from tokdyn.studies.composition.experiment import VARIABLES, measure
from tokdyn.studies.composition.published import chance
from tokdyn.studies.documents import Figure, Report, brackets, bullets, table
from tokdyn.studies.skeleton import Study, machine

WORDS, NEAR = 36, 5  # of the published projections: words, and neighbours that are looked at


def interval(values: xarray.DataArray, within: tuple[float, float] | None = (0.0, 1.0)) -> tuple[float, float, float]:
    """Mean over seeds, and its 95 % interval by Student."""
    found = mean_interval(values.values.astype(float), within=within)
    return float(found.mean), float(found.low), float(found.high)


def _shown(values: xarray.DataArray, within: tuple[float, float] | None = (0.0, 1.0)) -> str:
    mean, low, high = interval(values, within)
    return f"{mean:.3f} {brackets(low, high)}"


def difference(dataset: xarray.Dataset, world_name: str) -> tuple[float, float, float]:
    """The primary comparison, paired by seed: trained convolution less embedding sum, held-out combinations."""
    one, other = (dataset["exact"].sel(world=world_name, operator=name) for name in PRIMARY)
    return interval(one - other, within=None)


def headline(dataset: xarray.Dataset) -> str:
    """The published experiment in one line, and one for each world."""
    visual, added = (dataset["quality"].sel(model=m, composer=c) for m, c in (("visual", "network"),
                                                                              ("embedding", "sum")))  # fmt: skip
    untrained = dataset["quality"].sel(model="embedding", composer="network")
    lines = [
        f"published comparison: patterns {float(visual.mean()):.3f} (chance {chance(len(PAIRS))['same']:.3f}), "
        f"embeddings {float(added.mean()):.3f} (maximum {chance(len(PAIRS))['most']:.3f}), embeddings by an untrained "
        f"composer like the patterns' {float(untrained.mean()):.3f}"
    ]
    for name in dataset["world"].values:
        means = dataset["exact"].sel(world=name).mean("seed")
        sums = means.sel(operator=[one for one in OPERATORS if one in COMMUTATIVE])
        gain = difference(dataset, name)
        best = best_operator(means.sel(operator=list(OPERATORS)))
        lines.append(
            f"{name}: convolution {float(means.sel(operator='convolution')):.2f}, embedding sum "
            f"{float(means.sel(operator='embedding sum')):.2f} (difference {gain[0]:+.2f} {brackets(*gain[1:], 2)}), "
            f"best {best} {float(means.sel(operator=best)):.2f}, best without order {float(sums.max()):.2f}"
        )
    return "\n".join(lines)


def _published_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for model in dataset["model"].values:
        for composer in dataset["composer"].values:
            one = dataset.sel(model=model, composer=composer)
            rows.append({
                "codes": model, "composed by": "untrained network" if composer == "network" else composer,
                "quality": _shown(one["quality"]), "median": float(one["quality"].median()),
                "among first four": f"{100 * float(one['recognised'].mean()):.0f} %",
                "among first two": f"{100 * float(one['first_two'].mean()):.0f} %",
                "different rankings of 4": float(one["rankings"].mean()),
            })  # fmt: skip
    return rows


def _pair_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    rows = []
    for model in dataset["model"].values:
        for training in dataset["training"].values:
            one = dataset.sel(model=model, training=training)
            how = "network, trained" if training == "network" else ("mean" if model == "visual" else "sum")
            rows.append({
                "codes": model, "composed by": how, "two pairs trained on": _shown(one["seen_pair_quality"]),
                "two pairs held out": _shown(one["pair_quality"]),
            })  # fmt: skip
    return rows


def _world_rows(dataset: xarray.Dataset, name: str) -> list[dict[str, Any]]:
    rows = []
    for operator in dataset["operator"].values:
        one = dataset.sel(world=name, operator=operator)
        row = {
            "operator": operator, "order": "no" if operator in COMMUTATIVE else "yes",
            "rate": f"{float(one['rate']):g}", "trained on": float(one["seen"].mean()),
            "held out": _shown(one["exact"]),
        }  # fmt: skip
        if name == "factors":
            row["analogies"] = _shown(one["analogy"])
        else:
            row["held out, either order"] = _shown(one["unordered"])
        rows.append({**row, "picture": _shown(one["drawn"])})
    return rows


def levels(name: str) -> dict[str, float]:
    """What is known beforehand of a world.

    Args:
        name: "factors" or "relations".

    Returns:
        ``chance`` of reading all factors of a combination, and the ``most`` that an operator without order can have on
        average.
    """
    guess = math.prod(1 / count for count in world.sizes(name))
    return {"chance": guess, "most": 0.5 if name == "relations" else 1.0}


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What composes, in words, tables and figures."""
    known, held = chance(len(PAIRS)), chance(len(HELD_OUT_PAIRS))
    alike = ratio(dataset, "sum", "sum")
    untrained = dataset["quality"].sel(model="embedding", composer="network")
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    blocks = [
        f"{config.seeds} trainings of each condition. {dataset.attrs['simulation_seconds']:.0f} s, compilation "
        f"included ({machine(dataset)}). Intervals are of means over trainings (95 %, Student).",
        bullets(headline(dataset).splitlines()),
        "## The published comparison, and its causes",
        f"Four concepts ({', '.join(CONCEPTS)}) are learned one by one, as patterns of 8 x 8 x 3 or as embeddings of "
        "64 numbers, until all are read right in one pass. Then pairs are composed. A pair's quality is 1 / (mean rank "
        "of its two concepts + 1), ranks from 0 to 3: at best 0.667. One ranking for all four pairs gives "
        f"{known['same']:.3f}, whatever the ranking; independent random ones {known['expected']:.3f} on average.",
        table(_published_rows(dataset)),
        "The published 0.400 and 0.667 compare patterns that went through a network which is never trained with "
        f"embeddings that were added. Through an equally untrained layer embeddings have {_shown(untrained)}. Composed "
        f"alike, by a sum, patterns have {_shown(alike, None)} of the embeddings' quality, where 0.60 was published"
        + (": a deficit remains, and it is smaller" if 0.6 < interval(alike, None)[1] <= interval(alike, None)[2] < 1
           else "")
        + ". \"100 % recognition\" counts the first four of four concepts.",
        "With both concepts of two pairs as targets the composer can be trained; here it is, and judged on the two "
        f"other pairs (chance {held['expected']:.3f} for independent rankings, {held['same']:.3f} for one).",
        table(_pair_rows(dataset)),
        _learned(dataset),
        "## Numbers of the published work that contain composition",
        "52.8 % and 9.4 % are reconstruction and neighbour overlap of the topological model, and belong to no "
        "composition; 32.3 % is a mean of four scores of which one is composition. What chance gives, by counting:",
        table(_chances()),
        "## Two worlds with exact truth",
        "Parts are learned as codes, composed by an operator, and read by a network of "
        f"{config.hidden} hidden units that names every factor and draws the picture. *Factors*: one object, 3 shapes "
        "x 6 colours x 2 sizes x 4 positions; a third of the pairs of shape and colour is held out, at every size and "
        "position. *Relations*: two of 12 objects (shape x colour), the first left of the second or above it; about a "
        "quarter of the pairs of objects is held out, in both orders. Every value of every factor is among the "
        "combinations trained on. A combination counts where all its factors are read right. "
        f"Chance is {levels('factors')['chance']:.4f} and {levels('relations')['chance']:.4f}, the maximum 1; a memory "
        "of what was seen has exactly 0, as no held-out combination was seen.",
        f"Each operator has the learning rate, of {rates}, that did best on {config.tuning_seeds} other splits and "
        "starts: at one rate for all, operators would be ranked by the scale of what they put out. "
        f"{config.num_steps} steps. First comes the comparison of {PRIMARY[0]} and {PRIMARY[1]}, paired by split and "
        "start, as planned; that each operator gets its rate, and the two linear readers, came after a look at runs "
        "with other keys.",
        "### Factors",
        table(_world_rows(dataset, "factors")),
        "### Relations",
        "An operator without order gives \"A left of B\" and \"B left of A\" one code, so that at most half of the "
        "combinations can be read right, whatever is trained. What it does read, but for the order, is in the column "
        "\"either order\".",
        table(_world_rows(dataset, "relations")),
        bullets(_sentences(dataset)),
        "## Learning rates",
        "Mean share of held-out combinations read right, on the splits that choose the rate.",
        table(_tuning_rows(dataset)),
        "## Algebra with an inverse",
        f"Parts bound to roles by circular convolution and added; each is sought again among {FILLERS} fillers by "
        "dividing its role out (`geometry.compose`, `geometry.unbind`). Nothing is trained. Whole frames are undone "
        "exactly by `geometry.remove`; what is read back from a frame carries the other parts as noise.",
        table([
            {"parts in the frame": int(count), "found again": _shown(dataset["found_again"].sel(frame=count)),
             "by the law for many numbers": float(dataset["found_again_expected"].sel(frame=count)),
             "chance": f"{1 / FILLERS:.4f}"}
            for count in dataset["frame"].values
        ]),
    ]  # fmt: skip
    notes = bullets(
        [
            "The reader counts as much as the operator: a sum of codes holds all factors, and a linear reader can find "
            'them by design. Rows "linear reader" show it.',
            "A linear reader cannot draw what depends on shape and colour together; its pictures say little.",
            "A chosen rate at an end of the table of rates may have a better one beyond it.",
            "Analogies are exact for every operator that is linear in its parts, trained or not: they test the "
            "operator, and no understanding.",
            "The picture is told from all others by what little of it 4 x 4 points show.",
            f"Two of {len(PAIRS)} pairs ({', '.join(_name(PAIRS[n]) for n in TRAINED_PAIRS)}) are trained on where the "
            "composer is trained.",
        ]
    )
    return Report("Composition of parts", blocks, _figures(dataset), notes)


def _learned(dataset: xarray.Dataset) -> str:
    """What training the composer on two pairs does to the two others."""
    said = []
    for model in dataset["model"].values:
        one = dataset["pair_quality"].sel(model=model)
        mean, low, high = interval(one.sel(training="network") - one.sel(training="fixed"), within=None)
        side = "worse than" if high < 0 else "better than" if low > 0 else "no different from"
        said.append(f"{model} codes {side} fixed ({mean:+.3f} {brackets(low, high)})")
    return (
        "On the pairs held out, a composer that is trained on two pairs is, for " + " and for ".join(said) + ". From "
        "more combinations it is trained in the two worlds below."
    )


def _name(pair: tuple[int, int]) -> str:
    return " ".join(CONCEPTS[number] for number in pair)


def _chances() -> list[dict[str, Any]]:
    near, word = NEAR / WORDS, 1 / WORDS
    return [
        {"published": "52.8 %", "is": "words reconstructed, of 36", "chance": f"{100 * word:.1f} %",
         "maximum": "100 %"},
        {"published": "9.4 %", "is": "overlap of 5 neighbours among 35", "chance": f"{100 * NEAR / (WORDS - 1):.1f} %",
         "maximum": "100 %"},
        {"published": "32.3 %", "is": "mean of reconstruction, overlap, composition and a score of the patterns' "
         "smoothness", "chance": f"{100 * (word + NEAR / (WORDS - 1) + near) / 3:.1f} % for the first three",
         "maximum": "100 %"},
        {"published": "50 %", "is": "components among 5 of 36 words near a midpoint", "chance": f"{100 * near:.1f} %",
         "maximum": "100 %"},
    ]  # fmt: skip


def _sentences(dataset: xarray.Dataset) -> list[str]:
    said = []
    for name in dataset["world"].values:
        mean, low, high = difference(dataset, name)
        side = "above" if low > 0 else "below" if high < 0 else "not distinguishable from"
        said.append(
            f"{name}: trained convolution is {side} the embedding sum: {mean:+.3f} {brackets(low, high)} of the "
            "held-out combinations."
        )
    exact = dataset["exact"].sel(world="relations").mean("seed")
    free = exact.sel(operator=[one for one in dataset["operator"].values if one in COMMUTATIVE])
    said.append(
        f"relations: no operator without order is above {float(free.max()):.3f} on average; the bound is 0.5. "
        f"Operators with order have {float(exact.drop_sel(operator=list(free['operator'].values)).min()):.3f} to "
        f"{float(exact.drop_sel(operator=list(free['operator'].values)).max()):.3f}."
    )
    straight = dataset["exact"].sel(operator=CONTROLS[0], world="factors")
    said.append(f"factors: the embedding sum read by a linear reader has {_shown(straight)}.")
    edges = [
        f"{operator} ({name})"
        for name in dataset["world"].values for operator in dataset["operator"].values
        if float(dataset["rate"].sel(world=name, operator=operator)) in (RATES[0], RATES[-1])
    ]  # fmt: skip
    if edges:
        said.append(f"The chosen rate is at an end of the table for {', '.join(edges)}.")
    return said


def _tuning_rows(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    return [
        {"world": name, "operator": operator} | {
            f"{rate:g}": float(dataset["tuning"].sel(world=name, operator=operator).isel(tried=at))
            for at, rate in enumerate(dataset["tried"].values)
        }
        for name in dataset["world"].values for operator in dataset["operator"].values
    ]  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import composition

        if name == "published":
            return composition.qualities(dataset, **{key: chance(len(PAIRS))[key] for key in ("same", "most")})
        if name == "worlds":
            known = {one: levels(one) for one in dataset["world"].values}
            return composition.operators(
                dataset, chance={one: of["chance"] for one, of in known.items()}, bound={"relations": 0.5},
                unordered=COMMUTATIVE,
            )  # fmt: skip
        return composition.frames(dataset, chance=1 / FILLERS)

    captions = {
        "published": "Quality of composed pairs of four concepts: every training (dots) and the mean with its 95 % "
                     "interval. Published were patterns by the untrained network and embeddings by the sum (arrows).",
        "worlds": "Held-out combinations read right: every training (dots) and the mean with its 95 % interval. "
                  "Open marks: operators without order.",
        "frames": "Parts of a frame found again among 64 fillers: means with 95 % intervals, and the law.",
    }  # fmt: skip
    return [Figure(f"{name}.png", caption, partial(drawn, name)) for name, caption in captions.items()]


STUDY = Study(
    "composition", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES
)
