"""Vector quantisation: each cell becomes the nearest vector of a codebook."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, draws, keys
from tokdyn.autoencoder.base import Code, Variables
from tokdyn.autoencoder.quantizers import codebook as books
from tokdyn.autoencoder.quantizers import common
from tokdyn.autoencoder.quantizers.usage import usage
from tokdyn.dynamics.parts import part, static

STARTS = ("random", "kmeans")


@part
class VectorQuantizer:
    """See ``vector_quantizer``."""

    decay: jax.Array
    commitment: jax.Array
    revive_below: jax.Array
    frozen: jax.Array
    num_codes: int = static()
    learned: bool = static(default=False)
    cosine: bool = static(default=False)
    gradient: str = static(default="straight_through")
    start: str = static(default="random")
    start_steps: int = static(default=10)
    codebook_dim: int | None = static(default=None)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Number of codes that each column of the indices chooses from."""
        return (self.num_codes,)

    @property
    def counted_sizes(self) -> tuple[int, ...]:
        """Number of codes in each row of ``state["usage"]``."""
        return (self.num_codes,)

    @property
    def has_codebook_axis(self) -> bool:
        """Whether indices have a last axis of codebooks."""
        return False

    @property
    def code_rank(self) -> int:
        """How many axes of codes come after that of the cells."""
        return 1

    def init(self, key: jax.Array, channels: int) -> Variables:
        channels = checks.whole_number("channels", channels, at_least=1)
        width = channels if self.codebook_dim is None else self.codebook_dim
        bound = float(np.sqrt(6.0 / (self.num_codes * width)))
        codes = draws.uniform(keys.for_purpose(key, "codebook"), (self.num_codes, width), None, -bound, bound)
        codes = common.unit(codes) if self.cosine else codes
        params = common.projections(key, channels, width)
        state = {
            "cluster_size": jnp.ones(self.num_codes, codes.dtype),
            "initialised": jnp.asarray(self.start != "kmeans"),
            "usage": jnp.zeros((1, self.num_codes), jnp.int32),
        }
        if self.learned:
            return {"params": {**params, "codebook": codes}, "state": {**state, "shift": jnp.zeros_like(codes)}}
        return {"params": params, "state": {**state, "codebook": codes, "code_sum": codes}}

    def codebook(self, variables: Variables) -> jax.Array:
        """The codes `[codes, channels]`, float32 at least; of length one where cosine."""
        if not self.learned:
            return _precise(variables["state"]["codebook"])
        codes = _precise(variables["params"]["codebook"]) + jax.lax.stop_gradient(variables["state"]["shift"])
        return common.unit(codes) if self.cosine else codes

    def apply(
        self,
        variables: Variables,
        inputs: jax.Array,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[Code, Any]:
        params, state = variables["params"], variables["state"]
        width = (params if self.learned else state)["codebook"].shape[-1]
        cells = common.prepare(inputs, mask, common.input_channels(params, width))
        projected = common.project(params, "project_in", cells.values)
        projected = common.unit(projected) if self.cosine else projected
        flat, kept = projected.reshape(-1, width), cells.mask.reshape(-1)
        fixed = jax.lax.stop_gradient(flat)
        is_frozen = jnp.asarray(self.frozen) >= 0.5
        if train:
            key = self._checked(key, flat.shape[0])
            if self.start == "kmeans":
                state = self._started(params, state, fixed, kept, is_frozen, key)
        codebook = self.codebook({"params": params, "state": state}).astype(flat.dtype)
        indices = books.nearest(fixed, jax.lax.stop_gradient(codebook), cosine=self.cosine)
        codes = codebook[indices]
        values = common.passed(flat, codes, self.gradient).reshape(projected.shape)
        loss = self._loss(flat, codes, kept, is_frozen)
        if train:
            assert key is not None
            moved = self._updated(params, state, fixed, indices, kept, key)
            state = jax.tree.map(lambda old, new: jnp.where(is_frozen, old, new.astype(old.dtype)), state, moved)
        values = common.project(params, "project_out", values)
        return common.finish(cells, values, indices.reshape(cells.mask.shape), loss), state

    def codes_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """Codes `[..., cells, code channels]` of indices `[..., cells]`; zero where an index has no code."""
        indices, exists = self._existing(indices)
        codes = self.codebook(variables)[jnp.where(exists, indices, 0)]
        return jnp.where(exists[..., None], codes, 0.0)

    def indices_of(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """Indices `[..., cells]` int32 of the codes nearest to these `[..., cells, code channels]`."""
        codebook = self.codebook(variables)
        codes = common.floating_codes(codes, codebook.shape[-1])
        return books.nearest(codes, codebook.astype(codes.dtype), cosine=self.cosine)

    def values_of(self, variables: Variables, indices: jax.Array) -> jax.Array:
        """What the decoder gets for indices `[..., cells]`: `[..., cells, channels]`, zero where masked (-1)."""
        values = common.project(variables["params"], "project_out", self.codes_of(variables, indices))
        return jnp.where(self._existing(indices)[1][..., None], values, 0.0)

    def _existing(self, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
        indices = common.integer_indices(indices, columns=None)
        return indices, (indices >= 0) & (indices < self.num_codes)

    def _checked(self, key: jax.Array | None, num_cells: int) -> jax.Array:
        if key is None:
            raise checks.bad("key", "a JAX key (in training this bottleneck draws)", "None")
        if self.start == "kmeans" and self.num_codes > num_cells:
            expected = f'at most the {num_cells} cells of the batch, since start="kmeans" takes them as first codes'
            raise checks.bad("num_codes", expected, self.num_codes)
        return key

    def _loss(self, flat: jax.Array, codes: jax.Array, kept: jax.Array, is_frozen: jax.Array) -> jax.Array:
        fixed = jax.lax.stop_gradient(codes)
        if self.learned:
            codes = fixed + jnp.where(is_frozen, 0.0, 1.0).astype(codes.dtype) * (codes - fixed)
        else:
            codes = fixed
        return jnp.asarray(self.commitment, flat.dtype) * common.masked_mean_square(codes - flat, kept)

    def _started(
        self, params: Any, state: Any, flat: jax.Array, kept: jax.Array, is_frozen: jax.Array, key: jax.Array
    ) -> Any:
        """The state after k-means, if this is the first batch to move it."""

        def begin(state: Any) -> Any:
            first = books.random_cells(keys.for_purpose(key, "start"), flat, kept, self.num_codes)
            means, sizes = books.kmeans(flat, first, steps=self.start_steps, mask=kept, cosine=self.cosine)
            # A mean that owns nothing stays where it is, with the weight of one cell; weightless it would fall to 0.
            sizes = jnp.where(sizes > 0, sizes, 1.0)
            sums = means * sizes[:, None]
            codebook = books.averaged(sizes, sums, cosine=self.cosine)
            new = {**state, **self._placed(params, codebook, sums), "cluster_size": sizes}
            new["initialised"] = jnp.ones((), bool)
            return jax.tree.map(lambda old, fresh: fresh.astype(old.dtype), state, new)

        is_first = ~state["initialised"] & ~is_frozen & jnp.any(kept)
        return jax.lax.cond(is_first, begin, lambda state: state, state)

    def _updated(
        self, params: Any, state: Any, flat: jax.Array, indices: jax.Array, kept: jax.Array, key: jax.Array
    ) -> Any:
        """The state after one batch: usage, moving averages, then revival."""
        decay = jnp.asarray(self.decay, flat.dtype)
        sizes, sums = books.cluster_sums(flat, indices, kept, self.num_codes)
        size = _mixed(state["cluster_size"], sizes, decay)
        new = {**state, "cluster_size": size, "usage": state["usage"] + usage(indices, self.num_codes, kept)}
        if not self.learned:
            code_sum = _mixed(state["code_sum"], sums, decay)
            new |= {"codebook": books.averaged(size, code_sum, cosine=self.cosine), "code_sum": code_sum}
        limit = jnp.asarray(self.revive_below, size.dtype)
        dead = size < limit

        def revive(new: Any) -> Any:
            places, revived = books.revival(keys.for_purpose(key, "revive"), flat, kept, dead)
            changed = {**self._placed(params, places, places * limit), "cluster_size": jnp.full_like(size, limit)}
            chosen = {
                name: jnp.where(
                    revived if value.ndim == 1 else revived[:, None], value.astype(new[name].dtype), new[name]
                )
                for name, value in changed.items()
            }
            return {**new, **chosen}

        return jax.lax.cond(jnp.any(dead), revive, lambda new: new, new)

    def _placed(self, params: Any, codebook: jax.Array, sums: jax.Array) -> dict[str, jax.Array]:
        """The entries of the state that put codes there."""
        if self.learned:
            return {"shift": codebook - jax.lax.stop_gradient(params["codebook"])}
        return {"codebook": codebook, "code_sum": sums}


def vector_quantizer(
    *,
    num_codes: int,
    decay: float = 0.99,
    commitment: float = 1.0,
    learned: bool = False,
    cosine: bool = False,
    gradient: str = "straight_through",
    revive_below: float = 0.0,
    start: str = "random",
    start_steps: int = 10,
    frozen: bool | float = False,
    codebook_dim: int | None = None,
) -> VectorQuantizer:
    r"""Each cell becomes the nearest of ``num_codes`` vectors.

    .. math:: q = c_{k},\quad k = \arg\min_j |x - c_j|^2,\qquad
              N_k \leftarrow d N_k + (1 - d) n_k,\quad m_k \leftarrow d m_k + (1 - d) \sum_{x \in k} x

    where the codebook is `m_k` over the Laplace-smoothed `N_k`, and the loss is ``commitment`` times the mean of
    `(x - q)^2`: it pulls inputs to their codes and, where the codebook is learned, codes to their inputs by the same
    weight. Loss and gradient do not depend on ``train``, which only lets the state move: first k-means (once), then
    quantisation, then the averages, then revival.

    Masked cells (``mask`` False) come out as 0 with index -1, and nothing that they hold, NaN included, reaches
    anything. A key is needed in training. Arithmetic is in float32 or more; values have the dtype of the inputs.

    Args:
        num_codes: size of the codebook; static.
        decay: `d` `[]`, from 0 to 1 (which never moves), of the moving averages.
        commitment: weight of the loss `[]`.
        learned: the codebook is ``params["codebook"]`` and trained by the loss, instead of moving averages in the
            state. Revival and k-means then move ``state["shift"]``, which is added to it. Static.
        cosine: inputs and codes have length one; nearest is by scalar product, and values have length one. Static.
        gradient: ``"straight_through"`` or ``"rotation"``; static.
        revive_below: a code whose moving cluster size is below this `[]` is put on a random cell of the batch, with
            that size; 0 for never.
        start: ``"random"``, or ``"kmeans"`` on the cells of the first training batch; static.
        start_steps: steps of k-means; static.
        frozen: 1 keeps the whole state, and gives a learned codebook no gradient `[]`.
        codebook_dim: channels of the codes, reached by trained affine maps in and out; None for those of the inputs.

    Returns:
        A bottleneck. ``state["usage"]`` `[1, codes]` counts over training steps.

    Raises:
        ValueError: fewer than one code, step or channel, a number outside its limits, or an unknown name; in ``apply``
            another number of channels, no key in training, or k-means with more codes than cells.

    References:
        A. van den Oord, O. Vinyals, K. Kavukcuoglu, Neural discrete representation learning, NeurIPS 2017;
        C. Fifty et al., Restructuring vector quantization with the rotation trick, ICLR 2025.

    Example:
        >>> import jax
        >>> from tokdyn.autoencoder import quantizers
        >>> quantizer = quantizers.vector_quantizer(num_codes=16, revive_below=0.5)
        >>> key = jax.random.key(0)
        >>> variables = quantizer.init(key, channels=4)
        >>> code, state = quantizer.apply(variables, jax.random.normal(key, (3, 9, 4)), key=key, train=True)
        >>> code.values.shape, code.indices.shape, int(state["usage"].sum())
        ((3, 9, 4), (3, 9), 27)
    """
    dim = None if codebook_dim is None else checks.whole_number("codebook_dim", codebook_dim, at_least=1)
    return VectorQuantizer(
        decay=checks.hyperparameter("decay", decay, at_least=0.0, below=1.0 + 1e-9),
        commitment=checks.hyperparameter("commitment", commitment, at_least=0.0),
        revive_below=checks.hyperparameter("revive_below", revive_below, at_least=0.0),
        frozen=checks.hyperparameter("frozen", frozen, at_least=0.0, below=1.0 + 1e-9),
        num_codes=checks.whole_number("num_codes", num_codes, at_least=1),
        learned=bool(learned),
        cosine=bool(cosine),
        gradient=checks.choice("gradient", gradient, common.GRADIENTS),
        start=checks.choice("start", start, STARTS),
        start_steps=checks.whole_number("start_steps", start_steps, at_least=1),
        codebook_dim=dim,
    )


def _precise(values: jax.Array) -> jax.Array:
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _mixed(old: jax.Array, new: jax.Array, decay: jax.Array) -> jax.Array:
    return _precise(old) + (1.0 - decay) * (new - _precise(old))
