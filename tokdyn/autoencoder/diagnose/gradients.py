"""How the gradient flows: through each layer, into the encoder, and whether words ask for the same thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from tokdyn import draws, keys, tree
from tokdyn.autoencoder.base import Variables
from tokdyn.checks import bad
from tokdyn.numerics import safe_norm
from tokdyn.typing import PyTree


class LayerFlow(NamedTuple):
    """The gradient of one array of weights.

    Attributes:
        gradient: its Euclidean norm `[]`.
        weight: that of the weights `[]`.
        relative: gradient / weight `[]`; infinite for weights that are zero and have a gradient.
        is_zero: whether every entry of the gradient is exactly 0 `[]`, as where no path leads to the loss.
    """

    gradient: jax.Array
    weight: jax.Array
    relative: jax.Array
    is_zero: jax.Array


def layer_flow(gradients: PyTree, params: PyTree) -> dict[str, LayerFlow]:
    """Norms of gradients and weights, leaf by leaf.

    Args:
        gradients: a pytree.
        params: the weights, of that structure.

    Returns:
        ``LayerFlow`` by dotted path.

    Raises:
        ValueError: another structure.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import layer_flow
        >>> float(layer_flow({"kernel": jnp.array([3.0, 4.0])}, {"kernel": jnp.array([0.0, 2.0])})["kernel"].relative)
        2.5
    """
    left, right = tree.values(gradients), tree.values(params)
    if left.keys() != right.keys():
        raise bad("gradients", f"the leaves of params, {', '.join(right)}", ", ".join(left) or "none")
    flows = {}
    for path, gradient in left.items():
        norm, weight = safe_norm(gradient.ravel()), safe_norm(right[path].ravel())
        is_zero = largest(gradient) == 0
        relative = jnp.where(is_zero, 0.0, norm / weight)
        flows[path] = LayerFlow(norm, weight, relative, is_zero)
    return flows


def gradient_flow(
    model: Any, loss: Any, variables: Variables, batch: PyTree, *, key: jax.Array
) -> dict[str, LayerFlow]:
    """The gradient of a training step, layer by layer.

    Args:
        model: with init and apply.
        loss: ``(model, variables, batch, key) -> (loss, (state, metrics))``.
        variables: where the gradient is taken.
        batch: what the loss expects.
        key: of the step's randomness.

    Returns:
        ``LayerFlow`` by dotted path, such as ``"encoder.embedding"``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import autoencoder as ae
        >>> from tokdyn.autoencoder.diagnose import gradient_flow
        >>> model = ae.autoencoder(
        ...     ae.encoders.table(vocabulary_size=4, cells=4, channels=2, embedding=4, width=4),
        ...     ae.bottlenecks.categorical(),
        ...     ae.decoders.linear(vocabulary_size=4),
        ... )
        >>> key = jax.random.key(0)
        >>> flow = gradient_flow(model, ae.losses.objective(), model.init(key), jnp.arange(4), key=key)
        >>> [path for path, layer in flow.items() if layer.is_zero][0]  # a sample passes no gradient
        'encoder.Mlp_0.Dense_0.bias'
    """

    def objective(params: Any) -> jax.Array:
        return loss(model, {**variables, "params": params}, batch, key)[0]

    return layer_flow(jax.grad(objective)(variables["params"]), variables["params"])


def encoder_gradient(model: Any, variables: Variables, ids: jax.Array, *, key: jax.Array) -> jax.Array:
    """Whether any gradient of the logits reaches the encoder: its largest entry, for one random direction.

    The gradient of `<r, logits>` with r standard normal, by the encoder's weights. Exactly 0 where no path leads back
    (a sample without gradient, a ``stop_gradient``, units all dead), and with probability one only there, whatever the
    loss. A norm would not do: squares of small numbers vanish.

    Args:
        model: an autoencoder with a part called encoder.
        variables: where the gradient is taken.
        ids: words of the batch `[batch]`.
        key: of r and of the training step's noise.

    Returns:
        `[]`; NaN where there is no such part, or it has no weights.
    """
    params = variables["params"]
    if not isinstance(params, dict) or not jax.tree.leaves(params.get("encoder")):
        return jnp.full((), jnp.nan)

    def probe(encoder: Any) -> jax.Array:
        params = {**variables["params"], "encoder": encoder}
        train_key = keys.for_purpose(key, "model")
        logits = model.apply({**variables, "params": params}, ids, key=train_key, train=True)[0].logits
        return jnp.vdot(draws.normal(keys.for_purpose(key, "direction"), logits.shape, logits.dtype), logits)

    gradients = jax.grad(probe)(variables["params"]["encoder"])
    return largest(gradients)


def largest(gradients: PyTree) -> jax.Array:
    """The largest absolute entry of a pytree `[]`; NaN where there is one."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(gradients)]))


def token_cosines(objective: Callable[[Any, jax.Array], jax.Array], params: PyTree, items: ArrayLike) -> jax.Array:
    """Cosines between the gradients that single items ask for.

    Near 1 everywhere: all items pull the same way (a bias), as before words are told apart. Near 0: each has a
    direction of its own.

    Args:
        objective: ``(params, item) -> loss []``.
        params: a pytree of weights.
        items: `[items, ...]`, for example words.

    Returns:
        `[items, items]`; 0 beside a gradient that is zero.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder.diagnose import token_cosines
        >>> token_cosines(lambda params, item: params[item], jnp.zeros(3), jnp.arange(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    gradients = jax.vmap(jax.grad(objective), (None, 0))(params, items)
    rows = jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)], axis=1)
    # Scaled first, so that the squares of small gradients do not vanish.
    peak = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(peak > 0, peak, 1.0)
    norms = safe_norm(rows)[:, None]
    unit = rows / jnp.where(norms > 0, norms, 1.0)
    return jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)


def mean_cosine(cosines: jax.Array) -> jax.Array:
    """Mean of the cosines between different items `[]`; NaN for a single one."""
    number = len(cosines)
    off = jnp.where(jnp.eye(number, dtype=bool), 0.0, cosines)
    return jnp.where(number > 1, jnp.sum(off) / max(number * (number - 1), 1), jnp.nan)
