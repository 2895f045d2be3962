"""The contract must be able to fail: parts with one planted fault each, and the law that catches it."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import tokdyn as td
from tokdyn import testing
from tokdyn.testing import terms


class _Push(td.Term):
    """A harmless part, from which the faulty ones differ in one line."""

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(-0.1 * (tokens - tokens.mean(axis=0))), memory


@td.part
class Harmless(_Push):
    strength: Any = 0.1


@td.part
class ChangesDtype(td.Term):
    def apply(self, key, step, flow, tokens, memory, context):
        return td.Flow(flow.displacement * jnp.nan, flow.force), memory


@td.part
class StaticNumber(_Push):
    strength: float = td.static(default=0.1)


@td.part
class DependsOnOrder(td.Term):
    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(0.1 * jnp.arange(tokens.shape[0], dtype=tokens.dtype)[:, None] * jnp.ones_like(tokens)), memory


@td.part
class ReadsMaskedFeatures(td.Term):
    def prepare(self, features, mask, token_mask):
        return features.mean(axis=0)  # divides by all rows, existing or not

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(0.1 * (context - tokens)), memory


@td.part
class FirstFeatureOnly(td.Term):
    def prepare(self, features, mask, token_mask):
        return features[0]

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(0.1 * (context - tokens)), memory


@td.part
class FeelsMaskedTokens(_Push):
    strength: Any = 0.1


@td.part
class NanAtCoincidence(td.Term):
    def prepare(self, features, mask, token_mask):
        return token_mask

    def apply(self, key, step, flow, tokens, memory, context):
        difference = tokens[:, None] - tokens[None]
        distance = jnp.sqrt((difference**2).sum(-1))
        push = jnp.where(distance > 0, jnp.exp(-distance), 0.0)
        if context is not None:
            push = jnp.where(context[None], push, 0.0)
        return flow.push(0.01 * (difference * push[:, :, None]).sum(1)), memory


@td.part
class HiddenRandomness(td.Term):
    stochastic = True

    def apply(self, key, step, flow, tokens, memory, context):
        return flow, memory


@td.part
class StopsTheGradient(td.Term):
    strength: Any = 0.1

    def apply(self, key, step, flow, tokens, memory, context):
        return flow.push(-self.strength * jax.lax.stop_gradient(tokens)), memory


@td.part
class MovesAtRest(td.Term):
    def apply(self, key, step, flow, tokens, memory, context):
        return flow.carry(jnp.full_like(tokens, 0.1)), memory


@pytest.mark.parametrize(
    ("faulty", "law", "sentence"),
    [
        (ChangesDtype(), terms.keeps_shape_and_dtype, "tokens are not finite after a run"),
        (DependsOnOrder(), terms.tokens_are_exchangeable, "permuting the tokens does more than permute"),
        (ReadsMaskedFeatures(), terms.masked_features_have_no_influence, "masking features is not the same"),
        (FirstFeatureOnly(), terms.order_of_features_is_irrelevant, "tokens depend on the order of the features"),
        (FeelsMaskedTokens(), terms.masked_tokens_have_no_influence, "masking a token is not the same"),
        (NanAtCoincidence(), terms.coincident_tokens_have_finite_gradients, "not finite with coincident tokens"),
        (HiddenRandomness(), terms.randomness_is_the_keys, "another key changes nothing"),
        (StopsTheGradient(), terms.gradient_equals_finite_differences, "reverse mode gives .*, finite differences"),
        (MovesAtRest(), terms.memory_at_rest_does_nothing, "tokens at rest are displaced"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_fault_is_caught(faulty, law, sentence):
    dynamics = td.compose(attract=td.attraction(temperature=0.5), term=faulty)
    with pytest.raises(AssertionError, match=sentence):
        law(testing.make_case(dynamics))


def test_a_number_in_a_static_field_recompiles_and_is_caught_by_the_laws_for_leaves():
    """Such a number cannot be swept: it is no leaf, and rebuilding the part with another one is another program."""
    case = testing.make_case(td.compose(term=StaticNumber(0.1)))
    assert "term.strength" not in td.values(case.dynamics)
    first = td.compose(term=StaticNumber(0.1))
    second = td.compose(term=StaticNumber(0.2))
    assert jax.tree.structure(first) != jax.tree.structure(second)
