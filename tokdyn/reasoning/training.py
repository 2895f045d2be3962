"""What a reasoner is trained for: answers, chains, helpers, and the interchanges that make a truth hold.

A loss is a part: its weights are traced numbers, swept by vmap and scheduled by ``td.annealing``, so that a curriculum
of two stages is one schedule. Terms that are None are not computed at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.compiling import jitted
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.schedules import Scalar
from tokdyn.numerics import safe_norm
from tokdyn.reasoning.arms import has_noise, material_of
from tokdyn.reasoning.interventions import Intervention, recipes
from tokdyn.reasoning.items import END, OTHER_START, PAD, START, Item, Task
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.reasoning.writes import cooked
from tokdyn.tree import unstacked

Metrics = dict[str, jax.Array]
TARGETS = ("regions", "helper", "teacher", "attended")
NUM_PICKED = 2  # patches for a slot of "attended"


@part
class Supervised:
    """See ``supervised``."""

    answer: Any
    chain: Any
    latents: Any
    trigger: Any
    words_from: Any
    share: Any
    target: str = static()
    cosine: bool = static()
    under: tuple[Intervention, ...] = static()

    def __call__(
        self, model: Reasoner, variables: Variables, items: Item, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Metrics]]:
        """``(loss, (state, metrics))`` of a batch of items."""
        chain = self._chain(model, items)
        given = regions(model, variables, items) if model.protocol.source == "given" else None
        run = lambda writes: model.apply(  # noqa: E731
            variables, items, writes=writes, chain=chain, given=given, words_from=self.words_from
        )[0]
        output = run(None)
        answer = answer_loss(output, items)
        if self.under:
            noise = keys.for_purpose(key, "noise") if has_noise(self.under) else None
            stuff = material_of(model, output, key=noise)
            made = recipes(self.under, model.places, layers=model.layers, width=model.width)
            changed = sum(answer_loss(run(cooked(arm, stuff)), items) for arm in unstacked(made)) / len(self.under)
            answer = (1 - self.share) * answer + self.share * changed
        terms = {"answer": self.answer * answer}
        if self.chain is not None:
            terms["chain"] = self.chain * chain_loss(output, items)
        if self.latents is not None:
            goal = TARGET_OF[self.target](model, variables, items)
            terms["latents"] = self.latents * latent_loss(output.latents, goal, cosine=self.cosine)
        if self.trigger is not None:
            terms["trigger"] = self.trigger * trigger_loss(output, items)
        right = jnp.mean(jnp.all(output.answer == items.answer, axis=-1))
        return sum(terms.values()), (variables["state"], {**terms, "right": right})

    def _chain(self, model: Reasoner, items: Item) -> jax.Array | None:
        if model.protocol.source != "word" and self.words_from is None:
            return None
        return chain_words(items, model.places.slots)


def supervised(
    *,
    answer: Scalar = 1.0,
    chain: Scalar | None = None,
    latents: Scalar | None = None,
    target: str = "regions",
    cosine: bool = False,
    trigger: Scalar | None = None,
    words_from: Scalar | None = None,
    under: tuple[Intervention, ...] = (),
    share: Scalar = 0.5,
) -> Supervised:
    """Supervised training.

    Args:
        answer: weight of the cross-entropy of the answer's words `[]`.
        chain: weight of the cross-entropy of the step that follows each slot, read from its state; None for none.
        latents: weight of the distance between what slots are fed and a target; None for none. A schedule that ends at
            0 is a curriculum of two stages.
        target: "regions": the embedding of the patches that the step reads (LVR). "helper": the helper picture's
            patches, averaged into as many groups as there are slots (Mirage). "teacher": the latent tokens of the same
            weights when they see the helper instead of the image, without gradient (Monet). "attended": the helper's
            patches to which the slots of that teacher attend most (ILVR, whose teacher is a moving average).
        cosine: 1 minus the cosine, instead of the mean squared difference.
        trigger: weight of the cross-entropy of the start marker after the question; None for none.
        words_from: slots from this one on are fed the chain's words instead of states `[]`; a schedule from 0 to the
            number of slots is Coconut's curriculum; None for never.
        under: interventions under which the right answer is asked for too: swapped caches make it independent of them
            (interchange training), removed markers are marker dropout.
        share: of the answer's weight that goes to the answers under them, all together `[]`, below 1.

    Returns:
        A loss for ``train.fit``.

    Raises:
        ValueError: a negative weight, or an unknown target.

    References:
        S. Hao et al., Training large language models to reason in a continuous latent space, arXiv 2412.06769;
        Z. Yang et al., Machine mental imagery (Mirage), arXiv 2506.17218; B. Li et al., Latent visual reasoning, arXiv
        2509.24251; Monet, arXiv 2511.21395; R. Gupta et al., InterpBench, arXiv 2407.14494 (interchange training).

    Example:
        >>> from tokdyn import reasoning
        >>> loss = reasoning.training.supervised(chain=1.0, latents=0.1)
        >>> float(loss.chain)
        1.0
    """
    numbers = {"answer": answer, "chain": chain, "latents": latents, "trigger": trigger, "words_from": words_from}
    made = {
        name: None if value is None else checks.hyperparameter(name, value, at_least=0.0)
        for name, value in numbers.items()
    }
    made["share"] = checks.hyperparameter("share", share, at_least=0.0, below=1.0)
    return Supervised(**made, target=checks.choice("target", target, TARGETS), cosine=bool(cosine), under=tuple(under))


def chain_words(items: Item, count: int) -> jax.Array:
    """The exact steps as words `[items, count]`, cut or filled with ``PAD``."""
    steps = items.steps
    filled = jnp.pad(steps, ((0, 0), (0, max(0, count - steps.shape[1]))), constant_values=PAD)
    return filled[:, :count]


def answer_loss(output: Output, items: Item) -> jax.Array:
    """Mean cross-entropy of the answers' words that are not ``PAD``, in nats `[]`."""
    losses = optax.softmax_cross_entropy_with_integer_labels(output.logits, items.answer)
    return jnp.sum(losses * (items.answer != PAD)) / jnp.maximum(jnp.sum(items.answer != PAD), 1)


def chain_loss(output: Output, items: Item) -> jax.Array:
    """Mean cross-entropy of each next step, read at the start marker and at the slots; after the last, ``END``."""
    places = output.slot_logits.shape[1]
    words = chain_words(items, places)
    # What follows the last step is the end marker; places after it do not count.
    before = jnp.pad(words, ((0, 0), (1, 0)), constant_values=END)[:, :places]
    wanted = jnp.where((words == PAD) & (before != PAD), END, words)
    losses = optax.softmax_cross_entropy_with_integer_labels(output.slot_logits, wanted)
    return jnp.sum(losses * (wanted != PAD)) / jnp.maximum(jnp.sum(wanted != PAD), 1)


def latent_loss(fed: jax.Array, goal: jax.Array, *, cosine: bool) -> jax.Array:
    """Distance of latent tokens from targets `[items, slots, width]`: mean squared, or 1 minus the cosine `[]`."""
    if not cosine:
        return jnp.mean(jnp.sum((fed - goal) ** 2, axis=-1))
    lengths = safe_norm(fed) * safe_norm(goal)
    return jnp.mean(1 - jnp.sum(fed * goal, axis=-1) / jnp.maximum(lengths, 1e-9))


def trigger_loss(output: Output, items: Item) -> jax.Array:
    """Mean cross-entropy of the start marker after the question, in nats `[]`."""
    wanted = jnp.where(items.mode == 0, START, OTHER_START)
    return optax.softmax_cross_entropy_with_integer_labels(output.trigger_logits, wanted).mean()


def regions(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """What the patches that each step reads look like to the model `[items, slots, width]`, without gradient.

    Slots beyond the last step repeat it.
    """
    embedded = _patches(model, variables, items.image)
    weights = items.relevant.astype(embedded.dtype)
    weights = weights / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1)
    steps = jnp.minimum(jnp.arange(model.places.slots), items.relevant.shape[1] - 1)
    return jax.lax.stop_gradient(weights[:, steps] @ embedded)


def helper(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """The helper's patches, averaged into as many groups as there are slots `[items, slots, width]`, no gradient."""
    embedded = _patches(model, variables, items.helper)
    slots = model.places.slots
    groups = jax.nn.one_hot(jnp.arange(embedded.shape[1]) * slots // embedded.shape[1], slots, axis=0)
    return jax.lax.stop_gradient(groups / groups.sum(axis=1, keepdims=True) @ embedded)


def teacher(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """Latent tokens of the same weights that see the helper instead of the image `[items, slots, width]`."""
    return seeing_helper(model, variables, items).latents


def attended(model: Reasoner, variables: Variables, items: Item) -> jax.Array:
    """The helper's patches that each slot attends to most, where the helper is seen `[items, slots, width]`."""
    return picked(model, variables, items, seeing_helper(model, variables, items))


def seeing_helper(model: Reasoner, variables: Variables, items: Item) -> Output:
    """What the same weights do when they see the helper instead of the image, without gradient."""
    output, _ = model.apply(jax.lax.stop_gradient(variables), items._replace(image=items.helper))
    return jax.lax.stop_gradient(output)


def picked(model: Reasoner, variables: Variables, items: Item, view: Output) -> jax.Array:
    """Mean embedding of the helper's patches with the largest attention, averaged over layers and heads, no gradient.

    Args:
        model: a reasoner.
        variables: its weights.
        items: `[items, ...]`.
        view: from ``seeing_helper``, whose slots pick ``NUM_PICKED`` patches each.

    Returns:
        `[items, slots, width]`.
    """
    image, slots = model.places.image, model.places.slots
    looks = view.attention[..., 1 : slots + 1, :image].mean(axis=(1, 2))
    _, best = jax.lax.top_k(looks, min(NUM_PICKED, image))
    weights = jax.nn.one_hot(best, image, dtype=looks.dtype).mean(axis=-2)
    return jax.lax.stop_gradient(weights @ _patches(model, variables, items.helper))


TARGET_OF: dict[str, Callable[[Reasoner, Variables, Item], jax.Array]] = {
    "regions": regions, "helper": helper, "teacher": teacher, "attended": attended,
}  # fmt: skip


@part
class Reinforced:
    """See ``reinforced``."""

    entropy: jax.Array
    near: jax.Array
    reference: Any
    samples: int = static()

    def __call__(
        self, model: Reasoner, variables: Variables, items: Item, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Metrics]]:
        """``(loss, (state, metrics))``."""
        output, state = model.apply(variables, items)
        scores = jax.nn.log_softmax(output.logits[:, 0])
        drawn = jax.random.categorical(keys.for_purpose(key, "answers"), scores, shape=(self.samples, len(scores)))
        reward = (drawn == items.answer[:, 0]).astype(scores.dtype)
        others = (reward.sum(axis=0) - reward) / (self.samples - 1)
        chosen = jnp.take_along_axis(scores[None], drawn[..., None], axis=-1)[..., 0]
        policy = -jnp.mean((reward - others) * chosen)
        spread = -jnp.mean(jnp.sum(jnp.exp(scores) * scores, axis=-1))
        before = jax.nn.log_softmax(model.apply(self.reference, items)[0].logits[:, 0])
        apart = jnp.mean(jnp.sum(jnp.exp(scores) * (scores - jax.lax.stop_gradient(before)), axis=-1))
        loss = policy - self.entropy * spread + self.near * apart
        right = jnp.mean(output.answer[:, 0] == items.answer[:, 0])
        return loss, (state, {"reward": reward.mean(), "divergence": apart, "right": right})


def reinforced(
    reference: Variables, *, samples: int = 8, near: ArrayLike = 0.01, entropy: ArrayLike = 0.0
) -> Reinforced:
    r"""Policy gradient on sampled answers: reward 1 for the right first word, leave-one-out baselines.

    .. math:: -\frac1n \sum_i (r_i - \bar r_{-i}) \log \pi(a_i)
              + \beta\,\mathrm{KL}(\pi \| \pi_0) - \eta\,H(\pi)

    Latent tokens are deterministic and get their gradient through the answer's probability.

    Args:
        reference: weights of `\pi_0`, from supervised training.
        samples: answers per item `n`, at least 2.
        near: `\beta` `[]`.
        entropy: `\eta` `[]`.

    Returns:
        A loss for ``train.fit``.

    Raises:
        ValueError: fewer than two samples, or a negative number.

    References:
        W. Kool et al., Buy 4 REINFORCE samples, get a baseline for free, ICLR 2019 workshop.
    """
    return Reinforced(
        checks.hyperparameter("entropy", entropy, at_least=0.0),
        checks.hyperparameter("near", near, at_least=0.0),
        reference,
        checks.whole_number("samples", samples, at_least=2),
    )


class Batches(NamedTuple):
    """``(key, step) -> items``: fresh ones at every step."""

    task: Task
    size: int

    def __call__(self, key: jax.Array, step: jax.Array) -> Item:
        return jax.vmap(self.task.draw)(jax.random.split(key, self.size))


def items_of(task: Task, key: jax.Array, count: int) -> Item:
    """So many items of a task `[items, ...]`; outside jit, drawn by one program for each task and count."""
    if checks.is_concrete(key):
        return _drawn(task, count)(key)
    return jax.vmap(task.draw)(jax.random.split(key, count))


@functools.lru_cache(maxsize=64)
def _drawn(task: Task, count: int) -> Callable[[jax.Array], Item]:
    # Drawn operation by operation, 48 items compile for 3 s; as one program for 1 s, and it runs too briefly for more.
    return jitted(lambda key: jax.vmap(task.draw)(jax.random.split(key, count)), "little")


def _patches(model: Reasoner, variables: Variables, images: jax.Array) -> jax.Array:
    return jax.vmap(lambda image: model.of_patches(variables, image))(images)
