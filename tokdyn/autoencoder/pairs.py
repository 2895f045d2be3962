"""Words that mean the same: a loss that asks them for the same pattern, and one that tells words of a group apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.dynamics.parts import part

if TYPE_CHECKING:
    from tokdyn.autoencoder.losses import View


@part
class Agreement:
    """See ``agreement``."""

    weight: jax.Array
    partners: jax.Array

    def apply(self, view: View) -> jax.Array:
        partners = jnp.asarray(self.partners)[view.ids]
        other, _ = view.model.encode(view.variables, partners)
        gaps = (jax.nn.softmax(view.output.pattern) - jax.nn.softmax(other)) ** 2
        return self.weight * view.mean(jnp.mean(jnp.sum(gaps, axis=-1), axis=-1))


def agreement(partners: ArrayLike, *, weight: float = 1.0) -> Agreement:
    r"""Paired words are to choose the same colours: `\overline{\|\mathrm{softmax}(X_i) - \mathrm{softmax}(X_j)\|^2}`.

    Args:
        partners: the word that each word is paired with `[vocabulary]` int; its own number where it has none.
        weight: `[]`.

    Returns:
        A term.

    Raises:
        ValueError: no vector of whole numbers, or a negative weight.
    """
    found = _of_words("partners", partners)
    return Agreement(checks.hyperparameter("weight", weight, at_least=0.0), found)


@part
class WithinGroup:
    """See ``within_group``."""

    weight: jax.Array
    groups: jax.Array

    def apply(self, view: View) -> jax.Array:
        groups = jnp.asarray(self.groups)
        same = groups[view.ids][:, None] == groups
        logits = jnp.where(same, view.output.logits, -jnp.inf)
        return self.weight * view.mean(optax.softmax_cross_entropy_with_integer_labels(logits, view.ids))


def within_group(groups: ArrayLike, *, weight: float = 1.0) -> WithinGroup:
    """Cross-entropy among the words of the same group alone, a language, say: words of two groups may share a code.

    Args:
        groups: of each word `[vocabulary]` int.
        weight: `[]`.

    Returns:
        A term.

    Raises:
        ValueError: no vector of whole numbers, or a negative weight.
    """
    found = _of_words("groups", groups)
    return WithinGroup(checks.hyperparameter("weight", weight, at_least=0.0), found)


def _of_words(name: str, value: ArrayLike) -> jax.Array:
    """A whole number for each word."""
    found = jnp.asarray(value)
    if found.ndim != 1 or not jnp.issubdtype(found.dtype, jnp.integer):
        raise checks.bad(name, "whole numbers [vocabulary]", checks.describe_array(found))
    return found
