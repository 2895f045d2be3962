"""Data sets to set and to judge rules on: two halves that share no family parameter, one of them never looked at.

``developed`` is what a rule may be chosen on. ``unseen`` and ``large`` are for judging it: other families, other sizes,
other measurements. Everything is drawn from fixed seeds; the measured sets come with scikit-learn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

NUM_FEATURES = 1200


@dataclasses.dataclass(frozen=True)
class Case:
    """Features `[N, D]`, the labels `[N]` where there are any, and how many clusters they have (or are asked for)."""

    name: str
    features: np.ndarray
    labels: np.ndarray | None
    num_clusters: int


def blobs(
    rng: np.random.Generator, num_clusters: int, num_dimensions: int, *, spread: float, noise: float = 1.0,
    shares: np.ndarray | None = None, tails: float | None = None, stretch: float = 1.0, unit: bool = False,
    count: int = NUM_FEATURES,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Clusters about normal centres: of these shares, with Student's tails, stretched along an axis, of unit norm."""
    labels = rng.choice(num_clusters, count, p=shares)
    centres = rng.normal(0.0, spread, (num_clusters, num_dimensions))
    if tails is None:
        around = rng.normal(0.0, noise, (count, num_dimensions))
    else:
        around = noise * rng.standard_t(tails, (count, num_dimensions))
    around[:, 0] *= stretch
    features = centres[labels] + around
    return (features / np.linalg.norm(features, axis=1, keepdims=True) if unit else features), labels


def arcs(rng: np.random.Generator, *, rings: bool, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Two rings inside each other, or two half moons that interlock."""
    labels = rng.integers(0, 2, NUM_FEATURES)
    angle = rng.uniform(0.0, 2 * np.pi if rings else np.pi, NUM_FEATURES)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if rings:
        features = circle * np.where(labels == 0, 1.0, 0.4)[:, None]
    else:
        features = np.where(labels[:, None] == 0, circle, np.array([1.0, 0.5]) - circle)
    return features + rng.normal(0.0, noise, features.shape), labels


def measured(name: str, *, standardised: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """One of scikit-learn's data sets, at most so many rows of it."""
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(features))[:NUM_FEATURES]
    features, labels = features[rows].astype(float), labels[rows]
    return (features - features.mean(axis=0)) / features.std(axis=0) if standardised else features, labels


def _made(rows: dict[str, tuple[int, Callable[[np.random.Generator], object]]], first_seed: int) -> list[Case]:
    cases = []
    for number, (name, (num_clusters, make)) in enumerate(rows.items()):
        try:
            drawn = make(np.random.default_rng(first_seed + number))
        except ImportError:  # without scikit-learn, its data sets are left out
            continue
        features, labels = drawn if isinstance(drawn, tuple) else (drawn, None)
        cases.append(Case(name, np.asarray(features), labels, num_clusters))
    return cases


def developed() -> list[Case]:
    """The half that rules were chosen on."""
    return _made(
        {
            "3 blobs, D=2": (3, lambda r: blobs(r, 3, 2, spread=6)),
            "5 blobs, D=6": (5, lambda r: blobs(r, 5, 6, spread=3)),
            "8 blobs, D=16, overlapping": (8, lambda r: blobs(r, 8, 16, spread=1)),
            "4 blobs, D=64": (4, lambda r: blobs(r, 4, 64, spread=1)),
            "imbalanced 90/6/3/1, D=6": (4, lambda r: blobs(r, 4, 6, spread=3, shares=np.array([90, 6, 3, 1]) / 100)),
            "Student's t (2), 4 blobs, D=4": (4, lambda r: blobs(r, 4, 4, spread=8, tails=2)),
            "stretched by 5, 4 blobs, D=6": (4, lambda r: blobs(r, 4, 6, spread=3, stretch=5)),
            "unit norm, 10 blobs, D=128": (10, lambda r: blobs(r, 10, 128, spread=1, unit=True)),
            "4 blobs, D=1": (4, lambda r: blobs(r, 4, 1, spread=8)),
            "one Gaussian, D=6": (4, lambda r: r.normal(size=(NUM_FEATURES, 6))),
            "exponential, D=1": (4, lambda r: r.exponential(size=(NUM_FEATURES, 1))),
            "exponential, D=3": (3, lambda r: r.exponential(size=(NUM_FEATURES, 3))),
            "moons": (2, lambda r: arcs(r, rings=False, noise=0.1)),
            "uniform, D=2": (5, lambda r: r.uniform(size=(NUM_FEATURES, 2))),
            "iris": (3, lambda r: measured("iris")),
            "digits": (10, lambda r: measured("digits")),
        },
        100,
    )


def unseen() -> list[Case]:
    """The half that rules are judged on."""
    return _made(
        {
            "2 blobs, D=10": (2, lambda r: blobs(r, 2, 10, spread=1.5)),
            "6 blobs, D=3": (6, lambda r: blobs(r, 6, 3, spread=5)),
            "10 blobs, D=32": (10, lambda r: blobs(r, 10, 32, spread=1.5)),
            "12 blobs, D=8, overlapping": (12, lambda r: blobs(r, 12, 8, spread=1.5)),
            "5 blobs, D=5, far from 0, in millions": (5, lambda r: _far(blobs(r, 5, 5, spread=4))),
            "imbalanced 60/25/10/4/1, D=12": (
                5, lambda r: blobs(r, 5, 12, spread=2, shares=np.array([60, 25, 10, 4, 1]) / 100),
            ),
            "Student's t (1.5), 3 blobs, D=2": (3, lambda r: blobs(r, 3, 2, spread=10, tails=1.5)),
            "stretched by 10, 3 blobs, D=20": (3, lambda r: blobs(r, 3, 20, spread=2, stretch=10)),
            "unit norm, 6 blobs, D=100": (6, lambda r: blobs(r, 6, 100, spread=0.7, unit=True)),
            "unit norm, noise, D=128": (8, lambda r: blobs(r, 1, 128, spread=0, unit=True)[0]),
            "6 blobs, D=1": (6, lambda r: blobs(r, 6, 1, spread=12)),
            "lognormal, D=1": (5, lambda r: r.lognormal(sigma=0.75, size=(NUM_FEATURES, 1))),
            "lognormal, D=5": (4, lambda r: r.lognormal(sigma=0.75, size=(NUM_FEATURES, 5))),
            "Laplace, D=4": (6, lambda r: r.laplace(size=(NUM_FEATURES, 4))),
            "rings": (2, lambda r: arcs(r, rings=True, noise=0.05)),
            "uniform, D=5": (8, lambda r: r.uniform(size=(NUM_FEATURES, 5))),
            "wine": (3, lambda r: measured("wine")),
            "wine, standardised": (3, lambda r: measured("wine", standardised=True)),
            "breast cancer": (2, lambda r: measured("breast_cancer")),
            "breast cancer, standardised": (2, lambda r: measured("breast_cancer", standardised=True)),
        },
        200,
    )  # fmt: skip


def large() -> list[Case]:
    """Also unseen, of 12,000 features each: many times what a forecast reads."""
    count = 12_000
    return _made(
        {
            "7 blobs, D=4": (7, lambda r: blobs(r, 7, 4, spread=3, count=count)),
            "imbalanced 70/20/9/1, D=16": (
                4, lambda r: blobs(r, 4, 16, spread=2, shares=np.array([70, 20, 9, 1]) / 100, count=count),
            ),
            "Student's t (2.5), 5 blobs, D=3": (5, lambda r: blobs(r, 5, 3, spread=6, tails=2.5, count=count)),
            "gamma (0.5), D=2": (6, lambda r: r.gamma(0.5, size=(count, 2))),
            "one Gaussian, stretched by 3, D=16": (8, lambda r: blobs(r, 1, 16, spread=0, stretch=3, count=count)[0]),
            "unit norm, 8 blobs, D=128": (8, lambda r: blobs(r, 8, 128, spread=0.8, unit=True, count=count)),
            "unit norm, noise, D=64": (5, lambda r: blobs(r, 1, 64, spread=0, unit=True, count=count)[0]),
            "uniform, D=1": (3, lambda r: r.uniform(size=(count, 1))),
        },
        300,
    )  # fmt: skip


def _far(drawn: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return 1e6 * (drawn[0] + 100.0), drawn[1]
