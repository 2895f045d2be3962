"""Tables that nobody chose, through the functions of ``td.geometry``: laws hold, or one sentence says why not.

``python tests/geometry/fuzz.py --draws 100`` by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from tokdyn import geometry

LONGEST = 300  # signs of a sentence
SHAPES = ((2, 1), (2, 2), (3, 7), (9, 3), (12, 40))  # few, as each has its programs
KINDS: dict[str, Callable[[np.random.Generator, np.ndarray], Any]] = {
    "normal": lambda draw, x: x,
    "whole numbers": lambda draw, x: draw.integers(-3, 4, size=x.shape),
    "duplicates": lambda draw, x: x[draw.integers(0, max(1, len(x) // 2), size=len(x))],
    "columns in other units": lambda draw, x: x * 10.0 ** draw.integers(-6, 6, size=x.shape[1]),
    "far from the origin": lambda draw, x: x + 1e4,
    "one-hot": lambda draw, x: np.eye(max(x.shape))[: len(x), : x.shape[1]],
    "one direction": lambda draw, x: x[:, :1] @ x[:1],
    "a constant column": lambda draw, x: np.where(np.arange(x.shape[1]) == 0, 3.0, x),
    "a list": lambda draw, x: x.tolist(),
    "a zero vector": lambda draw, x: np.where(np.arange(len(x))[:, None] == 0, 0.0, x),
    "half precision": lambda draw, x: x.astype(np.float16),
    "tiny": lambda draw, x: x * 1e-20,
    "huge": lambda draw, x: x * 1e17,
    "reversed, by columns": lambda draw, x: np.asfortranarray(x)[::-1],
    "NaN": lambda draw, x: np.where(np.arange(x.size).reshape(x.shape) == draw.integers(x.size), np.nan, x),
}


def laws(key: jax.Array, table: Any) -> Iterator[tuple[str, Callable[[], str]]]:
    """Names, and functions that return what is wrong, "" if nothing."""
    exact = np.asarray(table, np.float64)
    given = table if np.asarray(table).dtype.kind == "f" else exact.astype(np.float32)
    half = np.asarray(given).dtype == np.float16
    close = 2e-2 if half else 2e-3
    unit = float(np.nanmax(np.abs(exact))) or 1.0  # NaN elsewhere leaves the first rows as they are

    def finite(value: Any) -> bool:
        return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(value))

    def whitened(exponent: float) -> str:
        made = np.asarray(geometry.whitened(given, exponent), np.float64) / unit
        there = ((exact - exact.mean(axis=0)) / unit) ** 2
        return "" if abs((made**2).mean() / there.mean() - 1) < 0.01 else "another mean square"

    def codes(numbers: int, bits: bool) -> str:
        made = geometry.equal_codes(key, given, numbers=numbers, bits=bits)
        if np.abs(np.linalg.norm(made, axis=1) / np.sqrt(numbers) - 1).max() > 1e-3:
            return "codes of other lengths"
        return within(made, 0.2, "flips" if bits else "gaussian")

    def within(made: Any, noise: float, channel: str) -> str:
        found = geometry.recovery(key, made, noise=noise, channel=channel, num_draws=50)
        room = 3 * np.sqrt(0.25 / (50 * len(made))) + 0.02
        is_inside = found.at_least - room <= found.exact <= found.at_most + room
        return "" if is_inside else f"{found.exact} outside {found.at_least} to {found.at_most}"

    def removed(operator: str) -> str:
        first, second = np.asarray(given)[:2]
        roles = np.asarray(geometry.unitary_codes(key, 2, first.shape)).astype(first.dtype)
        how = {"roles": roles} if operator == "roles" else {}
        whole = geometry.compose([first, second], operator, **how)
        how = {"roles": roles[0]} if operator == "roles" else {"count": 2} if operator == "mean" else {}
        left = geometry.remove(whole, first, operator, **how)
        wanted = np.asarray(geometry.bind(roles[1], second) if operator == "roles" else second, np.float64)
        moduli = np.abs(np.fft.rfft(np.asarray(first, np.float64)))
        worst = moduli.max() / moduli.min() if operator == "binding" and moduli.min() else 1.0
        if operator == "binding" and (not moduli.min() or worst > 1e3 or not 1e-15 < unit < 1e15):
            return ""  # nothing is promised of spectra with holes, nor of products beyond single precision
        error = np.abs(np.asarray(left, np.float64) - wanted).max() / unit
        return "" if error < close * worst else f"off by {error:.2g}"

    def unbound() -> str:
        turned, other = geometry.unitary(given)[0], np.asarray(given)[1]
        back = geometry.unbind(geometry.bind(turned, other), turned)
        error = np.abs(np.asarray(back, np.float64) - other).max() / unit
        return "" if error < close else f"off by {error:.2g}"

    def neighbours(count: int) -> str:
        found = np.asarray(geometry.topological_loss(given, num_neighbours=count).neighbours)
        return "a row is its own neighbour" if (found == np.arange(len(found))[:, None]).any() else ""

    def depth() -> str:
        found = np.asarray(geometry.depth(geometry.region_of(given, floor=1e-3 * unit**2), given))
        return "" if (found >= 0).all() and (found <= 1).all() else "no shares"

    def kept() -> str:
        same = geometry.coherence(given, given, np.arange(len(exact)), num_neighbours=1)
        return "" if np.mean(same) > 0.999 or len(np.unique(exact, axis=0)) < len(exact) else "a table unlike itself"

    def connected() -> str:
        tokens = np.asarray(given)
        return "" if finite(geometry.connected(tokens, geometry.connections(tokens))) else "not finite"

    for exponent in (0.0, 0.5, 1.0):
        yield f"whitened by {exponent:g}", lambda exponent=exponent: whitened(exponent)
    for numbers, bits in ((1, False), (5, False), (64, False), (16, True)):
        yield f"codes of {numbers}", lambda numbers=numbers, bits=bits: codes(numbers, bits)
    yield "recovery", lambda: within(given, 0.7 * unit, "gaussian")
    for operator in ("mean", "sum", "binding", "roles"):
        yield f"removed from {operator}", lambda operator=operator: removed(operator)
    for count in (1, 2, 5):
        yield f"{count} neighbours", lambda count=count: neighbours(count)
    yield from (("unbound", unbound), ("depth", depth), ("coherence", kept), ("connected", connected))


def main() -> int:
    """Print what broke; 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, held, refused, broken = np.random.default_rng(options.seed), 0, 0, 0
    for number in range(options.draws):
        kind = list(KINDS)[number % len(KINDS)]
        rows, columns = SHAPES[int(draw.integers(len(SHAPES)))]
        table = KINDS[kind](draw, draw.normal(size=(rows, columns)))
        for name, law in laws(jax.random.key(number), table):
            try:
                wrong = law()
            except ValueError as error:
                wrong = f"a long sentence: {error}" if len(str(error)) > LONGEST or "\n" in str(error) else ""
                refused += 1
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            held, broken = held + (not wrong), broken + bool(wrong)
            if wrong:
                print(f"{kind} [{rows}, {columns}], {name}: {wrong[:200]}", flush=True)
    print(f"{held} held ({refused} of them refused in a sentence), {broken} broken")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
