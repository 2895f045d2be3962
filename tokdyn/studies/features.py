"""Token dynamics on the user's own features: read a file, run, write what came of it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from tokdyn import environment, metrics, tree
from tokdyn.checks import Status, bad, whole_number
from tokdyn.data import Standardised, Table, read_table, standardised
from tokdyn.dynamics import Dynamics, attraction, compose, inertia, load, repulsion
from tokdyn.solve import Result, init, trajectory
from tokdyn.solve.starts import LARGEST, best_of
from tokdyn.studies import documents
from tokdyn.studies.documents import Figure
from tokdyn.studies.output import demand_writable, write_json, written_together
from tokdyn.theory import Guide

MEANINGS = {
    "assignments.csv": "a row a feature",
    "tokens.csv": "a row a token",
    "diagnostics.json": "all of the above",
}
FILES = (*MEANINGS, "report.md", "report.html")
FIGURES = ("plots/tokens.png", "plots/convergence.png")
RESOLUTIONS = (0.001, 0.01, 0.1, 0.5)
# Silhouette compares all pairs of features: of more numbers, or features, than these a sample stands for them.
MOST_DIFFERENCES, MOST_FOR_SILHOUETTE = 1e9, 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What dynamics, on which columns of a file."""

    num_tokens: int | None = None
    """Number of tokens."""
    temperature: float | Literal["auto"] = "auto"
    """Softmax temperature in squared units of the features; auto chooses it from their spectrum and num_tokens."""
    rate: float = 1.0
    """Share of the way to its target that a token moves in a step."""
    repulsion: float = 0.0
    """Strength of the repulsion between tokens; 0 turns it off."""
    momentum: float = 0.0
    """Share of the last displacement that a token keeps; 0 turns inertia off."""
    dynamics: Path | None = None
    """A dynamics written by td.save, in place of the four numbers above."""
    seed: int = 0
    """Seed of the random starts."""
    columns: str | None = None
    """Columns to use as features: names, positions from 1, ranges ("2:5,width"); by default all but labels and ids."""
    array: str | None = None
    """Which array of an .npz holds the features."""
    standardise: bool = False
    """Scale columns to mean 0 and standard deviation 1 first; tokens.csv is in the units of the file all the same."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first line of a text file holds the names of the columns."""
    delimiter: str | None = None
    """Separator of columns in a text file: a character, or comma, semicolon, tab, space, pipe; detected by default."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """Decimal mark of a text file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Asked):
    """How to run token dynamics on a file of features."""

    num_tokens: int = dataclasses.field()  # without the default that the base class gives it
    """Number of tokens."""
    max_steps: int = 300
    """Largest number of steps of a run."""
    tol: float = 1e-4
    """A run stops once no token moves farther than this in a step."""
    num_starts: int = 10
    """Number of random starts; the run with the smallest sum of squared errors is kept."""
    start: Literal["features", "kmeans++", "greedy_kmeans++", "farthest_point", "gaussian"] = "features"
    """How tokens start: at random features, by k-means++ (greedy: best of a few draws), farthest point, or normal."""
    x64: bool = True
    """Compute in float64 or float32."""
    labels: str | None = None
    """Column (or array of an .npz) with true clusters (numbers or text), only compared with the result."""


def cluster_file(
    path: str | os.PathLike[str], options: Options, folder: str | os.PathLike[str], *, plots: bool = True,
    say: Callable[[str], object] = lambda note: None, progress: Callable[[int, int], object] | None = None,
) -> Path:  # fmt: skip
    """Run token dynamics on a file of features, and write assignments, tokens, diagnostics, figures and a report.

    Args:
        path: the file of features, as ``td.data.read_table`` reads it.
        options: how to run.
        folder: where the results appear, together, at the end. What else is in it stays.
        plots: also draw the figures.
        say: called with each note on what was read, before anything is computed.
        progress: called with ``(done, num_starts)`` when starts are done.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: naming what is wrong with the file, an option or the folder.
    """
    demand_writable(folder, (*FILES, *FIGURES) if plots else FILES)
    if Path(path).resolve() in {(Path(folder) / name).resolve() for name in FILES}:
        raise bad("out", "a folder in which no result takes the place of the file", folder)
    table, scaled = read(path, options, labels=options.labels)
    features = table.features if scaled is None else scaled.features
    for note in table.notes:
        say(note)
    precision = "float64" if options.x64 else "float32"
    if np.abs(features).max() > LARGEST[precision]:
        raise bad(
            "file", f"numbers up to {LARGEST[precision]:g} in size (in {precision})", f"{np.abs(features).max():g}"
        )
    num_tokens = whole_number("num_tokens", options.num_tokens, at_least=1)
    if num_tokens > len(features):
        raise bad("num_tokens", f"at most the number of features, {len(features)}", num_tokens)
    guide = Guide(features, num_tokens)
    dynamics = dynamics_of(options, guide.temperature(options.temperature))
    with jax.enable_x64(options.x64):
        values = jax.numpy.asarray(features.astype(precision))
        result, error, key = best_of(
            dynamics, values, num_tokens=num_tokens, num_starts=options.num_starts, max_steps=options.max_steps,
            tol=options.tol, seed=options.seed, start=options.start,
            progress=progress or (lambda done, total: None),  # always one: results do not depend on who looks
        )  # fmt: skip
        if result is None:
            raise bad("dynamics", "one whose tokens stay finite", "infinite or NaN tokens from every start")
        diagnostics = _diagnostics(values, result, error, num_tokens)
        diagnostics |= _agreement(table, result, num_tokens)
        warnings = guide.warnings(dynamics, result.tokens, num_distinct=result.num_distinct, tol=options.tol)
        steps = max(int(result.num_steps), 1)
        path_of_tokens = _path(dynamics, key, values, num_tokens, steps, options.start) if plots else None
    tokens, assignment = np.asarray(result.tokens), np.asarray(result.assignment)
    owner = assignment.argmax(axis=-1)
    with written_together(folder) as place:
        _assignments(table, assignment, owner).to_csv(place / "assignments.csv", index=False)
        own_units = tokens if scaled is None else scaled.restored(tokens)
        pd.DataFrame(own_units, columns=list(table.columns)).to_csv(place / "tokens.csv", index_label="token")
        described = {name: float(np.asarray(x)) for name, x in tree.values(dynamics).items() if np.ndim(x) == 0}
        record = {
            **diagnostics,
            "warnings": warnings,
            "dynamics": described,
            "options": {
                name: _printable(str(x)) if isinstance(x, Path) else x
                for name, x in dataclasses.asdict(options).items()
            },
            "read": _record(table, scaled),
            **environment.describe(),
        }
        write_json(place / "diagnostics.json", record)
        sizes = np.bincount(owner, minlength=num_tokens)
        blocks = _told(features.shape, diagnostics, described, sizes, _what_was_read(table, scaled), warnings)
        figures = _figures(features, owner, *path_of_tokens, options.tol) if path_of_tokens else []
        title = f"Token dynamics on {_printable(Path(path).name)}"
        documents.write(documents.Report(title, blocks, figures, files=MEANINGS), place, plots=plots)
    return Path(folder) / "report.md"


def read(
    path: str | os.PathLike[str], options: Asked, *, labels: str | None = None
) -> tuple[Table, Standardised | None]:
    """The table, and its features on one scale if that is wanted."""
    table = read_table(
        path,
        columns=options.columns,
        labels=labels,
        array=options.array,
        header={"auto": None, "yes": True, "no": False}[options.header],
        delimiter=options.delimiter,
        decimal={"auto": None, "point": ".", "comma": ","}[options.decimal],
    )
    if not options.standardise:
        return table, None
    scaled = standardised(table.features)
    constant = [repr(name) for name, is_constant in zip(table.columns, scaled.is_constant, strict=True) if is_constant]
    if constant:
        note = f"Constant, so that it stays 0 when standardised and decides nothing: {_some(constant)}."
        table = table._replace(notes=(*table.notes, note))
    return table, scaled


def _assignments(table: Table, assignment: np.ndarray, owner: np.ndarray) -> pd.DataFrame:
    """A row a feature: what the file calls it, its number, its token, its true cluster, its shares of all tokens."""
    columns: dict[str, Any] = {"feature": np.arange(len(owner)), "token": owner}
    if table.labels is not None:
        columns["label"] = np.array(table.label_names, dtype=object)[table.labels]
    columns |= {f"token_{k}": share for k, share in enumerate(assignment.T)}
    if table.ids is None:
        return pd.DataFrame(columns)
    name = table.id_name if table.id_name and table.id_name not in columns else "id"
    return pd.DataFrame({name: table.ids, **columns})


def _record(table: Table, scaled: Standardised | None) -> dict[str, Any]:
    return {
        "columns": list(table.columns),
        "ids": None if table.ids is None else table.id_name or "id",
        "label_names": list(table.label_names),
        "notes": list(table.notes),
        "standardised": None if scaled is None else {"mean": scaled.mean.tolist(), "scale": scaled.scale.tolist()},
    }


def _what_was_read(table: Table, scaled: Standardised | None) -> list[str]:
    """Blocks of the report on what the features are."""
    blocks = [f"Columns: {_some(list(table.columns))}."]
    if scaled is not None:
        blocks.append(
            "Each column was brought to mean 0 and standard deviation 1: temperature, sum of squared errors, distances "
            "and figures are in these units, `tokens.csv` in those of the file."
        )
    if table.notes:
        blocks.append("\n".join(f"* {note}" for note in table.notes))
    return [block.replace("|", "\\|").replace("<", "&lt;") for block in blocks]


def _some(names: list[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _printable(name: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


def _path(
    dynamics: Dynamics, key: jax.Array, features: jax.Array, num_tokens: int, steps: int, start: str
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, the start first `[steps + 1, K, D]`, and the largest displacement of each step, for the figures."""
    begun = np.asarray(init(dynamics, key, features, num_tokens=num_tokens, start=start).tokens)
    _, kept = trajectory(dynamics, key, features, num_tokens=num_tokens, num_steps=steps, keep=_kept, start=start)
    moved, largest = (np.asarray(leaf) for leaf in kept)
    return np.concatenate([begun[None], moved]), largest


def _kept(state: Any, info: Any) -> tuple[jax.Array, jax.Array]:
    return state.tokens, jax.numpy.sqrt((info.displacement**2).sum(axis=-1)).max()


def dynamics_of(
    options: Asked, temperature: float, *, distances: Literal["product", "difference"] = "difference"
) -> Dynamics:
    """The dynamics that a command asks for: from a file, or from numbers."""
    if options.dynamics is not None:
        return load(options.dynamics)
    attract = attraction(temperature=temperature, rate=options.rate, distances=distances)
    parts: dict[str, Any] = {"attract": attract}
    if options.repulsion:
        parts["repel"] = repulsion(strength=options.repulsion)
    if options.momentum:
        parts["inertia"] = inertia(momentum=options.momentum)
    return compose(**parts)


@functools.partial(jax.jit, static_argnames=("num_tokens",))
def _scores(features: jax.Array, result: Result, sample: Any, *, num_tokens: int) -> dict[str, Any]:
    """Everything that is a function of arrays, as one program; the silhouette is that of a sample of rows."""
    predicted = result.assignment.argmax(axis=-1)
    return {
        "live_tokens": metrics.live_tokens(predicted, num_tokens=num_tokens),
        "distinct_tokens": {f"{r:g}": metrics.distinct_tokens(result.tokens, r) for r in RESOLUTIONS},
        "min_token_distance": metrics.min_token_distance(result.tokens),
        "usage_perplexity": metrics.usage_perplexity(result.assignment),
        "assignment_entropy": metrics.mean_assignment_entropy(result.assignment),
        "effective_rank": metrics.effective_rank(result.tokens),
        "silhouette": metrics.silhouette(features[sample], predicted[sample], num_predicted=num_tokens),
    }


def _agreement(table: Table, result: Result, num_tokens: int) -> dict[str, float]:
    """How far the clusters are the true ones, where these are known."""
    if table.labels is None:
        return {}
    scores = _agreement_of(
        table.labels, result.assignment.argmax(axis=-1), num_labels=len(table.label_names), num_tokens=num_tokens
    )
    return {"num_labels": len(table.label_names), **{name: float(value) for name, value in scores.items()}}


@functools.partial(jax.jit, static_argnames=("num_labels", "num_tokens"))
def _agreement_of(labels: Any, predicted: jax.Array, *, num_labels: int, num_tokens: int) -> dict[str, jax.Array]:
    sizes: dict[str, Any] = {"num_labels": num_labels, "num_predicted": num_tokens}
    return {
        "adjusted_rand_index": metrics.adjusted_rand_index(labels, predicted, **sizes),
        "normalized_mutual_information": metrics.normalized_mutual_information(labels, predicted, **sizes),
        "matched_accuracy": metrics.matched_accuracy(labels, predicted, **sizes),
    }


def _diagnostics(features: jax.Array, result: Result, error: float, num_tokens: int) -> dict[str, Any]:
    most = min(MOST_FOR_SILHOUETTE, int((MOST_DIFFERENCES / features.shape[1]) ** 0.5) + 1)
    sample = np.arange(len(features))
    if len(features) > most:
        sample = np.sort(np.random.default_rng(0).choice(len(features), most, replace=False))
    scores = _scores(features, result, sample, num_tokens=num_tokens)
    if len(features) > most:
        scores["features_for_silhouette"] = most
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


def _figures(
    features: np.ndarray, predicted: np.ndarray, paths: np.ndarray, displacements: np.ndarray, tol: float
) -> list[Figure]:
    from tokdyn import plot

    paths_drawn = functools.partial(
        plot.token_paths, features, predicted, paths[None], ["tokens"], width=5.0, height=4.0
    )
    plane = "Features (grey) and the paths of the tokens, in the plane of the two principal components."
    return [
        Figure("tokens.png", plane, paths_drawn),
        Figure(
            "convergence.png",
            "Largest displacement of a token against the step.",
            functools.partial(plot.convergence, displacements, tol),
        ),
    ]


def _told(
    shape: tuple[int, ...], diagnostics: dict[str, Any], dynamics: dict[str, float], sizes: np.ndarray,
    what_was_read: list[str], warnings: list[str],
) -> list[str]:  # fmt: skip
    """The report's paragraphs and its table."""
    # Whoever reads only "CONVERGED" must not miss that the answer may be worthless all the same.
    doubt = ", not to be relied on (see the warning)." if warnings else "."
    blocks = [
        f"{shape[0]:,} features of {shape[1]} dimensions, {len(sizes)} tokens; {diagnostics['status']} after "
        f"{diagnostics['num_steps']} steps{doubt}",
        *(f"**Warning.** {sentence}" for sentence in warnings),
        *what_was_read,
        "Features by token: " + ", ".join(f"{k}: {count:,}" for k, count in enumerate(sizes)) + ".",
    ]
    if "adjusted_rand_index" in diagnostics:
        blocks.append(
            f"Against the {diagnostics['num_labels']} true clusters: adjusted Rand index "
            f"{diagnostics['adjusted_rand_index']:.3f}, normalised mutual information "
            f"{diagnostics['normalized_mutual_information']:.3f}, accuracy after matching tokens to clusters "
            f"{diagnostics['matched_accuracy']:.3f}."
        )
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
    return [*blocks, documents.table(rows)]
