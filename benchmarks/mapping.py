"""Maps that keep neighbours, beside umap-learn, t-SNE and PaCMAP: what they keep, of new features too, and their time.

Everything by the defaults of each library; metric and dimensions are given. Kept is the share of each row's five
nearest others that are among its five nearest in the map. New features, a fifth of the rows, are mapped by what was
fitted to the others, then asked about all rows; where a library cannot map them, k-nearest-neighbour regression on its
map does.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.machine import num_cores
from benchmarks.record import Entry, Section
from tokdyn import geometry
from tokdyn.geometry.preservation import Metric
from tokdyn.geometry.projection import Form
from tokdyn.stats import mean_interval

SEEDS, NEAR, HELD_OUT = 10, 5, 0.2
FEWER = {"tokdyn, network": 3}  # seeds of what takes a minute each
Mapped = tuple[np.ndarray, np.ndarray]  # fitted rows, and new ones
Fit = Callable[[np.ndarray, np.ndarray, int, Metric, int], Mapped]


class Data(NamedTuple):
    """Features and the map that is asked for.

    Attributes:
        rows: `[N, D]`.
        metric: of the features.
        dimensions: of the map.
    """

    rows: np.ndarray
    metric: Metric
    dimensions: int


def data() -> dict[str, Data]:
    """The published words, a thousand words, and scikit-learn's digits."""
    from sklearn.datasets import load_digits

    table = geometry.word_vectors()
    published = [word for members in geometry.PUBLISHED_CATEGORIES.values() for word in members]
    return {
        "36 words, 8-D": Data(np.asarray(table.of(published), np.float32), "cosine", 8),
        "1,000 words, 2-D": Data(np.asarray(table.vectors[:1000], np.float32), "cosine", 2),
        "digits, 2-D": Data(load_digits().data.astype(np.float32), "euclidean", 2),
    }


def _ours(form: Form) -> Fit:
    def fit(rows: np.ndarray, new: np.ndarray, dimensions: int, metric: Metric, seed: int) -> Mapped:
        made = geometry.train_map(
            rows, key=jax.random.key(seed), dimensions=dimensions, metric=metric, form=form,
            num_neighbours=min(15, len(rows) - 1),
        )  # fmt: skip
        return np.asarray(made(rows)), np.asarray(made(new)) if len(new) else np.zeros((0, dimensions))

    return fit


def _umap(rows: np.ndarray, new: np.ndarray, dimensions: int, metric: Metric, seed: int) -> Mapped:
    import umap

    made = umap.UMAP(n_components=dimensions, metric=metric, random_state=seed).fit(rows)
    return made.embedding_, made.transform(new) if len(new) else np.zeros((0, dimensions))


def _tsne(rows: np.ndarray, new: np.ndarray, dimensions: int, metric: Metric, seed: int) -> Mapped:
    from sklearn.manifold import TSNE

    made = TSNE(
        dimensions, metric=metric, random_state=seed, init="pca", method="exact" if dimensions > 3 else "barnes_hut",
        perplexity=min(30.0, (len(rows) - 1) / 3),
    ).fit_transform(rows)  # fmt: skip
    return made, _regressed(rows, made, new, metric)


def _pacmap(rows: np.ndarray, new: np.ndarray, dimensions: int, metric: Metric, seed: int) -> Mapped:
    import pacmap

    name = "angular" if metric == "cosine" else metric
    made = pacmap.PaCMAP(n_components=dimensions, distance=name, random_state=seed).fit_transform(rows, init="pca")
    return made, _regressed(rows, made, new, metric)


def _regressed(rows: np.ndarray, made: np.ndarray, new: np.ndarray, metric: Metric) -> np.ndarray:
    from sklearn.neighbors import KNeighborsRegressor

    if not len(new):
        return np.zeros((0, made.shape[1]))
    return KNeighborsRegressor(NEAR, metric=metric, weights="distance").fit(rows, made).predict(new)


FORMS: dict[str, Fit] = {
    "tokdyn": _ours("positions"),
    "tokdyn, network": _ours("network"),
    "umap-learn": _umap,
    "t-SNE (scikit-learn), regression": _tsne,
    "PaCMAP, regression": _pacmap,
}


def kept(source: np.ndarray, mapped: np.ndarray) -> np.ndarray:
    """Share of each row's nearest others that stay `[N]`, from indices of neighbours `[N, k]`."""
    return np.array([len(set(one) & set(other)) for one, other in zip(source, mapped, strict=True)]) / source.shape[1]


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``maps``; a quick one has two seeds and no more than 300 rows."""
    entries, facts = [], {}
    for title, (rows, metric, dimensions) in data().items():
        if quick:
            rows = rows[:300]
        source = geometry.nearest_neighbours(rows, NEAR, metric=metric).indices
        for form, fit in FORMS.items():
            name = f"{title}: {form}"
            whole, new, wall, cpu = [], [], [], []
            try:
                for seed in range(2 if quick else FEWER.get(form, SEEDS)):
                    held = _held_out(len(rows), seed)
                    begun, used = time.perf_counter(), time.process_time()
                    placed, _ = _silent(fit, rows, rows[:0], dimensions, metric, seed)
                    wall.append(time.perf_counter() - begun)
                    cpu.append(time.process_time() - used)
                    whole.append(kept(source, geometry.nearest_neighbours(placed, NEAR).indices).mean())
                    if title.startswith("36"):
                        continue
                    both = np.empty((len(rows), dimensions))
                    both[~held], both[held] = _silent(fit, rows[~held], rows[held], dimensions, metric, seed)
                    new.append(kept(source, geometry.nearest_neighbours(both, NEAR).indices)[held].mean())
            except ImportError as error:
                entries.append(Entry(name, cores=num_cores(), missing=str(error)))
                continue
            entries.append(Entry(name, 1, wall[1:], cpu[1:], num_cores()))
            facts[name] = {
                "kept": _told(whole), **({"kept of new": _told(new)} if new else {}),
                "first time, s": round(wall[0], 1), "seeds": len(whole),
            }  # fmt: skip
    return Section("maps that keep neighbours", "maps", entries, facts=facts, in_seconds=True)


def _held_out(count: int, seed: int) -> np.ndarray:
    held = np.zeros(count, bool)
    held[np.random.default_rng(seed).permutation(count)[: int(HELD_OUT * count)]] = True
    return held


def _silent(fit: Fit, *given: Any) -> Mapped:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other libraries: that one core suffices, that a graph is in pieces
        return fit(*given)


def _told(values: list[float]) -> str:
    found = mean_interval(np.array(values), within=(0, 1))
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
