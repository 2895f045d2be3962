"""Many interventions at once: one compiled program for all arms, one shared prompt where arms leave it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.reasoning.interventions import Intervention, recipes
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Output, Reasoner, Variables, writes_axes
from tokdyn.reasoning.writes import Material, Recipe, Sites, cooked, material
from tokdyn.solve.batching import vmap
from tokdyn.tree import unstacked

Keep = Callable[[Output], Any]


class Arm(NamedTuple):
    """What is kept of an arm by default, leaves `[items, ...]`.

    Attributes:
        logits: of the words of the answer `[answer_length, words]`.
        answer: the likeliest words `[answer_length]`.
        latents: what slots were fed `[slots, width]`.
        length: slots that were used `[]`.
    """

    logits: jax.Array
    answer: jax.Array
    latents: jax.Array
    length: jax.Array


def keep_answers(output: Output) -> Arm:
    """Logits, answers and latent tokens."""
    return Arm(output.logits, output.answer, output.latents, output.length)


def run_arms(
    model: Reasoner,
    variables: Variables,
    items: Item,
    arms: Mapping[str, Intervention],
    *,
    key: jax.Array,
    donors: ArrayLike | None = None,
    unrelated: ArrayLike | None = None,
    oracle: Sites | None = None,
    chain: jax.Array | None = None,
    given: jax.Array | None = None,
    keep: Keep = keep_answers,
    share_prompt: bool = True,
    batch_size: int = 1,
) -> tuple[Output, dict[str, Any]]:
    """The clean run, and every arm on the same items.

    Arms that act on image or question read the prompt again; all others share it. Both kinds are one program each,
    mapped over arms: another set of arms of the same size compiles nothing. jit the whole where it is called often.

    Args:
        model: a reasoner.
        variables: its weights.
        items: `[items, ...]`.
        arms: interventions by name.
        key: of noise; all arms see the same.
        donors: items that each item takes from `[items]` int; by default the next one.
        unrelated: a second list; by default the one after the next.
        oracle: values for ``oracle`` interventions, leaves as those of ``Output.sites``.
        chain: words that slots are fed, as in ``Reasoner.apply``.
        given: vectors that slots are fed, as in ``Reasoner.apply``.
        keep: what to return of an arm's ``Output`` `[items, ...]`.
        share_prompt: False reads the prompt anew in every arm (to measure what sharing saves).
        batch_size: arms that are computed side by side. One at a time, every arm goes through the same machine code;
            side by side they may differ by rounding.

    Returns:
        ``(clean, results)``: the clean run, and by name what ``keep`` returned.

    Raises:
        ValueError: naming the argument: no items, donors of wrong shape, an unknown component, a step past the last.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning import interventions as do
        >>> task = reasoning.tasks.pointer_chase(side=3, hops=2)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=2))
        >>> items = jax.vmap(task.draw)(jax.random.split(jax.random.key(1), 6))
        >>> arms = {"nothing": do.identity("slots"), "swapped": do.swap("slots", site="cache")}
        >>> clean, results = reasoning.run_arms(
        ...     model, model.init(jax.random.key(0)), items, arms, key=jax.random.key(2)
        ... )
        >>> bool(jnp.allclose(results["nothing"].logits, clean.logits, atol=1e-5))
        True
    """
    count = items.answer.shape[0]
    if count == 0:
        raise checks.bad("items", "at least one", 0)
    if not arms:
        raise checks.bad("arms", "at least one intervention", "none")
    if oracle is None and any(write.operation == "oracle" for arm in arms.values() for write in arm.writes):
        raise checks.bad("oracle", "values to write, for an arm that asks for them", "None")
    mates = jnp.stack([jnp.arange(count), _mates("donors", donors, count, 1), _mates("unrelated", unrelated, count, 2)])
    prompts = jax.vmap(lambda item: model.prompt(variables, item))(items)

    def continued(prompts: Any, writes: Any) -> Output:
        one = lambda prompt, item, writes, chain, given: model.continued(  # noqa: E731
            variables, prompt, item, writes=writes, chain=chain, given=given
        )
        axes = None if writes is None else writes_axes(writes)
        return jax.vmap(one, in_axes=(0, 0, axes, 0, 0))(prompts, items, writes, chain, given)

    clean = continued(prompts, None)
    if oracle is not None:
        for name, ours, theirs in zip(Sites._fields, clean.sites, oracle, strict=True):
            if ours.shape != jnp.shape(theirs):
                raise checks.bad(f"oracle.{name}", f"shape {ours.shape}", f"shape {jnp.shape(theirs)}")
    behind = {name: arm for name, arm in arms.items() if share_prompt and not _on_prompt(model, arm)}
    anew = {name: arm for name, arm in arms.items() if name not in behind}

    def mapped(group: Mapping[str, Intervention], stuff: Material, run: Callable[[Any], Output]) -> dict[str, Any]:
        if not group:
            return {}
        made = recipes(list(group.values()), model.places, layers=model.layers, width=model.width)
        one: Callable[[Recipe], Any] = lambda recipe: keep(run(cooked(recipe, stuff)))  # noqa: E731
        kept = vmap(one, batch_size=batch_size)(made)
        return dict(zip(group, unstacked(kept), strict=True))

    def reread(writes: Any) -> Output:
        one = lambda item, writes: model.prompt(variables, item, writes=writes)  # noqa: E731
        return continued(jax.vmap(one, in_axes=(0, writes_axes(writes)))(items, writes), writes)

    everything = material(clean.sites, mates, oracle, key if has_noise(arms.values()) else None)
    cut: Callable[[Any], Any] = lambda sites: None if sites is None else _behind(model, sites)  # noqa: E731
    suffix = everything._replace(
        clean=cut(everything.clean), mean=cut(everything.mean), deviation=cut(everything.deviation),
        drawn=cut(everything.drawn), oracle=cut(everything.oracle),
    )  # fmt: skip
    results = mapped(behind, suffix, lambda writes: continued(prompts, writes)) | mapped(anew, everything, reread)
    return clean, {name: results[name] for name in arms}


def material_of(model: Reasoner, clean: Output, *, key: jax.Array | None, donors: ArrayLike | None = None) -> Material:
    """What interventions on markers, slots, format and answer are made from, given the clean run of the same items.

    Args:
        model: a reasoner.
        clean: its outputs `[items, ...]`.
        key: of noise; None where no intervention asks for noise.
        donors: as in ``run_arms``.
    """
    count = clean.answer.shape[0]
    mates = jnp.stack([jnp.arange(count), _mates("donors", donors, count, 1), _mates("unrelated", None, count, 2)])
    return material(_behind(model, clean.sites), mates, None, key)


def has_noise(arms: Iterable[Intervention]) -> bool:
    """Whether some write is noise: drawing it is slow to compile."""
    return any(write.operation == "noise" for arm in arms for write in arm.writes)


def _behind(model: Reasoner, sites: Sites) -> Sites:
    """Values from the start marker on."""
    return jax.tree.map(lambda leaf: leaf[..., model.places.prefix :, :], sites)


def _on_prompt(model: Reasoner, arm: Intervention) -> bool:
    """Whether an arm acts on what comes before the start marker."""
    prefix = model.places.prefix
    return any(model.places.steps(write.component, write.steps)[:prefix].any() for write in arm.writes)


def _mates(name: str, given: Any, count: int, shift: int) -> jax.Array:
    if given is None:
        return (jnp.arange(count) + shift) % count
    given = jnp.asarray(given)
    if given.shape != (count,) or not jnp.issubdtype(given.dtype, jnp.integer):
        raise checks.bad(name, f"numbers of items [{count}] int", checks.describe_array(given))
    if checks.is_concrete(given) and not bool(np.all((np.asarray(given) >= 0) & (np.asarray(given) < count))):
        raise checks.bad(name, f"items 0 to {count - 1}", f"{int(given.min())} to {int(given.max())}")
    return given.astype(jnp.int32)
