"""Adversarial training: a critic that tells codes from draws of a prior, and a loss that trains both against it.

The critic's weights lie beside those of the autoencoder, in ``variables["params"]["critic"]``, so that ``train.fit``
trains all of them in one step: each part of the loss is cut off from the weights that it is not meant to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from tokdyn import checks, draws, keys
from tokdyn.autoencoder import layers
from tokdyn.autoencoder.base import Autoencoder, Pass, Variables
from tokdyn.dynamics.parts import part, static
from tokdyn.typing import PyTree

if TYPE_CHECKING:
    from tokdyn.autoencoder.losses import View


class _Critic(layers.Module):
    width: int

    @layers.compact
    def __call__(self, values: jax.Array, *, train: bool) -> jax.Array:
        # Patterns and draws of the prior lie around 1/2 at most: without an offset the first layer sees a constant.
        return layers.Mlp((self.width, self.width), 1, 2.0**0.5)(layers.flat(values) - 0.5, train=train)[..., 0]


@part
class Judged:
    """See ``judged``."""

    model: Autoencoder
    width: int = static(default=64)

    @property
    def encoder(self) -> Any:
        """The autoencoder's."""
        return self.model.encoder

    @property
    def decoder(self) -> Any:
        """The autoencoder's."""
        return self.model.decoder

    def init(self, key: jax.Array) -> Variables:
        variables = self.model.init(key)
        values = jax.eval_shape(
            lambda key: self.model.apply(variables, jnp.zeros(1, jnp.int32), key=key)[0].code.values, key
        )
        critic = layers.initial(_Critic(self.width), keys.for_purpose(key, "critic"), jnp.zeros(values.shape))
        return {**variables, "params": {**variables["params"], "critic": critic["params"]}}

    def apply(self, variables: Variables, ids: jax.Array, **options: Any) -> tuple[Pass, Any]:
        return self.model.apply(variables, ids, **options)

    def decode(self, variables: Variables, values: jax.Array, **options: Any) -> tuple[jax.Array, Any]:
        """As of the autoencoder."""
        return self.model.decode(variables, values, **options)

    def opinion(self, params: PyTree, values: jax.Array) -> jax.Array:
        """Log-odds that codes `[batch, cells, channels]` are draws of the prior `[batch]`."""
        return layers.applied(_Critic(self.width), {"params": params, "state": {}}, values, key=None, train=False)[0]


def judged(model: Autoencoder, *, width: int = 64) -> Judged:
    """An autoencoder with a critic beside it, for the loss ``losses.against_critic``.

    Args:
        model: from ``ae.autoencoder``.
        width: of the critic's two hidden layers.

    Returns:
        A model for ``train.fit``, which is called as the autoencoder is; its weights hold the critic's too.

    Raises:
        ValueError: no autoencoder, or a width below 1.

    Example:
        >>> import jax
        >>> from tokdyn import autoencoder as ae
        >>> model = ae.critics.judged(
        ...     ae.autoencoder(
        ...         ae.encoders.table(vocabulary_size=5, cells=9, channels=2),
        ...         ae.bottlenecks.sigmoid(),
        ...         ae.decoders.linear(vocabulary_size=5),
        ...     )
        ... )
        >>> sorted(model.init(jax.random.key(0))["params"])
        ['bottleneck', 'critic', 'decoder', 'encoder']
    """
    if not isinstance(model, Autoencoder):
        raise checks.bad("model", "an autoencoder", f"a {type(model).__name__}")
    return Judged(model, checks.whole_number("width", width, at_least=1))


@part
class AgainstCritic:
    """See ``against_critic``."""

    weight: jax.Array

    def apply(self, view: View) -> jax.Array:
        code, model = view.output.code, view.model
        if not isinstance(model, Judged):
            raise checks.bad("model", "one with a critic (critics.judged) for this loss", f"a {type(model).__name__}")
        critic = view.variables["params"]["critic"]
        real = prior(view.key, code.values, discrete=code.indices is not None)
        fake = jax.lax.stop_gradient(code.values)
        seen = jax.nn.softplus(-model.opinion(critic, real)) + jax.nn.softplus(model.opinion(critic, fake))
        fooled = jax.nn.softplus(-model.opinion(jax.lax.stop_gradient(critic), code.values))
        return view.mean(seen) + self.weight * view.mean(fooled)


def against_critic(*, weight: float = 1.0) -> AgainstCritic:
    r"""GAN-like training: codes of a batch are to look like draws of a prior that is spread as widely as codes can be.

    .. math::

        \underbrace{\overline{\log(1 + e^{-D(u)})} + \overline{\log(1 + e^{D(\bar c)})}}_{\text{moves the critic alone}}
        + w\, \underbrace{\overline{\log(1 + e^{-\bar D(c)})}}_{\text{moves the encoder alone}}

    with codes c, draws u of the prior (``critics.prior``), and a bar over what is held constant. Needs a model with a
    critic (``critics.judged``). With ``weight=0`` the critic is trained and the autoencoder does not hear of it.

    Args:
        weight: w `[]`.

    Returns:
        A term.

    Raises:
        ValueError: a negative weight.

    References:
        I. Goodfellow et al., Generative adversarial nets, NeurIPS 2014; A. Makhzani et al., Adversarial autoencoders,
        arXiv 1511.05644, 2015.
    """
    return AgainstCritic(checks.hyperparameter("weight", weight, at_least=0.0))


def prior(key: jax.Array, like: jax.Array, *, discrete: bool) -> jax.Array:
    """Draws that are spread as widely as codes can be.

    Args:
        key: of the draws.
        like: codes `[batch, cells, channels]`.
        discrete: one channel of each cell, all alike; else every number uniform in [0, 1].

    Returns:
        The same shape.
    """
    if discrete:
        chosen = jax.random.randint(key, like.shape[:-1], 0, like.shape[-1])
        return jax.nn.one_hot(chosen, like.shape[-1], dtype=like.dtype)
    return draws.uniform(key, like.shape, like.dtype)
