"""A suite of reasoners of known truth, on which diagnostics are tried: strata, battery of arms, runs on fresh items.

The question is the same for all: does the answer depend on what the slots' cache holds? Masks say so where they can,
and ``estimands`` on thousands of items where they cannot; no reasoner was trained under what the battery does.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys
from tokdyn.checks import bad, whole_number
from tokdyn.compiling import Effort, jitted
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.audit.export import as_run
from tokdyn.reasoning.audit.schema import FIELDS, MEDIATION, Run, pattern_of
from tokdyn.reasoning.designs import DESIGNS, SIZES, TASKS, reference
from tokdyn.reasoning.estimands import Estimands, depends
from tokdyn.reasoning.exchange import answers_to, exchange_margins, other_picture
from tokdyn.reasoning.interventions import Intervention
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.references import UNDECLARED, Reference
from tokdyn.reasoning.training import items_of

VERSION = 3
KEY = 20261122
# All weights differ between strata, and so does what is easy: rates are given for each.
STRATA = tuple(itertools.product(TASKS, SIZES))
_NEAR_ZERO = 1e-3
# Question: the channel that it is about, and what is measured where masks leave the truth of it open.
ASKED = {
    "cache": ("slot cache", "changed"), "embedding": ("slot embedding", "changed_embedding"),
    "presence": ("positions", "changed_presence"), "markers": ("markers", "changed_markers"),
}  # fmt: skip


def battery(width: int) -> dict[str, Intervention]:
    """The arms of every run, by name.

    Args:
        width: of the reasoner's residual stream.

    Example:
        >>> from tokdyn.reasoning.audit.suite import battery
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
        design: name of its design.
        stratum: its task and its size.
        training: number of its training.
        reference: as it is run.
        variables: its weights.
        estimands: what was measured on thousands of items; None where only masks speak.
    """

    design: str
    stratum: tuple[str, str]
    training: int
    reference: Reference
    variables: Variables
    estimands: Estimands | None = None

    @property
    def name(self) -> str:
        """Unlike that of every other member."""
        return f"{', '.join(self.stratum)}, {self.design}, training {self.training}"

    @property
    def bears(self) -> bool | None:
        """Whether the answer depends on what the slots' cache holds; None where that is between the bounds."""
        known = {"content": True, "none": False}.get(self.reference.truth["slot cache"])
        if known is not None or self.estimands is None:
            return known
        measured = float(depends(self.estimands))
        return None if np.isnan(measured) else measured == 1.0

    def depends_on(self, question: str) -> bool | None:
        """What the right answer to a question is, by masks or else as measured; None where it is open.

        Args:
            question: "cache" (what it holds: ``bears``), "embedding" (what slots are fed), "presence" (that slots are
                there) or "markers" (that these are there).
        """
        if question == "cache":
            return self.bears
        channel, quantity = ASKED[question]
        declared = self.reference.truth[channel]
        if declared != UNDECLARED:
            return declared == "content" or (declared == "presence" and question != "embedding")
        if self.estimands is None:
            return None
        measured = float(depends(self.estimands, quantity))
        return None if np.isnan(measured) else measured == 1.0


class Suite(NamedTuple):
    """Reasoners and how they are run; see ``suite``.

    Attributes:
        members: reasoners.
        repetitions: runs of each reasoner, each on fresh items.
        num_items: of a run.
        key: of items.
        sha256: of weights, protocols, truths, tasks, names of the arms and all numbers above.
    """

    members: tuple[Member, ...]
    repetitions: int
    num_items: int
    key: int
    sha256: str

    def runs(self) -> Iterator[tuple[Member, int, Run]]:
        """Every run of every reasoner, and its number."""
        for member in self.members:
            for repetition in range(self.repetitions):
                yield member, repetition, one_run(member, repetition, num_items=self.num_items, key=self.key)


def member(
    design: str, stratum: tuple[str, str], training: int, variables: Variables, estimands: Estimands | None = None
) -> Member:
    """A trained design as a member of a suite.

    Args:
        design: of ``designs.DESIGNS``.
        stratum: a task of ``designs.TASKS`` and a size of ``designs.SIZES``.
        training: its number.
        variables: its weights.
        estimands: measured on many items; needed where masks leave the truth open.

    Raises:
        ValueError: an unknown name.
    """
    for name, value, known in zip(("task", "size"), stratum, (TASKS, SIZES), strict=True):
        if value not in known:
            raise bad("stratum", f"a {name} of {', '.join(known)}", value)
    made = reference(design, TASKS[stratum[0]], SIZES[stratum[1]], run=True)
    return Member(design, (stratum[0], stratum[1]), training, made, variables, estimands)


def suite(members: Sequence[Member], *, repetitions: int = 4, num_items: int = 200, key: int = KEY) -> Suite:
    """Reasoners as a suite, hashed.

    Args:
        members: reasoners with different names; at least one whose answers depend on its slots, and one whose do not.
        repetitions: runs of each reasoner.
        num_items: of a run.
        key: of items, a whole number.

    Returns:
        ``Suite``.

    Raises:
        ValueError: naming the argument.
    """
    chosen = tuple(members)
    for bears, kind in ((True, "load-bearing"), (False, "null")):
        if not any(member.bears is bears for member in chosen):
            raise bad("members", f"at least one {kind} reasoner", [member.name for member in chosen])
    if len({member.name for member in chosen}) < len(chosen):
        raise bad("members", "different names", [member.name for member in chosen])
    numbers = {
        "repetitions": whole_number("repetitions", repetitions, at_least=1),
        "num_items": whole_number("num_items", num_items, at_least=8),
        "key": whole_number("key", key, at_least=0, at_most=2**63 - 1),
    }
    return Suite(chosen, **numbers, sha256=_hashed(chosen, numbers))


def met(design: str, arm: str) -> bool:
    """Whether training came close to what an arm does: then nobody learns from it how good the arm is."""
    return arm in DESIGNS[design].interventions


def drawn(member: Member, repetition: int, *, num_items: int, key: int) -> tuple[Item, jax.Array]:
    """Fresh items of a run `[items, ...]`, and the key of everything else that is drawn in it.

    Args:
        member: a reasoner.
        repetition: its number, which draws the items.
        num_items: how many.
        key: of all draws.
    """
    made = keys.for_seed(keys.for_purpose(jax.random.key(key), f"suite of {member.name}"), repetition)
    return items_of(member.reference.task, keys.for_purpose(made, "items"), num_items), made


def one_run(
    member: Member, repetition: int, *, num_items: int, key: int, arms: Mapping[str, Intervention] | None = None,
    effort: Effort = "usual", **options: Any,
) -> Run:  # fmt: skip
    """A member under every arm, on fresh items.

    Args:
        member: a reasoner.
        repetition: its number, which draws the items.
        num_items: how many.
        key: of all draws.
        arms: further ones, beside the battery's.
        effort: of compiling, as in ``compiling.Program``.
        **options: of ``as_run``; what it says of donors, controls and arrays goes beside what is said here.
    """
    items, made = drawn(member, repetition, num_items=num_items, key=key)
    model, task = member.reference.model, member.reference.task
    margins = exchanged(member, items, made, effort=effort)
    more = {f"mediation/{name}": row for name, row in zip(MEDIATION, margins.get("cache", ()), strict=False)}
    # As run_arms pairs them: the next item is the donor.
    beside: dict[str, dict[str, Any]] = {
        "donor_targets": {"donor": jnp.roll(items.answer[:, 0], -1)}, "control": {"donor": "unrelated"}, "more": more,
    }  # fmt: skip
    said = {name: {**given, **options.pop(name, {})} for name, given in beside.items()}
    return as_run(
        model, task, member.variables, items, {**battery(model.width), **(arms or {})},
        key=keys.for_purpose(made, "noise"), name="suite", effort=effort, **said, **options,
    )  # fmt: skip


def dialled(run: Run, through: np.ndarray) -> Run:
    """A run in which the arms have acted on some items only: what a diagnostic would see of a weaker effect.

    This replays a mixture; what reasoners that mix paths by themselves do is another matter, and is measured on
    "gated", "rare", "redundant" and "weighed".

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


def exchanged(member: Member, items: Item, key: jax.Array, *, effort: Effort = "usual") -> dict[str, np.ndarray]:
    """Margins of the four runs with another picture and its latents, in the order of ``MEDIATION``.

    Args:
        member: a reasoner.
        items: `[items, ...]`.
        key: from ``drawn``.
        effort: of compiling, as in ``compiling.Program``.

    Returns:
        By what is exchanged, "cache" or "embedding", `[4, items]`; nothing where the question is no chain's start, so
        that nobody knows the answer to another picture.
    """
    reference = member.reference
    program = _exchanged(reference.model, reference.task, effort)
    margins, known = program(member.variables, items, keys.for_purpose(key, "exchange"))
    if not np.array_equal(known, items.answer[:, 0]):
        return {}
    return {site: np.asarray(rows) for site, rows in margins.items()}


@functools.lru_cache(maxsize=16)
def _exchanged(model: Reasoner, task: Any, effort: Effort) -> Callable[..., tuple[dict[str, jax.Array], jax.Array]]:
    """Margins, and the items' own answers as the task's chain gives them; compiled once."""

    def run(variables: Variables, items: Item, key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        others = other_picture(items)
        outputs = model.apply(variables, items)[0], model.apply(variables, others)[0]
        answers = answers_to(task, others)
        margins = exchange_margins(model, variables, items, others, outputs, answers, key=key)
        return margins, answers_to(task, items)

    return jitted(run, effort)


def _hashed(members: Sequence[Member], numbers: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for one in members:
        made = one.reference
        declared = {
            "name": one.name, "protocol": made.model.protocol.as_dict(), "task": repr(made.task),
            "truth": made.truth, "layers": made.model.layers, "width": made.model.width, "bears": one.bears,
        }  # fmt: skip
        digest.update(json.dumps(declared, sort_keys=True).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(one.variables):
            array = np.ascontiguousarray(np.asarray(leaf))
            digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype.name}".encode())
            digest.update(array.tobytes())
    digest.update(json.dumps({"version": VERSION, "arms": list(battery(1)), **numbers}, sort_keys=True).encode())
    return digest.hexdigest()
