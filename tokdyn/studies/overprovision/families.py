"""Families of data: those on which the rule for a temperature was built, and those held back to judge it.

The split was written down before the rule was. A family that was looked at while the rule was changed is built on.
"""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """Scenes that differ only in their draws.

    Attributes:
        title: in words, for tables.
        sizes: features of each true cluster.
        noise: standard deviation of a cluster, or of each.
        spread: half the width of the box of the centres.
        stretch: of clusters along their own directions.
        tail_index: of the features' distances.
        group_size: clusters in a group.
        group_spread: half the width of a group's box.
        num_background: features that belong to no cluster.
        num_dimensions: of the features.
        source: mixture, moons, rings, or the name of a real data set.
    """

    title: str
    sizes: tuple[int, ...]
    noise: float | tuple[float, ...] = 0.6
    spread: float = 5.0
    stretch: float = 1.0
    tail_index: float = float("inf")
    group_size: int = 1
    group_spread: float = 0.0
    num_background: int = 0
    num_dimensions: int = 6
    source: str = "mixture"


def _published(clusters: int, noise: float) -> Family:
    return Family(f"{clusters} clusters, noise {noise:g}", (80,) * clusters, noise)


PUBLISHED = {
    f"study_{clusters}_{noise:g}": _published(clusters, noise) for noise in (0.3, 0.6, 0.9) for clusters in (3, 4, 5)
}
BUILT_ON = {
    **PUBLISHED,
    "overlap": Family("overlapping clusters", (80,) * 4, spread=2.0),
    "imbalanced": Family("250, 50, 15 and 5 features", (250, 50, 15, 5)),
    "background": Family("as many background features", (50,) * 4, num_background=200),
    "one": Family("a single cluster", (320,)),
}
HELD_BACK = {
    "high_dimension": Family("64 dimensions", (80,) * 4, num_dimensions=64),
    "anisotropic": Family("clusters five times as long", (80,) * 4, stretch=5.0),
    "widths": Family("clusters of four widths", (80,) * 4, (0.2, 0.4, 0.8, 1.2)),
    "nested": Family("16 clusters in 4 groups", (25,) * 16, 0.15, group_size=4, group_spread=1.0),
    "heavy_tails": Family("heavy tails, index 1.5", (80,) * 4, tail_index=1.5),
    "two": Family("two clusters", (160,) * 2),
    "seven": Family("seven clusters", (57,) * 7),
    "twelve": Family("twelve clusters", (33,) * 12),
    "one_stretched": Family("a single long cluster", (320,), stretch=5.0),
    "moons": Family("moons", (200,) * 2, 0.1, num_dimensions=2, source="moons"),
    "rings": Family("rings", (200,) * 2, 0.05, num_dimensions=2, source="rings"),
    "iris": Family("iris", (50,) * 3, num_dimensions=4, source="iris"),
    "wine": Family("wine", (59, 71, 48), num_dimensions=13, source="wine"),
    "cancer": Family("cancer", (212, 357), num_dimensions=30, source="cancer"),
    "digits": Family("digits", (178, 182, 177, 183, 181, 182, 181, 179, 174, 180), num_dimensions=64, source="digits"),
}
