"""How many clusters scikit-learn finds on the same scenes: mixtures by BIC, k-means by silhouettes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import jax
import numpy as np

from tokdyn import keys
from tokdyn.solve import vmap
from tokdyn.studies.overprovision.design import METHODS, MOST_CLUSTERS, Config
from tokdyn.studies.overprovision.families import Family
from tokdyn.studies.overprovision.scenes import Scene, drawing
from tokdyn.studies.store import kept


def by_scikit_learn(features: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, tuple[int, float]]:
    """Number of clusters and adjusted Rand index by GMM + BIC and by k-means + silhouette.

    Args:
        features: `[N, D]`.
        labels: true clusters `[N]`, -1 for background.
        seed: of both methods' starts.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from sklearn.mixture import GaussianMixture

    criteria: list[float] = []
    silhouettes: list[float] = []
    partitions: dict[str, list[np.ndarray]] = {"mixture": [], "silhouette": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for count in range(1, MOST_CLUSTERS + 1):
            mixture = GaussianMixture(count, covariance_type="spherical", random_state=seed).fit(features)
            criteria.append(float(mixture.bic(features)))
            partitions["mixture"].append(mixture.predict(features))
            if count > 1:
                found = KMeans(count, n_init=1, random_state=seed).fit(features)
                several = len(set(found.labels_.tolist())) > 1
                silhouettes.append(float(silhouette_score(features, found.labels_)) if several else -1.0)
                partitions["silhouette"].append(found.labels_)
    best = {"mixture": int(np.argmin(criteria)), "silhouette": int(np.argmax(silhouettes))}
    counted = labels >= 0
    return {
        name: (
            index + (1 if name == "mixture" else 2),
            float(adjusted_rand_score(labels[counted], partitions[name][index][counted])),
        )
        for name, index in best.items()
    }


def on_all(
    shapes: Mapping[str, Mapping[str, Family]], config: Config, key: jax.Array, store: str, step: Callable[[int], None]
) -> dict[str, dict[str, np.ndarray]]:
    """``{method: {"chosen", "score": [family, seed]}}``, kept family by family.

    Args:
        shapes: families by name, those of one shape of arrays together.
        config: of the study.
        key: of the scenes.
        store: where what is found is kept; empty for nowhere.
        step: told how many scenes are done.
    """
    from joblib import Parallel, delayed, parallel_config  # comes with scikit-learn

    finished = 0
    rows: dict[str, dict[str, list[np.ndarray]]] = {method: {"chosen": [], "score": []} for method in METHODS[1:]}
    # Processes: fits as small as these hold the interpreter's lock most of the time, and gain nothing from threads.
    with parallel_config(backend="loky", inner_max_num_threads=1), Parallel(n_jobs=-1) as together:
        for members in shapes.values():
            scenes_of = drawn(list(members.values()), config, key)
            for number, (name, family) in enumerate(members.items()):

                def make(number: int = number, scenes_of: Callable[[int], Scene] = scenes_of) -> dict[str, np.ndarray]:
                    scenes = scenes_of(number)
                    one = delayed(by_scikit_learn)
                    found = together(one(*_existing(scenes, seed), seed) for seed in range(config.seeds))
                    return {method: np.array([each[method] for each in found]) for method in METHODS[1:]}

                design = {"family": repr(family), "seeds": config.seeds, "key": config.key}
                found = kept(store, name, design, make, format="tokdyn.overprovision", schema_version=1).value
                for method in METHODS[1:]:
                    rows[method]["chosen"].append(found[method][:, 0])
                    rows[method]["score"].append(found[method][:, 1])
                finished += config.seeds
                step(finished)
    return {method: {name: np.stack(values) for name, values in each.items()} for method, each in rows.items()}


def drawn(members: list[Family], config: Config, key: jax.Array) -> Callable[[int], Scene]:
    """The scenes of one of the families for all seeds, as the sweep draws them `[seeds, ...]`, in one program."""
    own = drawing(members)
    draw = jax.jit(vmap(lambda number, seed: own(number, keys.for_seed(key, seed)), in_axes=(None, 0)))
    return lambda number: jax.tree.map(np.asarray, draw(np.float32(number), np.arange(config.seeds)))


def _existing(scenes: Scene, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a scene that exist, in float64."""
    features, labels, mask = (np.asarray(one[seed]) for one in scenes)
    return features[mask].astype(np.float64), labels[mask]
