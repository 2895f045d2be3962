"""A reasoner: a small vision-language transformer with a declared protocol, behind ``init`` and ``apply``.

The model of one item is a pure function; batches, arms and seeds are vmaps of it. Image and question are read once
(``prompt``); whatever is done to markers, slots, format or answer continues from there (``continued``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.parts import part, static
from tokdyn.reasoning.continuation import Continuation
from tokdyn.reasoning.items import Item, Task, num_patches
from tokdyn.reasoning.layout import Layout, layout, visible
from tokdyn.reasoning.protocol import Protocol
from tokdyn.reasoning.transformer import Cache, Network, empty_cache, visible_now
from tokdyn.reasoning.writes import Sites, Writes, touched

Variables = dict[str, Any]


class Prompt(NamedTuple):
    """Image and question, read.

    Attributes:
        cache: what later positions attend to.
        embeddings: `[prefix, width]`.
        residuals: `[layers, prefix, width]`.
        state: of the last word of the question, after the norm `[width]`.
        trigger_logits: of the word after the question `[words]`.
    """

    cache: Cache
    embeddings: jax.Array
    residuals: jax.Array
    state: jax.Array
    trigger_logits: jax.Array


class Output(NamedTuple):
    """One pass; under vmap every leaf has leading axes.

    Attributes:
        logits: of the words of the answer `[answer_length, words]`.
        answer: the likeliest words `[answer_length]`.
        slot_logits: of the word after the start marker and after each slot `[slots + 1, words]`.
        length: slots that were used `[]`.
        triggered: whether the likeliest word after the question is a start marker `[]` bool.
        trigger_logits: `[words]`.
        sites: everything an intervention can write, over the whole sequence.
        states: after the norm, from the start marker on `[suffix, width]`.
        attention: from the start marker on `[layers, heads, suffix, positions]`.
    """

    logits: jax.Array
    answer: jax.Array
    slot_logits: jax.Array
    length: jax.Array
    triggered: jax.Array
    trigger_logits: jax.Array
    sites: Sites
    states: jax.Array
    attention: jax.Array

    @property
    def slots(self) -> slice:
        """Where slots stand in the sequence: behind the start marker, the first position of the suffix."""
        first = self.sites.embeddings.shape[-2] - self.states.shape[-2] + 1
        return slice(first, first + self.slot_logits.shape[-2] - 1)

    @property
    def latents(self) -> jax.Array:
        """What slots were fed `[slots, width]`."""
        return self.sites.embeddings[..., self.slots, :]


@part
class Reasoner:
    """See ``reasoner``."""

    protocol: Protocol = static()
    places: Layout = static()
    words: int = static()
    image_shape: tuple[int, int, int] = static()
    patch: int = static()
    width: int = static()
    heads: int = static()
    layers: int = static()
    hidden: int = static()

    @property
    def network(self) -> Network:
        """The flax module behind this model."""
        channels = self.image_shape[2]
        return Network(
            words=self.words,
            patch_size=self.patch * self.patch * channels if self.places.image else 0,
            positions=self.places.total,
            constants=max(1, self.places.slots),
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            hidden=self.hidden,
            head=self.protocol.head,
        )

    @property
    def sees(self) -> np.ndarray:
        """Who may attend to whom `[positions, positions]` bool."""
        return visible(self.places, dict(self.protocol.hidden))

    def seen_by(self, item: Item) -> jax.Array:
        """Who may attend to whom for one item: ``sees``, less what gates close.

        Returns:
            `[positions, positions]`, or with gates `[layers, positions, positions]` bool.
        """
        gates = self.protocol.gates
        if not gates:
            return jnp.asarray(self.sees)
        cases = 2 + max((gate.case for gate in gates if gate.case is not None), default=-1)
        masks = np.broadcast_to(self.sees, (cases, self.layers, *self.sees.shape)).copy()
        own = np.eye(self.places.total, dtype=bool)
        for gate in gates:
            closed = self.places.where(gate.reader)[:, None] & self.places.where(gate.source) & ~own
            masks[slice(None) if gate.case is None else gate.case, gate.first_layer :] &= ~closed
        # Cases past the last that a gate names have a row of their own: nothing is closed to them alone.
        return jnp.asarray(masks)[jnp.minimum(jnp.asarray(item.case), cases - 1)]

    def init(self, key: jax.Array) -> Variables:
        """Weights: ``{"params": ..., "state": {}}``."""
        patches = self.patches(jnp.zeros(self.image_shape))
        made = self.network.init(key, jnp.zeros(self.places.question, jnp.int32), patches)
        return {"params": made["params"], "state": {}}

    def apply(
        self,
        variables: Variables,
        items: Item,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        writes: Writes | None = None,
        chain: jax.Array | None = None,
        given: jax.Array | None = None,
        words_from: ArrayLike | None = None,
        teacher: bool = True,
    ) -> tuple[Output, Any]:
        """A batch of items through prompt, slots and answer.

        Args:
            variables: weights.
            items: with a leading axis `[items, ...]`.
            key: not used (nothing is drawn).
            train: not used.
            writes: interventions, whose payloads have an axis of items after that of writes (``writes.cooked``).
            chain: words that slots are fed `[items, slots]`, where the protocol feeds words; ``PAD`` ends a chain.
            given: vectors that slots are fed `[items, slots, width]`, where the protocol takes what is given.
            words_from: slots from this one on are fed words, whatever the protocol says `[]` (Coconut's curriculum).
            teacher: read the right answer's earlier words (and give the logits of all), or the model's own.

        Returns:
            ``(Output, state)``, leaves `[items, ...]`.
        """
        # Payloads that leave out the prompt have nothing to write there.
        behind = writes is not None and writes.payload.embeddings.shape[-2] < self.places.total

        def one(item: Item, writes: Writes | None, chain: Any, given: Any) -> Output:
            prompt = self.prompt(variables, item, writes=None if behind else writes)
            return self.continued(
                variables, prompt, item, writes=writes, chain=chain, given=given, words_from=words_from, teacher=teacher
            )

        axes = None if writes is None else writes_axes(writes)
        return jax.vmap(one, in_axes=(0, axes, 0, 0))(items, writes, chain, given), variables["state"]

    def patches(self, image: jax.Array) -> jax.Array:
        """A picture `[height, width, channels]` cut up, rows of patches first `[patches, numbers]`."""
        height, width, channels = self.image_shape
        if not self.places.image:
            return jnp.zeros((0, self.patch * self.patch * channels), image.dtype)
        rows, columns = height // self.patch, width // self.patch
        cut = image.reshape(rows, self.patch, columns, self.patch, channels)
        return cut.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)

    def method(self, variables: Variables, name: str, *arguments: Any) -> Any:
        """A method of the network with these weights."""
        return self.network.apply({"params": variables["params"]}, *arguments, method=name)

    def of_patches(self, variables: Variables, image: jax.Array) -> jax.Array:
        """Embeddings `[patches, width]` of a picture's patches."""
        return self.method(variables, "of_patches", self.patches(image))

    def prompt(self, variables: Variables, item: Item, *, writes: Writes | None = None) -> Prompt:
        """Image and question of one item, read.

        Args:
            variables: weights.
            item: one item.
            writes: interventions, over the whole sequence.

        Returns:
            A ``Prompt``, which any number of continuations share.
        """
        places = self.places
        embeddings = self.method(variables, "of_words", item.question)
        if places.image:
            embeddings = jnp.concatenate([self.of_patches(variables, item.image), embeddings])
        embeddings = touched(embeddings, writes, "embeddings", 0)
        sees = visible_now(self.seen_by(item), 0, places.prefix, writes)[..., : places.prefix]
        empty = empty_cache(self.network, places.prefix, embeddings.dtype)
        made, cache = self.method(variables, "extend", embeddings, 0, None, empty, sees, writes)
        state = made.states[-1]
        return Prompt(cache, embeddings, made.residuals, state, self.method(variables, "logits", state))

    def continued(
        self,
        variables: Variables,
        prompt: Prompt,
        item: Item,
        *,
        writes: Writes | None = None,
        chain: jax.Array | None = None,
        given: jax.Array | None = None,
        words_from: Any = None,
        teacher: bool = True,
    ) -> Output:
        """Markers, slots, format and answer of one item.

        Args:
            variables: weights.
            prompt: image and question.
            item: gives the start marker and, for ``teacher``, the right answer.
            writes: interventions.
            chain: as in ``apply``, `[slots]`.
            given: as in ``apply``, `[slots, width]`.
            words_from: as in ``apply``.
            teacher: as in ``apply``.

        Returns:
            An ``Output``.
        """
        run = Continuation(self, variables, prompt, writes, words_from, self.seen_by(item))
        rows, cache, length, triggered = run.rows(item, chain, given, teacher)
        residuals = jnp.concatenate([prompt.residuals, rows.residuals.swapaxes(0, 1)], axis=1)
        cached = [jnp.concatenate(pair, axis=1) for pair in zip(prompt.cache.rows(), cache.rows(), strict=True)]
        sites = Sites(jnp.concatenate([prompt.embeddings, rows.embeddings]), residuals, *cached)
        logits = run.logits(rows.states)
        answer = logits[-self.places.answer :]
        return Output(
            answer,
            answer.argmax(-1).astype(jnp.int32),
            logits[: self.places.slots + 1],
            length,
            triggered,
            prompt.trigger_logits,
            sites,
            rows.states,
            rows.attention.transpose(1, 2, 0, 3),
        )


def writes_axes(writes: Writes) -> Writes:
    """The axes of a batch of items: a payload is an item's own, all else is shared."""
    axes = jax.tree.map(lambda _: None, writes)
    return axes._replace(payload=jax.tree.map(lambda _: 1, writes.payload))


def reasoner(
    task: Task, protocol: Protocol, *, width: int = 32, heads: int = 4, layers: int = 2, hidden: int = 64
) -> Reasoner:
    """A reasoner for items of a task.

    Args:
        task: what the items look like.
        protocol: how it goes from question to answer.
        width: of the residual stream.
        heads: of attention; divides the width.
        layers: how many.
        hidden: width of the layers' inner part.

    Returns:
        A pytree without numbers, with ``init(key)`` and ``apply(variables, items)``.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> import jax
        >>> from tokdyn import reasoning
        >>> task = reasoning.tasks.pointer_chase(side=3, hops=2)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=2))
        >>> variables = model.init(jax.random.key(0))
        >>> items = jax.vmap(task.draw)(jax.random.split(jax.random.key(1), 5))
        >>> output, _ = model.apply(variables, items)
        >>> output.logits.shape[:2], output.sites.embeddings.shape
        ((5, 1), (5, 15, 32))
    """
    heads, width = checks.whole_number("heads", heads, at_least=1), checks.whole_number("width", width, at_least=1)
    if width % heads:
        raise checks.bad("width", f"a multiple of the {heads} heads", width)
    places = layout(
        image=num_patches(task),
        question=task.question_length,
        slots=protocol.slots,
        format=protocol.format,
        answer=task.answer_length,
    )
    return Reasoner(
        protocol,
        places,
        len(task.words),
        tuple(task.image_shape),  # type: ignore[arg-type]
        task.patch,
        width,
        heads,
        checks.whole_number("layers", layers, at_least=1),
        checks.whole_number("hidden", hidden, at_least=1),
    )
