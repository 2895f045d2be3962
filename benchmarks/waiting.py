"""What a user waits for: whole commands, the first time and the second, and where that time goes.

With ``BENCHMARK_BEFORE`` naming a git revision, the same commands of that revision are timed in turn with ours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import num_cores
from benchmarks.record import Entry, Goal, Section

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND, BEFORE = "first time", "second time", "before"
REPEATS = 3

RUN_ARMS = """
import sys
import jax
import numpy as np
import tokdyn as td
from tokdyn import reasoning
from tokdyn.reasoning import interventions as do
if hasattr(td, "compile_cache"):
    td.enable_compile_cache()
one = reasoning.shipped.load("content")
items = reasoning.training.items_of(one.reference.task, jax.random.key(0), 48)
arms = {f"{name}, {site}": arm(site) for site in ("embedding", "residual", "cache") for name, arm in {
    "swap": lambda site: do.swap("slots", site=site),
    "zero": lambda site: do.zero("slots", site=site),
    "noise": lambda site: do.noise("slots", site=site, relative=1.0),
}.items()}
run = jax.jit(lambda variables, items: reasoning.run_arms(
    one.reference.model, variables, items, arms, key=jax.random.key(1)))
clean, results = run(one.variables, items)
print(len(results), float(np.asarray(clean.logits).mean()))
"""


class Command(NamedTuple):
    """What is run, and how long it may take.

    Attributes:
        words: of the command line; "-" and a script for a script.
        first: most seconds, or with ``of_before`` the largest share of what the revision before takes.
        second: the same, of the second time.
        of_before: whether the goals are shares.
    """

    words: list[str]
    first: float | None = None
    second: float | None = None
    of_before: bool = False


def commands(place: Path) -> dict[str, Command]:
    """By the name that stands in the table; files that they need are made here."""
    generator = np.random.default_rng(0)
    features = np.concatenate([generator.normal(centre, 0.4, (100, 8)) for centre in (-2, 0, 2)])
    np.save(place / "features.npy", features.astype(np.float32))
    _save_run(place / "run.npz", generator)
    (place / "arms.py").write_text(RUN_ARMS, encoding="utf-8")
    (place / "tokdyn_alone.py").write_text("import tokdyn\n", encoding="utf-8")
    out = ["--no-plots", "--out", "OUT"]
    return {
        "tokdyn --help": Command(["--help"]),
        "import tokdyn": Command(["-", "tokdyn_alone.py"]),
        "tokdyn study dynamics --no-plots": Command(["study", "dynamics", *out], 0.45, 0.25, True),
        "tokdyn run features.npy --num-tokens 3 --no-plots": Command(
            ["run", str(place / "features.npy"), "--num-tokens", "3", *out]
        ),
        "tokdyn audit run.npz (300 items)": Command(["audit", str(place / "run.npz"), "--out", "OUT"], 12.0, 4.0),
        "run_arms, 9 arms, 48 items": Command(["-", "arms.py"], 15.0),
    }


def _save_run(path: Path, generator: np.random.Generator, items: int = 300) -> None:
    """A run with everything that an audit looks at, half of whose answers follow the latents."""
    choices, slots, width = 4, 3, 16
    targets = generator.integers(choices, size=items)
    latents = generator.normal(size=(items, slots, width)) + 2 * np.eye(width)[targets][:, None]
    logits = 3 * np.eye(choices)[targets] + generator.normal(size=(items, choices))
    arrays = {
        "targets": targets, "answers": logits.argmax(-1), "logits": logits, "latents": latents,
        "labels/target": targets,
    }  # fmt: skip
    for name, share in (("zero", 0.3), ("swap", 0.5), ("own latents back", 0.0)):
        other = generator.integers(choices, size=items)
        arrays[f"arm/{name}/answers"] = np.where(generator.random(items) < share, other, arrays["answers"])
    np.savez(path, **arrays)


class Measured(NamedTuple):
    """One process: seconds in all, of all cores together, and by what it did."""

    wall: float
    cpu: float
    parts: dict[str, float]


def process(words: list[str], cache: Path, place: Path, root: Path) -> Measured:
    """Run a command of the tree in ``root`` in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    out, told = place / "out", place / "told.json"
    shutil.rmtree(out, ignore_errors=True)
    told.unlink(missing_ok=True)
    # Before the cache had a variable of its own, it lay in XDG_CACHE_HOME.
    environment = os.environ | {
        "TOKDYN_CACHE": str(cache), "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(root),
    }  # fmt: skip
    words = [str(out) if word == "OUT" else word for word in words]
    wrapper = str(ROOT / "benchmarks" / "waiting_process.py")
    command = [sys.executable, wrapper, str(told), "--", *words]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode or not told.exists():
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(wall, used, json.loads(told.read_text(encoding="utf-8")))


def measure(*, repeats: int, quick: bool) -> Section:
    """The row ``waiting``."""
    revision = os.environ.get("BENCHMARK_BEFORE")
    found: dict[str, list[Measured]] = {}
    goals: list[Goal] = []
    facts: dict[str, Any] = {"before": revision}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        trees = {"": ROOT} | ({BEFORE: _checked_out(revision, place / "before")} if revision else {})
        asked = commands(place)
        for repeat in range(1 if quick else min(repeats, REPEATS)):
            for name, command in asked.items():
                for label, root in trees.items():
                    cache = place / f"cache{repeat}{label}"
                    if label == "":  # so that no command profits from another's programs
                        shutil.rmtree(cache, ignore_errors=True)
                    for when in (FIRST, SECOND) if label == "" else (BEFORE,):
                        measured = process(command.words, cache, place, root)
                        found.setdefault(f"{name}, {when}", []).append(measured)
    for name, command in asked.items():
        for when, limit in ((FIRST, command.first), (SECOND, command.second)):
            form = f"{name}, {when}"
            parts = [measured.parts for measured in found[form]]
            facts[form] = {part: round(float(np.median([each[part] for each in parts])), 2) for part in parts[0]}
            if limit is not None and not command.of_before:
                facts[form]["goal, seconds"] = limit
                facts[form]["met"] = float(np.median([measured.wall for measured in found[form]])) <= limit
            elif limit is not None:
                goals.append(Goal(form, (f"{name}, {BEFORE}",), limit, "at_most"))
    facts |= {f"compiled with {effort} effort": told for effort, told in efforts().items()}
    entries = [
        Entry(form, 1, [each.wall for each in measured], [each.cpu for each in measured], num_cores())
        for form, measured in found.items()
    ]
    return Section("what a user waits for: whole processes", "processes", entries, goals, facts, in_seconds=True)


def efforts() -> dict[str, dict[str, str]]:
    """By effort, seconds to compile and to run: the study's simulation in float32, and nine arms of a reasoner."""
    import jax
    import jax.numpy as jnp

    from tokdyn import reasoning
    from tokdyn.compiling import jitted
    from tokdyn.reasoning import interventions as do
    from tokdyn.studies import dynamics
    from tokdyn.studies.dynamics.experiment import ended, stacked_methods
    from tokdyn.studies.dynamics.scenes import chunks_of

    config = dynamics.Config()
    _, scenes, tokens, _ = next(chunks_of(config, "float32"))

    def study(methods: Any, scenes: Any, tokens: Any, tol: Any) -> Any:
        def one(numbers: tuple[Any, Any]) -> Any:
            rule, scene = (jax.tree.map(lambda leaf, i=i: leaf[i], of) for i, of in zip(numbers, stacked, strict=True))
            return ended(rule, scene[0], scene[1], tol, max_steps=config.max_steps)

        stacked = methods, (scenes, tokens)
        numbers = np.divmod(np.arange(len(config.rules) * len(tokens)), len(tokens))
        return jax.lax.map(one, tuple(jnp.asarray(number) for number in numbers))

    one = reasoning.shipped.load("content")
    items = reasoning.training.items_of(one.reference.task, jax.random.key(0), 48)
    kinds = {"swap": do.swap, "zero": do.zero, "mean": do.mean}
    arms = {f"{name}, {site}": kind("slots", site=site) for name, kind in kinds.items()
            for site in ("embedding", "residual", "cache")}  # fmt: skip
    answers = lambda variables, items: reasoning.run_arms(  # noqa: E731
        one.reference.model, variables, items, arms, key=jax.random.key(1)
    )
    programs = {
        "1,080 runs of the study": (study, (stacked_methods(config), scenes, tokens, np.float32(config.tol))),
        "9 arms, 48 items": (answers, (one.variables, items)),
    }
    told: dict[str, dict[str, str]] = {"usual": {}, "little": {}}
    for name, (function, arguments) in programs.items():
        for effort, row in told.items():
            lowered = jitted(function, effort).lower(*arguments)
            started = time.perf_counter()
            program = lowered.compile()
            compiled = time.perf_counter()
            runs = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                jax.block_until_ready(program(*arguments))
                runs.append(time.perf_counter() - began)
            row[name] = f"{compiled - started:.2f} s to compile, {np.median(runs):.3f} s to run"
    return told


def _checked_out(revision: str, place: Path) -> Path:
    """The tree of a revision."""
    place.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", str(place)], input=archive, check=True)
    return place
