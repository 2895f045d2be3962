"""A reasoner's run in the schema that everybody's run has: what an exporter for another model does, done for ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.compiling import Effort, jitted
from tokdyn.reasoning.arms import Arm, keep_answers, run_arms
from tokdyn.reasoning.audit.schema import Run, checked
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import Item, Task, num_patches
from tokdyn.reasoning.model import Reasoner, Variables

OTHER_IMAGE = "other image"
# Patches of a few pictures are enough to compare with.
_SHOWN = 32


def as_run(
    model: Reasoner,
    task: Task,
    variables: Variables,
    items: Item,
    arms: Mapping[str, Intervention] | None = None,
    *,
    key: jax.Array,
    donor_targets: Mapping[str, Any] | None = None,
    control: Mapping[str, str] | None = None,
    name: str = "",
    more: Mapping[str, Any] | None = None,
    effort: Effort = "usual",
    **options: Any,
) -> Run:
    """Run a reasoner and its arms, and keep what the schema has room for.

    The clean run's answers, logits of the choices, latents, attention from the start marker on, and everything that is
    known of the items: steps and attributes as labels, the question as type, relevant patches. Beside them the same
    questions about the next item's picture, as input "other image".

    Args:
        model: a reasoner.
        task: of its items; its choices are numbered in their order.
        variables: its weights.
        items: `[items, ...]`.
        arms: interventions by name.
        key: of noise, as in ``run_arms``.
        donor_targets: by arm, the word that the donor's latents speak for `[items]`.
        control: by such an arm, the arm that it is compared with; by default the clean run.
        name: for the report.
        more: further arrays of the schema, which go before those made here.
        effort: of compiling, as in ``compiling.Program``.
        **options: ``donors``, ``unrelated``, ``oracle``, ``chain`` and ``given`` of ``run_arms``.

    Returns:
        A ``Run``, for ``audit`` or ``save``.

    Raises:
        ValueError: as ``run_arms`` and ``checked``; an unknown arm, or an answer that is none of the choices.

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning import interventions as do
        >>> task = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=2), width=8, heads=1, layers=1, hidden=8)
        >>> items = reasoning.training.items_of(task, jax.random.key(1), 6)
        >>> run = reasoning.audit.as_run(
        ...     model, task, model.init(jax.random.key(0)), items, {"zero": do.zero("slots")}, key=jax.random.key(2)
        ... )
        >>> run.arrays["latents"].shape, run.arrays["logits"].shape, run.arms
        ((6, 2, 8), (6, 4), ('zero',))
    """
    arms = dict(arms or {})
    for label, given in (("donor_targets", donor_targets), ("control", control)):
        for arm in given or {}:
            checks.choice(label, arm, tuple(arms))
    program = _program(model, tuple(arms.items()), effort)
    clean, attention, other, results, (words, patches) = jax.tree.map(
        np.asarray, program(variables, items, key, options)
    )
    arrays: dict[str, Any] = {"name": np.asarray(name)} if name else {}
    arrays |= recorded(task, items, clean, results)
    if model.places.slots:
        arrays |= {"latents": clean.latents, "reference/words": words}
        arrays |= {} if patches is None else {"reference/patches": patches}
    arrays |= _known(task, items)
    arrays |= attended(model, items, attention) if num_patches(task) and model.places.slots else {}
    if other is not None:
        arrays[f"input/{OTHER_IMAGE}/logits"] = other.logits[:, 0, np.asarray(task.choices)]
        if model.places.slots:
            arrays[f"input/{OTHER_IMAGE}/latents"] = other.latents
    for arm, words in (donor_targets or {}).items():
        arrays[f"arm/{arm}/donor_targets"] = numbered(task, words)
    arrays |= {f"arm/{arm}/control": np.asarray(other) for arm, other in (control or {}).items()}
    return checked({**arrays, **(more or {})})


def recorded(task: Task, items: Item, clean: Arm, arms: Mapping[str, Arm]) -> dict[str, np.ndarray]:
    """What was answered and whether slots were used, as arrays of the schema; choices are numbered in their order.

    Args:
        task: of the items.
        items: `[items, ...]`.
        clean: what ``run_arms`` keeps of the clean run, leaves `[items, ...]`, or `[seeds, items, ...]`.
        arms: the same of every arm.

    Returns:
        Arrays for ``Run``, or for ``checked`` where there are no seeds.

    Raises:
        ValueError: items whose answer is none of the task's choices.
    """
    arrays = {"targets": numbered(task, np.asarray(items.answer)[:, 0])}
    if (arrays["targets"] < 0).any():
        raise checks.bad("items", "answers among the task's choices", "others")
    for start, kept in {"": clean, **{f"arm/{name}/": kept for name, kept in arms.items()}}.items():
        arrays[f"{start}answers"] = numbered(task, np.asarray(kept.answer)[..., 0])
        arrays[f"{start}logits"] = np.asarray(kept.logits)[..., 0, np.asarray(task.choices)]
        arrays[f"{start}triggered"] = np.asarray(kept.length) > 0
    return arrays


def numbered(task: Task, words: ArrayLike) -> np.ndarray:
    """Words as numbers of the task's choices; -1 for others."""
    found = np.asarray(words)[..., None] == np.asarray(task.choices)
    return np.where(found.any(axis=-1), found.argmax(axis=-1), -1)


@functools.lru_cache(maxsize=8)
def _program(model: Reasoner, arms: tuple[tuple[str, Intervention], ...], effort: Effort) -> Callable[..., Any]:
    """The clean run, the run on other pictures (None without pictures), all arms, and ``_read``; compiled once."""

    def run(variables: Variables, items: Item, key: jax.Array, options: dict[str, Any]) -> tuple[Any, ...]:
        if arms:
            clean, results = run_arms(model, variables, items, dict(arms), key=key, **options)
        else:
            given = {name: value for name, value in options.items() if name in ("chain", "given")}
            (clean, _), results = model.apply(variables, items, **given), {}
        other = None
        if model.places.image:
            pictures = items._replace(image=jnp.roll(items.image, -1, axis=0))
            given = {name: value for name, value in options.items() if name in ("chain", "given")}
            other = keep_answers(model.apply(variables, pictures, **given)[0])
        return keep_answers(clean), clean.attention, other, results, _read(model, variables, items)

    return jitted(run, effort)


def _read(model: Reasoner, variables: Variables, items: Item) -> tuple[jax.Array, jax.Array | None]:
    """What the model reads beside latents: its words `[words, width]`, and patches of a few pictures `[.., width]`."""
    words = model.method(variables, "of_words", jnp.arange(model.words))
    if not model.places.image:
        return words, None
    patches = jax.vmap(lambda image: model.of_patches(variables, image))(items.image[:_SHOWN])
    return words, patches.reshape(-1, model.width)


def _known(task: Task, items: Item) -> dict[str, Any]:
    """Labels of probes, their control tasks, and their two bounds."""
    question = np.asarray(items.question)
    arrays: dict[str, Any] = {"types": np.unique(question, axis=0, return_inverse=True)[1].reshape(-1)}
    for step in range(task.num_steps):
        numbers = numbered(task, np.asarray(items.steps)[:, step])
        if (numbers >= 0).all():
            arrays[f"labels/step {step + 1}"] = numbers
    for index, values in enumerate(np.asarray(items.attributes).T):
        arrays[f"labels/attribute {index + 1}"] = values
    arrays["features/question"] = np.eye(len(task.words), dtype=np.float32)[question].sum(axis=1)
    if num_patches(task):
        arrays["features/image"] = np.asarray(items.image, np.float32).reshape(len(question), -1)
    return arrays


def attended(model: Reasoner, items: Item, attention: np.ndarray) -> dict[str, Any]:
    """Attention as arrays of the schema, from the start marker on.

    Args:
        model: with slots and an image.
        items: `[items, ...]`.
        attention: of the clean ``Output`` `[items, layers, heads, queries, keys]`. The positions that predict an
            answer's words count as those that answer.
    """
    places = model.places
    relevant = np.zeros((len(items.answer), places.total), bool)
    relevant[:, : places.image] = np.asarray(items.relevant).any(axis=1)
    behind = slice(places.prefix, None)
    return {
        "attention": attention,
        "image_keys": places.where("image"),
        "latent_queries": places.where("slots")[behind],
        "answer_queries": (places.where("format") | places.where("answer"))[behind],
        "relevant_keys": relevant,
    }
