# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Learning a dynamics: gradients against a grid
#
# Temperature, repulsion and momentum are numbers of a dynamics, and `td.run` can be differentiated: so they can be
# learned. Is that worth it, for three numbers? This tutorial learns them on training scenes, lets a grid choose them on
# the same scenes at the same cost, and judges both on scenes that neither has seen. It takes about a minute on two
# cores; with the environment variable `TOKDYN_FAST=1` it uses fewer scenes.

# %%
# %matplotlib inline
import itertools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

import tokdyn as td

fast = os.environ.get("TOKDYN_FAST") == "1"
num_train, num_test, num_trainings = (32, 100, 3) if fast else (64, 1000, 8)
NUM_CLUSTERS, NUM_TOKENS, MAX_STEPS = 4, 4, 30
PATHS = ["attract.temperature", "repel.strength", "inertia.momentum"]

# %% [markdown]
# ## Scenes and a rule
#
# Four clusters in six dimensions, whose width is the published study's largest, and its rule: attraction, repulsion,
# inertia. Repulsion is the softened one: the published kernel, one over the squared distance, has gradients without
# bound where tokens meet.


# %%
def scenes_of(count, seed):
    """So many scenes, and a key for the start of each."""
    keys = jax.random.split(jax.random.key(seed), count)
    scenes = jax.vmap(lambda key: td.data.blobs(key, num_clusters=NUM_CLUSTERS, noise=1.2, points_per_cluster=40))(keys)
    return {
        "features": scenes.features,
        "labels": scenes.labels,
        "key": jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys),
    }


def rule(temperature, strength, momentum):
    return td.compose(
        attract=td.attraction(temperature=temperature),
        repel=td.repulsion(strength=strength, eps=1.0, kernel="plummer"),
        inertia=td.inertia(momentum=momentum),
    )


train, test = scenes_of(num_train, seed=1), scenes_of(num_test, seed=2)
begin = rule(1.0, 0.05, 0.5)  # the published numbers

# %% [markdown]
# ## An objective with a gradient
#
# The score that counts is the adjusted Rand index of the hard labels, which has no gradient. Its soft form has one:
# the same formula with the assignment's shares in the place of counts. `adjoint="unroll"` sends the gradient back
# through all steps.


# %%
def soft_rand_index(labels, assignment):
    """The adjusted Rand index with shares `[N, K]` instead of labels `[]`; equal to it where they are 0 and 1."""
    table = jax.nn.one_hot(labels, NUM_CLUSTERS).T @ assignment

    def pairs(counts):
        return jnp.sum(counts * (counts - 1)) / 2

    total = len(labels) * (len(labels) - 1) / 2
    by_label, by_token = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    by_chance = by_label * by_token / total
    return (pairs(table) - by_chance) / ((by_label + by_token) / 2 - by_chance)


def run(dynamics, scene, adjoint="none"):
    return td.run(
        dynamics, scene["key"], scene["features"], num_tokens=NUM_TOKENS, max_steps=MAX_STEPS, tol=0.0, adjoint=adjoint
    )


def objective(dynamics, batch, key):
    """One minus the mean soft score of a batch of scenes."""

    def one(scene):
        return soft_rand_index(scene["labels"], run(dynamics, scene, "unroll").assignment)

    return 1 - jnp.mean(jax.vmap(one)(batch))


def score(dynamics, scene):
    """The adjusted Rand index of one scene `[]`."""
    predicted = run(dynamics, scene).assignment.argmax(axis=-1)
    return td.metrics.adjusted_rand_index(scene["labels"], predicted, num_labels=NUM_CLUSTERS, num_predicted=NUM_TOKENS)


scores = jax.jit(td.vmap(score, in_axes=(None, 0)))
one = jax.tree.map(lambda leaf: leaf[0], train)
hard = jax.nn.one_hot(run(begin, one).assignment.argmax(axis=-1), NUM_TOKENS)
assert np.isclose(soft_rand_index(one["labels"], hard), score(begin, one), atol=1e-5)

# %% [markdown]
# ## Training
#
# `td.train.fit` takes the dynamics itself. Each number moves on the whole real line and is mapped into the range that
# its part declares, so no temperature becomes negative. `jax.vmap` over keys and starting points makes an ensemble of
# trainings: a single one may end in a local optimum, and choosing the best of several costs as much as several.

# %%
NUM_STEPS, BATCH = 60, 16
generator = np.random.default_rng(0)
starts = {
    "attract.temperature": np.geomspace(0.3, 10.0, num_trainings),
    "repel.strength": generator.permutation(np.geomspace(0.01, 1.0, num_trainings)),
    "inertia.momentum": generator.permutation(np.linspace(0.1, 0.8, num_trainings)),
}
starts = {path: jnp.asarray(values, jnp.float32) for path, values in starts.items()}


@jax.jit
@jax.vmap
def trained(start, key):
    """The numbers at the end, and the objective along the way."""
    fit = td.train.fit(
        td.with_values(begin, start), objective, train, key=key, num_steps=NUM_STEPS, batch_size=BATCH,
        record_every=1, hyper={"learning_rate": 0.1}, paths=PATHS,
    )  # fmt: skip
    dynamics = td.train.trained(begin, fit.variables)
    return {path: td.values(dynamics)[path] for path in PATHS}, fit.history["loss"]


keys = jax.random.split(jax.random.key(0), num_trainings)
compiled = trained.lower(starts, keys).compile()
clock = time.perf_counter()
ends, losses = jax.block_until_ready(compiled(starts, keys))
seconds = time.perf_counter() - clock
for number in range(num_trainings):
    print("  ".join(f"{path} {starts[path][number]:6.3f} -> {ends[path][number]:6.3f}" for path in PATHS))
assert (ends["attract.temperature"] > 0).all()

# %%
figure, panels = td.plot.figure(width=4.6, height=2.9)
panels[0, 0].plot(np.arange(1, NUM_STEPS + 1), np.asarray(losses).T, color=td.plot.COLOURS[0], alpha=0.5, linewidth=1)
panels[0, 0].set_xlabel("step of Adam")
panels[0, 0].set_ylabel("1 - soft adjusted Rand index")
panels[0, 0].set_ylim(bottom=0)
display(figure)

# %% [markdown]
# ## A grid at equal cost
#
# The currency is seconds of the compiled programs, both on this machine and in the same process. The trainings have
# set the price; the grid gets as many points as that buys, each scored on all training scenes. It has one advantage, as
# it would in practice: it reads the score itself, not its soft form.

# %%
choose = jax.jit(lambda point: jnp.mean(scores(td.with_values(begin, point), train)))
point = {path: jnp.float32(td.values(begin)[path]) for path in PATHS}
jax.block_until_ready(choose(point))
clock = time.perf_counter()
for _ in range(5):
    jax.block_until_ready(choose(point))
affordable = seconds / ((time.perf_counter() - clock) / 5)
# The trainings are judged on the training scenes too, before the best of them is taken: that is in their price.
per_axis = max(2, int((affordable + num_trainings) ** (1 / 3)))
grid = {
    "attract.temperature": np.geomspace(0.3, 10.0, per_axis),
    "repel.strength": np.geomspace(0.01, 1.0, per_axis),
    "inertia.momentum": np.linspace(0.1, 0.8, per_axis),
}
points = [dict(zip(PATHS, map(jnp.float32, values), strict=True)) for values in itertools.product(*grid.values())]
print(f"{num_trainings} trainings took {seconds:.1f} s, the price of {affordable:.0f} points: {per_axis} on each axis")


def best_of(points):
    """The point with the highest score on the training scenes, and that score."""
    told = np.array([choose(point) for point in points])
    return points[int(told.argmax())], told.max()


by_gradient, own_gradient = best_of([{path: ends[path][i] for path in PATHS} for i in range(num_trainings)])
by_grid, own_grid = best_of(points)

# %% [markdown]
# ## Who wins, on scenes that neither has seen

# %%
held_out = {
    "published": scores(begin, test),
    "grid": scores(td.with_values(begin, by_grid), test),
    "gradient": scores(td.with_values(begin, by_gradient), test),
}
chosen = {"published": point, "grid": by_grid, "gradient": by_gradient}
for name, values in held_out.items():
    numbers = "  ".join(f"{path.split('.')[1]} {float(chosen[name][path]):.3f}" for path in PATHS)
    print(f"{name:10} held-out ARI {float(values.mean()):.4f}   {numbers}")
test_of = td.stats.paired_t_test(np.asarray(held_out["gradient"] - held_out["grid"], float))
low, high = (float(end) for end in (test_of.low, test_of.high))
print(f"gradient minus grid: {float(test_of.mean):+.4f}, 95 % interval [{low:+.4f}, {high:+.4f}], {num_test} scenes")
verdict = "the gradient wins" if low > 0 else "the grid wins" if high < 0 else "no difference can be told"
print(f"At equal cost {verdict}.")
assert np.isfinite([float(values.mean()) for values in held_out.values()]).all()
