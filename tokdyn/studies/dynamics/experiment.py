"""One run of the token-dynamics study, and all of them at once.

Every run is a pure function of a scene and a method; a chunk of seeds is one call of one compiled program.
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
from tokdyn.compiling import Compiled, Program, compiled, started
from tokdyn.data import Blobs
from tokdyn.dynamics import Dynamics, catalog
from tokdyn.solve import run, trajectory, vmap
from tokdyn.solve.lanes import MOST_LANES
from tokdyn.studies.dynamics.design import DIMENSIONS, Config, Shape
from tokdyn.studies.dynamics.scenes import chunks_of, published_scenes
from tokdyn.studies.output import import_ahead

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
    **{f"{name}_{precision}": f"{VARIABLES[name]}, in {precision}"
       for name in ("ari", "num_steps") for precision in ("float32", "float64")},
    "example_features": "features of the scene that the figures show",
    "example_labels": "true cluster of each of its features",
    "example_path": "positions of the tokens in it, the start as step 0",
}  # fmt: skip


# From so many runs on a study goes on for long enough to earn what lanes take longer to compile: 0.2 s against 0.04 s
# that 1,080 runs in float32 save (2 cores, jax 0.10.1).
MANY_RUNS = 10_000


@functools.partial(jax.jit, static_argnames=("max_steps", "many"))
def simulate(
    methods: Dynamics, scenes: Blobs, tokens: jax.Array, tol: jax.Array, *, max_steps: int, many: bool = False
) -> Ended:
    """Every method on every scene, method by method.

    Args:
        methods: leaves `[M]`.
        scenes: leaves `[R, ...]`.
        tokens: `[R, K, D]`.
        tol: `[]`.
        max_steps: at most so many steps (static).
        many: whether there will be enough runs in all to earn a program that compiles for longer (static).

    Returns:
        Leaves `[M R, ...]`.
    """
    num_methods, num_scenes = jax.tree.leaves(methods)[0].shape[0], tokens.shape[0]

    def one(method: jax.Array, scene: jax.Array) -> Ended:
        dynamics = jax.tree.map(lambda leaf: leaf[method], methods)
        return ended(dynamics, jax.tree.map(lambda leaf: leaf[scene], scenes), tokens[scene], tol, max_steps=max_steps)

    method, scene = (jnp.asarray(index) for index in np.divmod(np.arange(num_methods * num_scenes), num_scenes))
    return vmap(one, batch_size=_block(many))(method, scene)


@functools.partial(jax.jit, static_argnames=("num_labels", "many"))
def score(
    found: Ended,
    scenes: Blobs,
    num_clusters: jax.Array,
    resolution: jax.Array,
    *,
    num_labels: int,
    many: bool = False,
) -> dict[str, jax.Array]:
    """Every run that ``simulate`` returned, judged: by name `[M R]`.

    A program of its own: compiled together with the loop, the two take half as long again as apart.

    Args:
        found: leaves `[M R, ...]`.
        scenes: leaves `[R, ...]`.
        num_clusters: `[R]`.
        resolution: `[]`.
        num_labels: the largest number of clusters (static).
        many: as in ``simulate`` (static).
    """
    scene = jnp.arange(len(found.num_steps)) % len(num_clusters)

    def one(run: Ended, index: jax.Array) -> dict[str, jax.Array]:
        chosen = jax.tree.map(lambda leaf: leaf[index], scenes)
        return scored(run, chosen, num_clusters[index], resolution, num_labels=num_labels)

    return vmap(one, batch_size=_block(many))(found, scene)


def _block(many: bool) -> int | None:
    """Runs of a block: as many as lanes, or one; on other devices all at once."""
    if jax.default_backend() != "cpu":
        return None
    # Not more: with so few runs in a block, a loop that loads others would take longer to compile than it saves.
    return MOST_LANES if many else 1


def measure(
    config: Config, *, progress: Callable[[int, int], None] | None = None, with_example: bool = True
) -> xarray.Dataset:
    """``VARIABLES`` over rule, noise, clusters and seed; with an example, the paths of the tokens in one scene, too."""
    start = time.perf_counter()
    main, other = ("float64", "float32") if config.x64 else ("float32", "float64")
    # The published scenes in the other precision too: how many rows hang on the last digits?
    precisions = (main, other) if config.data == "published" else (main,)
    scores = _all_runs(config, precisions, progress)
    seconds = time.perf_counter() - start
    import xarray

    coordinates = {
        "rule": np.array(config.rules, object),  # Zarr 3 has no stable fixed-length text
        "noise": list(config.noises),
        "clusters": list(config.clusters),
        "seed": np.arange(config.seeds),
    }
    variables = {name: (DIMENSIONS, values) for name, values in scores[main].items()}
    for name in ("ari", "num_steps") if other in scores else ():
        variables[f"{name}_{other}"] = DIMENSIONS, scores[other][name]
    dataset = xarray.Dataset(variables, coordinates, {"precision": main, "simulation_seconds": seconds})
    return dataset.merge(example(config)) if with_example else dataset


def _all_runs(
    config: Config, precisions: tuple[str, ...], progress: Callable[[int, int], None] | None
) -> dict[str, dict[str, np.ndarray]]:
    """By precision of the simulation every variable as ``[rule, noise, clusters, seed]``, chunk by chunk.

    All are judged in the first precision: what differs then is how the runs ended.
    """
    main = precisions[0]
    lead = (len(config.rules), len(config.noises), len(config.clusters))
    total = int(np.prod(lead)) * config.seeds
    parts: dict[str, dict[str, list[np.ndarray]]] = {p: {name: [] for name in VARIABLES} for p in precisions}
    programs: dict[str, Compiled] = {}
    done = 0
    with jax.enable_x64(main == "float64"):
        for seeds, scenes, tokens, num_clusters in chunks_of(config, main):
            if not programs:
                programs = _programs(config, precisions, scenes, tokens, num_clusters, total)
            judge = functools.partial(_judged, config, programs, scenes, tokens, num_clusters, main)
            scores = {precision: started(judge, precision) for precision in precisions}
            if done == 0:
                import_ahead()
            for precision in precisions:
                for name, values in scores[precision].result().items():
                    # [M R] with R = noise x clusters x seed; the last chunk is padded.
                    parts[precision][name].append(values.reshape(*lead, -1)[..., : len(seeds)])
            done += len(seeds) * total // config.seeds
            if progress is not None:
                progress(done, total)
    return {p: {name: np.concatenate(chunks, axis=-1) for name, chunks in parts[p].items()} for p in precisions}


def _judged(
    config: Config, programs: dict[str, Compiled], scenes: Blobs, tokens: Any, num_clusters: np.ndarray, main: str,
    precision: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """A chunk simulated in one precision and judged in another, ``main``: by name `[M R]`."""
    found = programs[precision](*_simulated(config, precision, scenes, tokens))
    found = jax.tree.map(lambda leaf: _cast(leaf, main), found)
    scores = programs["score"](found, scenes, num_clusters, np.float64(config.resolution))
    return {name: np.asarray(values) for name, values in scores.items()}


def _programs(
    config: Config, precisions: tuple[str, ...], scenes: Blobs, tokens: Any, num_clusters: np.ndarray, total: int
) -> dict[str, Compiled]:
    """The simulation in each precision, by its name, and ``score``; compiled side by side."""
    many = total >= MANY_RUNS
    limits = {"max_steps": config.max_steps, "many": many}
    ready: dict[str, Compiled] = {}
    simulated = {}
    for precision in precisions:
        with jax.enable_x64(precision == "float64"):
            simulated[precision] = _simulated(config, precision, scenes, tokens)
            ready |= compiled({precision: Program(simulate, simulated[precision], limits)})
    found = jax.eval_shape(functools.partial(simulate, **limits), *simulated[precisions[0]])
    judged = (found, scenes, num_clusters, np.float64(config.resolution))
    sizes = {"num_labels": max(config.clusters), "many": many}
    # Judging 1,080 runs takes 0.1 s, and compiling the program 1.3 s; with little effort 0.2 and 0.4.
    return ready | compiled({"score": Program(score, judged, sizes, "usual" if many else "little")})


def _simulated(config: Config, precision: str, scenes: Blobs, tokens: Any) -> tuple[Any, ...]:
    """The arguments of ``simulate``."""
    scenes = scenes._replace(features=_cast(scenes.features, precision))
    return stacked_methods(config), scenes, _cast(tokens, precision), np.float64(config.tol)


def _cast(array: Any, precision: str) -> Any:
    """Floating numbers in that precision, the rest as it is; by NumPy, which compiles nothing."""
    if array.dtype == precision or not np.issubdtype(array.dtype, np.floating):
        return array
    return np.asarray(array).astype(precision)


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
