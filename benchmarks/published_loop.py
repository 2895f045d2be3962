"""The published study as one would write it: NumPy and scikit-learn, one run after another. Nothing here is tokdyn's.

Run as a program (``python -m benchmarks.published_loop FILE``) it is the whole study: 1,080 rows in a CSV file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

# Momentum and repulsion of the four rules.
RULES = {"baseline": (0.0, 0.0), "inertia": (0.5, 0.0), "repulsion": (0.0, 0.05), "inertia_repulsion": (0.5, 0.05)}
NOISES = (0.3, 0.6, 0.9)
CLUSTERS = (3, 4, 5)
SEEDS = 30
POINTS, DIMENSIONS, TOKENS = 80, 6, 4
TEMPERATURE, RATE, MASS_FLOOR, EPS = 1.0, 1.0, 1e-9, 1e-3
TOL, MAX_STEPS, JITTER = 1e-3, 30, 0.05


def draw(seed: int, num_clusters: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features `[N, D]`, labels `[N]` and starting tokens `[K, D]` of one scene."""
    stream = np.random.RandomState(seed)
    centres = stream.uniform(-5.0, 5.0, size=(num_clusters, DIMENSIONS))
    clusters = [centre + stream.normal(0.0, noise, size=(POINTS, DIMENSIONS)) for centre in centres]
    features = np.vstack(clusters)
    stream = np.random.RandomState(seed + 1234)
    rows = stream.choice(len(features), size=TOKENS, replace=False)
    tokens = features[rows] + stream.normal(scale=JITTER, size=(TOKENS, DIMENSIONS))
    return features, np.repeat(np.arange(num_clusters), POINTS), tokens


def responsibilities(features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Softmax over tokens of minus squared distance over temperature `[N, K]`."""
    differences = features[:, None, :] - tokens[None, :, :]
    logits = -np.sum(differences**2, axis=-1) / TEMPERATURE
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def repel(tokens: np.ndarray) -> np.ndarray:
    """Sum over the other tokens of the difference over the cube of the softened distance `[K, D]`."""
    differences = tokens[:, None, :] - tokens[None, :, :]
    distances = np.linalg.norm(differences, axis=-1) + EPS
    # A token's difference to itself is zero, so its own term adds nothing.
    return np.sum(differences / distances[:, :, None] ** 3, axis=1)


def simulate(
    features: np.ndarray, tokens: np.ndarray, momentum: float, strength: float, *, tol: float = TOL
) -> tuple[np.ndarray, int]:
    """Final tokens, and the steps taken."""
    before = tokens
    for step in range(1, MAX_STEPS + 1):
        weights = responsibilities(features, tokens)
        means = (weights.T @ features) / (weights.sum(axis=0)[:, None] + MASS_FLOOR)
        displacement = RATE * (means - tokens)
        if strength > 0:
            displacement = displacement + strength * repel(tokens)
        if momentum > 0:
            displacement = displacement + momentum * (tokens - before)
        before, tokens = tokens, tokens + displacement
        if np.max(np.linalg.norm(tokens - before, axis=1)) < tol:
            return tokens, step
    return tokens, MAX_STEPS


def scores(features: np.ndarray, labels: np.ndarray, tokens: np.ndarray, steps: int) -> dict[str, Any]:
    """What the study writes down about a run."""
    predicted = responsibilities(features, tokens).argmax(axis=1)
    gaps = np.linalg.norm(tokens[:, None, :] - tokens[None, :, :], axis=-1)
    apart = gaps[gaps > 0]
    fewest = max(2, min(TOKENS, len(np.unique(labels))) // 2)
    return {
        "ari": adjusted_rand_score(labels, predicted),
        "nmi": normalized_mutual_info_score(labels, predicted),
        "sse": float(np.sum((features - tokens[predicted]) ** 2)),
        "num_steps": steps,
        "min_token_distance": float(apart.min()) if len(apart) else 0.0,
        "collapsed": len(np.unique(predicted)) < fewest,
    }


def rows(seeds: int = SEEDS) -> Iterator[dict[str, Any]]:
    """Every run of so many seeds; a scene is drawn once and shared by the four rules."""
    for noise in NOISES:
        for num_clusters in CLUSTERS:
            for seed in range(seeds):
                features, labels, start = draw(seed, num_clusters, noise)
                for rule, (momentum, strength) in RULES.items():
                    tokens, steps = simulate(features, start, momentum, strength)
                    cell = {"rule": rule, "noise": noise, "clusters": num_clusters, "seed": seed}
                    yield cell | scores(features, labels, tokens, steps)


def main(path: str) -> None:
    """The whole study, its table of means, and its paired tests, into files, as the published code does."""
    import pandas as pd
    from scipy import stats

    table = pd.DataFrame(rows())
    table.to_csv(path, index=False)
    table.groupby(["rule", "noise", "clusters"])[["ari", "nmi", "sse", "num_steps"]].agg(["mean", "std"]).to_csv(
        path + ".summary"
    )
    wide = table.pivot(index=["noise", "clusters", "seed"], columns="rule", values="ari")
    for _, condition in wide.groupby(level=["noise", "clusters"]):
        for rule in list(RULES)[1:]:
            stats.ttest_rel(condition[rule], condition["baseline"])


if __name__ == "__main__":
    main(sys.argv[1])
