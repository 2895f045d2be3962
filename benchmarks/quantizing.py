"""Training with quantizers beside vector-quantize-pytorch: the same encoder, digits, weights, batches and optimiser."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved
from tokdyn.autoencoder import quantizers
from tokdyn.data import digits

PIXELS, WIDTH, CELLS = 64, 128, 16
RATE, DECAY, COMMITMENT = 1e-3, 0.99, 0.25
LEVELS = (8, 5, 5, 5)
PEER = "vector-quantize-pytorch"


@dataclasses.dataclass(frozen=True)
class Case:
    """One quantizer, between the same layers."""

    make: Callable[[], Any]
    """Ours."""
    codes: int
    """Of a codebook; 0 where there is none."""
    channels: int
    """Of a cell."""
    batch: int
    """Images of a step."""
    steps: int
    """Of a training."""
    depth: int = 1
    """Codebooks one after another."""


def _vector(codes: int) -> Any:
    return quantizers.vector_quantizer(
        num_codes=codes, decay=DECAY, commitment=COMMITMENT, gradient="rotation", start="random"
    )


CASES = {
    "VQ, 512 codes": Case(functools.partial(_vector, 512), 512, 8, 128, 200),
    "VQ, 8,192 codes, 16,384 cells": Case(functools.partial(_vector, 8192), 8192, 8, 1024, 2),
    "residual VQ, 4 x 512": Case(lambda: quantizers.residual_quantizer(_vector(512), depth=4), 512, 8, 128, 60, 4),
    "FSQ, 1,000 codes": Case(
        lambda: quantizers.finite_scalar_quantizer(levels=LEVELS), 0, len(LEVELS), 128, 200
    ),
}  # fmt: skip


def starts(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Weights before training, for both libraries: uniform up to one over the root of the inputs; normal codes."""
    random = np.random.default_rng(seed)
    inner = CELLS * case.channels
    found = {}
    for number, (inputs, outputs) in enumerate(((PIXELS, WIDTH), (WIDTH, inner), (inner, WIDTH), (WIDTH, PIXELS))):
        bound = inputs**-0.5
        found[f"kernel{number}"] = random.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
        found[f"bias{number}"] = np.zeros(outputs, np.float32)
    if case.codes:
        codes = random.normal(size=(case.depth, case.codes, case.channels)) * 0.3
        found["codes"] = codes.astype(np.float32)
    return found


def batches(case: Case, seed: int) -> np.ndarray:
    """Images of every step `[steps, batch]`."""
    random = np.random.default_rng(1000 + seed)
    return np.stack([random.permutation(1797)[: case.batch] for _ in range(case.steps)])


@dataclasses.dataclass(frozen=True)
class Model:
    """Two layers, the quantizer, two layers."""

    case: Case
    quantizer: Any

    def init(self, key: jax.Array) -> dict[str, Any]:
        raise NotImplementedError  # weights are given

    def variables(self, given: dict[str, np.ndarray]) -> dict[str, Any]:
        """Ours, from what both libraries start with."""
        layers = {name: value for name, value in given.items() if name != "codes"}
        made = jax.tree.map(np.asarray, self.quantizer.init(jax.random.key(0), self.case.channels))
        if self.case.codes:
            inside = made["state"] if self.case.depth == 1 else made["state"]["copies"]
            shape = inside["codebook"].shape
            inside["codebook"] = inside["code_sum"] = given["codes"].reshape(shape)
        return {"params": {**layers, "quantizer": made["params"]}, "state": made["state"]}

    def loss(self, variables: dict[str, Any], images: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple[Any, Any]]:
        """Squared error and what the quantizer asks for."""
        params = variables["params"]

        def layer(inputs: jax.Array, number: int) -> jax.Array:
            return inputs @ params[f"kernel{number}"] + params[f"bias{number}"]

        pattern = layer(jax.nn.relu(layer(images, 0)), 1).reshape(-1, CELLS, self.case.channels)
        inner = {"params": params["quantizer"], "state": variables["state"]}
        code, state = self.quantizer.apply(inner, pattern, key=key, train=True)
        values = layer(jax.nn.relu(layer(code.values.reshape(len(images), -1), 2)), 3)
        error = jnp.mean((values - images) ** 2)
        return error + code.loss, (state, {"error": error})


def ours(case: Case) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """A training as ``train.fit``, one program; and as a loop over a jitted step. Both give the errors `[steps]`."""
    import optax

    images = jnp.asarray(digits()[0].reshape(-1, PIXELS))
    model = Model(case, case.make())
    key = jax.random.key(0)

    @jax.jit
    def fitted(variables: Any, order: jax.Array) -> jax.Array:
        result = td.train.fit(
            model, lambda model, *rest: model.loss(*rest), lambda key, step: images[order[step]], key=key,
            num_steps=case.steps, record_every=1, hyper={"learning_rate": RATE}, variables=variables,
        )  # fmt: skip
        return result.history["error"]

    optimiser = optax.adam(RATE)

    @jax.jit
    def step(variables: Any, memory: Any, rows: jax.Array, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        def objective(params: Any) -> Any:
            return model.loss({**variables, "params": params}, images[rows], key)

        gradients, (state, told) = jax.grad(objective, has_aux=True)(variables["params"])
        updates, memory = optimiser.update(gradients, memory)
        return {"params": optax.apply_updates(variables["params"], updates), "state": state}, memory, told["error"]

    begun = jax.jit(optimiser.init)

    def looped(seed: int) -> list[float]:
        variables, order = model.variables(starts(case, seed)), batches(case, seed)
        memory, errors = begun(variables["params"]), []
        for rows in order:
            variables, memory, error = step(variables, memory, rows, key)
            errors.append(error)
        return [float(error) for error in errors]

    return lambda seed: np.asarray(fitted(model.variables(starts(case, seed)), batches(case, seed))), looped


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``quantizers``."""
    forms: dict[str, Callable[[], Any]] = {}
    counts: dict[str, int] = {}
    checked: dict[str, str] = {}
    missing: dict[str, str] = {}
    facts: dict[str, Any] = {}
    goals = []
    seeds = range(1 if quick else 3)
    for name, case in list(CASES.items())[: 1 if quick else None]:
        fitted, looped = ours(case)
        trainings = {f"tokdyn fit, {name}": fitted, f"tokdyn, a call a step, {name}": looped}
        try:
            from benchmarks.peers_quantizers import torch_training

            trainings[f"{PEER}, {name}"] = torch_training(case)
        except ImportError:
            missing[f"{PEER}, {name}"] = f"{PEER} is not installed"
        curves = {form: np.array([training(seed) for seed in seeds]) for form, training in trainings.items()}
        levels = {form: curve[:, -max(1, case.steps // 10) :].mean() for form, curve in curves.items()}
        expected = curves[f"tokdyn fit, {name}"]
        for form, training in trainings.items():
            # The first step is the same arithmetic; later ones part where a cell lies between two codes.
            gap = float(np.max(np.abs(curves[form][:, 0] / expected[:, 0] - 1)))
            assert gap < 1e-4, (form, gap)
            checked[form] = f"first error as ours, to {gap:.0e}; error of the last tenth {levels[form]:.5f}"
            forms[form] = functools.partial(training, 0)
            counts[form] = case.steps
        each = {form: " ".join(f"{x:.5f}" for x in curve[:, -max(1, case.steps // 10) :].mean(axis=1))
                for form, curve in curves.items()}  # fmt: skip
        facts[f"error of the last tenth of {case.steps} steps, {name}, by seed"] = each
        goals.append(Goal(f"tokdyn fit, {name}", (f"{PEER}, {name}",), 1.0))
        goals.append(Goal(f"tokdyn, a call a step, {name}", (f"{PEER}, {name}",), 1.0))
    return Section(
        f"training with quantizers: digits, 64 - {WIDTH} - {CELLS} cells - {WIDTH} - 64, Adam", "steps",
        entries_from(interleaved(forms, max(3, repeats // 3)), counts, checked, missing), goals, facts, in_seconds=True,
    )  # fmt: skip
