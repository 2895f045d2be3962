"""A suite of reasoners of known truth, on which diagnostics are tried: frozen, hashed, with a dial for the effect.

The question is always the same: does the answer follow what the cache of the slots holds? For a null reasoner it does
not, by construction. For a load-bearing one it does, as far as the dial says: at dial d each item, by chance d, keeps
what the arms did to it; in the others every arm gives what the clean run gave, as if the answer went around the slots.
Latents, attention and all else that is only observed stay the same over the dial: what they look like does not change
when the answer stops using them, so that a diagnostic that only looks has a flat curve.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys
from tokdyn.checks import bad, whole_number
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import shipped
from tokdyn.reasoning.audit.export import as_run
from tokdyn.reasoning.audit.schema import FIELDS, MEDIATION, Run, pattern_of
from tokdyn.reasoning.exchange import answers_to, exchange_margins, other_picture
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.references import Reference
from tokdyn.reasoning.training import items_of

VERSION = 2
KEY = 20261122
# Of the suite as shipped. Other weights, protocols or numbers are another suite: then VERSION goes up with it.
FROZEN = "98dc69cf377139fbfbe6c7ac516c1e8ef0c7a249f5681357394672ecf8646810"
LOAD_BEARING = ("content", "compute", "text")
NULL = ("bypassed", "masked", "marker", "soft_prompt")
DIALS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
_NEAR_ZERO = 1e-3


def battery(width: int) -> dict[str, Intervention]:
    """The arms of every run, by name.

    Args:
        width: of the reasoner's residual stream.

    Example:
        >>> from tokdyn.reasoning.audit.reasoners import battery
        >>> print(battery(16)["donor"])
        swap(slots, site=cache, donor=other)
    """
    direction = np.asarray(jax.random.normal(jax.random.key(0), (width,)))
    return {
        "donor": do.swap("slots", site="cache"),
        "unrelated": do.swap("slots", site="cache", donor="unrelated"),
        "mean": do.mean("slots", site="cache"),
        "noise": do.noise("slots", spread=1.0, site="cache"),
        "zero": do.zero("slots", site="cache"),
        "donor embedding": do.swap("slots"),
        "mean embedding": do.mean("slots"),
        "constant embedding": do.constant("slots", direction, matched=True),
        "noise embedding": do.noise("slots", spread=1.0),
        "near-zero embedding": do.constant("slots", np.full(width, _NEAR_ZERO)),
        "zero embedding": do.zero("slots"),
        "removed": do.remove("slots"),
        "markers removed": do.remove("markers"),
    }


class Member(NamedTuple):
    """A reasoner of the suite.

    Attributes:
        name: its own.
        reference: with its truth; "content" of the slot cache makes it load-bearing, "none" null.
        variables: its weights.
    """

    name: str
    reference: Reference
    variables: Variables

    @property
    def bears(self) -> bool:
        """Whether the answer follows what the slots' cache holds."""
        return self.reference.truth["slot cache"] == "content"


class Suite(NamedTuple):
    """Reasoners and how they are run; see ``suite``.

    Attributes:
        members: reasoners, load-bearing and null.
        dials: of the load-bearing ones, rising.
        repetitions: runs of each reasoner, each on fresh items.
        num_items: of a run.
        key: of items and dials.
        sha256: of weights, protocols, truths, tasks, names of the arms and all numbers above.
    """

    members: tuple[Member, ...]
    dials: tuple[float, ...]
    repetitions: int
    num_items: int
    key: int
    sha256: str

    def families(self) -> Iterator[tuple[Member, dict[float, Run]]]:
        """Every run of every reasoner, at each dial; a null reasoner's dial is 0."""
        for member in self.members:
            for repetition in range(self.repetitions):
                run, lots = _run(self, member, repetition)
                if member.bears:
                    yield member, {dial: dialled(run, lots < dial) for dial in self.dials}
                else:
                    yield member, {0.0: run}

    def runs(self) -> Iterator[tuple[Member, float, Run]]:
        """The same, one after the other."""
        for member, family in self.families():
            for dial, run in family.items():
                yield member, dial, run


def suite(
    members: Sequence[Member] | None = None,
    *,
    dials: Sequence[float] = DIALS,
    repetitions: int = 40,
    num_items: int = 100,
    key: int = KEY,
) -> Suite:
    """The suite, hashed.

    Args:
        members: reasoners, at least one load-bearing and one null, with different names; by default the shipped ones.
            Several trainings of a reference are several members.
        dials: share of items in which the answer goes through the slots, 0 to 1; always with 0 and 1.
        repetitions: runs of each reasoner.
        num_items: of a run.
        key: of items and dials, a whole number.

    Returns:
        ``Suite``.

    Raises:
        ValueError: naming the argument.
    """
    chosen = tuple(map(shipped_member, (*LOAD_BEARING, *NULL)) if members is None else members)
    for bears, kind in ((True, "load-bearing"), (False, "null")):
        if not any(member.bears == bears for member in chosen):
            raise bad("members", f"at least one {kind} reasoner", [member.name for member in chosen])
    for member in chosen:
        truth = member.reference.truth["slot cache"]
        if truth not in ("content", "none") or member.reference.model.places.slots == 0:
            raise bad("members", "reasoners with slots, whose cache holds content or none", f"{member.name!r}")
    if len({member.name for member in chosen}) < len(chosen):
        raise bad("members", "different names", [member.name for member in chosen])
    values = tuple(sorted({0.0, 1.0, *map(float, dials)}))
    if values[0] < 0 or values[-1] > 1:
        raise bad("dials", "shares from 0 to 1", list(dials))
    numbers = {
        "repetitions": whole_number("repetitions", repetitions, at_least=1),
        "num_items": whole_number("num_items", num_items, at_least=8),
        "key": whole_number("key", key, at_least=0, at_most=2**63 - 1),
    }
    return Suite(chosen, values, **numbers, sha256=_hashed(chosen, {"dials": values, **numbers}))


def dialled(run: Run, through: np.ndarray) -> Run:
    """A run in which the arms have acted on some items only.

    Args:
        run: with arms.
        through: items that keep what arms did `[items]` bool; the others have the clean run's rows in every arm, and
            their margins follow the picture whichever latents are there.

    Returns:
        A ``Run``.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning import audit
        >>> run = audit.checked({"answers": [0, 1], "targets": [0, 1], "arm/zero/answers": [1, 0]})
        >>> audit.dialled(run, np.array([True, False])).arrays["arm/zero/answers"].tolist()
        [1, 1]
    """
    made = dict(run.arrays)
    for name, array in run.arrays.items():
        field = name.rpartition("/")[2]
        if name.startswith("arm/") and field in run.arrays and FIELDS[pattern_of(name)].axes[0][:1] == ("items",):
            kept = through.reshape(-1, *[1] * (array.ndim - 1))
            made[name] = np.where(kept, array, run.arrays[field])
    for foreign, own in (("latents_exchanged", "factual"), ("image_exchanged", "both_exchanged")):
        if f"mediation/{foreign}" in made:
            some, others = (run.arrays[f"mediation/{name}"] for name in (foreign, own))
            made[f"mediation/{foreign}"] = np.where(through, some, others)
    return Run(made)


@functools.cache
def shipped_member(name: str) -> Member:
    """A shipped reference as a member of a suite.

    Args:
        name: of ``references.catalog()``.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> from tokdyn.reasoning.audit import shipped_member
        >>> shipped_member("content").bears, shipped_member("soft_prompt").bears
        (True, False)
    """
    one = shipped.load(name)
    return Member(name, one.reference, one.variables)


def _run(chosen: Suite, member: Member, repetition: int) -> tuple[Run, np.ndarray]:
    """One run on fresh items, and each item's lot `[items]`, against which dials are held."""
    key = keys.for_seed(keys.for_purpose(jax.random.key(chosen.key), f"suite of {member.name}"), repetition)
    reference = member.reference
    items = items_of(reference.task, keys.for_purpose(key, "items"), chosen.num_items)
    count, model, task = chosen.num_items, reference.model, reference.task
    run = as_run(
        model, task, member.variables, items, battery(model.width), key=keys.for_purpose(key, "noise"),
        # As run_arms pairs them: the next item is the donor.
        donor_targets={"donor": jnp.roll(items.answer[:, 0], -1)}, control={"donor": "unrelated"}, name="suite",
        more=_mediation(model, task, member.variables, items, key),
    )  # fmt: skip
    return run, np.asarray(jax.random.uniform(keys.for_purpose(key, "lots"), (count,)))


def _mediation(model: Reasoner, task: Any, variables: Variables, items: Item, key: jax.Array) -> dict[str, np.ndarray]:
    """Margins of the four runs with another picture and its slot cache; none where the question is no chain's start."""
    margins, known = _exchanged(model, task)(variables, items, keys.for_purpose(key, "exchange"))
    if not np.array_equal(known, items.answer[:, 0]):
        return {}
    return {f"mediation/{name}": row for name, row in zip(MEDIATION, np.asarray(margins), strict=True)}


@functools.lru_cache(maxsize=16)
def _exchanged(model: Reasoner, task: Any) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Margins by the slots' cache, and the items' own answers as the task's chain gives them; compiled once."""

    def run(variables: Variables, items: Item, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        others = other_picture(items)
        outputs = model.apply(variables, items)[0], model.apply(variables, others)[0]
        answers = answers_to(task, others)
        margins = exchange_margins(model, variables, items, others, outputs, answers, key=key)
        return margins["cache"], answers_to(task, items)

    return jax.jit(run)


def _hashed(members: Sequence[Member], numbers: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for member in members:
        reference = member.reference
        declared = {
            "name": member.name, "protocol": reference.model.protocol.as_dict(), "task": repr(reference.task),
            "truth": reference.truth, "layers": reference.model.layers, "width": reference.model.width,
        }  # fmt: skip
        digest.update(json.dumps(declared, sort_keys=True).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(member.variables):
            array = np.ascontiguousarray(np.asarray(leaf))
            digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype.name}".encode())
            digest.update(array.tobytes())
    digest.update(json.dumps({"version": VERSION, "arms": list(battery(1)), **numbers}, sort_keys=True).encode())
    return digest.hexdigest()
