"""What encoders and decoders are made of: flax.linen behind ``init`` and ``apply``; initial scales may be traced.

No other file of the folder imports flax.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import BatchNorm as BatchNorm
from flax.linen import LayerNorm as LayerNorm
from flax.linen import Module as Module
from flax.linen import compact as compact

from tokdyn import draws
from tokdyn.autoencoder.base import Variables

Initializer = Callable[..., jax.Array]


def initial(module: nn.Module, key: jax.Array, *inputs: Any) -> Variables:
    """The variables of a flax module: what is trained, and everything else as state."""
    made = dict(module.init({"params": key, "draws": key}, *inputs, train=False))
    return {"params": made.pop("params", {}), "state": made}


def applied(
    module: nn.Module, variables: Variables, *inputs: Any, key: jax.Array | None, train: bool
) -> tuple[Any, Any]:
    """``(output, state)`` of a flax module; the state changes in training only."""
    state = variables["state"]
    everything = {"params": variables["params"], **state}
    rngs = None if key is None else {"draws": key}
    if train and state:
        output, changed = module.apply(everything, *inputs, train=True, rngs=rngs, mutable=list(state))
        return output, dict(changed)
    return module.apply(everything, *inputs, train=train, rngs=rngs), state


def xavier(gain: float | jax.Array) -> Initializer:
    r"""Uniform weights of standard deviation `g \sqrt{2 / (in + out)}`; the gain may be traced.

    References:
        X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward networks, AISTATS 2010.
    """
    base = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
    return lambda key, shape, dtype=None: gain * base(key, shape, _floating(dtype))


def normal(std: float | jax.Array) -> Initializer:
    """Normal numbers of that standard deviation, which may be traced."""
    return lambda key, shape, dtype=None: std * draws.normal(key, tuple(shape), _floating(dtype))


def uniform(limit: float | jax.Array) -> Initializer:
    """Uniform numbers from minus the limit to the limit, which may be traced."""
    return lambda key, shape, dtype=None: limit * draws.uniform(key, tuple(shape), _floating(dtype), -1.0, 1.0)


def fan_in_uniform(inputs: int | None = None) -> Initializer:
    r"""Uniform up to `1 / \sqrt{in}`: what PyTorch gives a layer that nobody initialises, its bias included.

    Args:
        inputs: of the layer; needed for a bias, whose shape does not say.
    """
    if inputs is not None:
        return uniform(1.0 / math.sqrt(inputs))
    base = jax.nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
    return lambda key, shape, dtype=None: base(key, shape, _floating(dtype))


def orthogonal(gain: float | jax.Array) -> Initializer:
    """An orthogonal matrix, scaled; the gain may be traced."""
    base = jax.nn.initializers.orthogonal()
    return lambda key, shape, dtype=None: gain * base(key, shape, _floating(dtype))


def _floating(dtype: Any) -> Any:
    """JAX's default where none is asked for: the weights follow ``jax.enable_x64``."""
    return jnp.result_type(float) if dtype is None else dtype


def dense(
    features: int,
    kernel: Initializer | None = None,
    bias: Initializer = jax.nn.initializers.zeros,
    name: str | None = None,
) -> nn.Dense:
    """A dense layer whose initial scales may be traced; by default with Xavier weights and no bias at the start."""
    kernel = xavier(1.0) if kernel is None else kernel
    return nn.Dense(features, kernel_init=kernel, bias_init=bias, param_dtype=jnp.result_type(float), name=name)


class Mlp(Module):
    """Dense layers with ReLU between them, and dropout after each hidden one.

    Attributes:
        widths: of the hidden layers.
        features: of the output.
        gain: of the hidden layers' Xavier weights.
        output: initial weights of the last layer; None gives Xavier of the same gain.
        output_bias: its initial bias.
        dropout: share of hidden units that are dropped in training.
        normalise: layer normalisation before each ReLU.
    """

    widths: Sequence[int]
    features: int
    gain: Any = 1.0
    output: Initializer | None = None
    output_bias: Initializer = jax.nn.initializers.zeros
    dropout: float = 0.0
    normalise: bool = False

    @compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        hidden = inputs
        for width in self.widths:
            hidden = dense(width, xavier(self.gain))(hidden)
            if self.normalise:
                hidden = LayerNorm(dtype=hidden.dtype, param_dtype=hidden.dtype)(hidden)
            hidden = dropout(self.dropout, train)(jax.nn.relu(hidden))
        return dense(self.features, self.output or xavier(self.gain), self.output_bias)(hidden)


def dropout(rate: float, train: bool) -> nn.Dropout:
    """Drops a share of the numbers in training and scales up the others; draws nothing where the rate is 0."""
    return nn.Dropout(rate, rng_collection="draws", deterministic=not train)


class Convolution(Module):
    """A convolution of odd width over all axes between the first and the last, padded with zeros to the same size.

    As one matrix product of patches: inside a compiled loop, where training lives, XLA's own convolution takes 13 to 50
    times as long on CPU (5 x 5 and 8 x 8 grids, 32 and 64 features, jax 0.10.1).

    Attributes:
        features: of the output.
        width: of the kernel along every axis.
        kernel: initial weights.
        untouched: initial weights and bias as PyTorch has them by default, instead.
    """

    features: int
    width: int = 3
    kernel: Initializer = xavier(1.0)
    untouched: bool = False

    @compact
    def __call__(self, values: jax.Array) -> jax.Array:
        axes = values.shape[1:-1]
        shape = (*[self.width] * len(axes), values.shape[-1], self.features)
        start, dtype = fan_in_uniform() if self.untouched else self.kernel, jnp.result_type(float)
        start_bias = fan_in_uniform(math.prod(shape[:-1])) if self.untouched else jax.nn.initializers.zeros
        kernel = self.param("kernel", start, shape, dtype)
        bias = self.param("bias", start_bias, (self.features,), dtype)
        return patches(values, self.width) @ kernel.reshape(-1, self.features) + bias


def patches(values: jax.Array, width: int) -> jax.Array:
    """What surrounds every place `[batch, ..., channels]`, zeros beyond the edge: `[batch, ..., width^d channels]`."""
    axes, half = values.shape[1:-1], width // 2
    padded = jnp.pad(values, [(0, 0), *[(half, half)] * len(axes), (0, 0)])
    windows = [
        padded[(slice(None), *[slice(start, start + n) for start, n in zip(starts, axes, strict=True)])]
        for starts in itertools.product(range(width), repeat=len(axes))
    ]
    return jnp.concatenate(windows, axis=-1)


class GridStack(Module):
    """3 x 3 convolutions with ReLU over a pattern as an image.

    Attributes:
        height: of the grid.
        features: of the layers.
        untouched: initial weights as PyTorch has them by default.
    """

    height: int
    features: Sequence[int] = (32, 64)
    untouched: bool = False

    @compact
    def __call__(self, values: jax.Array) -> jax.Array:
        batch, cells, channels = values.shape
        image = values.reshape(batch, self.height, cells // self.height, channels)
        for features in self.features:
            image = jax.nn.relu(Convolution(features, untouched=self.untouched)(image))
        return image


def flat(values: jax.Array) -> jax.Array:
    """`[batch, cells, channels]` to `[batch, cells * channels]`."""
    return values.reshape(values.shape[0], -1)


def capacity_bits(cells: int, choices: int) -> float:
    """Bits that so many cells with so many choices each can hold: `cells * log2(choices)`.

    Example:
        >>> from tokdyn.autoencoder.layers import capacity_bits
        >>> round(capacity_bits(25, 3), 1)  # the 5 x 5 x 3 grid: 3^25 patterns, not 75
        39.6
    """
    return cells * math.log2(choices)
