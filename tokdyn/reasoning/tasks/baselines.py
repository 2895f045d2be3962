"""What a task gives away: accuracy without the picture, and with a glance at it."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.reasoning.items import Item, Task
from tokdyn.stats import ProportionInterval, clopper_pearson
from tokdyn.train.fit import fit

_WEIGHT_DECAY = 1e-3


def baselines(
    task: Task,
    *,
    key: jax.Array,
    num_train: int,
    num_test: int,
    factor: int | None = None,
    num_steps: int = 1000,
    width: int = 64,
    learning_rate: float = 3e-3,
) -> dict[str, Any]:
    """Accuracies on held-out items, for the first word of the answer, of guesses that do not look properly.

    ``blind`` is a small perceptron on the question alone, ``glance`` the same on the question and the picture
    averaged over squares of ``factor`` pixels. What they reach above chance, a task gives away without reasoning; what
    they do not reach, this perceptron did not find in so many steps: it is a lower bound of what is given away.

    Args:
        task: what to draw from.
        key: of the items, weights and batches.
        num_train: items to train on, at least 128.
        num_test: items to measure on, drawn with other keys.
        factor: side of the averaged squares in pixels; divides height and width. By default the side of a patch.
        num_steps: of training, in batches of 128.
        width: of the two hidden layers.
        learning_rate: of AdamW.

    Returns:
        ``chance``: ``task.chance`` where the task knows it (an exact number), else one by the number of choices;
        ``largest``: the share of the most frequent answer in the test, a number; and ``ProportionInterval``s (exact
        95 % intervals of Clopper and Pearson): ``majority``, the most frequent answer of the training items;
        ``blind``; and ``glance``, which is ``blind`` for a task without pictures.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.tasks import baselines, rotation
        >>> result = baselines(rotation(), key=jax.random.key(0), num_train=256, num_test=256, num_steps=2)
        >>> result["chance"], bool(result["blind"].low < 0.25 < result["blind"].high)
        (0.25, True)
    """
    checks.random_key("key", key)
    num_train = checks.whole_number("num_train", num_train, at_least=128)
    num_test = checks.whole_number("num_test", num_test, at_least=1)
    num_steps = checks.whole_number("num_steps", num_steps, at_least=1)
    width = checks.whole_number("width", width, at_least=1)
    checks.one_number("learning_rate", learning_rate, at_least=0.0)
    factor = task.patch if factor is None else checks.whole_number("factor", factor, at_least=1)
    height, across, _ = task.image_shape
    if height % factor or across % factor:
        raise checks.bad("factor", f"a divisor of height = {height} and width = {across}", factor)

    train = _items(task, keys.for_purpose(key, "train"), num_train)
    test = _items(task, keys.for_purpose(key, "test"), num_test)
    shares = np.bincount(_classes(task, test), minlength=len(task.choices)) / num_test
    frequent = int(np.argmax(np.bincount(_classes(task, train), minlength=len(task.choices))))

    def trained(sees: int | None) -> ProportionInterval:
        model = _Perceptron(
            _inputs(task, jax.tree.map(lambda leaf: leaf[:1], test), sees).shape[1], width, len(task.choices)
        )
        right = _accuracy(
            model,
            (_inputs(task, train, sees), _classes(task, train)),
            (_inputs(task, test, sees), _classes(task, test)),
            keys.for_purpose(key, "training"),
            jnp.asarray(learning_rate, jnp.result_type(float)),
            num_steps=num_steps,
        )
        return clopper_pearson(int(right), num_test)

    blind = trained(None)
    return {
        "chance": float(getattr(task, "chance", 1 / len(task.choices))),
        "largest": float(shares.max()),
        "majority": clopper_pearson(round(shares[frequent] * num_test), num_test),
        "blind": blind,
        "glance": trained(factor) if height and across else blind,
    }


class _Perceptron:
    """Two hidden layers."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        self.sizes = (inputs, width, width, outputs)

    def __hash__(self) -> int:
        return hash(self.sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Perceptron) and self.sizes == other.sizes

    def init(self, key: jax.Array) -> dict[str, Any]:
        params = []
        for number, (inputs, outputs) in enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True)):
            weights = jax.random.normal(jax.random.fold_in(key, number), (inputs, outputs)) * (2 / inputs) ** 0.5
            params.append({"weights": weights, "bias": jnp.zeros(outputs)})
        return {"params": params, "state": {}}

    def apply(self, variables: dict[str, Any], values: jax.Array) -> jax.Array:
        *hidden, last = variables["params"]
        for layer in hidden:
            values = jax.nn.relu(values @ layer["weights"] + layer["bias"])
        return values @ last["weights"] + last["bias"]


def _loss(model: Any, variables: dict[str, Any], batch: Any, key: jax.Array) -> tuple[jax.Array, tuple[Any, dict]]:
    values, classes = batch
    logits = jax.nn.log_softmax(model.apply(variables, values))
    return -jnp.mean(jnp.take_along_axis(logits, classes[:, None], axis=1)), ({}, {})


@functools.partial(jax.jit, static_argnames=("model", "num_steps"))
def _accuracy(
    model: _Perceptron, train: Any, test: Any, key: jax.Array, learning_rate: jax.Array, *, num_steps: int
) -> jax.Array:
    """How many of the test items are answered rightly after training."""
    import optax

    done = fit(
        model, _loss, train, key=key, num_steps=num_steps, batch_size=128, optimiser=optax.adamw,
        hyper={"learning_rate": learning_rate, "weight_decay": _WEIGHT_DECAY},
    )  # fmt: skip
    values, classes = test
    return jnp.sum(jnp.argmax(model.apply(done.variables, values), axis=1) == classes)


@functools.partial(jax.jit, static_argnames=("task", "count"))
def _items(task: Task, key: jax.Array, count: int) -> Item:
    return jax.vmap(task.draw)(jax.random.split(key, count))


def _classes(task: Task, items: Item) -> np.ndarray:
    """The place of the first word of each answer among the choices `[items]`."""
    return np.argmax(np.asarray(items.answer)[:, :1] == np.asarray(task.choices), axis=1)


def _inputs(task: Task, items: Item, factor: int | None) -> jax.Array:
    """The question, one number for each word at each place, and the averaged picture if it is seen `[items, ...]`."""
    dtype = jnp.result_type(float)
    count = items.question.shape[0]
    question = jax.nn.one_hot(items.question, len(task.words), dtype=dtype).reshape(count, -1)
    if factor is None:
        return question
    height, width, channels = task.image_shape
    squares = items.image.reshape(count, height // factor, factor, width // factor, factor, channels)
    return jnp.concatenate([question, squares.mean(axis=(2, 4)).reshape(count, -1)], axis=1)
