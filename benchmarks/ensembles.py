"""Ensembles of trainings: the study's autoencoder over learning rates and seeds, beside loops and PyTorch."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks.machine import num_cores
from benchmarks.record import Goal, Section, entries_from
from benchmarks.timing import interleaved
from tokdyn import autoencoder as ae

STEPS = 200
RATES = (1e-3, 2e-3, 3e-3, 5e-3)
# Words, cells, colours, tokens of a step.
SIZES = {"small": (51, 49, 3, 69), "large": (192, 64, 5, 128)}


def member(numbers: dict[str, Any], key: jax.Array, *, size: tuple[int, int, int, int]) -> dict[str, jax.Array]:
    """One training of the dense autoencoder, sigmoid patterns."""
    words, cells, channels, batch = size
    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=words, cells=cells, channels=channels),
        ae.bottlenecks.sigmoid(),
        ae.decoders.dense(vocabulary_size=words),
    )
    fitted = td.train.fit(
        model, ae.losses.objective(), lambda key, step: jax.random.randint(key, (batch,), 0, words), key=key,
        num_steps=STEPS, hyper={"learning_rate": numbers["learning_rate"]},
    )  # fmt: skip
    logits = model.apply(fitted.variables, jnp.arange(words))[0].logits
    return {"types": jnp.mean(jnp.argmax(logits, axis=-1) == jnp.arange(words)), "loss": fitted.history["loss"][-1]}


def measure_small(*, repeats: int, quick: bool) -> Section:
    """The row ``ensemble``."""
    goals = [
        Goal("tokdyn sweep", ("a loop that compiles for every rate",), 10.0),
        Goal("tokdyn sweep", ("a loop over one jitted fit",), 1.3),
        Goal("tokdyn sweep", ("PyTorch, a loop",), 10.0),
    ]
    return _measure("small", goals, repeats=1 if quick else max(3, repeats // 3), quick=quick)


def measure_large(*, repeats: int, quick: bool) -> Section:
    """The row ``ensemble-large``."""
    goals = [
        Goal("tokdyn sweep", ("a loop over one jitted fit",), 0.9),
        Goal("tokdyn sweep", ("a loop that compiles for every rate",), 10.0),
        Goal("tokdyn sweep", ("PyTorch, a loop",), 1.0),
    ]
    return _measure("large", goals, repeats=1 if quick else max(3, repeats // 3), quick=quick)


def _measure(name: str, goals: list[Goal], *, repeats: int, quick: bool) -> Section:
    size, seeds = SIZES[name], 1 if quick else 4
    one = functools.partial(member, size=size)
    key = jax.random.key(0)
    keys = [td.keys.for_seed(key, seed) for seed in range(seeds)]
    jitted = jax.jit(one)

    def swept() -> Any:
        return td.sweep(one, {"learning_rate": 0.0}, td.grid({"learning_rate": RATES}), seeds=seeds, key=key, unit=2)

    def looped() -> list[Any]:
        return [jitted({"learning_rate": np.float32(rate)}, k) for rate in RATES for k in keys]

    def compiled_anew(seeds: int) -> list[Any]:
        # The rate as a constant of the program, as where it stands in a closure: nothing is shared between rates.
        program = jax.jit(lambda k: one({"learning_rate": RATES[0]}, k))
        return [program(k) for k in keys[:seeds]]

    forms = {
        "tokdyn sweep": swept,
        "a loop over one jitted fit": looped,
        "a loop that compiles for every rate": functools.partial(compiled_anew, 1),
        "the same, four seeds of each rate": functools.partial(compiled_anew, seeds),
    }
    runs = len(RATES) * seeds
    counts = {
        "tokdyn sweep": runs,
        "a loop over one jitted fit": runs,
        "a loop that compiles for every rate": 1,
        "the same, four seeds of each rate": seeds,
    }
    missing: dict[str, str] = {}
    try:
        import torch

        forms["PyTorch, a loop"] = functools.partial(_torch, torch, size, seeds)
        counts["PyTorch, a loop"] = seeds
    except ImportError:
        missing["PyTorch, a loop"] = "PyTorch is not installed"
    alone = np.array([float(result["loss"]) for result in looped()]).reshape(len(RATES), seeds)
    gap = float(np.max(np.abs(np.asarray(swept()["loss"]) / alone - 1)))
    assert gap < 0.05, gap  # 200 chaotic steps of float32
    checked = {"tokdyn sweep": f"final losses as the loop's, to {gap:.0e}"}
    title = f"{size[0]} words, 8 x 8 x 5" if name == "large" else f"{size[0]} words, 7 x 7 x 3"
    return Section(
        f"training an ensemble: {title}, {STEPS} steps of {size[3]} tokens, {runs} members", "trainings",
        entries_from(interleaved(forms, repeats), counts, checked, missing), goals,
    )  # fmt: skip


def _torch(torch: Any, size: tuple[int, int, int, int], seeds: int) -> list[float]:
    """The same training in PyTorch, eager, one after another."""
    torch.set_num_threads(num_cores())
    words, cells, channels, batch = size
    losses = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        layers = [torch.nn.Embedding(words, 128)]
        for widths in ((128, 256), (256, 256)):
            layers += [torch.nn.Linear(*widths), torch.nn.ReLU()]
        layers += [torch.nn.Linear(256, cells * channels), torch.nn.Sigmoid()]
        for widths in ((cells * channels, 256), (256, 256)):
            layers += [torch.nn.Linear(*widths), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(256, words))
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(STEPS):
            ids = torch.randint(0, words, (batch,))
            loss = torch.nn.functional.cross_entropy(model(ids), ids)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(float(loss.detach()))
    return losses
