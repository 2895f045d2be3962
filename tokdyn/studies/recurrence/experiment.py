"""Every shipped recurrence as a map: its Jacobians, its fixed point, long roll-outs; trained and random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import keys
from tokdyn.compiling import Program, compiled, jitted
from tokdyn.reasoning import diagnose, latent_jacobians, recurrence, shipped
from tokdyn.reasoning.items import Item
from tokdyn.reasoning.model import Reasoner, Variables
from tokdyn.reasoning.recurrent import Held, gains, held
from tokdyn.reasoning.references import Reference
from tokdyn.reasoning.training import items_of
from tokdyn.studies.recurrence.design import MOST_PERIOD, Config, feeds, references
from tokdyn.theory import maps

if TYPE_CHECKING:
    import xarray

EXPONENTS = 2
NEWTON = 12  # steps, from where a roll-out ended
# Of a fixed point: length of f(z) - z over that of z, in single precision.
FOUND = 1e-3
# Latents nearer than this share of their root mean square length are one.
RESOLUTION = 0.01

VARIABLES = {
    "feeds": "what slots are fed",
    "gain": "root mean square change of the next latent for a small random change of this one",
    "spectral_radius": "largest modulus of an eigenvalue of the Jacobian at a latent of the clean run",
    "stretch": "largest singular value of that Jacobian: the most that a step can stretch a small change",
    "latent_residual": "length of the difference to the next latent, over that of this one",
    "distinct_latents": "different latents among all items, when those nearer than a hundredth of their length are one",
    "eigenvalue_real": "real part of the eigenvalues at the first latent",
    "eigenvalue_imaginary": "imaginary part of the eigenvalues at the first latent",
    "fixed_residual": "length of f(z) - z over that of z where Newton's method ended, from the end of the roll-out",
    "fixed_radius": "spectral radius there; NaN where no fixed point was found",
    "fixed_distance": "distance of the roll-out's end from it, over its length",
    "exponent": "Lyapunov exponents along the roll-out of an item's own latent, per step",
    "residual": "length of a step over that of the latent, along that roll-out",
    "period": "after how many steps it comes back: 1 at rest, 0 not within 12",
    "distinct_starts": "different latents among the starts of one item's map",
}


def followed(model: Reasoner, variables: Variables, items: Item, key: jax.Array, *, starts: int, num_steps: int) -> Any:
    """What is computed of a network's recurrence, over items, by one program.

    Args:
        model: a reasoner with two slots or more.
        variables: its weights.
        items: `[items, ...]`.
        key: of tangents.
        starts: roll-outs of each item's map (static).
        num_steps: of each (static).

    Returns:
        ``jacobians`` `[items, slots - 1, width, width]`, ``latents`` `[items, slots, width]``; of the first slot's map
        ``exponents``, ``path`` `[items, starts, steps + 1, width]`, ``fixed`` `[items, width]`, ``fixed_residual`` and
        ``fixed_jacobian``.
    """

    def of_item(one: Held, place: jax.Array) -> dict[str, jax.Array]:
        whole = recurrence(model, variables, one)
        # An item's own first latent, then those of the items that follow it.
        every = jax.lax.all_gather(whole.latents[0], "items")
        first = every[(place + jnp.arange(starts)) % len(every)]

        def step(latent: jax.Array) -> jax.Array:
            return whole.step(latent, 0)

        exponents = maps.lyapunov_exponents(step, first[0], num_steps=num_steps, num_exponents=EXPONENTS, key=key)
        path = maps.rollout(jax.vmap(step), first, num_steps=num_steps).swapaxes(0, 1)

        def newton(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            z, _ = carry
            slopes = maps.jacobian(step, z)
            return z + jnp.linalg.solve(jnp.eye(len(z), dtype=z.dtype) - slopes, step(z) - z), slopes

        empty = jnp.zeros((model.width, model.width), first.dtype)
        fixed, slopes = jax.lax.fori_loop(0, NEWTON, newton, (path[0, -1], empty))
        return {
            "latents": whole.latents, "jacobians": latent_jacobians(whole), "exponents": exponents.exponents,
            "path": path, "fixed": fixed, "fixed_jacobian": slopes,
            "fixed_residual": jnp.linalg.norm(step(fixed) - fixed) / jnp.linalg.norm(fixed),
        }  # fmt: skip

    # One item after the other: a whole pass under vmap takes seconds to trace, and this one is run once.
    kept = jax.lax.map(lambda item: held(model, variables, item), items)
    return jax.vmap(of_item, axis_name="items")(kept, jnp.arange(len(items.answer)))


def _program(reference: Reference, config: Config, prepared: tuple[Any, ...]) -> Program:
    of = functools.partial(followed, reference.model, starts=config.starts, num_steps=config.num_steps)
    return Program(jax.jit(of), prepared, {}, "little")


def measure(config: Config, *, progress: Callable[[int, int], None] | None = None) -> xarray.Dataset:
    """``VARIABLES`` over reasoner, network and item; by slot in a clean run, by index in a roll-out."""
    import xarray

    chosen = references()
    key = jax.random.key(config.key)
    arguments: dict[str, list[tuple[Any, ...]]] = {}
    for name, reference in chosen.items():
        own = keys.for_purpose(key, name)
        items = items_of(reference.task, keys.for_purpose(own, "items"), config.items)
        drawn = jitted(reference.model.init, "little")
        weights = [shipped.load(name).variables]
        weights += [drawn(keys.for_seed(keys.for_purpose(own, "weights"), one)) for one in range(config.networks)]
        tangents = keys.for_purpose(own, "tangents")
        arguments[name] = [(variables, items, tangents) for variables in weights]
    ready = compiled({name: _program(one, config, arguments[name][0]) for name, one in chosen.items()})
    parts = []
    for done, (name, reference) in enumerate(chosen.items()):
        each = [jax.tree.map(np.asarray, found) for found in (ready[name](*given) for given in arguments[name])]
        parts.append(_summary(each, config).assign(feeds=((), feeds(reference))))
        if progress is not None:
            progress(done + 1, len(chosen))
    whole = xarray.concat(parts, xarray.Variable("reference", list(chosen)), join="outer")
    return whole.assign_coords(network=config.labels)


def _summary(each: list[dict[str, np.ndarray]], config: Config) -> xarray.Dataset:
    """One reasoner's variables, a network after the other."""
    import xarray

    one = ("network", "item")
    rows = [_of_network(found) for found in each]
    dims = {
        "gain": (*one, "slot"), "spectral_radius": (*one, "slot"), "stretch": (*one, "slot"),
        "latent_residual": (*one, "slot"), "distinct_latents": ("network", "fed_slot"),
        "eigenvalue_real": (*one, "mode"), "eigenvalue_imaginary": (*one, "mode"), "fixed_residual": one,
        "fixed_radius": one, "fixed_distance": one, "exponent": (*one, "order"), "residual": (*one, "index"),
        "period": one, "distinct_starts": (*one, "state"),
    }  # fmt: skip
    variables = {name: (over, np.stack([row[name] for row in rows])) for name, over in dims.items()}
    slots = rows[0]["gain"].shape[-1]
    coords = {
        "slot": np.arange(1, slots + 1), "fed_slot": np.arange(1, slots + 2),
        "index": np.arange(1, config.num_steps + 1), "state": np.arange(config.num_steps + 1),
        "order": np.arange(1, EXPONENTS + 1),
    }  # fmt: skip
    return xarray.Dataset(variables, coords)


def _of_network(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of ``followed`` in the numbers that the study keeps."""
    jacobians, latents = (found[name].astype(np.float64) for name in ("jacobians", "latents"))
    values = np.linalg.eigvals(jacobians)
    first = np.take_along_axis(values[:, 0], np.argsort(-np.abs(values[:, 0]), axis=-1), axis=-1)
    own = found["path"][:, 0].astype(np.float64)  # [items, steps + 1, width]
    rests = np.isfinite(found["fixed_residual"]) & (found["fixed_residual"] < FOUND)
    slopes = np.where(rests[:, None, None], found["fixed_jacobian"].astype(np.float64), 0.0)
    away = np.linalg.norm(own[:, -1] - found["fixed"], axis=-1) / _length(own[:, -1])
    return {
        "gain": gains(jacobians),
        "spectral_radius": np.abs(values).max(axis=-1),
        "stretch": np.linalg.norm(jacobians, 2, axis=(-2, -1)),
        "latent_residual": _residual(latents),
        "distinct_latents": _distinct(latents.swapaxes(0, 1)),
        "eigenvalue_real": first.real, "eigenvalue_imaginary": first.imag,
        "fixed_residual": found["fixed_residual"],
        "fixed_radius": np.where(rests, np.abs(np.linalg.eigvals(slopes)).max(axis=-1), np.nan),
        "fixed_distance": np.where(rests, away, np.nan),
        "exponent": found["exponents"],
        "residual": _residual(own),
        "period": np.array([_period(path) for path in own]),
        "distinct_starts": np.stack([_distinct(paths.swapaxes(0, 1)) for paths in found["path"]]),
    }  # fmt: skip


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(vectors, axis=-1), np.finfo(np.float32).tiny)


def _residual(path: np.ndarray) -> np.ndarray:
    """Length of each step over that of the state before it `[..., steps]`, of states `[..., steps + 1, width]`."""
    return np.linalg.norm(np.diff(path, axis=-2), axis=-1) / _length(path[..., :-1, :])


def _distinct(path: np.ndarray) -> np.ndarray:
    """Different ones among latents `[steps, latents, width]` at each step."""
    return np.asarray(diagnose.movement(path, relative_resolution=RESOLUTION).distinct)


def _period(path: np.ndarray) -> int:
    if np.linalg.norm(path[-1] - path[-2]) <= FOUND * np.linalg.norm(path[-1]):
        return 1  # slower than a thousandth a step: nearly at rest
    return maps.period(path, most=MOST_PERIOD, relative_tolerance=1e-2)
