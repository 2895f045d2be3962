"""``python -m benchmarks.large``: one run on many features, as a user gets it, beside the best textbook form.

Every form returns tokens and the assignment; ours also counts distinct tokens and looks whether all is finite. Forms
take turns, medians are taken, and the ratio is to the fastest of three textbook forms of the same step. The number of
cores is set from outside (``taskset -c 0``).
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tokdyn as td
from benchmarks import machine

# Features, dimensions, tokens, steps.
SHAPES = (
    (1_000, 2, 4, 100),
    (1_000, 16, 32, 50),
    (1_000, 768, 8, 20),
    (4_096, 64, 32, 30),
    (5_000, 32, 8, 20),
    (2_000, 4, 200, 20),
    (10_000, 16, 16, 20),
    (10_000, 128, 64, 10),
    (20_000, 512, 32, 10),
    (50_000, 512, 32, 30),
    (100_000, 2, 8, 10),
    (100_000, 64, 16, 10),
    (200_000, 64, 64, 5),
    (1_000_000, 8, 16, 5),
)
FOLDER = Path(__file__).resolve().parent / "results"


def distances(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """Weights `[N, K]` as most people write them."""
    squared = jnp.sum(features**2, axis=1)[:, None] - 2 * features @ tokens.T + jnp.sum(tokens**2, axis=1)
    return jax.nn.softmax(-squared / temperature, axis=1)


def tokens_last(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """Without the term that cancels."""
    return jax.nn.softmax((2 * features @ tokens.T - jnp.sum(tokens**2, axis=1)) / temperature, axis=1)


def features_last(features: jax.Array, tokens: jax.Array, temperature: float) -> jax.Array:
    """The same with the long axis last."""
    scores = 2 * tokens @ features.T - jnp.sum(tokens**2, axis=1)[:, None]
    return jax.nn.softmax(scores / temperature, axis=0).T


TEXTBOOK = (distances, tokens_last, features_last)


def textbook(weights_of: Any, features: jax.Array, tokens: jax.Array, temperature: float, num_steps: int) -> Any:
    """So many steps, and the assignment."""

    def step(_: Any, tokens: jax.Array) -> jax.Array:
        weights = weights_of(features, tokens, temperature)
        return weights.T @ features / jnp.sum(weights, axis=0)[:, None]

    tokens = jax.lax.fori_loop(0, num_steps, step, tokens)
    return tokens, weights_of(features, tokens, temperature)


def ours(features: jax.Array, tokens: jax.Array, temperature: float, num_steps: int) -> Any:
    """Everything that ``td.run`` returns."""
    dynamics = td.compose(attract=td.attraction(temperature=temperature))
    return tuple(td.run(dynamics, None, features, tokens=tokens, max_steps=num_steps, tol=0.0))


def measure(shape: tuple[int, int, int, int], repeats: int) -> dict[str, Any]:
    """Medians in milliseconds of every form at one shape, and the ratio to the best of the textbook's."""
    num_features, dimension, num_tokens, num_steps = shape
    features = jax.random.normal(jax.random.key(0), (num_features, dimension))
    arguments = (features, features[:num_tokens])
    fixed = {"temperature": float(dimension), "num_steps": num_steps}
    forms = {"tokdyn": jax.jit(functools.partial(ours, **fixed))}
    forms |= {form.__name__: jax.jit(functools.partial(textbook, form, **fixed)) for form in TEXTBOOK}
    results = {name: jax.block_until_ready(form(*arguments)) for name, form in forms.items()}
    apart = float(jnp.max(jnp.abs(results["tokdyn"][1] - results["distances"][1])))
    if not apart < 1e-3:
        raise AssertionError(f"{shape}: assignments differ by {apart}: these do not compute the same")
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            started = time.perf_counter()
            jax.block_until_ready(form(*arguments))
            taken[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) * 1e3 for name, values in taken.items()}
    best = min(medians[form.__name__] for form in TEXTBOOK)
    return {"shape": shape, "milliseconds": medians, "ratio": medians["tokdyn"] / best, "largest_difference": apart}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON and the table")
    options = parser.parse_args()
    described = machine.describe()
    names = ("tokdyn", *(form.__name__ for form in TEXTBOOK))
    lines = [
        f"jax {described['versions']['jax']}, cores: {machine.num_cores()}; float32; medians of {options.repeats}, ms.",
        "",
        "| features, dimensions, tokens, steps | " + " | ".join(names) + " | tokdyn / best textbook |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    rows = []
    for shape in SHAPES:
        rows.append(measure(shape, options.repeats))
        times = " | ".join(f"{rows[-1]['milliseconds'][name]:.1f}" for name in names)
        lines.append(f"| {' x '.join(f'{size:,}' for size in shape)} | {times} | {rows[-1]['ratio']:.2f} |")
        print(lines[-1], flush=True)
    ratios = np.array([row["ratio"] for row in rows])
    lines += ["", f"At most 1.1 in {np.sum(ratios <= 1.1)} of {len(ratios)} rows, 1.25 in {np.sum(ratios <= 1.25)}."]
    print(lines[-1])
    stem = f"{machine.short_name()}-jax{described['versions']['jax']}-large"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{stem}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (options.out / f"{stem}.json").write_text(json.dumps({"machine": described, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
