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
# # Will my tokens collapse? The laws of token dynamics
#
# Put a few tokens among many features, let every token move to the mean of the features that it attends to, and repeat.
# Sometimes each token finds a cluster of its own. Sometimes they all end at the same point, and whatever you wanted to
# tell apart is gone. Which of the two happens is not a matter of luck: it is decided by a temperature, as it is decided
# whether water is ice. This notebook shows the law, where it comes from, what happens near it, and what inertia and
# repulsion add. It takes a minute or two on one core.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display

import tokdyn as td
from tokdyn import theory
from tokdyn.plot.dynamics import collapse
from tokdyn.plot.style import COLOURS, figure

fast = os.environ.get("TOKDYN_FAST") == "1"

# %% [markdown]
# ## One call
#
# Three clusters in the plane, of different widths, and six tokens. `td.diagnose` reads the features and a dynamics, and
# says what will happen, why, and what to change. `tokdyn diagnose FILE --num-tokens 6` does the same for a file.

# %%
draw = np.random.default_rng(0)
centres, widths = np.array([[0.0, 0.0], [9.0, 1.0], [3.0, 8.0]]), np.array([0.5, 0.8, 1.1])
labels = np.repeat(np.arange(3), 60)
features = (centres[labels] + widths[labels, None] * draw.normal(size=(180, 2))).astype(np.float32)
found = td.diagnose(td.catalog.soft_kmeans(temperature=60.0), features, num_tokens=6)
print(found)

# %% [markdown]
# ## The critical temperature
#
# Why is there a threshold at all? Let all tokens sit at the mean of the features, and push two of them apart a little.
# Each now attends slightly more to the features on its own side, which pulls it further out; but its target is still an
# average over nearly everything, which pulls it back. In one step the small difference is multiplied by
#
# $$ g = \frac{2\lambda_{\max}}{T}, $$
#
# where $\lambda_{\max}$ is the largest variance of the features in any direction. Below $T_c = 2\lambda_{\max}$ the
# difference grows and the tokens part; above it the difference shrinks and they merge. No other number of the features
# enters. Below, the law and the dynamics itself, side by side: a difference of a millionth, and the factor by which one
# step multiplies it.

# %%
critical = float(theory.critical_temperature(features))
print(f"critical temperature of these features: {critical:.2f}")
mean, (_, _, directions) = features.mean(axis=0), np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
ratios = np.array([0.5, 0.7, 0.9, 1.0, 1.1, 1.5, 2.0])


@jax.jit
def pushed(temperature):
    """The factor of one step on a small difference between two tokens at the mean."""
    rule = td.compose(attract=td.attraction(temperature=temperature, distances="difference"))
    start = mean + 1e-3 * np.array([[1.0], [-1.0]], np.float32) * directions[0]
    _, path = td.trajectory(rule, None, features, tokens=start, num_steps=1)
    return jnp.linalg.norm(path[0, 0] - path[0, 1]) / np.linalg.norm(start[0] - start[1])


measured = np.array([float(pushed(ratio * critical)) for ratio in ratios])
for ratio, factor in zip(ratios, measured, strict=True):
    says = float(theory.growth_factors(features, ratio * critical)[0])
    print(f"T / T_c = {ratio:.1f}: the law says {says:.4f}, a step gives {factor:.4f}")
np.testing.assert_allclose(measured, 1 / ratios, rtol=1e-3)

# %% [markdown]
# ## Watch it happen
#
# Six tokens, heated from far below the critical temperature to twice that temperature. First the two tokens of a
# cluster meet, each pair at the critical temperature of *its own* cluster; then there is one token for each cluster,
# for a long while, which is the useful regime; then whole clusters merge, and past $T_c$ a single point is left. On
# the right the same road backwards: cooled, and nudged by a thousandth of the spread, the tokens part again.

# %%
heats = critical * np.geomspace(0.004, 2.0, 28 if fast else 56)
nudges = 1e-3 * features.std() * draw.normal(size=(2 * len(heats), 6, 2)).astype(np.float32)


@jax.jit
def at_temperature(tokens, temperature, nudge):
    """Where tokens are after a hundred steps at a temperature."""
    rule = td.catalog.soft_kmeans(temperature=temperature)
    return td.run(rule, None, features, tokens=tokens + nudge, max_steps=100, tol=1e-4, assignment="none").tokens


tokens, road = features[::30], []
for heat, nudge in zip([*heats, *heats[::-1]], nudges, strict=True):
    tokens = at_temperature(tokens, heat, nudge)
    road.append(np.asarray(tokens))
heated, cooled = np.stack(road[: len(heats)]), np.stack(road[len(heats) :])
with tempfile.TemporaryDirectory() as folder:
    names = ["heated past T_c", "cooled again"]
    gif = td.plot.save_animation(features, labels, np.stack([heated, cooled]), names, Path(folder) / "merging.gif")
    display(Image(data=gif.read_bytes()))


def number_apart(tokens):
    """Distinct tokens, when those within a hundredth of the features' spread are one."""
    spread = np.sqrt(((features - mean) ** 2).sum(axis=1).mean())
    return int(td.metrics.distinct_tokens(tokens, 0.01 * spread))


counts = [number_apart(tokens) for tokens in heated]
print("distinct tokens while heating:", counts)
assert counts[0] == 6
assert counts[-1] == 1
assert 3 in counts

# %% [markdown]
# ## The cascade
#
# Cooling is a sequence of splits, and each split has its own critical temperature: that of the features which the
# tokens of one point own. `theory.splitting_cascade` predicts all of them from the features, without running
# anything. The wide steps are good temperatures: at any of them the number of distinct tokens says how many clusters
# there are.

# %%
display(collapse(td.diagnose(td.catalog.soft_kmeans(temperature=4.0), features, num_tokens=6)))
cascade = theory.splitting_cascade(features, num_tokens=6)
for split in cascade.splits:
    print(f"below {split.temperature:7.3g}: {split.tokens} tokens part, then there are {split.distinct} points")
own = [theory.critical_temperature(features[labels == cluster]) for cluster in range(3)]
print("critical temperatures of the three clusters by themselves:", np.round(np.sort(own)[::-1], 2))

# %% [markdown]
# ## Ice that stays: hysteresis
#
# Merging and parting need not happen at the same temperature. Among features that are skewed, three or more tokens that
# are already apart hold one another apart above $T_c$, as water stays liquid a little below its freezing point. The
# forecast therefore gives two numbers: the critical temperature, and the one up to which tokens that are apart can stay
# so. Here are six tokens among exponential numbers, cooled from one point and heated again.

# %%
line = -np.log1p(-(np.arange(200) + 0.5) / 200)[:, None].astype(np.float32)
line_critical = float(theory.critical_temperature(line))
loop = np.arange(1.36, 0.83, -0.04) if fast else np.arange(1.40, 0.83, -0.02)
seen = theory.hysteresis(line, num_tokens=6, temperatures=loop * line_critical, steps_each=400, nudge=1e-5)
branches = jax.jit(seen)({"dynamics": td.catalog.soft_kmeans()}, jax.random.key(0))
made, axes = figure(1, 1, width=4.4, height=2.8)
for name, colour, marker in (("cooling", COLOURS[1], "v"), ("heating", COLOURS[5], "^")):
    axes[0, 0].plot(loop, branches[name], color=colour, marker=marker, markersize=4, label=name)
axes[0, 0].axvline(1, color=COLOURS[0], linewidth=1, linestyle="--", label="critical temperature")
axes[0, 0].set(xlabel="temperature / $T_c$", ylabel="spread of tokens / spread of features")
axes[0, 0].legend(loc="lower left")
display(made)
parted, held = (float(loop[np.asarray(branches[name]) > 0.05].max()) for name in ("cooling", "heating"))
print(f"cooled tokens part at {parted:.2f} T_c; heated ones stay apart up to {held:.2f} T_c")
assert held > parted

# %% [markdown]
# ## Patience near the threshold
#
# Close to $T_c$ the factor $g$ is close to 1, and nothing moves: a fixed budget of steps then looks like a result. A
# run that "does not collapse" 1 % above $T_c$ may simply not have had the hundreds of steps that it takes.

# %%
for ratio in (1.5, 1.1, 1.01, 1.001):
    steps = float(theory.relaxation_steps(ratio, factor=100.0))
    print(f"T = {ratio:5.3f} T_c: a difference shrinks a hundredfold in {steps:6.0f} steps")

# %% [markdown]
# ## Repulsion, and the way to chaos
#
# An obvious cure for merging is to let tokens repel each other. Two of them in one cluster then rest at a distance that
# the law gives; but only if the cluster is not too tight for the temperature. With $a = 2\lambda / T$ for that cluster,
# a pair at rate 1 begins to alternate between two distances at $a = 1/3$, whatever the strength of the repulsion, and
# further on it never repeats itself. A rate below 2/3, or momentum, puts an end to it. The whole story fits into one
# line, $x' = |a x + 1 / x^2|$; where the Lyapunov exponent is above 0, neighbouring runs part: chaos.

# %%
multipliers = jnp.linspace(0.01, 0.5, 150 if fast else 600)


@jax.jit
def orbits(multipliers):
    """Late distances `[A, 64]` of the pair's map, and its Lyapunov exponents `[A]`."""

    def one(a):
        step, start = theory.pair_map(a), jnp.array([1.1])
        late = theory.rollout(step, start, num_steps=1500)[-64:, 0]
        return late, theory.lyapunov_exponents(step, start, num_steps=1500, key=jax.random.key(0)).exponents[0]

    return jax.vmap(one)(multipliers)


late, exponents = jax.tree.map(np.asarray, orbits(multipliers))
made, axes = figure(1, 2, width=4.0, height=2.9)
distances, chaos = axes[0]
distances.plot(np.repeat(multipliers, 64), late.ravel(), ",", color=COLOURS[1])
distances.set(ylim=(0, 6), xlabel="a: variance of the cluster over half the temperature",
              ylabel="distance, units of $(2\\rho)^{1/3}$")  # fmt: skip
chaos.plot(multipliers, exponents, color=COLOURS[5], linewidth=1)
chaos.set(ylim=(-2, 0.6), xlabel="a", ylabel="Lyapunov exponent per step")
chaos.axhline(0, color=COLOURS[0], linewidth=1)
for panel in (distances, chaos):
    panel.axvline(1 / 3, color=COLOURS[0], linewidth=1, linestyle="--")
display(made)
swinging = np.ptp(late, axis=1) > 1e-3
print(f"the pair swings below a = {float(multipliers[swinging].max()):.3f}; the law says {1 / 3:.3f}")

# %% [markdown]
# ## What to change
#
# All of this ends in advice. `theory.recommend` looks at every number of a dynamics on your features, and changes only
# those that a law speaks against: here a temperature at which all tokens would merge, and a rate beyond the limit of
# stability.

# %%
advice = theory.recommend(td.catalog.soft_kmeans(temperature=60.0, rate=2.4), features, num_tokens=6)
print(advice)
better = td.run(advice.dynamics, jax.random.key(0), features, num_tokens=6, max_steps=500, tol=1e-3)
print(f"{int(better.num_distinct)} of 6 tokens are distinct after {int(better.num_steps)} steps")
assert int(better.num_distinct) > 1

# %% [markdown]
# ## Where the laws end
#
# The law is local: it says when tokens *at one point* part, and where tokens that are apart will go is followed by a
# short simulation (`td.collapse_forecast`), which answers "unknown" where it cannot tell. It speaks of the attraction
# with a softmax over tokens. `tokdyn study theory` tries eleven laws on hundreds of cases that they were not made from
# and tells where they fail; `tokdyn study recurrence` asks the same questions of the latent tokens of small reasoners.
