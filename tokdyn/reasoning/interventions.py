"""Interventions as values: what is written where, declared once, hashable, printable, composed with ``+``.

A value says: this operation, at this site, of this component, at these steps and layers. ``recipes`` turns a list of
them into arrays of one shape, which ``arms.run_arms`` maps over in one compiled program.

After a change, later latent tokens are *recomputed* from it; add ``clamped(...)`` to hold them at their clean values
(then what remains is the direct effect). Each value says which (``later``), and results repeat it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks
from tokdyn.reasoning.layout import Layout
from tokdyn.reasoning.writes import DONORS, Recipe

SITES = ("embedding", "residual", "cache", "mask")
OPERATIONS = (
    "identity", "zero", "constant", "mean", "noise", "swap",
    "permute", "repeat_first", "oracle", "project_out", "remove",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Write:
    """One operation; made by the functions below.

    Attributes:
        operation: one of ``OPERATIONS``.
        component: what it acts on.
        site: "embedding" (what a position is fed), "residual" (the stream after a layer), "cache" (keys and values), or
            "mask" (who is read at all).
        steps: places within the component; None for all.
        layers: of residuals and caches; None for all.
        donor: from whom a swap takes: "self", "other" or "unrelated".
        matched: whether what is written is given the length of what it replaces.
        absolute: standard deviation of noise, in units of the site.
        relative: ... as a share of the root mean square of what it is added to.
        spread: ... in standard deviations over items, around their mean, instead of the old value.
        order: for a permutation: which place each place takes from.
        vector: for a constant.
        directions: for projecting out: rows.
    """

    operation: str
    component: str
    site: str = "embedding"
    steps: tuple[int, ...] | None = None
    layers: tuple[int, ...] | None = None
    donor: str = "self"
    matched: bool = False
    absolute: float = 0.0
    relative: float = 0.0
    spread: float = 0.0
    order: tuple[int, ...] = ()
    vector: tuple[float, ...] = ()
    directions: tuple[tuple[float, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Intervention:
    """Writes, done one after the other.

    Attributes:
        writes: the operations.
        later: "recomputed" or "clamped": what happens to latent tokens after the change.
    """

    writes: tuple[Write, ...]
    later: str = "recomputed"

    def __add__(self, other: Intervention) -> Intervention:
        """First this, then the other."""
        later = "clamped" if "clamped" in (self.later, other.later) else "recomputed"
        return Intervention(self.writes + other.writes, later)

    def __str__(self) -> str:
        return " + ".join(_text(write) for write in self.writes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; ``from_dict`` is the inverse."""
        return {"later": self.later, "writes": [dataclasses.asdict(write) for write in self.writes]}


def from_dict(values: dict[str, Any]) -> Intervention:
    """What ``Intervention.as_dict`` wrote."""
    return Intervention(tuple(Write(**_tuples(write)) for write in values["writes"]), values["later"])


def identity(component: str, **where: Any) -> Intervention:
    """Write what is there already: the control that must change nothing, to the last bit.

    Args:
        component: a name of the layout, or "markers".
        **where: ``site``, ``steps``, ``layers``.
    """
    return _made("identity", component, **where)


def zero(component: str, **where: Any) -> Intervention:
    """Write zeros. Shorter than anything the model has seen: a fall may be a shock of length, not a loss of content."""
    return _made("zero", component, **where)


def constant(component: str, vector: ArrayLike, *, matched: bool = False, **where: Any) -> Intervention:
    """Write one vector everywhere.

    Args:
        component: a name of the layout, or "markers".
        vector: `[width]`.
        matched: give it the length of what it replaces.
        **where: ``site``, ``steps``, ``layers``.
    """
    values = tuple(float(value) for value in np.asarray(vector).reshape(-1))
    return _made("constant", component, vector=values, matched=bool(matched), **where)


def mean(component: str, *, matched: bool = False, **where: Any) -> Intervention:
    """Write the mean over items of what stands at each place (``matched``: at the length of what it replaces)."""
    return _made("mean", component, matched=bool(matched), **where)


def noise(
    component: str, *, absolute: float = 0.0, relative: float = 0.0, spread: float = 0.0, **where: Any
) -> Intervention:
    """Gaussian noise: added (``absolute``, ``relative``), or instead of the value, distributed like it (``spread``).

    Args:
        component: a name of the layout, or "markers".
        absolute: standard deviation, in units of the site.
        relative: standard deviation as a share of the value's root mean square.
        spread: replaces the value by mean plus so many standard deviations of the items' values at that place; 1 is
            noise of the same mean and variance.
        **where: ``site``, ``steps``, ``layers``.

    Raises:
        ValueError: a negative number, nothing asked for, or ``spread`` beside one of the others.
    """
    numbers = {"absolute": absolute, "relative": relative, "spread": spread}
    for name, value in numbers.items():
        if not (isinstance(value, (int, float, np.number)) and math.isfinite(value) and value >= 0):
            raise checks.bad(name, "a finite number, at least 0", value)
    if not any(numbers.values()):
        raise checks.bad("noise", "one of absolute, relative and spread above 0", "none")
    if spread and (absolute or relative):
        raise checks.bad("spread", "no absolute or relative noise beside it", f"{absolute}, {relative}")
    return _made("noise", component, absolute=float(absolute), relative=float(relative), spread=float(spread), **where)


def swap(component: str, *, donor: str = "other", **where: Any) -> Intervention:
    """Write what stood there in another item's clean run.

    Args:
        component: a name of the layout, or "markers".
        donor: "other" (``donors`` of the run), "unrelated" (its second list), or "self", a sham.
        **where: ``site``, ``steps``, ``layers``.
    """
    return _made("swap", component, donor=checks.choice("donor", donor, DONORS), **where)


def permute(component: str, order: Sequence[int], **where: Any) -> Intervention:
    """Write at each place what stood at another place of the same component in the clean run.

    Args:
        component: a name of the layout.
        order: which place each place takes from.
        **where: ``site``, ``layers``.

    Raises:
        ValueError: no permutation.
    """
    order = tuple(int(place) for place in order)
    if sorted(order) != list(range(len(order))):
        raise checks.bad("order", "each place once", order)
    return _made("permute", component, order=order, **where)


def repeat_first(component: str, **where: Any) -> Intervention:
    """Write at each place what stood at the component's first in the clean run."""
    return _made("repeat_first", component, **where)


def oracle(component: str, **where: Any) -> Intervention:
    """Write what the caller gives as ``oracle`` values."""
    return _made("oracle", component, **where)


def project_out(component: str, directions: ArrayLike, **where: Any) -> Intervention:
    """Remove what lies in some directions.

    Args:
        component: a name of the layout, or "markers".
        directions: `[directions, width]`, made orthonormal.
        **where: ``site``, ``steps``, ``layers``.
    """
    rows = np.atleast_2d(np.asarray(directions, float))
    basis, triangle = np.linalg.qr(rows.T)
    independent = np.abs(np.diag(triangle)) > 1e-9
    if not independent.all():
        raise checks.bad("directions", "linearly independent rows", f"{independent.sum()} of {len(rows)} are")
    return _made("project_out", component, directions=tuple(map(tuple, basis.T.tolist())), **where)


def remove(component: str, *, steps: Iterable[int] | None = None) -> Intervention:
    """Hide positions from every other position: they are computed, and nobody reads them."""
    return _made("remove", component, site="mask", steps=steps)


def truncate(length: int, *, slots: int) -> Intervention:
    """Hide the slots from some length on.

    Args:
        length: slots that are left.
        slots: how many there are.
    """
    length = checks.whole_number("length", length, at_least=0)
    if length >= slots:
        raise checks.bad("length", f"fewer than the {slots} slots", length)
    return remove("slots", steps=range(length, slots))


def clamped(change: Intervention, *, slots: int) -> Intervention:
    """The same change of slots, with all later slots held at what they were fed in the clean run (direct effect).

    Args:
        change: an intervention on some slots.
        slots: how many there are.
    """
    touched = [step for write in change.writes if write.component == "slots" for step in write.steps or range(slots)]
    if not touched:
        raise checks.bad("change", "an intervention on slots", str(change))
    later = range(max(step % slots for step in touched) + 1, slots)
    held = _made("swap", "slots", donor="self", steps=later).writes if later else ()
    return Intervention(change.writes + held, "clamped")


def _made(operation: str, component: str, site: str = "embedding", **fields: Any) -> Intervention:
    checks.choice("site", site, SITES)
    if site == "mask" and operation != "remove":
        raise checks.bad("site", "mask only for remove", operation)
    for name in ("steps", "layers"):
        if fields.get(name) is not None:
            fields[name] = tuple(int(value) for value in np.atleast_1d(list(_several(fields[name]))))
    return Intervention((Write(operation, component, site, **fields),))


def _several(values: Any) -> Iterable[int]:
    return values if isinstance(values, Iterable) else (values,)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where a value has tuples."""

    def deep(value: Any) -> Any:
        return tuple(map(deep, value)) if isinstance(value, (list, tuple)) else value

    return {name: deep(value) for name, value in values.items()}


def _text(write: Write) -> str:
    default = Write("", "")
    words = [f"{write.operation}({write.component}"]
    for field in dataclasses.fields(write)[2:]:
        value = getattr(write, field.name)
        if value != getattr(default, field.name):
            words.append(f"{field.name}={value if not isinstance(value, tuple) or len(value) < 9 else '...'}")
    return ", ".join(words) + ")"


def recipes(interventions: Sequence[Intervention], places: Layout, *, layers: int, width: int) -> Recipe:
    """Interventions as arrays of one shape, with a leading axis of arms.

    Args:
        interventions: the arms.
        places: of the sequence.
        layers: of the model.
        width: of the residual stream.

    Returns:
        ``Recipe``, leaves `[arms, writes, ...]`.

    Raises:
        ValueError: unknown component, a step or layer past the last, a constant, an order or directions of wrong size.
    """
    if not interventions:
        raise checks.bad("interventions", "at least one", 0)
    most = max(len(one.writes) for one in interventions)
    rows = max([1, *[len(write.directions) for one in interventions for write in one.writes]])
    nothing = Write("identity", "slots", steps=())
    arms = []
    for one in interventions:
        padded = (*one.writes, *[nothing] * (most - len(one.writes)))
        arms.append(_stacked([_recipe(write, places, layers, width, rows) for write in padded]))
    return jax.tree.map(jnp.asarray, _stacked(arms))


def _stacked(values: Sequence[Recipe]) -> Recipe:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *values)


def _recipe(write: Write, places: Layout, layers: int, width: int, rows: int) -> Recipe:
    """One write as numbers."""
    own = np.flatnonzero(places.where(write.component))
    order = np.arange(places.total)
    if write.operation == "permute":
        if len(write.order) != len(own):
            raise checks.bad("order", f"one entry for each of the {len(own)} places", len(write.order))
        order[own] = own[list(write.order)]
    elif write.operation == "repeat_first" and len(own):
        order[own] = own[0]
    of_layers = np.ones(layers, bool)
    if write.layers is not None:
        for layer in write.layers:
            if not -layers <= layer < layers:
                raise checks.bad("layers", f"layers 0 to {layers - 1}", layer)
        of_layers = np.isin(np.arange(layers), np.array(write.layers) % layers)
    if write.operation == "constant" and len(write.vector) != width:
        raise checks.bad("vector", f"[{width}]", f"[{len(write.vector)}]")
    if write.directions and len(write.directions[0]) != width:
        raise checks.bad("directions", f"rows of width {width}", len(write.directions[0]))
    directions = np.zeros((rows, width))
    directions[: len(write.directions)] = np.reshape(write.directions, (-1, width))
    made: dict[str, Any] = {
        "where": places.steps(write.component, write.steps),
        "layers": of_layers,
        "embeddings": write.site == "embedding",
        "residuals": write.site == "residual",
        "caches": write.site == "cache",
        "hides": write.site == "mask",
        "keep": float(bool(write.operation in ("identity", "project_out") or write.absolute or write.relative)),
        "rescale": write.matched,
        "directions": directions,
        "donor": np.int32(DONORS.index(write.donor)),
        "order": order.astype(np.int32),
        "copy": float(write.operation in ("swap", "permute", "repeat_first")),
        "mean": float(write.operation == "mean" or write.spread > 0),
        "oracle": float(write.operation == "oracle"),
        "vector": np.asarray(write.vector or np.zeros(width)),
        "absolute": write.absolute,
        "relative": write.relative,
        "spread": write.spread,
    }
    floats = jnp.result_type(float)
    return Recipe(**{name: _of_kind(np.asarray(value), floats) for name, value in made.items()})


def _of_kind(array: np.ndarray, floats: Any) -> Any:
    """Floating numbers as JAX has them by default; all others as they are."""
    return array.astype(floats) if np.issubdtype(array.dtype, np.floating) else array
