"""What is compared: tasks, methods, stages, bases, arms.

Published latent reasoners keep the whole image visible while they reason; so do all settings here. What differs is the
supervision of the slots. One program trains all methods of a task: their weights of loss terms are traced numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import Scalar
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import tasks, training
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import PAD, Item, Task
from tokdyn.reasoning.model import Reasoner, Variables, reasoner
from tokdyn.reasoning.protocol import Protocol, direct, protocol
from tokdyn.studies.skeleton import at_most

NUM_RECORDS = 10
SLOTS = 3
LAYERS = 3
TASKS: dict[str, Callable[[], Any]] = {
    "pointer_chase": lambda: tasks.pointer_chase(hops=2),
    "visual_search": lambda: tasks.visual_search(side=3, set_size=5),
    "rotation": lambda: tasks.rotation(sizes=(4,)),
    "maze": lambda: tasks.maze(side=3, kind="judge", max_moves=4),
}
STAGES = ("SFT", "SFT + RL")
NOISES = (0.25, 0.5, 1.0)
GAIN_BASES = ("direct", "untrained", "channel off")
# Arms whose share of the gain is reported; the rest is judged by accuracy.
KEPT_ARMS = ("slots removed", "markers removed", "slots and markers removed", "slots zero", "slots mean", "cache donor")


class Method(NamedTuple):
    """Weights of the loss terms of a way to supervise slots.

    Attributes:
        chain: of the cross-entropy of the next step at each slot.
        regions: of 1 minus the cosine to the patches that the step reads.
        attended: ... to the helper's patches picked by the attention of the same weights that see the helper.
        teacher: ... to the latent tokens of the same weights that see the helper.
        until: share of the training after which the three alignments end.
        like: what of the published method is kept, and what is not.
    """

    chain: float
    regions: float
    attended: float
    teacher: float
    until: float
    like: str


METHODS = {
    "MVH-like": Method(
        1.0, 1.0, 0.0, 0.0, 1.0,
        "chain supervision and cosine alignment to the patches that each step reads, all the time: conditions in "
        "favour of content. The published probe's code is not public.",
    ),
    "ILVR-like": Method(
        0.0, 0.0, 1.0, 0.0, 0.5,
        "stage 1 cosine to the two helper patches that each slot of a teacher attends to most, stage 2 answers only. "
        "Published: the teacher is a moving average of the weights (decay 0.999) and picks by top-p 0.9 and top-k; "
        "here it is the weights of the moment, without gradient, and always picks two.",
    ),
    "Monet-like": Method(
        0.0, 0.0, 0.0, 1.0, 0.5,
        "stage 1 cosine to the latent tokens of a teacher that sees the helper, stage 2 answers only. Published: all "
        "layers are aligned, observation tokens too, and a third stage distils into latents without helper.",
    ),
}  # fmt: skip


class Base(NamedTuple):
    """A reasoner without latents, or without content in them.

    Attributes:
        kind: of reasoner.
        program: that trains it.
        number: in that program; -1 for one that is not trained.
        like: what it is trained on.
    """

    kind: str
    program: str
    number: int
    like: str


BASES = {
    "direct": Base("direct", "direct", 0, "answers at once, trained on the same items"),
    "direct, matched operations": Base(
        "direct", "direct", 1, "the same, with as many more steps as the latent reasoner costs more operations"
    ),
    "untrained": Base("latent", "latent", -1, "initial weights of the latent reasoner"),
    "pause": Base("pause", "pause", 0, "slots are fed learned constants and read everything; answers only"),
    "pause, chain": Base("pause", "pause", 1, "the same with the chain supervision of the probe"),
    "soft prompt": Base("soft prompt", "soft prompt", 0, "slots are fed learned constants and see nothing else"),
    "text chain": Base("text", "text", 0, "slots are the words of the steps, which it says itself"),
    "text imagination": Base(
        "text", "text", 1,
        "slots are words that say what the helper shows: the steps' words sorted, not in the order of reasoning",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """Which tasks and methods, how long, how many seeds."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Names of the tasks."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Names of the ways to supervise slots."""
    seeds: int = 2
    """Number of trainings of each setting."""
    num_steps: int = 2000
    """Steps of supervised training; a multiple of 10."""
    rl_steps: int = 200
    """Steps of reinforcement after supervised training; a multiple of 10."""
    num_items: int = 512
    """Number of fresh items that every reasoner is judged on."""
    batch_size: int = 64
    """Items in a batch."""
    learning_rate: float = 4e-3
    """Initial learning rate of Adam; it falls to a thirtieth. Reinforcement uses a tenth of it."""
    key: int = 0
    """Seed of the JAX random key."""

    def quick(self) -> Config:
        """A small design, to see that everything works."""
        return at_most(self, tasks=1, num_steps=100, rl_steps=20, num_items=64)

    def checked(self) -> Config:
        """This design, if it can be run.

        Raises:
            ValueError: naming the field.
        """
        checks.each_once("tasks", self.tasks, tuple(TASKS))
        checks.each_once("methods", self.methods, tuple(METHODS))
        for name in ("seeds", "batch_size"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        for name in ("num_steps", "rl_steps"):
            if checks.whole_number(name, getattr(self, name), at_least=1) % NUM_RECORDS:
                raise checks.bad(name, f"a multiple of {NUM_RECORDS}", getattr(self, name))
        checks.whole_number("num_items", self.num_items, at_least=50)
        checks.hyperparameter("learning_rate", self.learning_rate, above=0.0)
        return self


def protocols() -> dict[str, Protocol]:
    """The kinds of reasoners by name: each is one compiled program for a task."""
    blind = {"slots": ("prompt", "start", "slots")}
    return {
        "latent": protocol(slots=SLOTS),
        "direct": direct(),
        "pause": protocol(slots=SLOTS, source="constant"),
        "soft prompt": protocol(slots=SLOTS, source="constant", hidden=blind),
        "text": protocol(slots=SLOTS, source="word"),
    }


def models(task: Task) -> dict[str, Reasoner]:
    """A reasoner of each kind; all have the same layers."""
    return {name: reasoner(task, way, layers=LAYERS) for name, way in protocols().items()}


def arms(width: int) -> dict[str, Intervention]:
    """What is done to the slots, the markers and the format of a trained latent reasoner.

    Args:
        width: of the residual stream.
    """
    same = [1.0] * width
    both = do.remove("markers") + do.remove("slots")
    return {
        "full": do.identity("slots"),
        "slots zero": do.zero("slots"),
        "slots mean": do.mean("slots"),
        "slots constant": do.constant("slots", same, matched=True),
        "slots Gaussian": do.noise("slots", spread=1.0),
        "slots donor": do.swap("slots"),
        "slots oracle": do.oracle("slots"),
        "cache zero": do.zero("slots", site="cache"),
        "cache mean": do.mean("slots", site="cache"),
        "cache Gaussian": do.noise("slots", spread=1.0, site="cache"),
        "cache donor": do.swap("slots", site="cache"),
        "slots removed": do.remove("slots"),
        "markers removed": do.remove("markers"),
        "slots and markers removed": both,
        "format replaced": do.constant("format", same, matched=True),
        "format replaced, channel off": both + do.constant("format", same, matched=True),
    }


@part
class Aligned:
    """Supervised training of a latent reasoner, all methods in one: terms of weight 0 cost time and change nothing.

    Attributes:
        chain: as in ``Method``, like the next four.
        regions: ...
        attended: ...
        teacher: ...
        until: ...
        done: share of the training that is done, a schedule.
    """

    chain: Any
    regions: Any
    attended: Any
    teacher: Any
    until: Any
    done: Any

    def __call__(
        self, model: Reasoner, variables: Variables, items: Item, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        """``(loss, (state, metrics))`` of a batch of items."""
        output, state = model.apply(variables, items)
        fed = output.latents
        on = jnp.where(self.done < self.until, 1.0, 0.0)

        def of_teacher() -> tuple[jax.Array, jax.Array]:
            view = training.seeing_helper(model, variables, items)
            return training.picked(model, variables, items, view), view.latents

        # A teacher that nobody listens to is not run: lanes are trained one after the other, so that this saves time.
        nothing = jnp.zeros(fed.shape, fed.dtype)
        heard = on * (self.attended + self.teacher) > 0
        attended, teacher = jax.lax.cond(heard, of_teacher, lambda: (nothing, nothing))
        goals = {"regions": training.regions(model, variables, items), "attended": attended, "teacher": teacher}
        terms = {
            name: on * getattr(self, name) * training.latent_loss(fed, jax.lax.stop_gradient(goal), cosine=True)
            for name, goal in goals.items()
        }
        terms["answer"] = training.answer_loss(output, items)
        terms["chain"] = self.chain * training.chain_loss(output, items)
        terms["trigger"] = training.trigger_loss(output, items)
        right = jnp.mean(output.answer[:, 0] == items.answer[:, 0])
        return sum(terms.values()), (state, {"right": right})


def aligned(weights: jax.Array, done: Scalar) -> Aligned:
    """The loss of a method.

    Args:
        weights: the five numbers of a ``Method`` `[5]`.
        done: share of the training that is done, a schedule.
    """
    chain, regions, attended, teacher, until = weights
    return Aligned(chain=chain, regions=regions, attended=attended, teacher=teacher, until=until, done=done)


class SortedSteps(NamedTuple):
    """``(key, step) -> items`` whose steps are sorted by word where ``order`` is 1: what is seen, not how one reasons.

    Attributes:
        task: what to draw from.
        size: items of a batch.
        order: 0 or 1 `[]`, may be traced.
    """

    task: Any
    size: int
    order: Any

    def __call__(self, key: jax.Array, step: jax.Array) -> Item:
        items = training.Batches(self.task, self.size)(key, step)
        largest = jnp.iinfo(jnp.int32).max
        ordered = jnp.sort(jnp.where(items.steps == PAD, largest, items.steps), axis=-1)
        ordered = jnp.where(ordered == largest, PAD, ordered)
        return items._replace(steps=jnp.where(jnp.asarray(self.order) == 1, ordered, items.steps))
