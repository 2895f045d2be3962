"""One run of the token-dynamics study, and all of them at once.

Every run is a pure function of a scene and a method; a chunk of seeds is a sweep over numbers of rules and scenes.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, metrics
from tokdyn.compiling import started
from tokdyn.data import Blobs
from tokdyn.dynamics import Dynamics, catalog
from tokdyn.solve import run, trajectory
from tokdyn.studies.dynamics.design import DIMENSIONS, Config, Shape
from tokdyn.studies.dynamics.scenes import chunks_of, published_scenes
from tokdyn.studies.output import import_ahead
from tokdyn.sweeps import grid, sweep

if TYPE_CHECKING:
    import xarray


class Ended(NamedTuple):
    """How a run ended, as far as its scores ask.

    Attributes:
        tokens: `[K, D]`.
        assignment: `[N, K]`.
        num_steps: taken `[]`.
        status: code `[]`.
        residual: largest force on a token in the last step `[]`.
    """

    tokens: jax.Array
    assignment: jax.Array
    num_steps: jax.Array
    status: jax.Array
    residual: jax.Array


def ended(dynamics: Dynamics, scene: Blobs, tokens: jax.Array, tol: jax.Array, *, max_steps: int) -> Ended:
    """Simulate one run.

    Args:
        dynamics: the method.
        scene: features `[N, D]`, labels and mask `[N]`.
        tokens: the start `[K, D]`.
        tol: of the stopping rule `[]`.
        max_steps: at most so many steps (static).
    """
    result = run(dynamics, None, scene.features, tokens=tokens, mask=scene.mask, max_steps=max_steps, tol=tol)
    return Ended(result.tokens, result.assignment, result.num_steps, result.status, result.residual)


def scored(
    found: Ended, scene: Blobs, num_clusters: jax.Array, resolution: jax.Array, *, num_labels: int
) -> dict[str, jax.Array]:
    """Judge one run: one number for every name of ``VARIABLES``.

    Args:
        found: how it ended.
        scene: features `[N, D]`, labels and mask `[N]`.
        num_clusters: true number of clusters `[]`.
        resolution: tokens nearer than this count as one `[]`.
        num_labels: the largest number of clusters (static).
    """
    num_tokens, predicted, mask = len(found.tokens), found.assignment.argmax(axis=-1), scene.mask
    table = metrics.contingency(scene.labels, predicted, num_labels=num_labels, num_predicted=num_tokens, mask=mask)
    coincident = metrics.all_coincident(found.tokens)
    return {
        "ari": metrics.adjusted_rand_index_from(table),
        "nmi": metrics.normalized_mutual_information_from(table),
        "fowlkes_mallows": metrics.fowlkes_mallows_from(table),
        "purity": metrics.purity_from(table),
        "sse": metrics.sum_squared_errors(scene.features, found.tokens, predicted, mask=mask),
        "num_steps": found.num_steps,
        "status": jnp.where(coincident, checks.Status.COINCIDENT, found.status).astype(jnp.int32),
        "residual": found.residual,
        "min_token_distance": metrics.min_token_distance(found.tokens),
        "collapsed": metrics.published_collapse(predicted, num_tokens=num_tokens, num_clusters=num_clusters, mask=mask),
        "live_tokens": metrics.live_tokens(predicted, num_tokens=num_tokens, mask=mask),
        "distinct_tokens": metrics.distinct_tokens(found.tokens, resolution),
        "merged_ari": metrics.merged_adjusted_rand_index(
            scene.labels, predicted, found.tokens, resolution=resolution, num_labels=num_labels, mask=mask
        ),
        "usage_perplexity": metrics.usage_perplexity(found.assignment, mask=mask),
        "assignment_entropy": metrics.mean_assignment_entropy(found.assignment, mask=mask),
        "effective_rank": metrics.effective_rank(found.tokens),
    }


def evaluate(
    dynamics: Dynamics,
    scene: Blobs,
    tokens: jax.Array,
    num_clusters: jax.Array,
    tol: jax.Array,
    resolution: jax.Array,
    *,
    shape: Shape,
) -> dict[str, jax.Array]:
    """One run of the study, simulated and judged, for a sweep: arguments as of ``ended`` and ``scored``."""
    found = ended(dynamics, scene, tokens, tol, max_steps=shape.max_steps)
    return scored(found, scene, num_clusters, resolution, num_labels=shape.num_labels)


VARIABLES = {
    "ari": "adjusted Rand index of the hard assignment",
    "nmi": "normalised mutual information, arithmetic mean",
    "fowlkes_mallows": "Fowlkes-Mallows index",
    "purity": "share of features whose token's majority label is theirs",
    "sse": "sum of squared distances to the own token",
    "num_steps": "steps taken, counting the one that met the tolerance",
    "status": "tokdyn Status code",
    "residual": "largest force on a token in the last step",
    "min_token_distance": "smallest non-zero distance between tokens",
    "collapsed": "the published flag: fewer than max(2, min(tokens, clusters) // 2) tokens own features",
    "live_tokens": "tokens that own at least one feature",
    "distinct_tokens": "tokens after merging those nearer than the resolution",
    "merged_ari": "adjusted Rand index after that merging",
    "usage_perplexity": "exp of the entropy of the mean assignment",
    "assignment_entropy": "mean entropy of a feature's assignment, nats",
    "effective_rank": "exp of the entropy of the tokens' normalised singular values",
}


MEANINGS = {
    **VARIABLES,
    **{
        f"{name}_{precision}": f"{VARIABLES[name]}, in {precision}"
        for name in ("ari", "num_steps")
        for precision in ("float32", "float64")
    },
    "example_features": "features of the scene that the figures show",
    "example_labels": "true cluster of each of its features",
    "example_path": "positions of the tokens in it, the start as step 0",
}


# From so many runs on a study goes on for long enough to earn what lanes take longer to compile: 0.2 s against 0.04 s
# that 1,080 runs in float32 save (2 cores, jax 0.10.1).
MANY_RUNS = 10_000


def by_number(config: dict[str, Any], key: jax.Array, *, shape: Shape, names: tuple[str, ...]) -> dict[str, jax.Array]:
    """A run of scenes that were drawn before, for a sweep over numbers of rules and scenes.

    The run is simulated in the precision of the features and judged in that of ``config["resolution"]``: what then
    differs between two precisions is how the runs ended.

    Args:
        config: ``methods``, leaves `[M]`; ``scenes`` and ``tokens``, leaves `[R, ...]`; ``num_clusters`` `[R]`; the
            numbers ``rule`` and ``scene``; ``tol``; ``resolution``.
        key: unused: nothing is drawn.
        shape: what chooses the program (static).
        names: of ``VARIABLES`` to return (static).
    """

    def picked(tree: Any, number: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[number], tree)

    scene, tokens = picked((config["scenes"], config["tokens"]), config["scene"])
    found = ended(picked(config["methods"], config["rule"]), scene, tokens, config["tol"], max_steps=shape.max_steps)
    precision = config["resolution"].dtype
    found, scene = jax.tree.map(
        lambda leaf: leaf.astype(precision) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, (found, scene)
    )
    count = config["num_clusters"][config["scene"]]
    scores = scored(found, scene, count, config["resolution"], num_labels=shape.num_labels)
    return {name: scores[name] for name in names}


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True
) -> xarray.Dataset:
    """``VARIABLES`` over rule, noise, clusters and seed; with an example, the paths of the tokens in one scene, too."""
    start = time.perf_counter()
    main, other = ("float64", "float32") if config.x64 else ("float32", "float64")
    chosen = {main: tuple(VARIABLES)}
    if config.data == "published":  # in the other precision too: how many rows hang on the last digits?
        chosen[other] = ("ari", "num_steps")
    shape = Shape(config.num_tokens, config.max_steps, max(config.clusters))
    lead = (len(config.rules), len(config.noises), len(config.clusters))
    total = int(np.prod(lead)) * config.seeds
    evaluate = {
        precision: functools.partial(by_number, shape=shape, names=names) for precision, names in chosen.items()
    }
    if total < MANY_RUNS and jax.default_backend() == "cpu":
        # One after the other: a loop that many runs take turns in would take longer to compile than it saves.
        evaluate = {precision: jax.custom_batching.sequential_vmap(one) for precision, one in evaluate.items()}
    parts: dict[str, list[np.ndarray]] = {}
    with jax.enable_x64(main == "float64"):
        for seeds, scenes, tokens, num_clusters in chunks_of(config, main):
            base = {"scenes": scenes, "tokens": tokens, "num_clusters": num_clusters}
            swept = {
                precision: started(_swept, config, one, base, precision, main) for precision, one in evaluate.items()
            }
            if not parts:
                import_ahead()
            for precision, names in chosen.items():
                found = swept[precision].result()
                for name in names:
                    # Rule x (noise x clusters x seed); the last chunk is padded.
                    values = found[name].values.reshape(*lead, -1)[..., : len(seeds)]
                    parts.setdefault(name if precision == main else f"{name}_{other}", []).append(values)
            if progress is not None:
                progress((int(seeds[-1]) + 1) * total // config.seeds, total)
    import xarray

    coordinates = {
        "rule": np.array(config.rules, object),  # Zarr 3 has no stable fixed-length text
        "noise": list(config.noises),
        "clusters": list(config.clusters),
        "seed": np.arange(config.seeds),
    }
    variables = {name: (DIMENSIONS, np.concatenate(chunks, axis=-1)) for name, chunks in parts.items()}
    seconds = time.perf_counter() - start
    dataset = xarray.Dataset(variables, coordinates, {"precision": main, "simulation_seconds": seconds})
    return dataset.merge(example(config)) if with_example else dataset


def _swept(config: Config, evaluate: Any, base: dict[str, Any], precision: str, main: str) -> xarray.Dataset:
    """A chunk, simulated in one precision and judged in another, ``main``: dimensions rule, scene, seed."""
    with jax.enable_x64(main == "float64" or precision == "float64"):
        base = jax.tree.map(
            lambda leaf: np.asarray(leaf, precision if np.issubdtype(leaf.dtype, np.floating) else leaf.dtype), base
        )
        base |= {"methods": stacked_methods(config), "rule": 0, "scene": 0, "tol": np.asarray(config.tol, precision)}
        base["resolution"] = np.asarray(config.resolution, main)
        space = grid({"rule": range(len(config.rules)), "scene": range(len(base["num_clusters"]))})
        return sweep(evaluate, base, space, seeds=1, key=jax.random.key(0))


def stacked_methods(config: Config) -> Dynamics:
    """All methods as one dynamics with leaves `[M]`: they differ in numbers only."""
    each = [catalog.published(name, temperature=config.temperature, rate=config.rate) for name in config.rules]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


def example(config: Config) -> xarray.Dataset:
    """The paths of the tokens in one scene (first noise and clusters, seed 0), for every rule.

    Args:
        config: the design.

    Returns:
        example_features `[feature, dimension]`, example_labels `[feature]`, example_path
        `[rule, step, token, dimension]`, the start as step 0.
    """
    import xarray

    grid = [(config.noises[0], config.clusters[0])]
    smallest = dataclasses.replace(config, clusters=(config.clusters[0],), data="published")
    with jax.enable_x64(True):
        scenes, tokens = published_scenes(smallest, grid, np.zeros(1, int), "float64")
        features = scenes.features[0]
        paths = jax.vmap(
            lambda dynamics: trajectory(dynamics, None, features, tokens=tokens[0], num_steps=config.max_steps)[1]
        )(stacked_methods(config))
    start = np.broadcast_to(tokens[0], (len(config.rules), 1, *tokens[0].shape))
    path = np.concatenate([start, np.asarray(paths)], axis=1)
    return xarray.Dataset(
        {
            "example_features": (("feature", "dimension"), features),
            "example_labels": (("feature",), scenes.labels[0]),
            "example_path": (("rule", "step", "token", "dimension"), path),
        },
        attrs={},
    )
