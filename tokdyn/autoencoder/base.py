"""What a visual-token autoencoder is: an encoder, a bottleneck and a decoder, composed into one pytree.

A word's number goes in, a pattern of `[cells, channels]` numbers comes out of the encoder, the bottleneck makes a code
of it (discrete or not), the decoder guesses the word. Each of the three is a part (``td.part``): its leaves are traced
numbers (an initial scale, a temperature), swept by vmap without recompiling; its static fields choose the program. What
is trained lives outside, in ``variables``: ``{"params": trained, "state": carried from step to step}``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from tokdyn import checks, keys
from tokdyn.autoencoder import contract
from tokdyn.dynamics.parts import part
from tokdyn.dynamics.schedules import resolved
from tokdyn.typing import PyTree

Variables = dict[str, Any]


class Model(Protocol):
    """What ``train.fit`` trains: two pure functions."""

    def init(self, key: jax.Array) -> Variables:
        """``{"params": ..., "state": ...}``."""
        ...

    def apply(
        self, variables: Variables, inputs: PyTree, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[Any, Any]:
        """``(output, state)``: in training the state may change."""
        ...


class Code(NamedTuple):
    """What a bottleneck hands to the decoder.

    Attributes:
        values: `[..., cells, channels]`, with the gradient of the bottleneck's choice.
        indices: numbers of the codes, `[..., cells]` or `[..., cells, codebooks]` int32; None where nothing is
            discrete.
        loss: `[]`, what the bottleneck itself asks of training (commitment, entropy), weights included.
        probabilities: `[..., cells, codes]`, where the bottleneck has a distribution over codes; else None.
    """

    values: jax.Array
    indices: Any  # not "jax.Array | None": which of both it is follows from the bottleneck, not from its type
    loss: jax.Array
    probabilities: jax.Array | None = None


class Pass(NamedTuple):
    """One pass through an autoencoder.

    Attributes:
        logits: `[batch, vocabulary]`.
        pattern: what the encoder made, `[batch, cells, channels]`.
        code: what the bottleneck made of it.
    """

    logits: jax.Array
    pattern: jax.Array
    code: Code


class Encoder(Protocol):
    """A word's number to a pattern. Static fields: ``vocabulary_size``, ``cells``, ``channels``."""

    vocabulary_size: int
    cells: int
    channels: int

    def init(self, key: jax.Array) -> Variables:
        """Weights."""
        ...

    def apply(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, Any]:
        """`[batch]` int -> (`[batch, cells, channels]`, state)."""
        ...


class Bottleneck(Protocol):
    """A pattern to a code. ``channels`` of the code may differ from those of the pattern."""

    def init(self, key: jax.Array, channels: int) -> Variables:
        """Weights and codebooks, for patterns with that many channels."""
        ...

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        """`[..., cells, channels]` -> (``Code``, state). ``mask`` `[..., cells]`: cells that exist."""
        ...


class Decoder(Protocol):
    """A code to logits over words. Static field: ``vocabulary_size``.

    A decoder in which words of a batch know of each other in training (batch normalisation) sets ``takes_mask`` to True
    and gets ``mask=`` `[batch]` too, where a batch has words that only fill it up.
    """

    vocabulary_size: int

    def init(self, key: jax.Array, cells: int, channels: int) -> Variables:
        """Weights, for codes of that shape."""
        ...

    def apply(
        self, variables: Variables, values: jax.Array, *, key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, Any]:
        """`[batch, cells, channels]` -> (`[batch, vocabulary]`, state)."""
        ...


@part
class Autoencoder:
    """See ``autoencoder``.

    Attributes:
        encoder: a word's number to a pattern.
        bottleneck: a pattern to a code.
        decoder: a code to logits over words.
    """

    encoder: Any
    bottleneck: Any
    decoder: Any

    def init(self, key: jax.Array) -> Variables:
        """Weights.

        Args:
            key: of all draws.

        Returns:
            ``{"params": ..., "state": ...}``, each with the three parts by name.
        """
        encoder, bottleneck = self.encoder, self.bottleneck
        inner = jax.eval_shape(self._code_shape, key)
        parts = {
            "encoder": encoder.init(keys.for_purpose(key, "encoder")),
            "bottleneck": bottleneck.init(keys.for_purpose(key, "bottleneck"), encoder.channels),
            "decoder": self.decoder.init(keys.for_purpose(key, "decoder"), *inner.shape[-2:]),
        }
        return {kind: {name: made[kind] for name, made in parts.items()} for kind in ("params", "state")}

    def _code_shape(self, key: jax.Array) -> jax.Array:
        bottleneck = resolved(self.bottleneck, 0)
        pattern = jnp.zeros((1, self.encoder.cells, self.encoder.channels))
        return bottleneck.apply(bottleneck.init(key, self.encoder.channels), pattern, key=key)[0].values

    def apply(
        self,
        variables: Variables,
        ids: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Pass, Any]:
        """One pass.

        Args:
            variables: from ``init`` or training.
            ids: numbers of words `[batch]`.
            key: for bottlenecks and decoders that draw; None where nothing does.
            train: whether this is a training step (dropout, codebook updates).
            mask: words that exist, bool `[batch]`; None where all do. Others change nothing that is learned or carried:
                neither codebooks nor the statistics of a batch.

        Returns:
            ``(Pass, state)``; the output of a word that does not exist means nothing.
        """
        pattern, encoder_state = self.encode(variables, ids, key=key, train=train)
        cells = {} if mask is None else {"mask": jnp.broadcast_to(mask[..., None], pattern.shape[:-1])}
        code, bottleneck_state = self.bottleneck.apply(
            of_part(variables, "bottleneck"), pattern, key=_key(key, "bottleneck"), train=train, **cells
        )
        logits, decoder_state = self.decode(variables, code.values, key=key, train=train, mask=mask)
        state = {"encoder": encoder_state, "bottleneck": bottleneck_state, "decoder": decoder_state}
        return Pass(logits, pattern, code), state

    def encode(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        """Words `[batch]` to patterns `[batch, cells, channels]`, before the bottleneck; and the encoder's state."""
        return self.encoder.apply(of_part(variables, "encoder"), ids, key=_key(key, "encoder"), train=train)

    def decode(
        self,
        variables: Variables,
        values: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, Any]:
        """Codes `[batch, cells, channels]` to logits `[batch, vocabulary]`; and the decoder's state."""
        words = {"mask": mask} if mask is not None and getattr(self.decoder, "takes_mask", False) else {}
        return self.decoder.apply(of_part(variables, "decoder"), values, key=_key(key, "decoder"), train=train, **words)


def autoencoder(encoder: Any, bottleneck: Any, decoder: Any) -> Autoencoder:
    """An autoencoder of words from three parts.

    Args:
        encoder: for example ``encoders.table(...)``.
        bottleneck: for example ``bottlenecks.straight_through()`` or ``quantizers.vector_quantizer(...)``.
        decoder: for example ``decoders.dense(...)``.

    Returns:
        A pytree with ``init(key)`` and ``apply(variables, ids, key=..., train=...)``; ``td.values`` lists its numbers.

    Raises:
        ValueError: encoder and decoder of different vocabularies, a part without init and apply, or one whose weights,
            outputs or state are not as they should be (seen by their shapes; ``check_part`` looks at more).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn import autoencoder as ae
        >>> model = ae.autoencoder(
        ...     ae.encoders.table(vocabulary_size=5, cells=9, channels=2),
        ...     ae.bottlenecks.straight_through(),
        ...     ae.decoders.linear(vocabulary_size=5),
        ... )
        >>> variables = model.init(jax.random.key(0))
        >>> output, state = model.apply(variables, jnp.arange(5))
        >>> output.logits.shape, output.code.indices.shape
        ((5, 5), (5, 9))
    """
    for name, value in (("encoder", encoder), ("bottleneck", bottleneck), ("decoder", decoder)):
        if not (hasattr(value, "init") and hasattr(value, "apply")):
            raise checks.bad(name, "a part with init and apply", f"a {type(value).__name__}")
    for name, value in (("encoder", encoder), ("decoder", decoder)):
        checks.whole_number(f"{name}.vocabulary_size", getattr(value, "vocabulary_size", None), at_least=1)
    if encoder.vocabulary_size != decoder.vocabulary_size:
        expected = f"the encoder's vocabulary of {encoder.vocabulary_size}"
        raise checks.bad("decoder", expected, f"one for {decoder.vocabulary_size}")
    sizes = contract.Sizes(encoder.cells, encoder.channels)
    contract.check_shapes("encoder", encoder, sizes)
    _, code = contract.check_shapes("bottleneck", bottleneck, sizes)
    contract.check_shapes("decoder", decoder, contract.Sizes(*code.values.shape[-2:]))
    return Autoencoder(encoder, bottleneck, decoder)


def of_part(variables: Variables, name: str) -> Variables:
    """The variables of one part of a model."""
    return {kind: variables[kind][name] for kind in ("params", "state")}


def _key(key: jax.Array | None, name: str) -> jax.Array | None:
    return None if key is None else keys.for_purpose(key, name)
