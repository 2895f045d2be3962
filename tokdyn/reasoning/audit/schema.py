"""What a saved run of a latent reasoner holds: plain arrays by name, one checkpoint, one line of each array an item.

``FIELDS`` is the whole schema. Every array but the outcomes is optional, and each switches on what it allows. In a
name, `*` stands for a name of the user's own: ``arm/zero/answers``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from tokdyn.checks import bad, describe_array, nearest

CLEAN = "clean"
MEDIATION = ("factual", "image_exchanged", "latents_exchanged", "both_exchanged")


class Field(NamedTuple):
    """One array of the schema.

    Attributes:
        axes: their names; several where another rank is allowed too.
        kind: "choices" (integers from 0), "answers" (the same, and -1 for one that could not be read), "flags"
            (booleans or 0/1), "numbers" (finite, floating point), "weights" (the same, at least 0), "names" (integers
            or text) or "text".
        meaning: in a sentence.
    """

    axes: tuple[tuple[str, ...], ...]
    kind: str
    meaning: str


def _field(axes: str, kind: str, meaning: str) -> Field:
    ranks = (part.strip(" []") for part in axes.split(" or "))
    return Field(tuple(tuple(name for name in rank.split(", ") if name) for rank in ranks), kind, meaning)


FIELDS = {
    "right": _field("[items]", "flags", "whether the answer was right; by default answers == targets"),
    "answers": _field("[items]", "answers", "number of the choice that was answered, -1 where none could be read"),
    "targets": _field("[items]", "choices", "number of the right choice"),
    "name": _field("[]", "text", "what was run, for the report"),
    "triggered": _field("[items]", "flags", "whether latents were used at all"),
    "parsed": _field("[items]", "flags", "whether the answer could be read; by default answers >= 0"),
    "logits": _field("[items, choices]", "numbers", "of the choices, where the answer is read off"),
    "controls": _field("[items] or [items, controls]", "numbers", "what confidence is held against: length, hops"),
    "latents": _field("[items, slots, width]", "numbers", "what is fed back at each slot (or a hidden state there)"),
    "reference/*": _field("[vectors, width]", "numbers", "vectors to compare latents with: words, image tokens"),
    "latent_targets": _field("[items, slots, width]", "numbers", "what latents should be like (helper image, oracle)"),
    "other_task_latents": _field("[other items, slots, width]", "numbers", "latents of another task's items"),
    "labels/*": _field("[items]", "choices", "what a probe is to read from latents"),
    "types": _field("[items]", "names", "what an item is an instance of, for the probes' control tasks"),
    "groups": _field("[items]", "names", "what folds must not split: one picture asked several questions"),
    "features/question": _field("[items, features]", "numbers", "of the question alone: the blind baseline of probes"),
    "features/image": _field("[items, features]", "numbers", "of the image: the upper bound of probes"),
    "attention": _field("[items, layers, heads, queries, keys]", "weights", "after the softmax; some layers may do"),
    "image_keys": _field("[keys] or [items, keys]", "flags", "keys that are image tokens"),
    "latent_queries": _field("[queries] or [items, queries]", "flags", "queries that are latents"),
    "answer_queries": _field("[queries] or [items, queries]", "flags", "queries that answer"),
    "relevant_keys": _field("[items, keys]", "flags", "image tokens that the question is about"),
    "word_log_probability": _field("[items, words]", "numbers", "of the words of the item's own text, nats"),
    "word_mask": _field("[items, words]", "flags", "words that are there, in a text shorter than the array"),
    "input/*/latents": _field("[items, slots, width]", "numbers", "under a changed input: noised or other image"),
    "input/*/logits": _field("[items, choices]", "numbers", "under the changed input"),
    "input/*/word_log_probability": _field("[items, words]", "numbers", "of the same words, under the changed input"),
    "arm/*/right": _field("[items]", "flags", "of an arm: an intervention, or another run, on the same items"),
    "arm/*/answers": _field("[items]", "answers", "of an arm"),
    "arm/*/logits": _field("[items, choices]", "numbers", "of an arm"),
    "arm/*/triggered": _field("[items]", "flags", "of an arm"),
    "arm/*/parsed": _field("[items]", "flags", "of an arm"),
    "arm/*/donor_targets": _field("[items]", "choices", "the answer if the item believed its donor's latents"),
    "arm/*/control": _field("[]", "text", "the arm that a donor's arm is compared with; by default the clean run"),
    "base": _field("[]", "text", "the arm that a gain is counted from: latents disabled, trained without latents"),
    **{
        f"mediation/{name}": _field("[items]", "numbers", f"margin of the run {name.replace('_', ' ')}, nats")
        for name in MEDIATION
    },
}  # fmt: skip
# Axes that may differ from array to array.
_FREE = ("vectors", "other items", "controls", "features")
# All pairs of these are compared.
_PAIRED, MOST = ("latents", "latent_targets", "other_task_latents", "reference/*"), 10_000


class Run(NamedTuple):
    """A run that was checked; see ``checked``.

    Files hold one training. Made in a program (``recorded``), what was answered may have a first axis of seeds, several
    trainings on the same items; tables of arms take it.

    Attributes:
        arrays: by name of the schema, in its order.
    """

    arrays: dict[str, np.ndarray]

    @property
    def num_items(self) -> int:
        """How many items."""
        return self.arrays["right" if "right" in self.arrays else "answers"].shape[-1]

    @property
    def right(self) -> np.ndarray:
        """Whether each answer was right `[items]` bool."""
        return self.outcomes(CLEAN)

    @property
    def own_answers(self) -> np.ndarray:
        """The right choices; where nobody gave them what was answered, or is likeliest by the logits `[items]`."""
        if "targets" in self.arrays:
            return self.arrays["targets"]
        likeliest = self.arrays["logits"].argmax(axis=-1)
        answers = self.arrays.get("answers", likeliest)
        return np.where(answers >= 0, answers, likeliest)

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms."""
        return tuple(dict.fromkeys(_middle(name) for name in self.arrays if name.startswith("arm/")))

    def named(self, pattern: str) -> dict[str, np.ndarray]:
        """Arrays of one pattern of the schema by the user's name."""
        return {_middle(name): array for name, array in self.arrays.items() if pattern_of(name) == pattern}

    def has(self, pattern: str) -> bool:
        """Whether there is an array of that name or pattern."""
        return any(pattern in (name, pattern_of(name)) for name in self.arrays)

    def of(self, arm: str, name: str) -> Any:
        """An array of an arm, or for "clean" (or "") of the clean run; None where there is none."""
        return self.arrays.get(name if arm in ("", CLEAN) else f"arm/{arm}/{name}")

    def outcomes(self, arm: str) -> np.ndarray:
        """Whether each answer of an arm, or of the clean run, was right `[items]` bool."""
        right = self.of(arm, "right")
        return self.of(arm, "answers") == self.arrays["targets"] if right is None else right

    def parsed(self, arm: str) -> np.ndarray | None:
        """Whether each answer could be read `[items]` bool; None where nothing says."""
        parsed, answers = self.of(arm, "parsed"), self.of(arm, "answers")
        return answers >= 0 if parsed is None and answers is not None else parsed

    @property
    def mediation(self) -> list[np.ndarray]:
        """Margins of the four runs of ``MEDIATION``, `[items]` each."""
        return [self.arrays[f"mediation/{name}"] for name in MEDIATION]

    def control(self, arm: str) -> str:
        """The arm that a donor's arm is compared with."""
        return str(self.arrays.get(f"arm/{arm}/control", CLEAN))


def checked(arrays: Mapping[str, Any]) -> Run:
    """Arrays of a run, each held against the schema and against the others.

    Args:
        arrays: by name of ``FIELDS``. Floating point of any width but bfloat16, which NumPy does not know: save it as
            float32. Nothing may be NaN or infinite.

    Returns:
        A ``Run``: flags as booleans, numbers as float32 (float64 stays).

    Raises:
        ValueError: naming the array, what was expected and what came: a name that the schema does not know, no
            outcomes, another dtype or shape, another number of items than the others have, NaN, a choice past the last.

    Example:
        >>> from tokdyn.reasoning.audit import checked
        >>> run = checked({"answers": [0, 1, 1], "targets": [0, 1, 0], "arm/zero/answers": [0, 0, 1]})
        >>> run.arms, run.right.tolist(), run.outcomes("zero").tolist()
        (('zero',), [True, True, False], [True, False, False])
    """
    if not isinstance(arrays, Mapping):
        raise bad("run", "arrays by name, or a Run", f"a {type(arrays).__name__}")
    for name in arrays:
        _field_of(name)
    _demand_outcomes(arrays)
    order = list(FIELDS)
    made: dict[str, np.ndarray] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name in sorted(arrays, key=lambda name: order.index(pattern_of(name))):
        made[name] = _as_kind(name, arrays[name])
        _fit(name, made[name], sizes)
    _demand_choices(made)
    run = Run(made)
    _demand_arms(run)
    if run.num_items < 2:
        raise bad("answers" if "answers" in made else "right", "at least two items", run.num_items)
    return run


def axes_text(field: Field) -> str:
    """The axes as documented: "[keys] or [items, keys]"."""
    return " or ".join(f"[{', '.join(axes)}]" for axes in field.axes)


@functools.cache
def pattern_of(name: str) -> str:
    """The schema's name for an array; empty for none."""
    if name in FIELDS:
        return name if "*" not in name else ""
    first, _, rest = name.partition("/")
    for pattern in FIELDS:
        start, star, end = pattern.partition("/*")
        own = rest.removesuffix(end)
        if star and first == start and rest.endswith(end) and own and (end or "/" not in own):
            return pattern
    return ""


def _middle(name: str) -> str:
    """The user's part of a name: "zero" of "arm/zero/answers", "words" of "reference/words"."""
    rest = name.partition("/")[2]
    return rest if pattern_of(name).endswith("*") else rest.rpartition("/")[0]


def _field_of(name: Any) -> Field:
    pattern = pattern_of(name) if isinstance(name, str) else ""
    if pattern:
        return FIELDS[pattern]
    near = nearest(str(name), [each for each in FIELDS if "*" not in each])
    hint = f" ({near}?)" if near else ""
    raise bad(str(name), f"a name of the schema{hint}: tokdyn.reasoning.audit.FIELDS lists them", "another one")


def _as_kind(name: str, value: Any) -> np.ndarray:
    """The array in the dtype of its kind, its values checked."""
    field = _field_of(name)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise bad(name, f"an array {axes_text(field)}", f"a {type(value).__name__}") from None
    if array.dtype.kind == "O":
        raise bad(name, f"an array {axes_text(field)} of plain numbers or text", "an array of Python objects")
    kind, dtype = field.kind, array.dtype.kind
    if kind == "text":
        if dtype != "U" or array.ndim:
            raise bad(name, "one text (a NumPy string without axes)", describe_array(array))
    elif kind == "names":
        if dtype not in "iuU":
            raise bad(name, f"integers or text {axes_text(field)}", describe_array(array))
    elif kind == "flags":
        if dtype not in "biu" or not np.isin(array, (0, 1)).all():
            got = describe_array(array) if dtype not in "biu" else f"{array[~np.isin(array, (0, 1))].flat[0]}"
            raise bad(name, f"booleans (or 0 and 1) {axes_text(field)}", got)
        array = array.astype(bool)
    elif kind in ("choices", "answers"):
        if dtype not in "iu":
            raise bad(name, f"integers {axes_text(field)}, the numbers of choices", describe_array(array))
        least = 0 if kind == "choices" else -1
        if (array < least).any():
            unread = " (-1 where none could be read)" if kind == "answers" else ""
            raise bad(name, f"numbers of choices from 0{unread}", array.min())
        array = array.astype(np.int32)
    else:
        array = _finite(name, field, array)
    return array


def _finite(name: str, field: Field, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        if not jnp.issubdtype(array.dtype, jnp.floating):
            expected = f"floating point {axes_text(field)} (bfloat16 saved as float32)"
            raise bad(name, expected, describe_array(array))
        array = array.astype(np.float32)  # bfloat16 that is still known as such
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32))
    if not finite.all():
        place = tuple(int(each) for each in np.argwhere(~finite)[0])
        got = f"{int((~finite).sum())} NaN or infinite of {array.size}, the first at {list(place)}"
        raise bad(name, f"finite float32 numbers {axes_text(field)}", got)
    if field.kind == "weights" and (array < 0).any():
        raise bad(name, "weights of at least 0 (after the softmax)", array.min())
    return array


def _fit(name: str, array: np.ndarray, sizes: dict[str, tuple[int, str]]) -> None:
    """Axes of one name have one length in all arrays; ``sizes`` keeps it, and who said it first."""
    field = _field_of(name)
    axes = next((each for each in field.axes if len(each) == array.ndim), None)
    if axes is None:
        raise bad(name, f"an array {axes_text(field)}", f"shape {array.shape}")
    if 0 in array.shape:
        raise bad(name, f"at least one of each of {axes_text(field)}", f"shape {array.shape}")
    if pattern_of(name) in _PAIRED and len(array) > MOST:
        raise bad(name, f"at most {MOST:,} {axes[0]}, since all pairs are compared (draw some)", f"{len(array):,}")
    for axis, length in zip(axes, array.shape, strict=True):
        if axis in _FREE:
            continue
        known, by = sizes.setdefault(axis, (length, name))
        if known != length:
            raise bad(name, f"[{', '.join(axes)}] with {known} {axis}, as {by} has", f"shape {array.shape}")


def _demand_outcomes(arrays: Mapping[str, Any]) -> None:
    if "right" not in arrays and not ("answers" in arrays and "targets" in arrays):
        got = "answers only" if "answers" in arrays else "targets only" if "targets" in arrays else "neither"
        raise bad("answers", "answers and targets, or right (what was answered, and whether it was right)", got)
    graded = {_middle(name) for name in arrays if pattern_of(name) == "arm/*/right"}
    answered = {_middle(name) for name in arrays if pattern_of(name) == "arm/*/answers"}
    for name in arrays:
        arm = _middle(name)
        if not name.startswith("arm/") or arm in graded or (arm in answered and "targets" in arrays):
            continue
        if arm in answered:
            raise bad(f"arm/{arm}/answers", "targets to hold them against, or arm/*/right", "neither")
        raise bad(f"arm/{arm}/answers", f"what the arm of {name} answered (or arm/{arm}/right)", "neither")


def _demand_choices(arrays: dict[str, np.ndarray]) -> None:
    """Answers count the columns of logits, where there are any."""
    if "logits" not in arrays:
        for name in arrays:
            if pattern_of(name) in ("arm/*/logits", "input/*/logits"):
                raise bad("logits", f"those of the clean run, which {name} is compared with", "none")
        return
    count = arrays["logits"].shape[1]
    for name, array in arrays.items():
        if pattern_of(name).split("/")[-1] in ("answers", "targets", "donor_targets") and array.max() >= count:
            raise bad(name, f"numbers below {count}, the choices of logits", array.max())


def _demand_arms(run: Run) -> None:
    arms, given = run.arms, run.arrays
    if CLEAN in arms:
        raise bad(f"arm/{CLEAN}", "another name: that is the run without an intervention", repr(CLEAN))
    for name, array in given.items():
        if name == "base" or pattern_of(name) == "arm/*/control":
            allowed = arms if name == "base" else (CLEAN, *arms)
            if str(array) not in allowed:
                raise bad(name, f"one of the arms {', '.join(allowed) or '(there is none)'}", repr(str(array)))
    for arm in run.named("arm/*/donor_targets"):
        control = run.control(arm)
        others = "answers" if control == CLEAN else f"arm/{control}/answers"
        for needed in (f"arm/{arm}/answers", others, "targets"):
            if needed not in given:
                raise bad(needed, f"choices to hold arm/{arm}/donor_targets against", "none")
    some = [name for name in MEDIATION if f"mediation/{name}" in given]
    for name in MEDIATION:
        if some and name not in some:
            raise bad(f"mediation/{name}", "all four runs of mediation", f"{', '.join(some)} only")
