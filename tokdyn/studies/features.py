"""Token dynamics on the user's own features: read a file, run, write what came of it."""

from __future__ import annotations

import dataclasses
import functools
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from tokdyn import environment, metrics, tree
from tokdyn.checks import Status, bad, whole_number
from tokdyn.dynamics import Dynamics, attraction, compose, inertia, load, repulsion
from tokdyn.estimator import best_of
from tokdyn.solve import Result, init, trajectory
from tokdyn.studies.output import markdown_table, write_json, written_together
from tokdyn.theory import Guide

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
# Squared distances of such numbers still fit, with room for sums.
LARGEST = {"float64": 1e150, "float32": 1e15}
RESOLUTIONS = (0.001, 0.01, 0.1, 0.5)
# Silhouette compares all pairs of features.
MOST_FOR_SILHOUETTE = 20_000


@dataclasses.dataclass(frozen=True)
class Options:
    """How to run token dynamics on a file of features."""

    num_tokens: int
    """How many tokens."""
    temperature: float | Literal["auto"] = "auto"
    """Of the softmax, in squared units of the features; auto chooses by their spectrum and the number of tokens."""
    rate: float = 1.0
    """Of the attraction."""
    repulsion: float = 0.0
    """Strength of the repulsion between tokens; 0 for none."""
    momentum: float = 0.0
    """Share of the last displacement that is kept; 0 for none."""
    dynamics: Path | None = None
    """A dynamics written by td.save, in place of the four numbers above."""
    max_steps: int = 300
    """At most so many steps."""
    tol: float = 1e-4
    """Largest displacement of a token at which a run stops."""
    num_starts: int = 10
    """Random starts, of which the one with the smallest sum of squared errors is kept."""
    seed: int = 0
    """Of the random starts."""
    x64: bool = True
    """Compute in float64 or float32."""


def read_features(path: str | os.PathLike[str]) -> np.ndarray:
    """Features from a file: ``.npy``, ``.npz`` (one array, or one named features), ``.csv``, ``.parquet``.

    Args:
        path: the file. Tables hold a feature a row and numbers only; a csv may have a line of names first.

    Returns:
        `[N, D]`, float64.

    Raises:
        ValueError: no such file, another format, or anything but finite numbers `[N, D]`.
    """
    file = Path(path)
    if not file.is_file():
        raise bad("file", "a file of features", f"{file} (no such file)")
    if file.suffix.lower() not in SUFFIXES:
        raise bad("file", f"one of {', '.join(SUFFIXES)}", file.name)
    try:
        array = _read(file)
    except ImportError:
        raise bad("file", "pandas to be able to read parquet (pip install pyarrow)", file.name) from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if reason.startswith("file: expected"):
            raise
        if "allow_pickle" in reason:
            reason = "an array of Python objects"
        raise bad("file", f"readable {file.suffix} features", f"{file.name} ({reason})") from None
    if array.dtype.kind not in "fiub":
        raise bad("file", "numbers [N, D]", f"dtype {array.dtype} in {file.name}")
    if array.ndim != 2 or 0 in array.shape:
        raise bad("file", "at least one row and one column of numbers [N, D]", f"shape {array.shape} in {file.name}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise bad("file", "finite numbers", f"{array[row, column]} in row {row}, column {column} of {file.name}")
    return array


def _read(file: Path) -> np.ndarray:
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return np.load(file, allow_pickle=False)
    if suffix == ".npz":
        with np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if len(names) != 1 and "features" not in names:
                raise bad(
                    "file", "one array, or one named features", f"{len(names)} in {file.name}: {', '.join(names)}"
                )
            return archive["features" if "features" in names else names[0]]
    if suffix == ".parquet":
        return pd.read_parquet(file).to_numpy()
    table = pd.read_csv(file, header=None, skipinitialspace=True)
    first = pd.to_numeric(table.iloc[0], errors="coerce")
    has_names = first.isna().any() and not table.iloc[0].isna().any()
    counts_columns = (
        len(table) > 1 and len(first) > 1 and (first == np.arange(len(first))).all()
    )  # pandas' default names
    if has_names or counts_columns:
        table = pd.read_csv(file, skipinitialspace=True)
    if len(table) > 2 and table.shape[1] > 1 and np.array_equal(table.iloc[:, 0], np.arange(len(table))):
        raise bad("file", "features only", f"a first column in {file.name} that counts the rows from 0 (remove it)")
    return table.to_numpy()


def cluster_file(
    path: str | os.PathLike[str], options: Options, folder: str | os.PathLike[str], *, plots: bool = True
) -> Path:
    """Run token dynamics on a file of features, and write assignments, tokens, diagnostics, figures and a report.

    Args:
        path: the file of features.
        options: how to run.
        folder: where the results appear, together, at the end.
        plots: also draw the figures.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: naming what is wrong with the file, an option or the folder.
    """
    features = read_features(path)
    precision = "float64" if options.x64 else "float32"
    if np.abs(features).max() > LARGEST[precision]:
        raise bad(
            "file", f"numbers up to {LARGEST[precision]:g} in size (in {precision})", f"{np.abs(features).max():g}"
        )
    num_tokens = whole_number("num_tokens", options.num_tokens, at_least=1)
    if num_tokens > len(features):
        raise bad("num_tokens", f"at most the number of features, {len(features)}", num_tokens)
    guide = Guide(features, num_tokens)
    dynamics = _dynamics(options, guide.temperature(options.temperature))
    with jax.enable_x64(options.x64):
        values = jax.numpy.asarray(features.astype(precision))
        result, error, key = best_of(
            dynamics, values, num_tokens=num_tokens, num_starts=options.num_starts, max_steps=options.max_steps,
            tol=options.tol, seed=options.seed,
        )  # fmt: skip
        if result is None:
            raise bad("dynamics", "one whose tokens stay finite", "infinite or NaN tokens from every start")
        diagnostics = _diagnostics(values, result, error, num_tokens)
        warnings = guide.warnings(dynamics, result.tokens, num_distinct=result.num_distinct, tol=options.tol)
        steps = max(int(result.num_steps), 1)
        path_of_tokens = _path(dynamics, key, values, num_tokens, steps) if plots else None
    tokens, assignment = np.asarray(result.tokens), np.asarray(result.assignment)
    owner = assignment.argmax(axis=-1)
    with written_together(folder) as place:
        table = pd.DataFrame(assignment, columns=[f"token_{k}" for k in range(num_tokens)])
        table.insert(0, "token", owner)
        table.to_csv(place / "assignments.csv", index_label="feature")
        pd.DataFrame(tokens, columns=[f"x{d}" for d in range(tokens.shape[1])]).to_csv(
            place / "tokens.csv", index_label="token"
        )
        described = {name: float(np.asarray(x)) for name, x in tree.values(dynamics).items() if np.ndim(x) == 0}
        record = {
            **diagnostics,
            "warnings": warnings,
            "dynamics": described,
            "options": {
                name: _printable(str(x)) if isinstance(x, Path) else x
                for name, x in dataclasses.asdict(options).items()
            },
            **environment.describe(),
        }
        write_json(place / "diagnostics.json", record)
        figures = _draw(features, owner, *path_of_tokens, options.tol, place / "plots") if path_of_tokens else []
        sizes = np.bincount(owner, minlength=num_tokens)
        (place / "report.md").write_text(
            _text(_printable(Path(path).name), features.shape, diagnostics, described, sizes, figures, warnings),
            encoding="utf-8",
        )
    return Path(folder) / "report.md"


def _printable(name: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


def _path(
    dynamics: Dynamics, key: jax.Array, features: jax.Array, num_tokens: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, the start first `[steps + 1, K, D]`, and the largest displacement of each step, for the figures."""
    start = np.asarray(init(dynamics, key, features, num_tokens=num_tokens).tokens)
    _, kept = trajectory(dynamics, key, features, num_tokens=num_tokens, num_steps=steps, keep=_kept)
    moved, largest = (np.asarray(leaf) for leaf in kept)
    return np.concatenate([start[None], moved]), largest


def _kept(state: Any, info: Any) -> tuple[jax.Array, jax.Array]:
    return state.tokens, jax.numpy.sqrt((info.displacement**2).sum(axis=-1)).max()


def _dynamics(options: Options, temperature: float) -> Dynamics:
    if options.dynamics is not None:
        return load(options.dynamics)
    parts: dict[str, Any] = {"attract": attraction(temperature=temperature, rate=options.rate, distances="difference")}
    if options.repulsion:
        parts["repel"] = repulsion(strength=options.repulsion)
    if options.momentum:
        parts["inertia"] = inertia(momentum=options.momentum)
    return compose(**parts)


@functools.partial(jax.jit, static_argnames=("num_tokens", "with_silhouette"))
def _scores(features: jax.Array, result: Result, *, num_tokens: int, with_silhouette: bool) -> dict[str, Any]:
    """Everything that is a function of arrays, as one program."""
    predicted = result.assignment.argmax(axis=-1)
    scores: dict[str, Any] = {
        "live_tokens": metrics.live_tokens(predicted, num_tokens=num_tokens),
        "distinct_tokens": {f"{r:g}": metrics.distinct_tokens(result.tokens, r) for r in RESOLUTIONS},
        "min_token_distance": metrics.min_token_distance(result.tokens),
        "usage_perplexity": metrics.usage_perplexity(result.assignment),
        "assignment_entropy": metrics.mean_assignment_entropy(result.assignment),
        "effective_rank": metrics.effective_rank(result.tokens),
    }
    if with_silhouette:
        scores["silhouette"] = metrics.silhouette(features, predicted, num_predicted=num_tokens)
    return scores


def _diagnostics(features: jax.Array, result: Result, error: float, num_tokens: int) -> dict[str, Any]:
    with_silhouette = len(features) <= MOST_FOR_SILHOUETTE
    scores = _scores(features, result, num_tokens=num_tokens, with_silhouette=with_silhouette)
    covariance = np.atleast_2d(np.cov(np.asarray(features, np.float64).T, bias=True))
    return {
        "status": Status(int(result.status)).name,
        "num_steps": int(result.num_steps),
        "displacement": float(result.displacement),
        "residual": float(result.residual),
        "sse": error,
        **jax.tree.map(lambda x: np.asarray(x).item(), scores),
        # Above it all tokens merge at the mean, for features without strong skew.
        "critical_temperature": float(2 * np.linalg.eigvalsh(covariance)[-1]),
    }


def _draw(
    features: np.ndarray, predicted: np.ndarray, paths: np.ndarray, displacements: np.ndarray, tol: float, folder: Path
) -> list[tuple[str, str]]:
    from tokdyn import plot

    folder.mkdir()
    plot.save(
        plot.token_paths(features, predicted, paths[None], ["tokens"], width=5.0, height=4.0), folder / "tokens.png"
    )
    plot.save(plot.convergence(displacements, tol), folder / "convergence.png")
    return [
        ("tokens.png", "Features (grey) and the paths of the tokens, in the plane of the two principal components."),
        ("convergence.png", "Largest displacement of a token against the step."),
    ]


def _text(
    name: str, shape: tuple[int, ...], diagnostics: dict[str, Any], dynamics: dict[str, float], sizes: np.ndarray,
    figures: list[tuple[str, str]], warnings: list[str],
) -> str:  # fmt: skip
    # Whoever reads only "CONVERGED" must not miss that the answer may be worthless all the same.
    doubt = ", not to be relied on (see the warning)." if warnings else "."
    blocks = [
        f"# Token dynamics on {name}",
        f"{shape[0]:,} features of {shape[1]} dimensions, {len(sizes)} tokens; {diagnostics['status']} after "
        f"{diagnostics['num_steps']} steps{doubt}",
        *(f"**Warning.** {sentence}" for sentence in warnings),
        "Features by token: " + ", ".join(f"{k}: {count:,}" for k, count in enumerate(sizes)) + ".",
    ]
    merged = diagnostics["distinct_tokens"]["0.1"]
    if merged < len(sizes):
        blocks.append(f"Only {merged} tokens are distinct at resolution 0.1: the others have merged with them.")
    rows = [
        {"diagnostic": label, "value": value if isinstance(value, str) else f"{value:.6g}"}
        for label, value in diagnostics.items()
        if value is not None and not isinstance(value, dict)
    ]
    rows += [
        {"diagnostic": f"distinct tokens at {r}", "value": str(n)} for r, n in diagnostics["distinct_tokens"].items()
    ]
    rows += [{"diagnostic": path, "value": f"{value:g}"} for path, value in dynamics.items()]
    blocks.append(markdown_table(rows))
    blocks += [f"![{caption}](plots/{file})\n\n{caption}" for file, caption in figures]
    blocks.append(
        "`assignments.csv`: a row a feature; `tokens.csv`: a row a token; `diagnostics.json`: all of the above."
    )
    return "\n\n".join(blocks) + "\n"
