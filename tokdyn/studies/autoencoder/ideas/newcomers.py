"""Meta-learning: few steps to add new words, from a learned start, from plain training, by a readout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
import xarray

from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.claims import REPAIRED
from tokdyn.numerics import share
from tokdyn.studies.autoencoder.ideas.common import WORDS, Reader, Row, Run, trained
from tokdyn.studies.rules import AtLeast, Estimate, Judgement, Rises, mean
from tokdyn.train import Fit, fit, reptile

PART = "newcomers"
NEW, SHOTS, RATE = 12, 20, 3e-3
ROUNDS, TASKS = 10, 4
BEFORE = ROUNDS * TASKS * SHOTS
ABOUT = (
    f"{WORDS} words, a table at 5 x 5 x 3 with sigmoid codes, layers of width 32, sane start, Adam at 3e-3. The first "
    f"{WORDS - NEW} come first, {NEW} are added in {SHOTS} steps on them alone. Before: nothing (scratch); {BEFORE} "
    f"plain steps on the first words; as many in Reptile's {ROUNDS} rounds of {TASKS} tasks, each {SHOTS} steps on "
    f"{NEW} of the first words; or plain, and then only the decoder learns (readout). Kept: of the first words, after "
    "the new ones."
)
ADDED, KEPT = "new words right", "first words kept"
SHOWN = ADDED
SCRATCH, PLAIN, LEARNED, READOUT = "scratch", "plain training", "Reptile", "plain, readout alone"
STARTS = (SCRATCH, PLAIN, LEARNED, READOUT)
ROWS = tuple((start, what) for start in STARTS for what in (ADDED, KEPT))


def _optimiser(learning_rate: Any, encoder: Any) -> optax.GradientTransformation:
    """Adam whose steps on everything but the decoder are scaled."""

    def scaled(updates: Any, _: Any = None) -> Any:
        return {
            name: of if name == "decoder" else jax.tree.map(lambda leaf: encoder * leaf, of)
            for name, of in updates.items()
        }

    return optax.chain(optax.adam(learning_rate), optax.stateless(scaled))


def _evaluate(numbers: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    model = ae.autoencoder(
        ae.encoders.table(vocabulary_size=WORDS, cells=25, channels=3, embedding=32, width=32),
        ae.bottlenecks.sigmoid(),
        ae.decoders.dense(vocabulary_size=WORDS, width=32),
    )
    loss, first, new = ae.losses.objective(), jnp.arange(WORDS - NEW), jnp.arange(WORDS - NEW, WORDS)
    rate = numbers["learning_rate"]
    start = model.init(keys.for_purpose(key, "init"))
    plain = fit(model, loss, first, key=key, num_steps=BEFORE, hyper={"learning_rate": rate}, variables=start).variables

    def adapt(variables: Any, key: jax.Array) -> Fit:
        task = jax.random.permutation(keys.for_purpose(key, "task"), first)[:NEW]
        return fit(model, loss, task, key=key, num_steps=SHOTS, hyper={"learning_rate": rate}, variables=variables)

    learned = reptile(adapt, start, key=keys.for_purpose(key, "reptile"), num_rounds=ROUNDS, num_tasks=TASKS)[0]
    begun = jax.tree.map(lambda *leaves: jnp.stack(leaves), start, plain, learned, plain)
    ids = jnp.arange(WORDS)

    def added(variables: Any, encoder: jax.Array) -> tuple[jax.Array, jax.Array]:
        hyper = {"learning_rate": rate, "encoder": encoder}
        result = fit(model, loss, new, key=key, num_steps=SHOTS, hyper=hyper, optimiser=_optimiser, variables=variables)
        right = jnp.argmax(model.apply(result.variables, ids)[0].logits, axis=-1) == ids
        return share(right[-NEW:]), share(right[:-NEW])

    found = jax.vmap(added)(begun, jnp.array([1.0, 1.0, 1.0, 0.0]))
    return {
        f"{what} {number}": of[number]
        for what, of in zip((ADDED, KEPT), found, strict=True)
        for number in range(len(STARTS))
    }


def measure(run: Run) -> list[Row]:
    """All starts of a seed in one run of one program."""
    (found,) = trained(_evaluate, {PART: {"learning_rate": RATE}}, run, PART).values()
    return [
        Row(start, what, found[f"{what} {number}"], 1 / WORDS, 1.0)
        for number, start in enumerate(STARTS)
        for what in (ADDED, KEPT)
    ]


_READ = Reader(PART)


def _beside_readout(of: xarray.Dataset) -> Estimate:
    return mean(_READ.seeds(of, LEARNED, ADDED) - _READ.seeds(of, READOUT, ADDED))


def claims() -> Iterator[Judgement]:
    """The notebook proposed to "learn to learn" its codes."""
    yield Judgement(
        "diffusion_lm.meta_learning", Rises(0.02), _READ.more(LEARNED, PLAIN, ADDED), REPAIRED,
        reading=(AtLeast(0.0), _beside_readout),
        told=lambda of: "; ".join(
            f"{start} {_READ.percent(of, start, ADDED)} % of the new words, {_READ.percent(of, start, KEPT)} % of the "
            "first kept" for start in STARTS
        ),
        note=f"{NEW} words added in {SHOTS} steps after {BEFORE}; first-order (Reptile); the rule reads the new words "
        "against plain training; read as: not behind a readout from plain training either",
    )  # fmt: skip


def headline(of: xarray.Dataset) -> str:
    """One sentence."""
    told = ", ".join(f"{start} {_READ.percent(of, start, ADDED)} %" for start in STARTS)
    return f"New words right after {SHOTS} steps on them: {told}."
