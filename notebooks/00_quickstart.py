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
# # Quick start: tokens among features
#
# A dynamics moves `K` tokens `[K, D]` among `N` features `[N, D]`. This tutorial composes one, runs it, watches it,
# sweeps it, differentiates it, and adds a force of its own. It takes a minute or two on one core; with the
# environment variable `TOKDYN_FAST=1` it uses fewer seeds.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

import tokdyn as td
from tokdyn.studies import dynamics as study

num_seeds = 16 if os.environ.get("TOKDYN_FAST") == "1" else 200

# %% [markdown]
# ## Compose and run
#
# Each part adds a displacement; their order is the order of application, and their names become paths to the numbers
# inside. The features are four Gaussian clusters in six dimensions, drawn from a key.

# %%
dynamics = td.compose(
    attract=td.attraction(temperature=2.0),  # pull to the weighted mean of features, softmax over tokens
    repel=td.repulsion(strength=0.05, eps=0.1, kernel="plummer"),
    inertia=td.inertia(momentum=0.3),
)
print(dynamics)
for path, value in td.values(dynamics).items():
    print(f"{path:20} {value:g}")

# %%
data_key, start_key = jax.random.split(jax.random.key(2))
scene = td.data.blobs(data_key, num_clusters=4, noise=0.6)
result = td.run(dynamics, start_key, scene.features, num_tokens=4, max_steps=300, tol=1e-3)
print("features", scene.features.shape, "tokens", result.tokens.shape, "assignment", result.assignment.shape)
print(f"{td.Status(int(result.status)).name} after {int(result.num_steps)} steps")
assert result.status == td.Status.CONVERGED

# %% [markdown]
# A failure that only the numbers decide is a `Status`, never an exception: under `vmap` every run has its own.
#
# ## Score
#
# Partition scores compare the token that owns a feature with the cluster it was drawn from. `distinct_tokens` counts
# tokens after merging those nearer than a resolution.

# %%
predicted = result.assignment.argmax(axis=-1)
print(
    f"adjusted Rand index  {td.metrics.adjusted_rand_index(scene.labels, predicted, num_labels=4, num_predicted=4):.3f}"
)
print(f"distinct tokens      {td.metrics.distinct_tokens(result.tokens, 0.1)}")
print(f"smallest distance    {td.metrics.min_token_distance(result.tokens):.3f}")
print("features of each cluster (rows) by token (columns):")
table = td.metrics.contingency(scene.labels, predicted, num_labels=4, num_predicted=4)
print(np.asarray(table).astype(int))

# %% [markdown]
# One token owns two clusters, and two tokens share another. A start drawn from the features often does that; repulsion
# keeps tokens apart, but sends none to where it is missing.

# %%
owns = np.asarray(table) > 0
assert owns.sum(axis=0).max() == 2, "no token owns two clusters: the sentence above needs another seed"
assert owns.sum(axis=1).max() == 2, "no cluster is shared by two tokens: the sentence above needs another seed"

# %% [markdown]
# ## Watch
#
# `trajectory` takes a fixed number of steps and keeps the tokens of each. Below the same start is followed at two
# temperatures: one small, one above the critical temperature.
#
# **The critical temperature.** With all tokens at the mean of the features, every token owns an equal share of every
# feature. Move one of them by a small amount: to first order it comes back multiplied by $2\lambda/T$ along a
# principal axis of variance $\lambda$. The merged state is therefore stable for
# $T > T_c = 2\lambda_{\max}$, and splits below.


# %%
def critical_temperature(features):
    """Twice the largest variance of the features along any direction `[]`."""
    return 2 * jnp.linalg.eigvalsh(jnp.cov(features.T, ddof=0))[-1]


critical = critical_temperature(scene.features)
rules = {
    "T = 2": td.catalog.soft_kmeans(temperature=2.0),
    "T = 1.2 x critical": td.catalog.soft_kmeans(temperature=1.2 * critical),
}
start = td.init(dynamics, start_key, scene.features, num_tokens=4).tokens
paths = []
for rule in rules.values():
    _, path = td.trajectory(rule, None, scene.features, tokens=start, num_steps=60)
    paths.append(jnp.concatenate([start[None], path]))  # the start is not part of a trajectory
counts = [int(td.metrics.distinct_tokens(path[-1], 0.1)) for path in paths]
print(f"T_c = {critical:.1f}; distinct tokens at the end: {counts[0]} and {counts[1]}")
assert counts[1] == 1
display(td.plot.token_paths(scene.features, scene.labels, paths, list(rules), width=3.2, height=2.7))

# %% [markdown]
# ## Change a number
#
# A dynamics is a pytree whose leaves are its numbers: pass it as an argument, and another number is not another
# program. `with_values` replaces numbers by path. The list below grows once per compilation.

# %%
compilations = []


@jax.jit
def largest_residual(dynamics):
    compilations.append("traced")
    return td.run(dynamics, start_key, scene.features, num_tokens=4, max_steps=300, tol=1e-3).residual


for temperature in (1.0, 2.0, 4.0):
    changed = td.with_values(dynamics, {"attract.temperature": temperature, "repel.strength": 0.1})
    print(f"temperature {temperature:g}: residual {largest_residual(changed):.1e}")
print(len(compilations), "compilation")
assert len(compilations) == 1

# %% [markdown]
# ## Sweep by hand
#
# A run is a pure function of its arguments, so a sweep is one `vmap` over seeds and temperatures. `td.vmap` means what
# `jax.vmap` means, and is faster on a CPU. Every seed has its own scene and start, the same at every temperature, and
# temperatures are in units of the scene's own $T_c$.


# %%
def evaluate(key, ratio):
    """Scores of one run at ``ratio`` times the critical temperature of the key's scene."""
    data_key, start_key = jax.random.split(key)
    scene = td.data.blobs(data_key, num_clusters=4, noise=0.6)
    rule = td.catalog.soft_kmeans(temperature=ratio * critical_temperature(scene.features))
    result = td.run(rule, start_key, scene.features, num_tokens=4, max_steps=3000, tol=1e-4)
    predicted = result.assignment.argmax(axis=-1)
    return {
        "distinct": td.metrics.distinct_tokens(result.tokens, 0.1),
        "ari": td.metrics.adjusted_rand_index(scene.labels, predicted, num_labels=4, num_predicted=4),
        "merged_ari": td.metrics.merged_adjusted_rand_index(
            scene.labels, predicted, result.tokens, resolution=0.1, num_labels=4
        ),
        "status": result.status,
    }


ratios = jnp.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1.05, 1.15, 1.3, 1.6])
seeds = jax.vmap(lambda seed: td.keys.for_seed(jax.random.key(0), seed))(jnp.arange(num_seeds))
ratio, seed = (axis.ravel() for axis in jnp.meshgrid(ratios, jnp.arange(num_seeds), indexing="ij"))
flat = jax.jit(td.vmap(evaluate))(seeds[seed], ratio)
scores = {name: np.asarray(values).reshape(len(ratios), num_seeds) for name, values in flat.items()}

print(f"{ratio.size:,} runs, {np.mean(scores['status'] == td.Status.CONVERGED):.1%} converged")
for i, value in enumerate(ratios):
    means = "  ".join(f"{name} {scores[name][i].mean():.3f}" for name in ("distinct", "ari", "merged_ari"))
    print(f"T/T_c = {value:4.2f}  {means}")

# %%
figure, axes = td.plot.figure(1, 2, width=3.4, height=2.9)
lines = [
    (axes[0, 0], "distinct", "distinct tokens"),
    (axes[0, 1], "ari", "ARI"),
    (axes[0, 1], "merged_ari", "merge-aware ARI"),
]
for i, (panel, name, label) in enumerate(lines):
    mean, interval = scores[name].mean(axis=1), td.stats.mean_interval(scores[name].astype(float), axis=1)
    bars = [mean - interval.low, interval.high - mean]
    panel.errorbar(
        ratios, mean, bars, color=td.plot.COLOURS[i], marker=td.plot.MARKERS[i], markersize=4, capsize=2, label=label
    )
for panel in axes[0]:
    panel.axvline(1.0, color="0.5", linewidth=1, linestyle="--")
    panel.set_xlabel("temperature / critical temperature")
axes[0, 0].set_ylabel("distinct tokens")
axes[0, 1].set_ylabel("score")
axes[0, 1].legend(loc="lower left", frameon=False, fontsize=8)
figure.suptitle(
    f"Means over {num_seeds} scenes with 95 % intervals (Student's t); dashed: T_c = 2 x largest variance", fontsize=8
)
display(figure)

# %% [markdown]
# Well above $T_c$ every run has one distinct token left. What plain ARI reads there is an artefact: the argmax between
# numerically equal tokens still cuts the features into pieces. The merge-aware score counts merged tokens as the one
# cluster that they are, and reads exactly zero.
#
# The stability above is local. Just above $T_c$ a few scenes have a split state that is stable too, and tokens that
# start far apart stay in it, so the mean number of distinct tokens may exceed one there.

# %%
well_above = np.asarray(ratios) >= 1.3
assert (scores["distinct"][well_above] == 1).all()
assert (scores["merged_ari"][well_above] == 0).all()
for name in ("ari", "merged_ari"):
    print(f"all tokens merged: mean {name} {scores[name][well_above].mean():.2f}")
just_above = int(jnp.argmin(jnp.abs(ratios - 1.05)))
print(f"share of scenes still split at T/T_c = 1.05: {(scores['distinct'][just_above] > 1).mean():.1%}")

# %% [markdown]
# ## Differentiate through the fixed point
#
# Where a run has converged, the tokens are a function of the numbers, whatever road led there. `adjoint="implicit"`
# differentiates that function without storing a single step. In float64 it agrees with a central difference.

# %%
with jax.enable_x64(True):
    features = jnp.asarray(np.asarray(scene.features), jnp.float64)
    begin = jnp.asarray(np.asarray(result.tokens), jnp.float64)

    def spread(temperature):
        """Sum of squared distances of the resting tokens to their mean `[]`."""
        changed = td.with_values(dynamics, {"attract.temperature": temperature})
        rest = td.run(changed, None, features, tokens=begin, max_steps=2000, tol=1e-12, adjoint="implicit")
        return jnp.sum((rest.tokens - rest.tokens.mean(axis=0)) ** 2)

    exact = float(jax.grad(spread)(2.0))
    numeric = float((spread(2.0 + 1e-4) - spread(2.0 - 1e-4)) / 2e-4)
print(f"implicit {exact:.8f}, central difference {numeric:.8f}, relative error {abs(exact / numeric - 1):.1e}")
assert abs(exact / numeric - 1) < 1e-5

# %% [markdown]
# ## Write a force
#
# A force is a class with `apply`. This one ties the tokens to the mean of the features; `prepare` finds the mean once
# a run. `flow.push` adds a force, `flow.carry` would add a displacement from memory or noise. `check_term` holds the
# part to the contract that the package's own forces keep: masks, batching, gradients, one compilation, files.


# %%
@td.part
class Tether(td.Term):
    """A spring to the mean of the features: displacement ``strength * (mean - token)``."""

    strength: float

    def prepare(self, features, mask, token_mask):
        return td.numerics.masked_mean(features, mask)

    def apply(self, key, step, flow, tokens, memory, mean):
        return flow.push(self.strength * (mean - tokens)), memory


laws = td.testing.check_term(Tether(0.2))
print(len(laws), "laws hold:", ", ".join(laws))

# %% [markdown]
# With it a small displacement from the merged state is multiplied by $2\lambda/T - c$ for a strength $c$, so the
# critical temperature falls to $2\lambda_{\max}/(1+c)$. At $0.9\,T_c$ tokens are apart without a tether, and a tether
# of 0.25, which lowers the threshold to $0.8\,T_c$, merges them.

# %%
free = td.compose(attract=td.attraction(temperature=0.9 * critical))
tied = td.compose(attract=td.attraction(temperature=0.9 * critical), tether=Tether(0.25))
counts = []
for rule in (free, tied):
    rest = td.run(rule, start_key, scene.features, num_tokens=4, max_steps=3000, tol=1e-4)
    counts.append(int(td.metrics.distinct_tokens(rest.tokens, 0.1)))
print("distinct tokens: free", counts[0], "- tied", counts[1])
assert counts[0] > 1
assert counts[1] == 1

# %% [markdown]
# ## Save and load
#
# A dynamics is one small file without pickled code. Loading needs the parts' classes to be defined.

# %%
with tempfile.TemporaryDirectory() as folder:
    again = td.load(td.save(tied, Path(folder) / "tied"))
print(again)
assert td.values(again) == td.values(tied)

# %% [markdown]
# ## The published study
#
# The token-dynamics study in one line, here with 3 of its 30 seeds and without the paths of its example scene, which
# only the figures need. `study.report(dataset, folder)` writes tables, tests and figures; `tokdyn study dynamics` does
# both on the command line.

# %%
dataset = study.run(study.Config(seeds=3), with_example=False)
print(dict(dataset.sizes))
print(study.headline(dataset))
