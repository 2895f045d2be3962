"""``td.testing.check_metric``: the package's metrics keep it, and each law catches the fault that it is for."""

import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 3, 20)
PAIRS = [
    (LABELS, GENERATOR.integers(0, 3, 20)),
    (LABELS, LABELS),
    (LABELS, np.zeros(20, int)),
    (0 * LABELS, 0 * LABELS),
]
TOKENS = [(x.astype(np.float32),) for x in (GENERATOR.normal(size=(5, 3)), np.eye(5, 3), np.ones((5, 3)))]
SHARES = [(x.astype(np.float32),) for x in (GENERATOR.dirichlet(np.ones(3), 8), np.eye(3)[np.arange(8) % 3])]
SIZES = {"num_labels": 3, "num_predicted": 3}


@pytest.mark.parametrize(
    "name",
    [
        "adjusted_rand_index", "normalized_mutual_information", "fowlkes_mallows", "purity", "homogeneity",
        "completeness", "v_measure", "matched_accuracy", "mean_matched_iou",
    ],
)  # fmt: skip
def test_partitions(name):
    lowest = -1.0 if name == "adjusted_rand_index" else 0.0
    laws = td.testing.check_metric(getattr(td.metrics, name), *PAIRS, bounds=(lowest, 1.0), **SIZES)
    assert "masked_rows_have_no_influence" in laws


@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "stable_rank"])
def test_tokens(name):
    td.testing.check_metric(getattr(td.metrics, name), *TOKENS, bounds=(0.0, np.inf))


def test_distances_of_tokens():
    """Not of tokens that all coincide, where the published rule has no value and ours is NaN, as documented."""
    td.testing.check_metric(td.metrics.min_token_distance, *TOKENS[:2], bounds=(0.0, np.inf))


@pytest.mark.parametrize("name", ["usage_perplexity", "mean_assignment_entropy"])
def test_assignments(name):
    td.testing.check_metric(getattr(td.metrics, name), *SHARES, bounds=(0.0, 3.0))


def root_mean_square(tokens):
    return jnp.sqrt(jnp.mean((tokens - tokens.mean(axis=0)) ** 2))


def first_row(tokens):
    return tokens[0].sum()


def ratio(tokens):
    return jnp.sum(tokens) / jnp.sum(tokens - tokens.mean(axis=0))


def unmasked(tokens, *, mask=None):
    return jnp.sum(jnp.nan_to_num(tokens)) / tokens.shape[0]


def far(tokens):
    return 5.0 + 0.0 * jnp.sum(tokens)


@pytest.mark.parametrize(
    ("metric", "law"),
    [
        (root_mean_square, "slopes_are_finite: the gradient in argument 0 of example 2"),
        (first_row, "order_of_rows_is_irrelevant: example 0"),
        (ratio, "values_are_defined: example 2 gives"),
        (unmasked, "masked_rows_have_no_influence: example 0"),
        (far, r"values_are_defined: example 0 gives 5.0, outside of \[-1, 1\]"),
    ],
)
def test_each_law_finds_its_fault(metric, law):
    bounds = (-1.0, 1.0) if metric is far else (-np.inf, np.inf)
    with pytest.raises(AssertionError, match=law):
        td.testing.check_metric(metric, *TOKENS, bounds=bounds)


def test_bad_input_gets_a_sentence():
    with pytest.raises(ValueError, match="examples: expected at least one tuple"):
        td.testing.check_metric(first_row)
    with pytest.raises(ValueError, match="examples: expected the same shapes"):
        td.testing.check_metric(first_row, TOKENS[0], (np.ones((2, 2), np.float32),))


@td.part
class Plane(td.Term):
    """Turns tokens in the plane: made for two dimensions."""

    angle: float

    def apply(self, key, step, flow, tokens, memory, context):
        turn = jnp.array([[0.0, -1.0], [1.0, 0.0]], tokens.dtype)
        return flow.push(self.angle * tokens @ turn), memory


def test_a_part_that_is_made_for_two_dimensions():
    with pytest.raises(
        AssertionError, match=r"it cannot be run on features \(40, 3\) \(num_dimensions= chooses others\)"
    ):
        td.testing.check_term(Plane(0.01))
    assert len(td.testing.check_term(Plane(0.01), num_dimensions=2)) == 15
