"""Gradient ascent of a reward in latent space, one compiled loop, with the controls that tell ascent from search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics.schedules import Scalar, resolved
from tokdyn.numerics import safe_norm
from tokdyn.reasoning.latent_optimisation.gradient import (
    Reward,
    Sampling,
    called,
    checked_latent,
    checked_sampling,
    checked_sigma,
    perturbed,
    scale,
)

ESTIMATORS = ("perturbations", "gradient", "policy")
DIRECTIONS = ("reinforce", "random")
ACCEPTS = ("all", "improvements")
SCORED = ("step", "sample", "sample_as_step")


class Ascent(NamedTuple):
    """An optimisation; under vmap every leaf has leading axes.

    Attributes:
        latent: where it ended, of the latent's shape.
        best_latent: the latent of the highest reward that was seen.
        reward: that each iteration was judged by, that of the start first `[num_steps + 1]`; NaN after it had stopped.
        best_reward: the highest so far `[num_steps + 1]`.
        accepted: whether the latent moved `[num_steps]` bool.
        step_length: Euclidean length of the step, taken or not `[num_steps]`; infinite where the step became NaN or
            infinite though the gradient was finite; NaN where the gradient was not, and after it had stopped.
        status: ``Status`` `[]` int32: CONVERGED where ``enough`` was reached, NONFINITE where a reward or a step became
            NaN or infinite (it stays where it was), else MAX_STEPS.
        num_evaluations: of the reward `[]` int32.
    """

    latent: jax.Array
    best_latent: jax.Array
    reward: jax.Array
    best_reward: jax.Array
    accepted: jax.Array
    step_length: jax.Array
    status: jax.Array
    num_evaluations: jax.Array


def optimise(
    reward: Reward,
    latent: ArrayLike,
    *,
    key: jax.Array,
    num_steps: int,
    sigma: Scalar = 0.1,
    num_samples: int = 8,
    baseline: str = "leave_one_out",
    antithetic: bool = False,
    unit: str = "absolute",
    hyper: Mapping[str, Any] | None = None,
    optimiser: Callable[..., optax.GradientTransformation] = optax.sgd,
    estimator: str = "perturbations",
    log_policy: Reward | None = None,
    direction: str = "reinforce",
    accept: str = "all",
    scored: str = "step",
    enough: ArrayLike | None = None,
    stochastic: bool = False,
) -> Ascent:
    r"""Climb a reward from a latent; pure, to be jitted and vmapped as a whole.

    .. math:: z \leftarrow z + \eta\,\hat g(z), \qquad
              \hat g \text{ of } \texttt{estimate\_gradient}\text{, through any optax optimiser}

    The four pairs of ``direction`` and ``accept`` are each other's controls. "random" takes the very step that
    "reinforce" would take, turned to a uniformly random direction: the same estimates are paid for, the same length is
    gone, nothing is learnt of the direction. "improvements" undoes a step that does not raise the best reward (the
    optimiser's memory goes on). All four evaluate the reward equally often.

    Args:
        reward: ``reward(latent) -> []``, a pure JAX function, larger is better; differentiable only for "gradient".
        latent: the start, any shape.
        key: of all randomness; a step's is a function of the key and the step's number.
        num_steps: iterations (static).
        sigma: standard deviation of perturbations, above 0 `[]`; traced; may be a schedule (``td.annealing``).
        num_samples: perturbed rewards of an iteration (static).
        baseline: "leave_one_out" or "none", as in ``estimate_gradient``.
        antithetic: perturbations in pairs of opposite sign.
        unit: of sigma: "absolute", or "relative" to the root mean square of the *start*.
        hyper: keyword arguments of the optimiser, traced, schedules allowed; by default ``{"learning_rate": 1e-3}``.
        optimiser: makes an optax optimiser from them (static). optax descends: it is handed minus the gradient.
        estimator: where the gradient comes from. "perturbations". "gradient": the reward's own, by ``jax.grad``.
            "policy": R(z) times the gradient of ``log_policy`` (LatentSeek).
        log_policy: ``log_policy(latent) -> []``, differentiable.
        direction: "reinforce" or "random".
        accept: "all" or "improvements".
        scored: what an iteration is judged by. "step": the reward of the latent after the step, one more evaluation.
            "sample": the best of the perturbed rewards, and that sample is what is remembered as best.
            "sample_as_step": the same reward, but the latent *after the step*, which it is not the reward of, is
            remembered, and the start never (the released code of LTPO and DMLR).
        enough: stop where the best reward exceeds it `[]`; traced; None never stops.
        stochastic: call ``reward(latent, key)``, with another key for each evaluation. The best of noisy rewards is
            biased upwards: score it again.

    Returns:
        An ``Ascent``; with S samples and T steps it evaluates the reward 1 + T (S + 1) times for "step", 1 + T S times
        otherwise.

    Raises:
        ValueError: naming the argument, as ``estimate_gradient``; and, outside jit, a reward that is NaN or infinite.
            Inside, ``status`` is NONFINITE.

    References:
        DMLR, arXiv 2512.12623; LTPO, arXiv 2510.04182; LatentSeek, arXiv 2505.13308. The controls are ours: with one
        sample and no baseline an update is close to a random walk that the reward signs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.reasoning.latent_optimisation import optimise
        >>> climb = lambda sigma: optimise(
        ...     lambda z: 1.0 - jnp.sum((z - 2.0) ** 2), jnp.zeros(3), key=jax.random.key(0), num_steps=100,
        ...     sigma=sigma, num_samples=16, hyper={"learning_rate": 0.05},
        ... )
        >>> found = jax.jit(jax.vmap(climb))(jnp.array([0.1, 0.5]))
        >>> found.best_latent.round(1).tolist(), found.num_evaluations.tolist()
        ([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]], [1701, 1701])
    """
    latent = checked_latent(latent)
    checks.random_key("key", key)
    num_steps = checks.whole_number("num_steps", num_steps, at_least=1)
    rule = Rule(
        sampling=checked_sampling(num_samples, baseline, antithetic),
        sigma=checked_sigma(sigma),
        unit=unit,
        hyper={"learning_rate": 1e-3} if hyper is None else dict(hyper),
        optimiser=optimiser,
        estimator=checks.choice("estimator", estimator, ESTIMATORS),
        turned=checks.choice("direction", direction, DIRECTIONS) == "random",
        strict=checks.choice("accept", accept, ACCEPTS) == "improvements",
        scored=checks.choice("scored", scored, SCORED),
        enough=enough,
    )
    rule.check(log_policy)
    of = called(reward, latent, stochastic)
    policy = None if log_policy is None else called(log_policy, latent, False)

    def iteration(state: State, number: jax.Array) -> tuple[State, Record]:
        return rule.advanced(state, number, of, keys.for_step(key, number, "ascent"), policy)

    start = rule.begun(latent, of, keys.for_purpose(key, "start"))
    end, records = jax.lax.scan(iteration, start, jnp.arange(num_steps))
    result = finished(start, end, records)
    if checks.is_concrete(result.status) and result.status == Status.NONFINITE:
        if bool(jnp.isinf(result.step_length).any()):
            raise checks.bad("hyper", "steps that stay finite", "one that is NaN or infinite")
        at = int(jnp.isfinite(result.reward).argmin())
        raise checks.bad("reward", "finite numbers", f"NaN or infinite at step {at} of {num_steps}")
    return result


class State(NamedTuple):
    """What the next iteration needs.

    Attributes:
        latent: where it is.
        best_latent: the best so far.
        best_reward: its reward, as it was judged `[]`.
        reward: of ``latent`` `[]`, where "step" has evaluated it.
        memory: the optimiser's.
        scale: what sigma is multiplied by `[]`.
        status: ``Status`` `[]`; MAX_STEPS while it goes on.
        num_evaluations: so far `[]`.
    """

    latent: jax.Array
    best_latent: jax.Array
    best_reward: jax.Array
    reward: jax.Array
    memory: Any
    scale: jax.Array
    status: jax.Array
    num_evaluations: jax.Array

    @property
    def going(self) -> jax.Array:
        """Whether it has not stopped `[]` bool."""
        return self.status == Status.MAX_STEPS


class Record(NamedTuple):
    """What an iteration reports; see ``Ascent``."""

    reward: jax.Array
    best_reward: jax.Array
    accepted: jax.Array
    step_length: jax.Array


class Rule(NamedTuple):
    """How an iteration goes; fields as the arguments of ``optimise``.

    ``turned`` is whether the direction is "random", ``strict`` whether only "improvements" are accepted: plain, or
    traced, so that one program runs both.
    """

    sampling: Sampling
    sigma: Any
    unit: str
    hyper: dict[str, Any]
    optimiser: Callable[..., optax.GradientTransformation]
    estimator: str
    turned: bool | jax.Array
    strict: bool | jax.Array
    scored: str
    enough: Any

    def check(self, log_policy: Any) -> None:
        """What is wrong only together.

        Raises:
            ValueError: naming the argument.
        """
        if (self.estimator == "policy") != (log_policy is not None):
            got = "None" if log_policy is None else "one beside another estimator"
            raise checks.bad("log_policy", 'a function of the latent with estimator "policy", None otherwise', got)
        if self.estimator != "perturbations" and self.scored != "step":
            raise checks.bad("scored", '"step" where there are no samples', repr(self.scored))

    def begun(self, latent: jax.Array, reward: Any, key: jax.Array) -> State:
        """The state before the first iteration; evaluates the reward once."""
        first = reward(latent, key)
        # What is remembered in place of a sample is never the start, in the released code.
        best = jnp.full_like(first, -jnp.inf) if self.scored == "sample_as_step" else first
        return State(
            latent=latent,
            best_latent=latent,
            best_reward=best,
            reward=first,
            memory=self.optimiser(**resolved(self.hyper, 0)).init(latent),
            scale=jnp.asarray(scale(latent, self.unit), latent.dtype),
            status=self.status(jnp.isfinite(first), best),
            num_evaluations=jnp.int32(1),
        )

    def status(self, finite: jax.Array, best: jax.Array) -> jax.Array:
        """Whether it goes on `[]` int32."""
        done = jnp.asarray(False) if self.enough is None else best > self.enough
        status = jnp.where(finite, jnp.where(done, Status.CONVERGED, Status.MAX_STEPS), Status.NONFINITE)
        return status.astype(jnp.int32)

    def advanced(
        self, state: State, number: jax.Array, reward: Any, key: jax.Array, log_policy: Any = None
    ) -> tuple[State, Record]:
        """One iteration: a gradient, a step, a judgement. The reward may differ from that of the iteration before."""
        latent, going = state.latent, state.going
        gradient, samples, evaluations = self.direction_of(state, number, reward, key, log_policy)
        optimiser = self.optimiser(**resolved(self.hyper, number))
        step, memory = optimiser.update(-gradient, state.memory, latent)
        length = safe_norm(step.ravel())
        if self.turned is not False:
            drawn = jax.random.normal(keys.for_purpose(key, "direction"), latent.shape, latent.dtype)
            step = jnp.where(self.turned, drawn * (length / safe_norm(drawn.ravel())), step)
        moved_to = latent + step
        if self.scored == "step":
            score, candidate = reward(moved_to, keys.for_purpose(key, "step")), moved_to
            evaluations += 1
        else:
            assert samples is not None  # ``check``
            rewards, perturbations = samples
            place = rewards.argmax()
            score = rewards[place]
            candidate = latent + perturbations[place] if self.scored == "sample" else moved_to
        known, bounded = jnp.isfinite(gradient).all(), jnp.isfinite(moved_to).all()
        finite = jnp.isfinite(score) & known & bounded
        better = going & finite & (score > state.best_reward)
        moves = jnp.where(self.strict, better, going & finite)
        best = jnp.where(better, score, state.best_reward)
        new = State(
            latent=jnp.where(moves, moved_to, latent),
            best_latent=jnp.where(better, candidate, state.best_latent),
            best_reward=best,
            reward=jnp.where(moves, score, state.reward),
            memory=jax.tree.map(lambda after, before: jnp.where(going, after, before), memory, state.memory),
            scale=state.scale,
            status=jnp.where(going, self.status(finite, best), state.status),
            num_evaluations=state.num_evaluations + jnp.where(going, evaluations, 0),
        )
        length = jnp.where(bounded, length, jnp.inf)
        told = going & known
        return new, Record(jnp.where(told, score, jnp.nan), best, moves, jnp.where(told, length, jnp.nan))

    def direction_of(
        self, state: State, number: jax.Array, reward: Any, key: jax.Array, log_policy: Any
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array] | None, int]:
        """The gradient, rewards and perturbations of its samples, and how often the reward was evaluated."""
        if self.estimator == "policy":
            return state.reward * jax.grad(log_policy)(state.latent, key), None, 0
        if self.estimator == "gradient":
            return jax.grad(reward)(state.latent, keys.for_purpose(key, "reward")), None, 1
        sigma = resolved(self.sigma, number) * state.scale
        found = perturbed(reward, state.latent, key, sigma, self.sampling)
        return found.gradient, (found.rewards, found.perturbations), self.sampling.num_samples


def finished(start: State, end: State, records: Record) -> Ascent:
    """The result of iterations."""
    return Ascent(
        latent=end.latent,
        best_latent=end.best_latent,
        reward=jnp.concatenate([start.reward[None], records.reward]),
        best_reward=jnp.concatenate([start.best_reward[None], records.best_reward]),
        accepted=records.accepted,
        step_length=records.step_length,
        status=end.status,
        num_evaluations=end.num_evaluations,
    )
