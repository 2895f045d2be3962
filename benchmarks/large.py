"""``python -m benchmarks.large``: one run on many features, as a user gets it, beside everything else that does it.

Every form returns tokens and the assignment; ours also counts distinct tokens and looks whether all is finite. Forms
take turns, medians are taken; the ratio is to the fastest of three textbook forms in JAX, "peak" the share of the
machine's matrix products that ours reaches, measured in the same process. The number of cores is set from outside
(``taskset -c 0``). ``--form module:function`` puts a form of your own beside them.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.large_forms import HARD, OURS, PEERS, TEXTBOOK, Maker, ours, own
from benchmarks.timing import interleaved, median

Shape = tuple[int, int, int]  # features, dimensions, tokens
# What people bring: images, CLIP vectors, tables, pixels.
USERS: tuple[Shape, ...] = (
    (1_000, 2, 4),
    (1_000, 768, 8),
    (2_000, 4, 200),
    (4_096, 64, 32),
    (5_000, 32, 8),
    (10_000, 128, 64),
    (20_000, 512, 32),
    (50_000, 512, 32),
    (100_000, 2, 8),
    (200_000, 64, 64),
    (1_000_000, 8, 16),
    (1_000_000, 64, 64),
)
GRID: tuple[Shape, ...] = tuple(itertools.product((1_000, 10_000, 100_000), (1, 16, 128, 1024), (4, 32, 256)))
MOST_WORK = 2e10  # N K D
FOLDER = Path(__file__).resolve().parent / "results"


def steps_of(shape: Shape) -> int:
    """So many steps that a call takes about half a second, from 3 to 30."""
    return int(np.clip(1e10 / np.prod(shape, dtype=float), 3, 30))


def peak() -> float:
    """Multiplications and additions a second of this process' best product of matrices, by all its cores."""
    size = 2048
    left = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda x: x @ x)
    own_left = np.asarray(left)
    taken = interleaved({"XLA": lambda: product(left), "NumPy": lambda: own_left @ own_left}, 7)
    return 2 * size**3 / min(min(timing.wall) for timing in taken.values())


def measure(shape: Shape, repeats: int, forms: dict[str, Maker], most_flops: float) -> dict[str, Any]:
    """Times of every form at one shape, the ratio to the best of the textbook's, and the share of the peak."""
    num_features, dimension, num_tokens = shape
    num_steps = steps_of(shape)
    features = np.random.default_rng(0).normal(size=(num_features, dimension)).astype(np.float32)
    tokens = features[:num_tokens].copy()
    calls, results, missing = {}, {}, {}
    for name, make in {OURS: ours, **TEXTBOOK, **forms}.items():
        try:
            calls[name] = make(features, tokens, float(dimension), num_steps)
            results[name] = [np.asarray(leaf) for leaf in tuple(calls[name]())[:2]]
        except ImportError as error:
            missing[name] = f"not installed ({error.name})"
    apart = {}
    for name, (_, assignment) in results.items():
        if assignment.ndim == 2:
            apart[name] = float(np.max(np.abs(assignment - results[OURS][1])))
            # Rounding grows from step to step where tokens merge; a form that is wrong is off by much more.
            if not apart[name] < 1e-2:
                raise AssertionError(f"{shape}: assignments of {name} differ by {apart[name]}")
    del results
    # Peers are slow where the work is large: of them fewer repeats are enough to see by how much.
    textbook = {name: call for name, call in calls.items() if name == OURS or name in TEXTBOOK}
    others = {name: call for name, call in calls.items() if name == OURS or name not in TEXTBOOK}
    timings = interleaved(textbook, repeats)
    timings = interleaved(others, min(repeats, 3)) | timings if len(others) > 1 else timings
    seconds = {name: median(timing.wall) for name, timing in timings.items()}
    cpu = {name: median(timing.cpu) for name, timing in timings.items()}
    work = 2.0 * num_features * dimension * num_tokens * (2 * num_steps + 1)
    steps = {name: int(getattr(call, "steps", num_steps)) for name, call in calls.items()}
    return {
        "shape": shape, "num_steps": num_steps, "steps": steps, "seconds": seconds, "cpu_seconds": cpu,
        "every_repeat": {name: timing.wall for name, timing in timings.items()}, "missing": missing,
        "ratio": seconds[OURS] / min(seconds[name] for name in TEXTBOOK),
        "share_of_peak": work / seconds[OURS] / most_flops, "largest_difference": apart,
    }  # fmt: skip


def line(row: dict[str, Any], names: tuple[str, ...]) -> str:
    """A row of the table."""
    sizes = " x ".join(f"{size:,}" for size in row["shape"])
    times = " | ".join(f"{row['seconds'][name] * 1e3:,.1f}" if name in row["seconds"] else "" for name in names)
    return f"| {sizes} | {row['num_steps']} | {times} | {row['ratio']:.2f} | {row['share_of_peak']:.0%} |"


def growth(rows: list[dict[str, Any]]) -> str:
    """How the time of a step grows with each size, by least squares over rows where work is large."""
    large = [row for row in rows if np.prod(row["shape"], dtype=float) >= 1e7]
    if len(large) < 5:
        return ""
    logs = np.log([[*row["shape"], 1.0] for row in large])
    logs[:, -1] = 1.0
    times = np.log([row["seconds"][OURS] / row["num_steps"] for row in large])
    slopes = np.linalg.lstsq(logs, times, rcond=None)[0]
    return f"A step takes time like N^{slopes[0]:.2f} D^{slopes[1]:.2f} K^{slopes[2]:.2f} where N K D is 10^7 or more."


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """What the table says."""
    ratios = np.array([row["ratio"] for row in rows])
    said = [
        f"tokdyn over the best textbook form: at most 1.1 in {np.sum(ratios <= 1.1)} of {len(ratios)} rows, "
        f"at most 1.25 in {np.sum(ratios <= 1.25)}; median {np.median(ratios):.2f}, largest {ratios.max():.2f}.",
        growth(rows),
    ]
    for name in PEERS:
        both = [row for row in rows if name in row["seconds"]]
        if name != HARD and both:
            faster = [
                row["cpu_seconds"][name] / row["steps"][name] / (row["cpu_seconds"][OURS] / row["num_steps"])
                for row in both
            ]
            said.append(
                f"{name}: CPU seconds a step are {np.median(faster):.2f} times ours (median; {min(faster):.2f} to "
                f"{max(faster):.2f})."
            )
    return [sentence for sentence in said if sentence]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="of ours and the textbook's; of peers at most 3")
    parser.add_argument("--grid", action="store_true", help="also N = 10^3..10^5, D = 1..1024, K = 4..256")
    parser.add_argument("--no-peers", action="store_true", help="textbook forms only")
    parser.add_argument("--form", metavar="MODULE:FUNCTION", help="a form of your own, beside them")
    parser.add_argument("--only", metavar="N,D,K", help="one shape")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON and the table")
    options = parser.parse_args()
    shapes = dict.fromkeys(USERS + (GRID if options.grid else ()))
    if options.only:
        shapes = {tuple(int(size) for size in options.only.split(",")): None}
    forms = {} if options.no_peers else dict(PEERS)
    if options.form:
        forms[options.form] = own(options.form)
    described, most_flops = machine.describe(), peak()
    names = (OURS, *TEXTBOOK, *forms)
    lines = [
        f"jax {described['versions']['jax']}, {machine.num_cores()} core(s), {described['processor']}; float32; ms, "
        f"medians of {options.repeats} (peers: of {min(options.repeats, 3)}); peak {most_flops / 1e9:.0f} GFLOP/s. "
        "`python -m benchmarks.large" + " --grid`" * options.grid + "`" * (not options.grid),
        "",
        "| features x dimensions x tokens | steps | " + " | ".join(names) + " | tokdyn / best textbook | peak |",
        "|---|---|" + "---|" * (len(names) + 2),
    ]  # fmt: skip
    print(lines[0])
    rows = []
    for shape in sorted(shapes, key=lambda shape: np.prod(shape, dtype=float)):
        if np.prod(shape, dtype=float) <= MOST_WORK:
            rows.append(measure(shape, options.repeats, forms, most_flops))
            jax.clear_caches()
            lines.append(line(rows[-1], names))
            print(lines[-1], flush=True)
    lines += ["", *summary(rows)]
    print("\n".join(lines[-len(summary(rows)) :]))
    if options.only:
        return
    stem = f"{machine.short_name()}-jax{described['versions']['jax']}-large"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{stem}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {"machine": described, "peak_flops": most_flops, "rows": rows}
    (options.out / f"{stem}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
