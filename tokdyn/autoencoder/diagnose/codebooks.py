"""What of a codebook is used on any data: image patches, latents, the vectors of somebody else's encoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from tokdyn import checks
from tokdyn.autoencoder.base import Variables
from tokdyn.autoencoder.diagnose.findings import Opened, opened

# Cells for each code from which on an unused code means something: with even use one stays out with chance e^-10.
ENOUGH = 10
# Fewer codes than this share in use: most of the codebook is dead.
ACTIVE = 0.5
# A codebook about as good as one code: fewer effective codes, and more of the inputs' variance lost.
EFFECTIVE, LOST = 1.5, 0.9


class Codebooks(NamedTuple):
    """The use of a quantizer's codebooks.

    Attributes:
        cause: "collapsed_codebook" (about one code for everything), "dead_codes" (most codes are never chosen),
            "healthy", or "unknown" where there are too few cells, or nobody says how many codes there are.
        perplexity: effective number of codes `[codebooks]`; from 1 to the size.
        active_share: share of the codes that are chosen at all `[codebooks]`.
        dead: codes that never are `[codebooks]`.
        sizes: codes of each codebook `[codebooks]`.
        lost: share of the variance of the inputs that the values do not keep `[]`; NaN where they have other channels.
        cells: how many were looked at.
    """

    cause: str
    perplexity: np.ndarray
    active_share: np.ndarray
    dead: np.ndarray
    sizes: tuple[int, ...]
    lost: float
    cells: int

    def __str__(self) -> str:
        rows = [
            f"codebook {place}: perplexity {effective:.4g} of {size}, {dead} codes dead ({1 - active:.0%})"
            for place, (effective, size, dead, active) in enumerate(
                zip(self.perplexity, self.sizes, self.dead, self.active_share, strict=True)
            )
        ]
        return "\n".join([f"cause: {self.cause}", *rows, f"{self.lost:.2%} of the variance lost; {self.cells} cells"])


def codebooks(quantizer: Any, variables: Variables, inputs: ArrayLike, *, key: jax.Array) -> Codebooks:
    r"""How much of a quantizer's codebooks some data use, at evaluation.

    The perplexity of counts with shares f is `\exp H(f)`. A code counts as dead only where there are ten cells for each
    code, so that chance does not leave one out.

    Args:
        quantizer: of this package, or any bottleneck with indices and ``codebook_sizes`` (or probabilities).
        variables: its own.
        inputs: vectors `[..., cells, channels]`.
        key: for one that draws.

    Returns:
        ``Codebooks``; ``str`` of it is a report.

    Raises:
        ValueError: inputs that are no vectors, or a bottleneck without indices.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import diagnose, quantizers
        >>> patches = jax.random.normal(jax.random.key(0), (100, 16, 3))
        >>> quantizer = quantizers.finite_scalar_quantizer(levels=(5, 5, 5))
        >>> found = diagnose.codebooks(quantizer, quantizer.init(jax.random.key(1), 3), patches, key=jax.random.key(2))
        >>> found.cause, found.sizes, found.cells
        ('healthy', (125,), 1600)
    """
    vectors = jnp.asarray(inputs)
    if vectors.ndim < 2 or not jnp.issubdtype(vectors.dtype, jnp.floating):
        raise checks.bad("inputs", "floating-point vectors [..., cells, channels]", checks.describe_array(vectors))
    found, made, probabilities = _coded(opened(quantizer), variables, vectors, key)
    if found is None:
        raise checks.bad("quantizer", "one whose code has indices", "None")
    sizes = getattr(quantizer, "codebook_sizes", None)
    if sizes is None and probabilities is not None:
        sizes = (probabilities.shape[-1],)
    indices, values, before = (np.asarray(array) for array in (found, made, vectors))
    columns = indices.shape[-1] if indices.ndim == vectors.ndim else None
    largest = max(sizes) if sizes else int(indices.max()) + 1
    by_codebook = indices.reshape(-1, columns or 1).T
    counts = np.stack([np.bincount(column[column >= 0], minlength=largest) for column in by_codebook])
    known = tuple(sizes) if sizes and len(sizes) == len(counts) else (largest,) * len(counts)
    used = (counts > 0).sum(axis=1)
    cells = int(np.prod(vectors.shape[:-1]))
    lost = float("nan")
    if values.shape == before.shape:
        spread = ((before - before.reshape(-1, before.shape[-1]).mean(axis=0)) ** 2).sum()
        lost = float(((values - before) ** 2).sum() / max(float(spread), 1e-30))
    effective = np.exp(special.entr(counts / counts.sum(axis=1, keepdims=True)).sum(axis=1))
    active = used / np.asarray(known)
    enough = sizes is not None and cells >= ENOUGH * max(known)
    cause = "healthy" if enough else "unknown"
    if enough and (active < ACTIVE).any():
        cause = "dead_codes"
    if cells >= ENOUGH and max(known) > 1 and (effective < EFFECTIVE).all() and not lost < LOST:
        cause = "collapsed_codebook"
    return Codebooks(cause, effective, active, np.asarray(known) - used, known, lost, cells)


@jax.jit
def _coded(quantizer: Opened, variables: Variables, vectors: jax.Array, key: jax.Array) -> tuple[Any, ...]:
    """Indices, values and probabilities of the code."""
    code, _ = quantizer.closed().apply(variables, vectors, key=key)
    return code.indices, code.values, code.probabilities
