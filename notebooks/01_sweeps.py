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
# # Sweeps: where do tokens merge?
#
# Attraction merges tokens at high temperature, repulsion keeps them apart. This tutorial maps where which of them
# wins: it sweeps temperature, repulsion and momentum, draws the phase diagram, interrupts a sweep and continues it, and
# leaves the framework again. It takes about a minute on two cores; with the environment variable `TOKDYN_FAST=1` it
# uses fewer seeds.

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

num_seeds = 16 if os.environ.get("TOKDYN_FAST") == "1" else 100

# %% [markdown]
# ## An evaluator
#
# What is swept is a pure function `(config, key) -> {name: array}`. The config is a pytree of numbers, here a dynamics
# and two numbers beside it. The key is the seed's, and the same in every cell: one seed has one scene and one start at
# all temperatures. The temperature is given in units of the scene's own critical temperature $T_c$, above which
# attraction alone merges all tokens (see the quick start).


# %%
def critical_temperature(features):
    """Twice the largest variance of the features along any direction `[]`."""
    return 2 * jnp.linalg.eigvalsh(jnp.cov(features.T, ddof=0))[-1]


def evaluate(config, key, num_tokens=4):
    """Scores of one run at ``ratio`` times the critical temperature of the key's scene."""
    data_key, start_key = jax.random.split(key)
    scene = td.data.blobs(data_key, num_clusters=4, noise=config["noise"])
    critical = critical_temperature(scene.features)
    rule = td.with_values(config["dynamics"], {"attract.temperature": config["ratio"] * critical})
    result = td.run(rule, start_key, scene.features, num_tokens=num_tokens, max_steps=400, tol=1e-3)
    predicted, resolution = result.assignment.argmax(axis=-1), 0.1 * config["noise"]
    return {
        "num_steps": result.num_steps,
        "converged": result.status == td.Status.CONVERGED,
        "distinct": td.metrics.distinct_tokens(result.tokens, resolution),
        "merged_ari": td.metrics.merged_adjusted_rand_index(
            scene.labels, predicted, result.tokens, resolution=resolution, num_labels=4
        ),
        "critical": critical,
    }


dynamics = td.compose(
    attract=td.attraction(temperature=1.0),
    repel=td.repulsion(strength=0.0, eps=1.0, kernel="plummer"),
    inertia=td.inertia(momentum=0.0),
)
base = {"dynamics": dynamics, "ratio": 1.0, "noise": 0.6}
key = jax.random.key(0)
for name, one in jax.eval_shape(evaluate, base, key).items():  # traced, not run
    print(f"{name:12} {one.dtype} {one.shape}")

# %% [markdown]
# ## A space, and a dry run
#
# `td.grid` crosses values for paths into the base; each path becomes a dimension. A dry run compiles the program, times
# one call, and writes nothing: it says how many runs there are, in how many tasks, how long they will take, and how
# much memory they need.

# %%
RATIO, REPULSION, MOMENTUM = "ratio", "dynamics.repel.strength", "dynamics.inertia.momentum"
names = {RATIO: "temperature / $T_c$", REPULSION: "repulsion strength", MOMENTUM: "momentum"}
space = td.grid(
    {
        MOMENTUM: [0.0, 0.4, 0.8],
        REPULSION: np.linspace(0.0, 0.2, 9),
        RATIO: np.geomspace(0.05, 4.0, 14),
    }
)
plan = td.sweep(evaluate, base, space, seeds=num_seeds, key=key, dry_run=True)
print(plan)
assert plan.num_runs == space.num_cells * num_seeds

# %% [markdown]
# ## Sweep into a store
#
# With `store=` results go to disk task by task, and what comes back is a lazy, labelled `xarray.Dataset`.

# %%
folder = tempfile.TemporaryDirectory(prefix="sweeps-", dir=".")
place = Path(os.path.relpath(folder.name))
dataset = td.sweep(evaluate, base, space, seeds=num_seeds, key=key, store=place / "first").load()
print(dict(dataset.sizes))
print(f"{float(dataset['converged'].mean()):.2%} of the runs converged")
critical = dataset["critical"].isel({MOMENTUM: 0, REPULSION: 0, RATIO: 0})
print(f"T_c of the scenes: {float(critical.mean()):.1f} on average, standard deviation {float(critical.std()):.1f}")
assert dataset["converged"].mean() > 0.99
assert np.allclose(dataset["critical"], critical, rtol=1e-5)  # every cell has the same scenes
assert "finished" not in dataset  # it is there only while runs are missing

# %% [markdown]
# Numbers are found by label, not by position; a path has dots, so `.sel` takes a dict.

# %%
free = dataset.sel({MOMENTUM: 0.0, REPULSION: 0.0})
for ratio in (0.05, 0.5, 1.0, 1.5):
    cell = free.sel({RATIO: ratio}, method="nearest")
    means = "  ".join(f"{name} {float(cell[name].mean('seed')):.3f}" for name in ("distinct", "merged_ari"))
    print(f"T/T_c = {float(cell[RATIO]):.2f}  {means}")

# %% [markdown]
# ## The phase diagram
#
# **Where the merged state is stable.** Move the $K$ merged tokens by small $\delta_k$ that sum to zero. Along the
# principal axis the attraction returns $(T_c/T)\,\delta_k$, and the Plummer repulsion of strength $\rho$ and softening
# length $\varepsilon$ adds $\rho\sum_j(\delta_k-\delta_j)/\varepsilon^3 = (K\rho/\varepsilon^3)\,\delta_k$. Merged
# tokens stay merged where the two factors sum to less than one, that is above $T/T_c = 1/(1-K\rho/\varepsilon^3)$, the
# dashed line below ($\varepsilon = 1$). Momentum does not move it: at rest there is none.
#
# `curves` draws lines of a theory and names them in the legend. Solid contours are those of the mean over seeds,
# dotted ones those of the two ends of its 95 % interval.

# %%
above = np.geomspace(1.0, 4.0, 100)
axes = {
    "x": RATIO, "y": REPULSION, "panels": MOMENTUM, "names": names, "log": (RATIO,),
    "curves": {"theory: right of this line merged tokens stay merged": (above, (1 - 1 / above) / 4)},
}  # fmt: skip
display(td.plot.phase_diagram(dataset["distinct"], **axes, label="distinct tokens", levels=(1.5,), limits=(1, 4)))

# %%
display(td.plot.phase_diagram(dataset["merged_ari"], **axes, label="merge-aware ARI", levels=(0.5,), limits=(0, 1)))

# %% [markdown]
# Away from the line every single run, at each of the momenta, is on the side that it says. Near it the stability is
# local: tokens that start apart may stay apart just above it.

# %%
distance = dataset[RATIO] * (1 - 4 * dataset[REPULSION])  # 1 on the line
merged = dataset["distinct"] == 1
shares = {
    "far below the line": merged.where(distance < 0.8).mean(),
    "just above it": merged.where((distance > 1.0) & (distance < 1.3)).mean(),
    "far above it": merged.where(distance > 1.3).mean(),
}
for where, share in shares.items():
    print(f"share of runs that merged {where}: {float(share):.1%}")
assert shares["far below the line"] == 0
assert shares["just above it"] < 1
assert shares["far above it"] == 1

# %% [markdown]
# ## Slices
#
# Means along one axis, with 95 % bands (Student's t).

# %%
some = dataset.sel({MOMENTUM: 0.0, REPULSION: [0.0, 0.05, 0.1, 0.2]}, method="nearest")
display(td.plot.slices(some["distinct"], RATIO, lines=REPULSION, label="distinct tokens", names=names, log=True))

# %% [markdown]
# ## Steps against quality
#
# Each point is a cell; the front holds those that no other betters. The best of hundreds of cells tends to look
# better on the seeds that chose it than it is, so the table chooses on half of the seeds and measures on the others.

# %%
display(
    td.plot.pareto(
        dataset["num_steps"], dataset["merged_ari"], colour=MOMENTUM, cost_label="mean steps",
        quality_label="merge-aware ARI", names=names, scale="log",
    )
)  # fmt: skip

# %%
scores = dataset[["num_steps", "merged_ari"]].stack(cell=[MOMENTUM, REPULSION, RATIO])
chosen, fresh = (scores.isel(seed=slice(start, None, 2)).mean("seed") for start in (0, 1))
front = td.plot.pareto_front(chosen["num_steps"], chosen["merged_ari"])
print("momentum  repulsion  T/T_c  steps  merge-aware ARI: chosen, fresh")
for i in np.flatnonzero(front)[np.argsort(chosen["num_steps"].values[front])]:
    momentum, repulsion, ratio = scores["cell"].values[i]
    steps, own, other = float(fresh["num_steps"][i]), *(float(half["merged_ari"][i]) for half in (chosen, fresh))
    print(f"{momentum:8.1f}  {repulsion:9.3f}  {ratio:5.2f}  {steps:5.1f}  {own:23.3f}, {other:.3f}")
best = scores["cell"].values[front][int(np.argmax(chosen["merged_ari"].values[front]))]
assert best[1] > 0, "the best cell has no repulsion"
assert 0.2 < best[2] < 1, "the best cell is not below the critical temperature"

# %% [markdown]
# ## Interrupt and continue
#
# `progress=` takes a function `(finished, all)`, called after each task. This one presses Ctrl-C half-way. What is
# finished stays in the store, and `finished` says which runs that is.

# %%
calls = []


def stop_halfway(finished, total):
    calls.append(finished)
    if finished >= total / 2:
        raise KeyboardInterrupt


second = place / "second"
try:
    td.sweep(evaluate, base, space, seeds=num_seeds, key=key, store=second, progress=stop_halfway)
except td.SweepInterrupted as interruption:
    print(interruption)
partial = td.open_sweep(second)
print(f"{int(partial['finished'].sum()):,} of {partial['finished'].size:,} runs are there")
assert int(partial["finished"].sum()) == calls[-1] < plan.num_runs
there = partial["finished"].values
assert (partial["distinct"].values[there] == dataset["distinct"].values[there]).all()

# %% [markdown]
# The same call continues. That nothing is done twice can be seen from outside: the two calls have done as many tasks
# together as the plan has, and no file that was there has been written again.

# %%
files = {file: file.stat().st_mtime_ns for file in second.rglob("*") if file.is_file()}
before = len(calls)
options = {"seeds": num_seeds, "key": key, "store": second}
continued = td.sweep(evaluate, base, space, progress=lambda finished, total: calls.append(finished), **options).load()
print(f"{before} tasks before the interruption, {len(calls) - before} after it, {plan.num_tasks} planned")
assert len(calls) == plan.num_tasks
assert all(file.stat().st_mtime_ns == written for file, written in files.items())
assert "finished" not in td.open_sweep(second)

# %% [markdown]
# A store belongs to one sweep. Another one is refused, with what differs.

# %%
try:
    td.sweep(evaluate, base, space, seeds=num_seeds, key=jax.random.key(1), store=second)
    raise AssertionError("a store took another sweep")
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# ## The same to the last bit
#
# One compiled program for a fixed number of runs does all the work, so who calls it cannot change a bit. Below two
# workers share a third store, one after the other here, with other tasks and one thread each.


# %%
def bits(dataset):
    return {name: dataset[name].values.tobytes() for name in dataset}


options = {"seeds": num_seeds, "key": key, "store": place / "third", "chunk": 4 * plan.unit, "workers": 1, "of": 2}
half = td.sweep(evaluate, base, space, worker=0, **options)
print(f"after worker 0 of 2: {float(half['finished'].mean()):.0%} finished")
shared = td.sweep(evaluate, base, space, worker=1, **options)
print("runs of a task:", dataset.attrs["chunk"], "and", shared.attrs["chunk"])
assert dataset.attrs["chunk"] != shared.attrs["chunk"]
assert bits(continued) == bits(dataset)
assert bits(shared) == bits(dataset)

# %% [markdown]
# ## Leave the framework
#
# The dry run handed back the bare jitted function, `(base, key, columns, cells, seeds) -> outputs`, its first two
# arguments, and a function that gives the others for any range of runs. It knows nothing of stores, tasks or labels,
# and is an ordinary function of arrays: other values in its columns are other cells.

# %%
function, count = plan.functions[0], plan.unit * plan.devices
columns, cells, seeds = plan.runs(0, count)
outputs = function(*plan.arguments, columns, cells, seeds)
for name, values in outputs.items():
    assert np.asarray(values).tobytes() == dataset[name].values.ravel()[:count].tobytes()
hot = {**columns, RATIO: np.full(count, 10.0), REPULSION: np.zeros(count)}
distinct = function(*plan.arguments, hot, cells, seeds)["distinct"]
print("distinct tokens at ten times T_c:", np.unique(distinct))
assert (distinct == 1).all()

# %% [markdown]
# ## Variants and samples
#
# What chooses the program, such as a number of tokens, is a *variant*: an outer dimension, and a keyword argument of
# the evaluator. `td.sampled` draws points in a box instead of crossing axes (Sobol: even cover of the box); `*` crosses
# spaces. Together they ask whether the line of stability holds for other $K$: if so, tokens merge where
# $(T/T_c)(1-K\rho)$ is above one, for every $K$.

# %%
box = td.sampled(128, {RATIO: td.log_uniform(0.3, 6.0), REPULSION: td.uniform(0.0, 0.2)})
wide = td.sweep(evaluate, base, td.variants(num_tokens=[2, 6]) * box, seeds=num_seeds, key=key)
print(dict(wide.sizes))
distance = wide[RATIO] * (1 - wide["num_tokens"] * wide[REPULSION])
merged = wide["distinct"] == 1
for num_tokens in (2, 6):
    below, above = (merged.where(side).sel(num_tokens=num_tokens).mean() for side in (distance < 0.8, distance > 1.3))
    print(f"K = {num_tokens}: {float(below):.1%} of the runs merged far below the line, {float(above):.1%} far above")
    assert below == 0
    assert above == 1

# %%
figure, panels = td.plot.figure(width=4.6, height=2.9)
for i, num_tokens in enumerate((2, 6)):
    share = merged.sel(num_tokens=num_tokens).mean("seed")
    panels[0, 0].plot(
        distance.sel(num_tokens=num_tokens), share, color=td.plot.COLOURS[i + 1], marker=td.plot.MARKERS[i],
        markersize=4, alpha=0.7, linestyle="none", label=f"K = {num_tokens}",
    )  # fmt: skip
panels[0, 0].axvline(1.0, color="0.5", linewidth=1, linestyle="--")
panels[0, 0].set_xlabel(r"$(T/T_c)\,(1-K\rho)$, dashed: line of stability")
panels[0, 0].set_ylabel("share of runs that merged")
panels[0, 0].legend(frameon=False, fontsize=8)
display(figure)

# %% [markdown]
# ## Larger sweeps
#
# The same call goes from here to several processes, a SLURM array, a Dask cluster or several devices, and from Python
# to a file that `tokdyn sweep` reads: `docs/sweeps.md`. `tokdyn study phase` draws such a map for the published
# repulsion, with 400,000 runs.

# %%
from tokdyn.studies import phase

whole = phase.Config()
num_runs = whole.temperatures * whole.repulsions * len(whole.momenta) * whole.seeds
print(f"{num_runs:,} runs")
assert num_runs == 400_000
folder.cleanup()
