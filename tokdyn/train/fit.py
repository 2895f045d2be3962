"""``fit``: the training of one model as one pure function, so that ``td.vmap(fit)`` trains an ensemble.

All numbers of the model, the loss and the optimiser are traced, so that members that differ in them share one program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics.schedules import resolved
from tokdyn.solve.lanes import while_each
from tokdyn.train.numbers import Numbers, as_evaluate, as_loss, numbers
from tokdyn.typing import PyTree

Variables = dict[str, Any]
Metrics = dict[str, jax.Array]


class Loss(Protocol):
    """The protocol of the loss that is minimised."""

    def __call__(
        self, model: Any, variables: Variables, batch: PyTree, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Metrics]]:
        """Return ``(loss [], (state, metrics))``, where ``state`` is the new state of the model."""
        ...


class Masked(NamedTuple):
    """Items of which some only fill up a shape: what a loss gets for a batch with ``last_batch="keep"``.

    A loss takes its mean over those that exist, as ``mean`` does; what fills up repeats other items.

    Attributes:
        items: a pytree of arrays `[items, ...]`.
        mask: which exist, bool `[items]`, or `[items, ...]` where parts of an item may be missing too.
    """

    items: PyTree
    mask: jax.Array

    def mean(self, values: jax.Array) -> jax.Array:
        """Mean over what exists; 0 where nothing does.

        Args:
            values: one for each entry of the mask, `mask.shape + [...]`; where the mask is False it may be NaN.

        Returns:
            `[...]`.

        Example:
            >>> import jax.numpy as jnp
            >>> from tokdyn.train import Masked
            >>> float(Masked(jnp.arange(3), jnp.array([True, True, False])).mean(jnp.array([1.0, 2.0, 60.0])))
            1.5
        """
        axes = tuple(range(self.mask.ndim))
        kept = jnp.where(jnp.expand_dims(self.mask, tuple(range(self.mask.ndim, values.ndim))), values, 0.0)
        return jnp.sum(kept, axis=axes) / jnp.maximum(jnp.sum(self.mask), 1).astype(kept.dtype)


class Progress(NamedTuple):
    """What the next step needs.

    Attributes:
        variables: ``{"params": ..., "state": ...}``.
        optimiser: state of the optimiser.
        step: number of steps taken `[]`.
    """

    variables: Variables
    optimiser: Any
    step: jax.Array


class Fit(NamedTuple):
    """The state of a training, finished or not.

    Attributes:
        variables: ``{"params": ..., "state": ...}``.
        optimiser: state of the optimiser.
        step: number of steps taken `[]`.
        status: ``Status`` `[]`: CONVERGED if ``stop`` was met, MAX_STEPS if the steps ran out (or training may go on),
            NONFINITE if the loss became infinite or NaN.
        history: arrays `[records]` by name: means of ``loss`` and of its metrics over the steps since the previous
            record, and what ``evaluate`` returned; NaN after training had stopped.
    """

    variables: Variables
    optimiser: Any
    step: jax.Array
    status: jax.Array
    history: Metrics


def fit(
    model: Any,
    loss: Any,
    data: PyTree,
    *,
    key: jax.Array,
    num_steps: int,
    hyper: Mapping[str, Any] | None = None,
    optimiser: Callable[..., optax.GradientTransformation] = optax.adam,
    batch_size: int | None = None,
    last_batch: Literal["drop", "keep"] = "drop",
    record_every: int | None = None,
    evaluate: Callable[..., Metrics] | None = None,
    stop: Callable[[Metrics], jax.Array] | None = None,
    variables: PyTree = None,
    start: Fit | None = None,
    until: jax.Array | int | None = None,
    paths: Sequence[str] | None = None,
) -> Fit:
    """Train one model; a pure function, to be jitted and vmapped as a whole.

    The randomness of a step is a function of the key and the step number, so that training can be interrupted after any
    record and resumed (``start``) with the same result to the last bit.

    Args:
        model: an object with ``init(key) -> variables`` and ``apply``; if it is a pytree it may hold schedules
            (``td.annealing``), which are resolved at each step. Alternatively a dynamics, or any pytree of numbers,
            whose numbers are trained; ``trained`` returns it with the trained numbers.
        loss: ``(model, variables, batch, key) -> (loss, (state, metrics))``; it may be a pytree with schedules too. For
            a dynamics, ``(dynamics, batch, key) -> loss`` or ``(loss, metrics)``.
        data: a pytree of arrays `[items, ...]`, or a function ``(key, step) -> batch``.
        key: key of the initial weights, the batches and the noise.
        num_steps: maximal number of steps (static), a multiple of ``record_every``.
        hyper: keyword arguments of the optimiser, traced, possibly schedules; by default ``{"learning_rate": 1e-3}``.
        optimiser: makes an optax optimiser from ``hyper`` (static).
        batch_size: items per step, in shuffled epochs; None takes all items. Only if ``data`` are arrays.
        last_batch: what happens to items that do not fill a batch at the end of an epoch (static). ``"drop"`` leaves
            them for another epoch. ``"keep"`` makes a short batch of them, so that an epoch has every item once: the
            loss gets every batch as ``Masked(items, mask)``, filled up to ``batch_size``, and takes its mean where
            the mask is True (``autoencoder.losses`` do). A short batch is one step, and counts as one in the history.
        record_every: number of steps between records; by default ``num_steps``.
        evaluate: ``(model, variables, key) -> {name: []}``, called at every record; for a dynamics
            ``(dynamics, key)``.
        stop: decides from a record whether training is done.
        variables: initial weights, for a second stage of training; by default from ``model.init``.
        start: the result of an earlier call with the same arguments, from which training resumes.
        until: pause before this step `[]`; may be traced.
        paths: which numbers of a dynamics to train; by default all that lie in the interior of their range.

    Returns:
        A ``Fit``.

    Raises:
        ValueError: an invalid argument, which the message names.

    Example:
        >>> import jax, jax.numpy as jnp, tokdyn as td
        >>> class Line:
        ...     def init(self, key):
        ...         return {"params": jnp.zeros(2), "state": {}}
        ...     def apply(self, variables, x, **_):
        ...         return variables["params"] @ jnp.stack([x, jnp.ones_like(x)]), {}
        >>> x = jnp.linspace(0.0, 1.0, 20)
        >>> def loss(model, variables, batch, key):
        ...     guess, state = model.apply(variables, batch["x"])
        ...     return jnp.mean((guess - batch["y"]) ** 2), (state, {})
        >>> train = lambda rate: td.train.fit(
        ...     Line(), loss, {"x": x, "y": 3 * x - 1},
        ...     key=jax.random.key(0), num_steps=500, hyper={"learning_rate": rate},
        ... )
        >>> jax.jit(td.vmap(train))(jnp.array([0.001, 0.1])).variables["params"].round(2).tolist()[1]
        [3.0, -1.0]
    """
    num_steps = checks.whole_number("num_steps", num_steps, at_least=1)
    every = num_steps if record_every is None else checks.whole_number("record_every", record_every, at_least=1)
    if num_steps % every:
        raise checks.bad("num_steps", f"a multiple of record_every, {every}", num_steps)
    checks.random_key("key", key)
    if stop is not None and evaluate is None:
        raise checks.bad("stop", "evaluate beside it, whose records it judges", "none")
    if not hasattr(model, "init"):
        model = numbers(model, paths)
    elif paths is not None:
        raise checks.bad("paths", "None, because the model has weights of its own", paths)
    if isinstance(model, Numbers):
        loss, evaluate = as_loss(loss), as_evaluate(evaluate)
    checks.choice("last_batch", last_batch, ("drop", "keep"))
    batch_of = _batches(data, batch_size, last_batch, key)
    rates = {"learning_rate": 1e-3} if hyper is None else dict(hyper)
    member = _Member(model, loss, rates, optimiser, batch_of, evaluate, key)
    state = _begun(member, num_steps // every, variables) if start is None else start
    limit = jnp.minimum(num_steps, num_steps if until is None else until)

    def segment(state: Fit) -> Fit:
        progress = Progress(state.variables, state.optimiser, state.step)
        progress, means = member.advanced(progress, every)
        record = means if evaluate is None else {**means, **member.record(progress)}
        row = (progress.step - 1) // every
        history = {name: values.at[row].set(record[name]) for name, values in state.history.items()}
        done = jnp.asarray(False) if stop is None else stop(record)
        finite = jnp.isfinite(means["loss"])
        status = jnp.where(finite, jnp.where(done, Status.CONVERGED, Status.MAX_STEPS), Status.NONFINITE)
        return Fit(progress.variables, progress.optimiser, progress.step, status.astype(jnp.int32), history)

    # Members of an ensemble take turns, each until it is done; what differs between them must be a loop argument.
    advance, closed_over = _with_arguments(segment, state)
    return while_each(
        lambda state, inputs: (state.step < inputs[1]) & (state.status == Status.MAX_STEPS),
        lambda state, inputs: advance(inputs[0], state),
        state,
        (closed_over, limit),
    )


def _with_arguments(function: Callable[[Fit], Fit], example: Fit) -> tuple[Callable[[list[Any], Fit], Fit], list[Any]]:
    """The function with what it closed over (tracers included) as its first argument, and the closed-over values."""
    jaxpr, output = jax.make_jaxpr(function, return_shape=True)(example)
    treedef = jax.tree.structure(output)

    def call(closed_over: list[Any], state: Fit) -> Fit:
        flat = jaxpr_as_fun(ClosedJaxpr(jaxpr.jaxpr, closed_over))
        return jax.tree.unflatten(treedef, flat(*jax.tree.leaves(state)))

    return call, jaxpr.consts


def record_names(history: Metrics) -> tuple[str, ...]:
    """The names in a history, beginning with ``loss``."""
    return tuple(sorted(history, key=lambda name: (name != "loss", name)))


class _Member(NamedTuple):
    """Everything that stays constant during one training."""

    model: Any
    loss: Any
    hyper: dict[str, Any]
    make_optimiser: Callable[..., optax.GradientTransformation]
    batch_of: Callable[[jax.Array], Any]
    evaluate: Callable[..., Metrics] | None
    key: jax.Array

    def model_at(self, step: jax.Array | int) -> Any:
        """The model with its schedules resolved; those of a dynamics count the steps of a run, not of training."""
        return self.model if isinstance(self.model, Numbers) else resolved(self.model, step)

    def optimiser_at(self, step: jax.Array | int) -> optax.GradientTransformation:
        return self.make_optimiser(**resolved(self.hyper, step))

    def advanced(self, progress: Progress, num_steps: int) -> tuple[Progress, Metrics]:
        """Take ``num_steps`` steps; also returns the means of the metrics that they reported."""

        def step(progress: Progress, _: None) -> tuple[Progress, Metrics]:
            number = progress.step
            model, loss = self.model_at(number), resolved(self.loss, number)
            batch = self.batch_of(number)

            def objective(params: Any) -> tuple[jax.Array, tuple[Any, Metrics]]:
                variables = {**progress.variables, "params": params}
                return loss(model, variables, batch, keys.for_step(self.key, number, "noise"))

            params = progress.variables["params"]
            (value, (state, metrics)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
            updates, memory = self.optimiser_at(number).update(gradients, progress.optimiser, params)
            variables = {**progress.variables, "params": optax.apply_updates(params, updates), "state": state}
            return Progress(variables, memory, number + 1), {"loss": value, **metrics}

        progress, reports = jax.lax.scan(step, progress, None, length=num_steps)
        return progress, {name: values.mean(axis=0) for name, values in reports.items()}

    def record(self, progress: Progress) -> Metrics:
        """The result of ``evaluate`` after the last step."""
        assert self.evaluate is not None
        key = keys.for_step(self.key, progress.step, "evaluate")
        return self.evaluate(self.model_at(progress.step), progress.variables, key)


def _begun(member: _Member, num_records: int, variables: Any) -> Fit:
    """The state at the start: initial weights and an empty history."""
    if variables is None:
        variables = member.model_at(0).init(keys.for_purpose(member.key, "init"))
    if not isinstance(variables, dict) or "params" not in variables:
        raise checks.bad(
            "model", "an init that returns a dict with params (and state)", f"a {type(variables).__name__}"
        )
    variables = {"state": {}, **variables}
    memory = member.optimiser_at(0).init(variables["params"])
    progress = Progress(variables, memory, jnp.int32(0))
    shapes = jax.eval_shape(lambda: member.advanced(progress, 1)[1])
    if member.evaluate is not None:
        shapes = {**shapes, **jax.eval_shape(lambda: member.record(progress))}
    for name, shape in shapes.items():
        if shape.shape != ():
            raise checks.bad(name, "one number a step", f"shape {shape.shape}")
    history = {name: jnp.full(num_records, jnp.nan, jnp.result_type(float)) for name in shapes}
    return Fit(variables, memory, progress.step, jnp.int32(Status.MAX_STEPS), history)


def _batches(data: Any, batch_size: int | None, last_batch: str, key: jax.Array) -> Callable[[jax.Array], Any]:
    """A function ``step -> batch``."""
    keeps = last_batch == "keep"
    if callable(data):
        if batch_size is not None:
            raise checks.bad("batch_size", "None where data is a function that makes batches", batch_size)
        if keeps:
            raise checks.bad("last_batch", "'drop' where data is a function that makes batches", repr(last_batch))
        return lambda step: data(keys.for_step(key, step, "batch"), step)
    lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else -1 for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1 or -1 in lengths:
        got = "arrays of " + " and ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(data))
        raise checks.bad("data", "arrays that share one leading axis", got if lengths else "none")
    (length,) = lengths
    if length == 0:
        raise checks.bad("data", "at least one item", 0)
    if batch_size is None:
        return lambda step: _masked(data, jnp.ones(length, bool)) if keeps else data
    size = checks.whole_number("batch_size", batch_size, at_least=1)
    if size > length:
        raise checks.bad("batch_size", f"at most the {length} items of the data", size)
    batches = -(-length // size) if keeps else length // size

    def batch(step: jax.Array) -> Any:
        order = jax.random.permutation(keys.for_step(key, step // batches, "epoch"), length)
        if not keeps:
            rows = jax.lax.dynamic_slice_in_dim(order, step % batches * size, size)
            return jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], data)
        # Beyond the end of the epoch its first items come again, and the mask leaves them out: any item is better than
        # zeros, which a loss might not be able to take the logarithm of.
        places = step % batches * size + jnp.arange(size)
        rows = order[places % length]
        return _masked(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], data), places < length)

    return batch


def _masked(items: Any, exists: jax.Array) -> Masked:
    """With a mask over the items; one that they have already goes on to hold."""
    if not isinstance(items, Masked):
        return Masked(items, exists)
    mask = jnp.asarray(items.mask)
    return Masked(items.items, mask & jnp.expand_dims(exists, tuple(range(1, mask.ndim))))
