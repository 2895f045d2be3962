"""The word's own picture as its pattern: nothing is learned, and any word that can be drawn has one."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.encoders import common
from tokdyn.dynamics.parts import part, static


@part
class Glyphs:
    """See ``glyphs``."""

    compositional: ClassVar[bool] = True
    images: jax.Array
    strength: jax.Array
    threshold: jax.Array | None
    vocabulary_size: int = static()
    cells: int = static()
    channels: int = static()
    height: int = static()
    width: int = static()
    pool: int = static(default=1)

    def init(self, key: jax.Array) -> Variables:
        return {"params": {}, "state": {}}

    def apply(
        self, variables: Variables, ids: jax.Array, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Any]:
        ids = common.check_ids(ids, self.vocabulary_size)
        pattern, state = self.encode_images(variables, jnp.asarray(self.images)[ids.reshape(-1)])
        return pattern.reshape(*ids.shape, self.cells, self.channels), state

    def encode_images(self, variables: Variables, images: ArrayLike) -> tuple[jax.Array, Any]:
        """Any pictures of the same size, for example ``data.glyphs.render`` of words outside the vocabulary.

        Args:
            variables: from ``init``; there is nothing in it.
            images: `[batch, height * pool, width * pool]` in [0, 1].

        Returns:
            (`[batch, cells, channels]`, state).

        Raises:
            ValueError: pictures of another size.
        """
        images = checks.floating("images", images, axes="[batch, height, width]").astype(common.floating())
        size = (self.height * self.pool, self.width * self.pool)
        if images.shape[1:] != size:
            raise checks.bad("images", f"pictures of {size[0]} x {size[1]} pixels", checks.describe_array(images))
        ink = images.reshape(-1, self.height, self.pool, self.width, self.pool).mean((2, 4))
        if self.threshold is not None:
            ink = (ink > jnp.asarray(self.threshold, ink.dtype)).astype(ink.dtype)
        ink = ink.reshape(-1, self.cells, 1)
        pattern = ink if self.channels == 1 else jnp.concatenate([1 - ink, ink], axis=-1)
        return jnp.asarray(self.strength, ink.dtype) * pattern, variables["state"]


def glyphs(
    *,
    images: ArrayLike,
    pool: int = 1,
    channels: int = 1,
    threshold: Any = None,
    strength: float = 1.0,
) -> Glyphs:
    """The rendered word, cell by cell: a code that was made for reading, and is never trained.

    Args:
        images: of the vocabulary's words `[vocabulary, H, W]` in [0, 1], 1 is ink; ``data.glyphs.render`` makes them.
        pool: blocks of so many pixels squared are averaged into one cell.
        channels: 1 is ink; 2 are paper (1 - ink) and ink, so that a choice among them is black or white.
        threshold: cells with more ink are 1 and the others 0 `[]`, from 0 to 1; None keeps the levels of grey.
        strength: factor of the patterns `[]`.

    Returns:
        An encoder without parameters, of `H W / pool^2` cells, row after row.

    Raises:
        ValueError: images of another form or range, sides that ``pool`` does not divide, or a number outside its range.

    References:
        P. Rust et al., Language modelling with pixels, ICLR 2023.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.autoencoder import encoders
        >>> from tokdyn.data import glyphs
        >>> encoder = encoders.glyphs(images=glyphs.render(["cat", "dog"], height=16, width=32), pool=2)
        >>> unseen = glyphs.render(["cog"], height=16, width=32)
        >>> encoder.encode_images({"params": {}, "state": {}}, unseen)[0].shape
        (1, 128, 1)
    """
    images = common.check_data("images", images, axes="[V, H, W]")
    if checks.is_concrete(images):
        least, most = np.min(known := np.asarray(images)), np.max(known)
        if not (least >= 0 and most <= 1):
            raise checks.bad("images", "numbers from 0 to 1", f"{least:g} to {most:g}")
    pool = checks.whole_number("pool", pool, at_least=1)
    height, width = images.shape[1:]
    if height % pool or width % pool:
        raise checks.bad("pool", f"a divisor of the pictures' {height} x {width} pixels", pool)
    if checks.whole_number("channels", channels, at_least=1) > 2:
        raise checks.bad("channels", "1 or 2", channels)
    if threshold is not None:
        threshold = checks.hyperparameter("threshold", threshold, at_least=0.0, below=1.0 + 1e-9)
    return Glyphs(
        images, **common.check_scales(strength=strength), threshold=threshold, vocabulary_size=len(images),
        cells=(height // pool) * (width // pool), channels=int(channels), height=height // pool, width=width // pool,
        pool=pool,
    )  # fmt: skip
