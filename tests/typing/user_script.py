"""What users write, as type checkers see it: the gate holds this file to mypy and basedpyright, and nobody runs it.

Every documented way to call the public interface is here once; a line that does not type-check is a defect of ours.
"""

from __future__ import annotations

from typing import Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np
import optax

import tokdyn as td
from tokdyn import autoencoder as ae

key = jax.random.key(0)
features = np.random.default_rng(0).normal(size=(50, 3))


# Parts of one's own: traced numbers, declared ranges, static fields with defaults.
@td.part
class Wind(td.Term):
    """A drift."""

    speed: float = td.number(at_least=0.0)
    axis: int = td.static(default=0)
    kind: str = td.static(default="steady")

    def apply(
        self, key: jax.Array, step: jax.Array, flow: td.Flow, tokens: jax.Array, memory: Any, context: Any
    ) -> tuple[td.Flow, Any]:
        return flow.push(jnp.zeros_like(tokens).at[:, self.axis].set(self.speed)), memory


wind = Wind(0.1)
named = Wind(speed=0.1, axis=1, kind="gusty")


# Schedules of one's own, of ours and of optax, wherever a number may stand.
@td.part
class Halving(td.Schedule):
    """Halves at every step."""

    start: float
    num_steps: float

    def at(self, step: jax.Array | int) -> jax.Array:
        return self.start * 0.5 ** jnp.minimum(step, self.num_steps)


temperatures: list[td.Scalar] = [
    1.0,
    jnp.float32(1.0),
    td.annealing(start=4.0, end=1.0, num_steps=10, shape="linear"),
    td.schedule(optax.cosine_decay_schedule(4.0, 10), num_steps=10),
    Halving(4.0, 10.0),
]
attractions = [td.attraction(temperature=temperature, distances="difference") for temperature in temperatures]
dynamics = td.compose(
    attract=td.attraction(temperature=td.annealing(start=4.0, end=1.0, num_steps=10), rate=jnp.asarray(0.5)),
    repel=td.repulsion(strength=0.05, eps=0.1, kernel="plummer"),
    inertia=td.inertia(momentum=0.5),
    shake=td.noise(scale=Halving(0.1, 10.0)),
    wind=wind,
)
assert_type(dynamics, td.Dynamics)
assert_type(dynamics.part("attract", td.Attraction), td.Attraction)
assert_type(dynamics.part("attract", td.Attraction).temperature, jax.Array)
assert_type(dynamics.part("wind", Wind).speed, float)
assert_type(td.with_values(dynamics, {"attract.rate": 0.3, "inertia.momentum": jnp.float32(0.1)}), td.Dynamics)
assert_type(td.compose(near=attractions[0], far=attractions[1]).assigning("near"), td.Dynamics)
paths: dict[str, Any] = td.values(dynamics)
loaded: td.Dynamics = td.load(td.save(td.catalog.published("inertia"), "inertia.npz"))


# Runs: options are literals, and a run goes on from a state or a result.
def kept(state: td.State, info: td.Info) -> dict[str, jax.Array]:
    return {"tokens": state.tokens, "force": info.force}


result = td.run(
    dynamics, key, features, num_tokens=3, max_steps=10, tol=1e-3, stop="residual", adjoint="unroll",
    assignment="hard", keep=kept, every=2,
)  # fmt: skip
assert_type(result, td.Result)
assert_type(result.tokens, jax.Array)
assert_type(result.state, td.State)
further: td.Result = td.run(dynamics, key, features, state=result, max_steps=20, tol=1e-3)
again: td.Result = td.run(dynamics, key, features, state=result.state, max_steps=20, tol=jnp.float32(1e-3))
state, path = td.trajectory(dynamics, key, features, num_tokens=3, num_steps=5)
assert_type(state, td.State)
first = td.init(dynamics, key, features, num_tokens=3)
stepped, info = td.step(dynamics, key, first, features)
assert_type(info, td.Info)
many: td.Result = jax.jit(td.vmap(lambda k: td.run(dynamics, k, features, num_tokens=3, max_steps=9, tol=0.0)))(
    jax.random.split(key, 8)
)
code: td.Status = td.Status(int(result.status))


# Sweeps.
def evaluate(config: td.Dynamics, key: jax.Array) -> dict[str, jax.Array]:
    scene = td.data.blobs(key, num_clusters=3, noise=0.5)
    found = td.run(config, key, scene.features, num_tokens=3, max_steps=30, tol=1e-3)
    score = td.metrics.adjusted_rand_index(scene.labels, found.assignment.argmax(-1), num_labels=3, num_predicted=3)
    return {"ari": score, "steps": found.num_steps}


space = td.grid({"attract.rate": [0.5, 1.0]}) * td.variants(kind=["a", "b"])
dataset = td.sweep(evaluate, dynamics, td.grid({"attract.rate": [0.5, 1.0]}), seeds=4, key=key, store="place")
opened = td.open_sweep("place", verify=True)


# Training a dynamics: numbers inside their ranges, any optax optimiser.
def objective(trained: td.Dynamics, batch: dict[str, jax.Array], key: jax.Array) -> jax.Array:
    found = td.run(trained, key, batch["features"], num_tokens=3, max_steps=8, tol=0.0, adjoint="unroll")
    return jnp.sum(found.tokens**2)


fitted = td.train.fit(
    dynamics, objective, {"features": jnp.asarray(features)}, key=key, num_steps=10, hyper={"learning_rate": 1e-2},
    optimiser=optax.adamw, paths=["attract.rate"],
)  # fmt: skip
assert_type(fitted, td.train.Fit)
learned: td.Dynamics = td.train.trained(dynamics, fitted.variables)

# Forecasts, estimators, contracts.
forecast: td.Forecast = td.collapse_forecast(features, num_tokens=3, temperature=1.0)
labels = td.TokenClustering(num_tokens=3).fit(features).labels_
laws: list[str] = td.testing.check_term(wind)
model = ae.autoencoder(
    ae.encoders.table(vocabulary_size=5, cells=4, channels=3),
    ae.bottlenecks.gumbel(temperature=td.annealing(start=2.0, end=0.5, num_steps=100)),
    ae.decoders.linear(vocabulary_size=5),
)
assert_type(model, ae.Autoencoder)
checked: list[str] = ae.check_part(ae.encoders.table(vocabulary_size=5, cells=4, channels=3))
