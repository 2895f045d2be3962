"""What the study says to published claims about semantic grounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from tokdyn.claims import REPAIRED, RERUN, Finding
from tokdyn.studies import rules
from tokdyn.studies.grounding.design import IDENTICAL, NONE, RANDOM, SEMANTIC, SIZES, STEPS
from tokdyn.studies.rules import AtLeast, Context, Equals, Estimate, Every, InGeneral, Judgement, Rises, Typical

COMMAND = "tokdyn study grounding"
EFFECT = 0.05  # of an accuracy, or of a cosine
FULL = 0.99


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims.

    Args:
        dataset: from ``run`` with the default design.

    Returns:
        A ``Finding`` for each claim that it bears on.
    """
    return rules.findings(CLAIMS, dataset, COMMAND)


def accuracy(dataset: xarray.Dataset, size: int, target: str, step: int) -> np.ndarray:
    """Share read right, of the seeds of a size `[seeds]`."""
    values = dataset["accuracy"].sel(words=size, target=target, step=step).values
    return np.asarray(values[~np.isnan(values)], float)


def steps_to_all(dataset: xarray.Dataset, size: int, target: str) -> np.ndarray:
    """The first step, from 1, after which every word is right; one more than there are where it never is `[seeds]`."""
    values = dataset["accuracy"].sel(words=size, target=target).transpose("seed", "step").values
    right = values[~np.isnan(values[:, 0])] > 1 - 0.5 / size  # a mean in single precision need not be 1
    return np.where(right.any(axis=1), np.maximum(right.argmax(axis=1), 1), STEPS + 1).astype(float)


def gain(dataset: xarray.Dataset, size: int, other: str, step: int = 1) -> np.ndarray:
    """Accuracy with semantic targets less that with others, paired by seed."""
    return accuracy(dataset, size, SEMANTIC, step) - accuracy(dataset, size, other, step)


def _gains(other: str, step: int) -> Callable[[xarray.Dataset], list[Estimate]]:
    return lambda of: [rules.mean(gain(of, size, other, step), together=len(SIZES)) for size in SIZES]


def _pair(name: str) -> tuple[Callable[[xarray.Dataset], Estimate], Callable[[xarray.Dataset], Estimate]]:
    """Cosine of two words where training was stopped, and what meaning adds to it."""

    def cosines(of: xarray.Dataset, target: str) -> np.ndarray:
        return np.asarray(of["cosine"].sel(target=target, pair=name, after="published end").values, float)

    return (
        lambda of: rules.one_more(cosines(of, SEMANTIC)),
        lambda of: rules.mean(cosines(of, SEMANTIC) - cosines(of, NONE)),
    )


def agreement(dataset: xarray.Dataset, other: str) -> np.ndarray:
    """How much more the gradient agrees with the one a step further, with semantic targets than with others."""
    one, two = (dataset["agreement"].sel(words=189, target=name).values for name in (SEMANTIC, other))
    return np.asarray((one - two)[~np.isnan(one)], float)


def _speed(of: xarray.Dataset) -> list[Estimate]:
    return [
        rules.mean(steps_to_all(of, size, NONE) / steps_to_all(of, size, SEMANTIC), together=len(SIZES))
        for size in SIZES
    ]


def _ratios(of: xarray.Dataset) -> list[Estimate]:
    def ratio(size: int) -> np.ndarray:
        one, other = (accuracy(of, size, name, STEPS) for name in (SEMANTIC, NONE))
        return one / np.maximum(other, 1 / size)  # less than a guess is a guess

    return [rules.mean(ratio(size), together=len(SIZES)) for size in SIZES]


def _smooth(of: xarray.Dataset) -> str:
    each = {name: float(of["agreement"].sel(words=189, target=name).mean()) for name in of["target"].values}
    return "agreement of successive gradients: " + ", ".join(f"{name} {value:.2f}" for name, value in each.items())


def _alignment(of: xarray.Dataset) -> str:
    each = {name: float(of["first_alignment"].sel(target=name).mean()) for name in (SEMANTIC, NONE)}
    spread = float(of["first_alignment"].sel(target=NONE).std("seed"))
    return (
        "with vectors of a sentence encoder, as CLIP's are not at hand, where training stopped: "
        f"{each[SEMANTIC]:.3f} with semantic targets, {each[NONE]:.3f} without any, {spread:.3f} apart by seed"
    )


_cat, _red = _pair("cat dog"), _pair("red blue")
_SAME = "read as: more than without any target"
_STOPPED = (
    f"read as: more by {EFFECT:g} or more than without any target; where training stopped, after its first step, the "
    "features are those of the start, whose common bias gives every pair a cosine of a half"
)

CLAIMS = (
    Judgement(
        "diffusion_lm.grounding_accuracy", Equals(1.0, 0.0005),
        lambda of: rules.mean(accuracy(of, 5, SEMANTIC, STEPS)), RERUN,
        reading=(Rises(EFFECT), lambda of: rules.mean(gain(of, 5, NONE, STEPS))), note=_SAME,
    ),
    Judgement(
        "diffusion_lm.grounding_epochs", Typical(1.0, 1.0), lambda of: rules.one_more(steps_to_all(of, 5, SEMANTIC)),
        RERUN, reading=(
            Rises(), lambda of: rules.mean(steps_to_all(of, 5, NONE) - steps_to_all(of, 5, SEMANTIC))),
        note="read as: fewer than without any target",
    ),
    Judgement(
        "diffusion_lm.grounding_first_accuracy", Typical(0.4, 0.8),
        lambda of: rules.one_more(accuracy(of, 5, SEMANTIC, 0)), RERUN,
        reading=(Rises(EFFECT), lambda of: rules.mean(gain(of, 5, NONE, 0))),
        note=_SAME + "; before training no target has done anything",
    ),
    Judgement(
        "diffusion_lm.grounding_speedup", Every(AtLeast(2.0)), _speed, RERUN,
        note="steps until all words are right, without a target over with semantic ones, 5, 189 and 1,000 words; the "
             "published factor compares 5 words with 192",
    ),
    Judgement(
        "diffusion_lm.grounding_accuracy_ratio", Every(AtLeast(2.0)), _ratios, RERUN,
        note="semantic targets over none, on as many words; the published factor compares 5 words with 192",
    ),
    Judgement("diffusion_lm.grounding_cause", InGeneral(Rises(EFFECT)), _gains(RANDOM, 1), RERUN,
              note="accuracy after one step, semantic less random targets; 5, 189 and 1,000 words"),
    Judgement(
        "diffusion_lm.grounding_scales", AtLeast(FULL), lambda of: rules.mean(accuracy(of, 1000, SEMANTIC, STEPS)),
        REPAIRED, reading=(Rises(EFFECT), lambda of: rules.mean(gain(of, 1000, NONE, STEPS))),
        note="1,000 words; " + _SAME,
    ),
    Judgement("diffusion_lm.grounding_similarity_cat_dog", Typical(0.482, 0.3), _cat[0], RERUN,
              reading=(Rises(EFFECT), _cat[1]), note=_STOPPED),
    Judgement("diffusion_lm.grounding_similarity_red_blue", Typical(0.497, 0.3), _red[0], RERUN,
              reading=(Rises(EFFECT), _red[1]), note=_STOPPED),
    Context("diffusion_lm.grounding_alignment", _alignment),
    Judgement(
        "diffusion_lm.grounding_smooth", Rises(EFFECT), lambda of: rules.mean(agreement(of, RANDOM)), RERUN,
        reading=(Rises(EFFECT), lambda of: rules.mean(agreement(of, IDENTICAL))), told=_smooth,
        note="189 words: cosine of the gradient with that a step further, semantic less random targets; read as: "
             "meaning is the cause, so that it is above that of one target for all words, which means nothing",
    ),
)  # fmt: skip
