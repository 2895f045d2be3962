"""What an autoencoder is trained for: named terms with traced weights, summed.

Every term is a part: its weight can be swept and scheduled (``td.annealing``). The published notebook's mistakes
are here under their own names and as dials, so that a sweep can turn them up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.autoencoder.base import Pass, Variables
from tokdyn.autoencoder.critics import AgainstCritic as AgainstCritic
from tokdyn.autoencoder.critics import against_critic as against_critic
from tokdyn.autoencoder.pairs import agreement as agreement
from tokdyn.autoencoder.pairs import within_group as within_group
from tokdyn.dynamics.base import Dynamics
from tokdyn.dynamics.base import compose as _compose
from tokdyn.dynamics.parts import part
from tokdyn.numerics import safe_norm
from tokdyn.train import Masked
from tokdyn.typing import PyTree


class View(NamedTuple):
    """What a term sees.

    Attributes:
        model: the autoencoder.
        variables: its weights.
        ids: words of the batch `[batch]`, which are the targets.
        output: of the model on them.
        key: this term's own.
        mask: which of the words exist, bool `[batch]`; None where all do.
    """

    model: Any
    variables: Variables
    ids: jax.Array
    output: Pass
    key: jax.Array
    mask: jax.Array | None = None

    def mean(self, values: jax.Array) -> jax.Array:
        """Mean over the words that exist: `[batch, ...]` -> `[...]`."""
        return values.mean(axis=0) if self.mask is None else Masked(self.ids, self.mask).mean(values)

    def logits_of(self, values: jax.Array) -> jax.Array:
        """The decoder once more, on other codes, as at evaluation (no dropout, no noise)."""
        return self.model.decode(self.variables, values)[0]


@part
class Objective:
    """See ``objective``."""

    terms: Dynamics

    def __call__(
        self, model: Any, variables: Variables, batch: PyTree, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        """``(loss, (state, each term by name))`` of a batch of words `[batch]`, or of a ``Masked`` one `[...]`."""
        ids, options = batch, {}
        if isinstance(batch, Masked):
            ids, options = jnp.ravel(batch.items), {"mask": jnp.ravel(batch.mask)}
        output, state = model.apply(variables, ids, key=keys.for_purpose(key, "model"), train=True, **options)
        metrics = {}
        for name in self.terms:
            view = View(model, variables, ids, output, keys.for_purpose(key, name), **options)
            metrics[name] = self.terms[name].apply(view)
        return sum(metrics.values()) + output.code.loss, (state, metrics)


def objective(**terms: Any) -> Objective:
    """A loss from named terms; what the bottleneck itself asks for is added.

    Args:
        **terms: by name; without any, plain ``cross_entropy()``.

    Returns:
        A loss for ``train.fit`` whose history has every term by name.

    Raises:
        ValueError: something that is no term.

    Example:
        >>> import tokdyn as td
        >>> from tokdyn.autoencoder import losses
        >>> loss = losses.objective(words=losses.cross_entropy(), spread=losses.diversity(weight=0.1))
        >>> sorted(td.values(loss))
        ['terms.spread.weight', 'terms.words.double_softmax', 'terms.words.rarity', 'terms.words.weight']
    """
    return Objective(_compose(**(terms or {"cross_entropy": cross_entropy()})))


@part
class CrossEntropy:
    """See ``cross_entropy``."""

    weight: jax.Array
    double_softmax: jax.Array
    rarity: jax.Array
    frequencies: jax.Array | None

    def apply(self, view: View) -> jax.Array:
        logits = view.output.logits
        scores = twice_softmaxed(logits, self.double_softmax)
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, view.ids)
        if self.frequencies is None:
            return self.weight * view.mean(losses)
        present = jnp.asarray(self.frequencies, losses.dtype)[view.ids]
        weights = jnp.maximum(present, jnp.finfo(losses.dtype).tiny) ** -self.rarity
        if view.mask is not None:
            weights = jnp.where(view.mask, weights, 0.0)
        return self.weight * jnp.sum(weights * losses) / jnp.sum(weights)


def cross_entropy(
    *, weight: float = 1.0, double_softmax: float = 0.0, rarity: float = 0.0, frequencies: ArrayLike | None = None
) -> CrossEntropy:
    r"""Cross-entropy of the words, `-\log \mathrm{softmax}(z)_y`.

    Args:
        weight: of the term `[]`.
        double_softmax: 0 is right; 1 is the published fault, `z = \mathrm{softmax}(\ell)` where `z = \ell` is meant;
            between, `z = (1 - s) \ell + s\,\mathrm{softmax}(\ell)`.
        rarity: `r` `[]`: a word of frequency f counts `f^{-r}`; 0 counts tokens alike, 1 types.
        frequencies: of the words `[vocabulary]`; needed for ``rarity``.

    Returns:
        A term.

    Raises:
        ValueError: a number out of range, or a rarity without frequencies.
    """
    rarity = checks.hyperparameter("rarity", rarity, at_least=0.0)
    if frequencies is None and checks.is_concrete(rarity) and not jax.tree.leaves(rarity)[0] == 0:
        raise checks.bad("frequencies", "the words' frequencies beside a rarity", "None")
    return CrossEntropy(
        checks.hyperparameter("weight", weight),
        checks.hyperparameter("double_softmax", double_softmax, at_least=0.0, below=1.0 + 1e-9),
        rarity,  # type: ignore[arg-type]
        None if frequencies is None else jnp.asarray(frequencies),
    )


def twice_softmaxed(logits: jax.Array, share: float | jax.Array) -> jax.Array:
    """What the published loss took for logits: a mixture of the logits and their softmax `[..., vocabulary]`."""
    return (1.0 - share) * logits + share * jax.nn.softmax(logits)


@part
class Sensitivity:
    """See ``sensitivity``."""

    weight: jax.Array
    noise: jax.Array
    least: jax.Array

    def apply(self, view: View) -> jax.Array:
        values = view.output.code.values
        moved = jnp.clip(values + self.noise * draws.normal(view.key, values.shape, values.dtype), 0.0, 1.0)
        before = jax.nn.log_softmax(jax.lax.stop_gradient(view.output.logits))
        after = jax.nn.log_softmax(view.logits_of(moved))
        divergence = view.mean(optax.losses.kl_divergence_with_log_targets(after, before))
        return self.weight * jax.nn.relu(self.least - divergence)


def sensitivity(*, weight: float = 2.0, noise: float = 0.1, least: float = 0.1) -> Sensitivity:
    r"""The notebook's penalty on a decoder that does not react: `w\,\max(0, m - \mathrm{KL}(p(x) \| p(x + \epsilon)))`.

    Args:
        weight: w `[]`; published 2.
        noise: standard deviation of what is added to the code `[]`, which is then kept in [0, 1]; published 0.1.
        least: m `[]`, nats.

    Returns:
        A term.

    Raises:
        ValueError: a negative number.
    """
    return Sensitivity(*_numbers(weight=weight, noise=noise, least=least))


@part
class Diversity:
    """See ``diversity``."""

    weight: jax.Array

    def apply(self, view: View) -> jax.Array:
        return -self.weight * entropy_of(view.mean(jax.nn.softmax(view.output.logits)))


def diversity(*, weight: float = 0.1) -> Diversity:
    """Rewards a batch whose mean prediction is spread over words: minus its entropy, in nats.

    Args:
        weight: `[]`.

    Returns:
        A term.

    Raises:
        ValueError: a negative number.
    """
    return Diversity(*_numbers(weight=weight))


@part
class Confidence:
    """See ``confidence``."""

    weight: jax.Array

    def apply(self, view: View) -> jax.Array:
        return self.weight * view.mean(entropy_of(jax.nn.softmax(view.output.logits)))


def confidence(*, weight: float = 0.1) -> Confidence:
    """Entropy minimisation: the mean entropy of the predictions, in nats.

    Args:
        weight: `[]`.

    Returns:
        A term.

    Raises:
        ValueError: a negative number.

    References:
        Y. Grandvalet, Y. Bengio, Semi-supervised learning by entropy minimization, NeurIPS 2004.
    """
    return Confidence(*_numbers(weight=weight))


@part
class Gram:
    """See ``gram``."""

    weight: jax.Array
    vectors: jax.Array

    def apply(self, view: View) -> jax.Array:
        gaps = (_cosines(view.output.pattern) - _cosines(self.vectors[view.ids])) ** 2
        return self.weight * (jnp.mean(gaps) if view.mask is None else view.mean(jax.vmap(view.mean)(gaps)))


def gram(vectors: ArrayLike, *, weight: float = 0.1) -> Gram:
    """Patterns are to be as alike as the words' meanings: mean squared difference of two matrices of cosines.

    Args:
        vectors: of the words `[vocabulary, dimensions]`.
        weight: `[]`; published 0.1.

    Returns:
        A term.

    Raises:
        ValueError: no matrix of numbers, or a negative weight.
    """
    return Gram(_numbers(weight=weight)[0], checks.floating("vectors", vectors, axes="[vocabulary, dimensions]"))


@part
class Alignment:
    """See ``alignment``."""

    weight: jax.Array
    vectors: jax.Array

    def apply(self, view: View) -> jax.Array:
        pattern = view.output.pattern.reshape(len(view.ids), -1)
        targets = self.vectors[view.ids]
        # A fixed map, the same in every call: patterns and meanings have different lengths.
        shape = (pattern.shape[-1], targets.shape[-1])
        seen = pattern @ draws.normal(jax.random.key(0), shape, pattern.dtype) / jnp.sqrt(shape[0])
        return self.weight * view.mean(optax.losses.cosine_distance(seen, targets, epsilon=1e-12))


def alignment(vectors: ArrayLike, *, weight: float = 1.0) -> Alignment:
    """Patterns are to point where the words' meanings point: one minus the cosine, seen through a fixed random map.

    Args:
        vectors: of the words `[vocabulary, dimensions]`.
        weight: `[]`; published 1.

    Returns:
        A term.

    Raises:
        ValueError: no matrix of numbers, or a negative weight.
    """
    return Alignment(_numbers(weight=weight)[0], checks.floating("vectors", vectors, axes="[vocabulary, dimensions]"))


@part
class Adversarial:
    """See ``adversarial``."""

    weight: jax.Array
    radius: jax.Array

    def apply(self, view: View) -> jax.Array:
        def error(values: jax.Array) -> jax.Array:
            return view.mean(optax.softmax_cross_entropy_with_integer_labels(view.logits_of(values), view.ids))

        values = view.output.code.values
        step = self.radius * jnp.sign(jax.grad(error)(jax.lax.stop_gradient(values)))
        return self.weight * error(values + jax.lax.stop_gradient(step))


def adversarial(*, weight: float = 1.0, radius: float = 0.1) -> Adversarial:
    """Cross-entropy at the worst code nearby: one step along the sign of the gradient.

    Args:
        weight: `[]`.
        radius: of that step in every channel `[]`.

    Returns:
        A term.

    Raises:
        ValueError: a negative number.

    References:
        I. Goodfellow, J. Shlens, C. Szegedy, Explaining and harnessing adversarial examples, ICLR 2015.
    """
    return Adversarial(*_numbers(weight=weight, radius=radius))


@part
class SmallWeights:
    """See ``small_weights``."""

    weight: jax.Array

    def apply(self, view: View) -> jax.Array:
        leaves = jax.tree.leaves(view.variables["params"])
        return self.weight * sum(jnp.sum(leaf * leaf) for leaf in leaves)


def small_weights(*, weight: float = 1e-4) -> SmallWeights:
    """L2: the sum of the squares of everything that is trained.

    Args:
        weight: `[]`.

    Returns:
        A term.

    Raises:
        ValueError: a negative number.
    """
    return SmallWeights(*_numbers(weight=weight))


# Every term, for contract tests: name -> a term for a vocabulary of that size.
CATALOG = {
    "cross_entropy": lambda vocabulary_size: cross_entropy(
        rarity=0.5, frequencies=jnp.linspace(1.0, 2.0, vocabulary_size)
    ),
    "double_softmax": lambda vocabulary_size: cross_entropy(double_softmax=1.0),
    "sensitivity": lambda vocabulary_size: sensitivity(least=10.0),
    "diversity": lambda vocabulary_size: diversity(),
    "confidence": lambda vocabulary_size: confidence(),
    "gram": lambda vocabulary_size: gram(_example_vectors(vocabulary_size)),
    "alignment": lambda vocabulary_size: alignment(_example_vectors(vocabulary_size)),
    "adversarial": lambda vocabulary_size: adversarial(),
    "small_weights": lambda vocabulary_size: small_weights(),
}


def entropy_of(probabilities: jax.Array) -> jax.Array:
    """Entropy in nats over the last axis; 0 log 0 is 0, in the gradient too."""
    positive = probabilities > 0
    safe = jnp.where(positive, probabilities, 1.0)
    return -jnp.sum(jnp.where(positive, probabilities * jnp.log(safe), 0.0), axis=-1)


def _example_vectors(vocabulary_size: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (vocabulary_size, 6))


def _numbers(**numbers: Any) -> tuple[Any, ...]:
    return tuple(checks.hyperparameter(name, value, at_least=0.0) for name, value in numbers.items())


def _cosines(rows: jax.Array) -> jax.Array:
    """`[batch, batch]`."""
    flat = rows.reshape(len(rows), -1)
    unit = flat / jnp.maximum(safe_norm(flat)[:, None], 1e-12)
    return unit @ unit.T
