"""Senses recovered on held-out sentences by every reader, patterns decoded back, and a vocabulary that changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from tokdyn import geometry, keys
from tokdyn.studies.context import design, readers
from tokdyn.studies.context.changes import changes, trained_anew
from tokdyn.studies.context.design import CONDITIONS, Condition, Config
from tokdyn.studies.context.patterns import graphs, triples
from tokdyn.studies.context.worlds import world
from tokdyn.sweeps import Plan, grid, sweep, variants, zipped

if TYPE_CHECKING:
    import xarray

VARIABLES = {
    "recovered": "share of held-out sentences in which the polyseme's sense is recovered",
    "expected": "what the exact posterior expects to recover: mean probability of its most likely sense",
    "commonest": "share right by the commonest sense of each word among the sentences learned from",
    "chance": "share right by guessing among a word's senses",
    "seen": "share of held-out sentences that are, word by word, among those learned from",
    "exact": "share of sentences whose subject, verb and object all come back",
    "told_apart": "share of sentences that fit their pattern better than with subject and object exchanged; ties half",
    "edges_right": "share of a graph's edges whose dependent comes back",
    "graph_right": "share of graphs that come back whole",
    "added_place": "share of an added word's five nearest that are of its topic",
    "added_own": "the same for the vector that the word had",
    "added_chance": "the same for a word placed at random",
    "coherence": "share of the other words' five nearest neighbours that stay, after each change",
    "coherence_anew": "the same for word vectors made from scratch out of two sets of sentences of one language",
    "merged_place": "share of other words that lie farther from the uses of two merged words than the merged word does",
    "split_senses": "share of held-out uses that the two new words tell apart as their senses do",
    "split_oracle": "the same by the exact posterior",
}
CHANGES = ("added", "merged", "split")


def senses(cell: dict[str, Any], key: jax.Array, *, length: int, number: int, num_steps: int) -> dict[str, jax.Array]:
    """One language: every reader learns from some of its sentences and reads others.

    Args:
        cell: the numbers of a ``Condition``.
        key: of everything random.
        length: room in a sentence (static).
        number: sentences learned from, and held out (static).
        num_steps: of each training (static).
    """
    made, vectors = world(cell, key)
    learned, asked = (
        geometry.sentences(
            keys.for_purpose(key, purpose), made, number=number, length=length, present=cell["length"].astype(int)
        )
        for purpose in ("learned", "held out")
    )
    makers: dict[str, readers.Maker] = {
        design.ALONE: readers.Alone(), design.AVERAGE: readers.Average(), design.SIDES: readers.BySide(),
        design.SIMILAR: readers.Similar(), design.CONNECTED: readers.Connected(),
        design.TRANSFORMER: readers.Transformer(length),
    }  # fmt: skip
    read = readers.trained(makers, vectors, made, learned, keys.for_purpose(key, "training"), num_steps)
    right = {name: readers.right(logs, asked) for name, logs in read(asked).items()}
    right[design.REGIONS] = readers.right(readers.by_regions(vectors, made, learned, asked), asked)
    posterior = geometry.sense_posterior(made, asked)
    right[design.ORACLE] = readers.right(posterior, asked)
    return {
        "recovered": jnp.stack([right[name] for name in design.READERS]),
        "expected": posterior.max(axis=1).mean(),
        "commonest": readers.commonest(learned, asked),
        "chance": 1 / cell["senses"],
        "seen": readers.seen(learned, asked, key),
    }


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None, store: str = "") -> xarray.Dataset:
    """``VARIABLES`` over condition, reader and seed; over scale, role, noise, edges; over change and uses."""
    import xarray

    key = jax.random.key(config.key)
    total = config.seeds * (len(CONDITIONS) + 2 * len(design.SIDES_OF_GRIDS) + 1)
    done = 0

    def swept(name: str, evaluate: Any, base: Any, space: Any, dims: dict[str, tuple[str, ...]]) -> xarray.Dataset:
        nonlocal done
        begun = done

        def step(finished: int, _: int) -> None:
            nonlocal done
            done = begun + finished
            if progress is not None:
                progress(done, total)

        found = sweep(
            evaluate, base, space, seeds=config.seeds, key=keys.for_purpose(key, name), dims=dims, progress=step,
            store=str(Path(store) / name) if store else None, unit=min(10, config.seeds),
        )  # fmt: skip
        assert not isinstance(found, Plan)
        return found.load()

    # One program for all lengths: compiling a second takes longer than the empty places of short sentences.
    room = max(one.length for one in CONDITIONS)
    evaluate = functools.partial(senses, length=room, number=config.sentences, num_steps=config.num_steps)
    every = columns(CONDITIONS)
    base = {name: values[0] for name, values in every.items()}
    of_senses = swept("senses", evaluate, base, zipped("condition", every), {"recovered": ("reader",)})
    of_senses = of_senses.drop_vars([name for name in of_senses.coords if name not in ("condition", "seed")])
    of_senses = of_senses.assign_coords(condition=[one.name for one in CONDITIONS], reader=list(design.READERS))
    decoded = swept(
        "triples", functools.partial(triples, number=config.triples), {"unused": 0.0},
        variants(side=list(design.SIDES_OF_GRIDS)) * grid({"unused": [0.0]}),
        {"exact": ("binding", "noise"), "told_apart": ("binding", "noise")},
    ).isel(unused=0, drop=True)  # fmt: skip
    whole = swept(
        "graphs", graphs, {"unused": 0.0}, variants(side=list(design.SIDES_OF_GRIDS)) * grid({"unused": [0.0]}),
        {"edges_right": ("edges",), "graph_right": ("edges",)},
    ).isel(unused=0, drop=True)  # fmt: skip
    base = {name: values[0] for name, values in columns([design.BASE._replace(senses=2)]).items()}
    changed = swept(
        "changes", functools.partial(changes, number=config.sentences), base, grid({"senses": [2.0]}),
        {"coherence": ("change", "uses"), "information": ("half", "word", "other"), "met": ("word",),
         **dict.fromkeys(("added_place", "split_senses"), ("uses",))},
    ).isel(senses=0, drop=True)  # fmt: skip
    information = changed["information"].transpose("seed", "half", "word", "other").values
    met = changed["met"].transpose("seed", "word").values
    changed = changed.drop_vars(["information", "met"]).assign(coherence_anew=("seed", trained_anew(information, met)))
    return xarray.merge([of_senses, decoded, whole, changed], join="outer").assign_coords(
        binding=["sum", "roles"], noise=list(design.NOISES), edges=list(design.EDGES), change=list(CHANGES),
        uses=list(design.USES),
    )  # fmt: skip


def columns(chosen: Sequence[Condition]) -> dict[str, list[float]]:
    """The numbers of some conditions, by name."""
    return {name: [float(getattr(one, name)) for one in chosen] for name in Condition._fields[1:]}
