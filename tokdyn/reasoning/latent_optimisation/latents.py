"""Latent tokens of a reasoner, optimised item by item against a reward, with patches injected on the way."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import checks, keys
from tokdyn.dynamics.schedules import annealing
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.latent_optimisation import ascent
from tokdyn.reasoning.latent_optimisation.ascent import Rule, State, finished
from tokdyn.reasoning.latent_optimisation.configurations import OPTIMISERS, READS, Configuration
from tokdyn.reasoning.latent_optimisation.gradient import called, checked_sampling, checked_sigma
from tokdyn.reasoning.latent_optimisation.injection import Handed, handed, most_attended
from tokdyn.reasoning.latent_optimisation.rewards import CONFIDENCES, ORACLES, tail_mass
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.solve.batching import vmap

OwnReward = Callable[[Output, Item], Any]


class OptimisedLatents(NamedTuple):
    """What became of each item, leaves `[items, ...]`.

    Attributes:
        answer: the likeliest words, read with the best latents `[answer_length]`.
        logits: of the words of that answer `[answer_length, words]`.
        right: whether every word is the right one `[]` bool.
        latents: the best, which the answer was read with `[slots, width]`.
        last_latents: where the ascent ended `[slots, width]`.
        clean_answer: of the run before `[answer_length]`.
        clean_logits: of that run `[answer_length, words]`.
        clean_right: ... `[]` bool.
        clean_latents: ... `[slots, width]`: the start.
        tail_mass: of the distributions that a confidence is read from, in the last pass `[]`.
        clean_tail_mass: ... in the run before `[]`.
        reward: that each iteration was judged by, that of the start first `[num_steps + 1]`; NaN after it had stopped.
        best_reward: the highest so far, patches included `[num_steps + 1]`.
        accepted: whether the latents moved `[num_steps]` bool.
        step_length: of the step, taken or not `[num_steps]`.
        patches: injected in the end `[patches]` bool.
        start_patches: ... from the start `[patches]` bool.
        candidates: patches that were tried for each slot, one after the other `[num_steps, slots, patches]` bool.
        candidate_reward: of these `[num_steps, slots]`; NaN after it had stopped, or without injection.
        taken: whether the reward rose above the best, so that they stay `[num_steps, slots]` bool. With ``candidates``
            this is the tree of what was tried.
        status: ``Status`` `[]` int32, as in ``Ascent``; NONFINITE also for a candidate's reward.
        num_evaluations: of the reward, of candidates included `[]` int32.
    """

    answer: jax.Array
    logits: jax.Array
    right: jax.Array
    latents: jax.Array
    last_latents: jax.Array
    clean_answer: jax.Array
    clean_logits: jax.Array
    clean_right: jax.Array
    clean_latents: jax.Array
    tail_mass: jax.Array
    clean_tail_mass: jax.Array
    reward: jax.Array
    best_reward: jax.Array
    accepted: jax.Array
    step_length: jax.Array
    patches: jax.Array
    start_patches: jax.Array
    candidates: jax.Array
    candidate_reward: jax.Array
    taken: jax.Array
    status: jax.Array
    num_evaluations: jax.Array


def optimise_latents(
    model: Reasoner,
    variables: Variables,
    items: Item,
    *,
    key: jax.Array,
    configuration: Configuration,
    reward: OwnReward | None = None,
    given: jax.Array | None = None,
    batch_size: int | None = None,
) -> OptimisedLatents:
    """Run, optimise what the slots were fed, run again.

    The start is what slots were fed in the clean run. All slots are clamped to the optimised vectors, whatever the
    protocol feeds them otherwise: later slots do not follow earlier ones. Rewards are read from passes in which the
    model reads its own answer; only "answer_log_probability" reads the right one. Compiled once for each model and
    program; other weights, items, keys and numbers of the configuration compile nothing.

    With ``configuration.patches``, each iteration goes through the slots after its step: the patches that a slot
    attends to most and that are not injected yet are a candidate, which stays if its reward, at the latents as they
    are, is above the best so far. The pass that attention is read from is not counted as an evaluation.

    Args:
        model: a reasoner with slots.
        variables: its weights.
        items: `[items, ...]`.
        key: of all randomness; an item's is a function of its place in the batch.
        configuration: from ``CONFIGURATIONS``, changed by ``dataclasses.replace``; its numbers may be traced.
        reward: ``(Output, Item) -> []`` of one item, in place of the configuration's; define it once, since every new
            function is a new program.
        given: vectors that slots are fed in the clean run `[items, slots, width]`, where the protocol takes what is
            given.
        batch_size: items that are computed side by side, as in ``td.vmap``.

    Returns:
        ``OptimisedLatents``. A reward that is NaN or infinite stops its item alone: ``status`` is NONFINITE.

    Raises:
        ValueError: naming the argument: a model without slots, k larger than the vocabulary, patches for a task without
            pictures, no items, and whatever ``optimise`` refuses.

    References:
        DMLR, arXiv 2512.12623, sections on the objective and on dynamic visual injection.

    Example:
        >>> import dataclasses, jax
        >>> from tokdyn import reasoning
        >>> from tokdyn.reasoning.latent_optimisation import CONFIGURATIONS, optimise_latents
        >>> task = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1, patch=3)
        >>> model = reasoning.reasoner(task, reasoning.protocol(slots=2), width=8, heads=2, hidden=8)
        >>> items = reasoning.training.items_of(task, jax.random.key(1), 3)
        >>> short = dataclasses.replace(CONFIGURATIONS["reinforce, improvements"], num_steps=2, k=4)
        >>> found = optimise_latents(
        ...     model, model.init(jax.random.key(0)), items, key=jax.random.key(2), configuration=short
        ... )
        >>> found.reward.shape, found.candidates.shape, found.num_evaluations.tolist()
        ((3, 3), (3, 2, 2, 4), [9, 9, 9])
    """
    checks.random_key("key", key)
    _check(model, configuration, reward)
    count = items.answer.shape[0]
    shape = (count, model.places.slots, model.width)
    if given is not None and jnp.shape(given) != shape:
        raise checks.bad("given", f"shape {shape}", f"shape {jnp.shape(given)}")
    if count == 0:
        raise checks.bad("items", "at least one", 0)
    of_items = jax.vmap(lambda number: keys.for_seed(key, number))(jnp.arange(count))
    return _program(model, reward, batch_size)(variables, items, given, of_items, configuration)


@functools.lru_cache(maxsize=16)
def _program(model: Reasoner, reward: OwnReward | None, batch_size: int | None) -> Callable[..., OptimisedLatents]:
    """Compiled for a model and a reward; programs of several configurations live in one jit."""

    def run(variables: Variables, items: Item, given: Any, keys: jax.Array, configuration: Any) -> OptimisedLatents:
        one = lambda variables, item, given, key, configuration: _Item(  # noqa: E731
            model, variables, item, configuration, reward
        ).optimised(key, given)
        mapped = vmap(one, in_axes=(None, 0, 0, 0, None), batch_size=batch_size)
        return mapped(variables, items, given, keys, configuration)

    return jax.jit(run)


class _Tried(NamedTuple):
    """What became of one candidate of patches."""

    patches: jax.Array
    reward: jax.Array
    taken: jax.Array


class _Item(NamedTuple):
    """One item to be optimised."""

    model: Reasoner
    variables: Variables
    item: Item
    configuration: Configuration
    own_reward: OwnReward | None

    def optimised(self, key: jax.Array, given: jax.Array | None) -> OptimisedLatents:
        c, model = self.configuration, self.model
        prompt = model.prompt(self.variables, self.item)
        clean = model.continued(self.variables, prompt, self.item, given=given, teacher=False)
        way = handed(model, self.variables, prompt, self.item, inject=bool(c.patches or c.start_patches))
        injected = self.start_patches(way, clean)
        moving = math.ceil(c.share * model.places.slots)
        full = lambda some: jnp.concatenate([some, clean.latents[moving:]])  # noqa: E731
        start = clean.latents[:moving]
        rule = self.rule()
        policy = called(self.log_policy, start, False) if c.estimator == "policy" else None

        def reward_with(patches: jax.Array) -> Callable[[jax.Array, jax.Array], jax.Array]:
            return called(lambda some: self.reward(way, full(some), patches), start, False)

        def iteration(carry: tuple[State, jax.Array], number: jax.Array) -> tuple[Any, Any]:
            state, patches = carry
            at = keys.for_step(key, number, "ascent")
            state, record = rule.advanced(state, number, reward_with(patches), at, policy)
            state, patches, tried = self.candidates(way, rule, state, patches, full, reward_with)
            return (state, patches), (record._replace(best_reward=state.best_reward), tried)

        begun = rule.begun(start, reward_with(injected), keys.for_purpose(key, "start"))
        (end, patches), (records, tried) = jax.lax.scan(iteration, (begun, injected), jnp.arange(c.num_steps))
        result = finished(begun, end, records)
        read = patches if c.decode_patches else jnp.zeros_like(patches)
        last = way.run(full(result.best_latent), read)
        is_right = lambda output: jnp.all(output.answer == self.item.answer)  # noqa: E731
        return OptimisedLatents(
            answer=last.answer,
            logits=last.logits,
            right=is_right(last),
            latents=full(result.best_latent),
            last_latents=full(result.latent),
            clean_answer=clean.answer,
            clean_logits=clean.logits,
            clean_right=is_right(clean),
            clean_latents=clean.latents,
            tail_mass=self.tail_mass(last),
            clean_tail_mass=self.tail_mass(clean),
            reward=result.reward,
            best_reward=result.best_reward,
            accepted=result.accepted,
            step_length=result.step_length,
            patches=patches,
            start_patches=injected,
            candidates=tried.patches,
            candidate_reward=tried.reward,
            taken=tried.taken,
            status=result.status,
            num_evaluations=result.num_evaluations,
        )

    def rule(self) -> Rule:
        """The ascent that the configuration describes."""
        c = self.configuration
        sigma = annealing(start=c.sigma, end=c.sigma * c.sigma_decay**c.num_steps, num_steps=c.num_steps)
        return Rule(
            sampling=checked_sampling(c.num_samples, c.baseline, c.antithetic),
            sigma=sigma,
            unit=c.unit,
            hyper={"learning_rate": c.learning_rate},
            optimiser=OPTIMISERS[c.optimiser],
            estimator=c.estimator,
            turned=c.direction == "random" if c.turned is None else c.turned,
            strict=c.accept == "improvements" if c.strict is None else c.strict,
            scored=c.scored,
            enough=c.enough,
        )

    def reward(self, way: Handed, latents: jax.Array, patches: jax.Array) -> Any:
        """Of latents and injected patches."""
        c = self.configuration
        if self.own_reward is not None:
            return self.own_reward(way.run(latents, patches), self.item)
        output = way.run(latents, patches, teacher=c.reward == "answer_log_probability")
        if c.reward in ORACLES:
            return ORACLES[c.reward](output.logits, self.item.answer)
        logits, mask = self.distributions(output)
        return CONFIDENCES[c.reward](logits, k=c.k, mask=mask)

    def distributions(self, output: Output) -> tuple[jax.Array, jax.Array | None]:
        """What a confidence is read from: logits `[positions, words]`, and which positions were used."""
        slots = jnp.arange(self.model.places.slots + 1)
        if self.configuration.read == "answer":
            return output.logits, None
        used = slots <= output.length
        if self.configuration.read == "slots, inclusive":
            return output.slot_logits, used
        return output.slot_logits[1:], used[1:]

    def tail_mass(self, output: Output) -> jax.Array:
        logits, mask = self.distributions(output)
        return tail_mass(logits, k=self.configuration.k, mask=mask)

    def log_policy(self, latents: jax.Array) -> jax.Array:
        """Log-probability of each latent token's likeliest word, read from the latent token itself; their sum."""
        logits = self.model.method(self.variables, "logits", latents)
        return jax.nn.log_softmax(logits).max(axis=-1).sum()

    def start_patches(self, way: Handed, clean: Output) -> jax.Array:
        """The patches that slots attend to most in the clean run, all slots together `[patches]` bool."""
        none = jnp.zeros(way.patches, bool)
        if not self.configuration.start_patches:
            return none
        attention = way.of_slots(clean)[:, : way.patches].mean(axis=0)
        return most_attended(attention, none, self.configuration.start_patches)

    def candidates(
        self, way: Handed, rule: Rule, state: State, patches: jax.Array, full: Any, reward_with: Any
    ) -> tuple[State, jax.Array, _Tried]:
        """Slot after slot, its patches are tried at the latents as they are."""
        c, slots = self.configuration, self.model.places.slots
        if not c.patches:
            nothing = jnp.zeros((slots, way.patches), bool)
            return state, patches, _Tried(nothing, jnp.full(slots, jnp.nan, state.reward.dtype), nothing.any(axis=1))
        attention = way.attended(way.run(full(state.latent), patches))
        most = way.patches if c.most_patches is None else c.most_patches

        def attempt(carry: tuple[State, jax.Array], attention: jax.Array) -> tuple[Any, _Tried]:
            state, patches = carry
            candidate = most_attended(attention, patches, c.patches)
            # Injection draws nothing: the reward's key is not used.
            score = reward_with(patches | candidate)(state.latent, jax.random.key(0))
            finite, going = jnp.isfinite(score), state.going
            fits = candidate.any() & ((patches | candidate).sum() <= most)
            taken = going & finite & fits & (score > state.best_reward)
            best = jnp.where(taken, score, state.best_reward)
            state = state._replace(
                best_latent=jnp.where(taken, state.latent, state.best_latent),
                best_reward=best,
                reward=jnp.where(taken, score, state.reward),
                status=jnp.where(going, rule.status(finite, best), state.status),
                num_evaluations=state.num_evaluations + going,
            )
            tried = _Tried(candidate & going, jnp.where(going, score, jnp.nan), taken)
            return (state, jnp.where(taken, patches | candidate, patches)), tried

        (state, patches), tried = jax.lax.scan(attempt, (state, patches), attention)
        return state, patches, tried


def _check(model: Reasoner, configuration: Configuration, reward: OwnReward | None) -> None:
    """What is wrong before anything is traced.

    Raises:
        ValueError: naming the argument.
    """
    c = configuration
    if not isinstance(c, Configuration):
        raise checks.bad("configuration", "a Configuration", f"a {type(c).__name__}")
    if model.places.slots == 0:
        raise checks.bad("model", "a reasoner with slots", "one that answers at once")
    checked_sampling(c.num_samples, c.baseline, c.antithetic)
    checked_sigma(c.sigma)
    checks.hyperparameter("sigma_decay", c.sigma_decay, above=0)
    checks.whole_number("num_steps", c.num_steps, at_least=1)
    options = {
        "unit": ("absolute", "relative"), "optimiser": tuple(OPTIMISERS), "estimator": ascent.ESTIMATORS,
        "direction": ascent.DIRECTIONS, "accept": ascent.ACCEPTS, "scored": ascent.SCORED,
        "reward": (*CONFIDENCES, *ORACLES), "read": READS,
    }  # fmt: skip
    for name, allowed in options.items():
        checks.choice(name, getattr(c, name), allowed)
    if checks.whole_number("k", c.k, at_least=1) > model.words:
        raise checks.bad("k", f"at most the {model.words} words of the vocabulary", c.k)
    if not 0 < c.share <= 1:
        raise checks.bad("share", "a number above 0 and at most 1", c.share)
    for name in ("patches", "start_patches"):
        if checks.whole_number(name, getattr(c, name), at_least=0) and not model.places.image:
            raise checks.bad(name, "0 for a task without pictures", getattr(c, name))
    if reward is not None and not callable(reward):
        raise checks.bad("reward", "a function of Output and Item", f"a {type(reward).__name__}")
