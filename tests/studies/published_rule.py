"""The published study once more, in plain NumPy and scikit-learn, written from its formulas: the oracle of our rows.

Nothing here imports tokdyn. One run at a time, float64, the order of operations of the published rule.
"""

import functools

import numpy as np
import sklearn
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

METHODS = {"baseline": (0.0, 0.0), "inertia": (0.5, 0.0), "repulsion": (0.0, 0.05), "inertia_repulsion": (0.5, 0.05)}
TEMPERATURE, RATE, MASS_FLOOR, EPS, TOL, MAX_STEPS, NUM_TOKENS = 1.0, 1.0, 1e-9, 1e-3, 1e-3, 30, 4


@functools.cache
def draw_scene(seed, num_clusters, noise):
    """Features [N, 6] and labels [N] of one seed."""
    legacy = np.random.RandomState(seed)
    centres = legacy.uniform(-5.0, 5.0, (num_clusters, 6))
    features = np.concatenate([centre + legacy.normal(0.0, noise, (80, 6)) for centre in centres])
    return features, np.arange(num_clusters).repeat(80)


def draw_tokens(features, seed):
    """Starting tokens [4, 6]."""
    legacy = np.random.RandomState(seed + 1234)
    chosen = legacy.choice(len(features), NUM_TOKENS, replace=False)
    return features[chosen] + legacy.normal(0.0, 0.05, (NUM_TOKENS, 6))


def assign(features, tokens):
    """Soft assignment [N, 4]."""
    gaps = features[:, None] - tokens
    squared = np.einsum("nkd,nkd->nk", gaps, gaps)
    scores = -squared / max(TEMPERATURE, 1e-6)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def push_apart(tokens):
    """Sum over the other tokens of the difference over the cube of the softened distance [4, 6]."""
    total = np.zeros_like(tokens)
    for one, here in enumerate(tokens):
        others = np.delete(tokens, one, axis=0)
        softened = np.linalg.norm(here - others, axis=1) + EPS
        total[one] = ((here - others) / softened[:, None] ** 3).sum(axis=0)
    return total


def simulate(features, tokens, momentum, strength):
    """Final tokens and the number of steps."""
    before = tokens
    for step in range(1, MAX_STEPS + 1):
        weights = assign(features, tokens)
        means = (weights.T @ features) / (weights.sum(axis=0)[:, None] + MASS_FLOOR)
        displacement = RATE * (means - tokens)
        if strength > 0:
            displacement = displacement + strength * push_apart(tokens)
        if momentum > 0:
            displacement = displacement + momentum * (tokens - before)
        before, tokens = tokens, tokens + displacement
        if np.linalg.norm(tokens - before, axis=1).max() < TOL:
            return tokens, step
    return tokens, MAX_STEPS


@sklearn.config_context(skip_parameter_validation=True, assume_finite=True)
def row(method, noise, num_clusters, seed):
    """The published quantities of one run."""
    features, labels = draw_scene(seed, num_clusters, noise)
    momentum, strength = METHODS[method]
    tokens, steps = simulate(features, draw_tokens(features, seed), momentum, strength)
    predicted = assign(features, tokens).argmax(axis=1)
    gaps = np.linalg.norm(tokens[:, None] - tokens, axis=2)
    return {
        "ari": adjusted_rand_score(labels, predicted),
        "nmi": normalized_mutual_info_score(labels, predicted),
        "sse": ((features - tokens[predicted]) ** 2).sum(),
        "steps": steps,
        "converged": steps < MAX_STEPS,
        "min_inter_token_dist": gaps[gaps > 0].min(),
        "collapsed": float(len(set(predicted)) < max(2, min(NUM_TOKENS, num_clusters) // 2)),
    }
