"""One run of the token-dynamics study, and all of them at once.

Every run is a pure function of a scene and a method; a chunk of seeds is one call of one compiled program.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray

from tokdyn import checks, metrics
from tokdyn.data import Blobs
from tokdyn.dynamics import Dynamics, catalog
from tokdyn.solve import run, trajectory, vmap
from tokdyn.solve.lanes import MOST_LANES
from tokdyn.studies.dynamics.design import DIMENSIONS, Config, Shape
from tokdyn.studies.dynamics.scenes import chunks_of, published_scenes
from tokdyn.studies.output import recorded

SCHEMA_VERSION = 1


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
    """One run of the study: simulate, then score.

    Args:
        dynamics: the method.
        scene: features `[N, D]`, labels and mask `[N]`.
        tokens: the start `[K, D]`.
        num_clusters: true number of clusters `[]`.
        tol: of the stopping rule `[]`.
        resolution: tokens nearer than this count as one `[]`.
        shape: static sizes.

    Returns:
        One number for every name of ``VARIABLES``.
    """
    result = run(dynamics, None, scene.features, tokens=tokens, mask=scene.mask, max_steps=shape.max_steps, tol=tol)
    predicted = result.assignment.argmax(axis=-1)
    table = metrics.contingency(
        scene.labels, predicted, num_labels=shape.num_labels, num_predicted=shape.num_tokens, mask=scene.mask
    )
    coincident = metrics.all_coincident(result.tokens)
    return {
        "ari": metrics.adjusted_rand_index_from(table),
        "nmi": metrics.normalized_mutual_information_from(table),
        "fowlkes_mallows": metrics.fowlkes_mallows_from(table),
        "purity": metrics.purity_from(table),
        "sse": metrics.sum_squared_errors(scene.features, result.tokens, predicted, mask=scene.mask),
        "num_steps": result.num_steps,
        "status": jnp.where(coincident, checks.Status.COINCIDENT, result.status).astype(jnp.int32),
        "residual": result.residual,
        "min_token_distance": metrics.min_token_distance(result.tokens),
        "collapsed": metrics.published_collapse(
            predicted, num_tokens=shape.num_tokens, num_clusters=num_clusters, mask=scene.mask
        ),
        "live_tokens": metrics.live_tokens(predicted, num_tokens=shape.num_tokens, mask=scene.mask),
        "distinct_tokens": metrics.distinct_tokens(result.tokens, resolution),
        "merged_ari": metrics.merged_adjusted_rand_index(
            scene.labels,
            predicted,
            result.tokens,
            resolution=resolution,
            num_labels=shape.num_labels,
            mask=scene.mask,
        ),
        "usage_perplexity": metrics.usage_perplexity(result.assignment, mask=scene.mask),
        "assignment_entropy": metrics.mean_assignment_entropy(result.assignment, mask=scene.mask),
        "effective_rank": metrics.effective_rank(result.tokens),
    }


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


@functools.partial(jax.jit, static_argnames=("shape", "names"))
def simulate(
    methods: Dynamics,
    scenes: Blobs,
    tokens: jax.Array,
    num_clusters: jax.Array,
    tol: jax.Array,
    resolution: jax.Array,
    *,
    shape: Shape,
    names: tuple[str, ...] = tuple(VARIABLES),
) -> dict[str, jax.Array]:
    """Every method on every scene, in blocks of one method so that the runs of a block take similar steps.

    Args:
        methods: leaves `[M]`.
        scenes: leaves `[R, ...]`.
        tokens: `[R, K, D]`.
        num_clusters: `[R]`.
        tol: `[]`.
        resolution: `[]`.
        shape: static sizes.
        names: the variables wanted (static); others are not compiled.

    Returns:
        Every such variable as `[M, R]`.
    """
    num_methods, num_scenes = jax.tree.leaves(methods)[0].shape[0], tokens.shape[0]

    def one(method: jax.Array, scene: jax.Array) -> dict[str, jax.Array]:
        dynamics = jax.tree.map(lambda leaf: leaf[method], methods)
        chosen = jax.tree.map(lambda leaf: leaf[scene], scenes)
        scores = evaluate(dynamics, chosen, tokens[scene], num_clusters[scene], tol, resolution, shape=shape)
        return {name: scores[name] for name in names}

    method, scene = np.divmod(np.arange(num_methods * num_scenes), num_scenes)
    # As many runs as lanes: with so few runs, a loop that loads others would take longer to compile than it saves.
    scores = vmap(one, batch_size=MOST_LANES)(jnp.asarray(method), jnp.asarray(scene))
    return jax.tree.map(lambda x: x.reshape(num_methods, num_scenes), scores)


def run_study(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True
) -> xarray.Dataset:
    """The whole study.

    Args:
        config: the design.
        progress: called with (runs done, runs in all) after each chunk.
        with_example: also compute the paths of the tokens in one scene, for the figures.

    Returns:
        A Dataset with dimensions rule, noise, clusters, seed; the design, versions and times in ``attrs``.

    Raises:
        ValueError: a design that cannot be run.

    Example:
        >>> from tokdyn.studies import dynamics
        >>> dataset = dynamics.run(dynamics.Config(seeds=2, clusters=(3,)), with_example=False)
        >>> dict(dataset.sizes)
        {'rule': 4, 'noise': 3, 'clusters': 1, 'seed': 2}
    """
    config = config.checked()
    start = time.perf_counter()
    main = "float64" if config.x64 else "float32"
    scores = _all_runs(config, main, progress)
    seconds = time.perf_counter() - start
    coordinates = {
        "rule": np.array(config.rules, object),  # Zarr 3 has no stable fixed-length text
        "noise": list(config.noises),
        "clusters": list(config.clusters),
        "seed": np.arange(config.seeds),
    }
    variables = {name: (DIMENSIONS, values, {"long_name": VARIABLES[name]}) for name, values in scores.items()}
    if config.data == "published":
        # The same scenes in the other precision: how many rows hang on the last digits?
        other = "float32" if config.x64 else "float64"
        again = _all_runs(config, other, None, ("ari", "num_steps"))
        for name in again:
            variables[f"{name}_{other}"] = (DIMENSIONS, again[name], {"long_name": f"{VARIABLES[name]}, in {other}"})
    dataset = xarray.Dataset(variables, coordinates)
    if with_example:
        dataset = dataset.merge(example(config))
    return recorded(
        dataset, "dynamics", dataclasses.asdict(config), schema_version=SCHEMA_VERSION, seconds=seconds, precision=main
    )


def _all_runs(
    config: Config,
    precision: str,
    progress: Callable[[int, int], None] | None,
    names: tuple[str, ...] = tuple(VARIABLES),
) -> dict[str, np.ndarray]:
    """Every variable as ``[rule, noise, clusters, seed]``, chunk by chunk."""
    shape = Shape(config.num_tokens, config.max_steps, max(config.clusters))
    lead = (len(config.noises), len(config.clusters))
    total = len(config.rules) * lead[0] * lead[1] * config.seeds
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    done = 0
    with jax.enable_x64(precision == "float64"):
        methods = stacked_methods(config)
        for seeds, scenes, tokens, num_clusters in chunks_of(config, precision):
            limits = np.float64(config.tol), np.float64(config.resolution)
            scores = simulate(methods, scenes, tokens, num_clusters, *limits, shape=shape, names=names)
            for name, values in scores.items():
                # [M, R] with R = noise x clusters x seed; the last chunk is padded.
                full = np.asarray(values).reshape(len(config.rules), *lead, -1)
                parts[name].append(full[..., : len(seeds)])
            done += len(seeds) * total // config.seeds
            if progress is not None:
                progress(done, total)
    return {name: np.concatenate(chunks, axis=-1) for name, chunks in parts.items()}


def stacked_methods(config: Config) -> Dynamics:
    """All methods as one dynamics with leaves `[M]`: they differ in numbers only."""
    each = [catalog.published(name, temperature=config.temperature, rate=config.rate) for name in config.rules]
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *each)


def example(config: Config) -> xarray.Dataset:
    """The paths of the tokens in one scene (first noise and clusters, seed 0), for every rule.

    Args:
        config: the design.

    Returns:
        example_features `[feature, dimension]`, example_labels `[feature]`, example_path
        `[rule, step, token, dimension]`, the start as step 0.
    """
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
