"""Figures of token dynamics: scores against noise, and tokens on the move."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tokdyn import stats
from tokdyn.checks import bad
from tokdyn.plot.style import COLOURS, MARKERS, figure, styled

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from tokdyn.theory import Diagnosis


@styled
def score_against_noise(
    dataset: xarray.Dataset,
    variable: str,
    *,
    label: str,
    limits: tuple[float, float] | None = None,
    share: bool = False,
    names: Mapping[str, str] | None = None,
) -> Figure:
    """A score's mean against noise, a panel for each number of clusters, a line for each rule.

    Args:
        dataset: with dimensions rule, noise, clusters, seed.
        variable: its name.
        label: of the vertical axis, with its unit.
        limits: of the vertical axis.
        share: the score is 0 or 1: intervals are Clopper-Pearson, else Student's over seeds (both 95 %).
        names: how a rule is called in the legend, where not by its own name.

    Returns:
        The figure.
    """
    values = dataset[variable].transpose("rule", "noise", "clusters", "seed").astype(float)
    methods = [str(name) for name in values["rule"].values]
    shown = names or {}
    clusters = values["clusters"].values
    made, axes = figure(1, len(clusters), sharey=True)
    # Side by side over a half of the gap between two levels, so that markers and intervals can be told apart.
    levels = np.unique(values["noise"].values)
    gap = float(np.diff(levels).min()) if len(levels) > 1 else 0.3
    spread = 0.5 * gap / len(methods) * (np.arange(len(methods)) - (len(methods) - 1) / 2)
    for panel, count in zip(axes[0], clusters, strict=True):
        for i, method in enumerate(methods):
            runs = values.sel(rule=method, clusters=count).values
            middle, low, high = _intervals(runs, share)
            panel.errorbar(
                values["noise"].values + spread[i], middle, [middle - low, high - middle], color=COLOURS[i],
                marker=MARKERS[i], markersize=4, linewidth=1.2, capsize=2, elinewidth=0.8,
                label=shown.get(method, method),
            )  # fmt: skip
        panel.set_title(f"{count} clusters")
        panel.set_xlabel("noise (standard deviation)")
        panel.set_xticks(values["noise"].values)
        if limits:
            panel.set_ylim(limits)
    axes[0, 0].set_ylabel(label)
    handles, names = axes[0, 0].get_legend_handles_labels()
    interval = "Clopper-Pearson" if share else "Student's t over seeds"
    made.legend(
        handles, names, loc="outside lower center", ncols=len(methods), fontsize=8,
        title=f"mean and 95 % interval ({interval}), {values.sizes['seed']} seeds", title_fontsize=8,
    )  # fmt: skip
    return made


@styled
def token_paths(
    features: ArrayLike,
    labels: ArrayLike,
    paths: ArrayLike,
    names: list[str],
    *,
    width: float = 2.4,
    height: float = 2.5,
) -> Figure:
    """The paths of tokens among their features, seen in the features' first two principal components.

    Args:
        features: `[N, D]`.
        labels: `[N]`.
        paths: `[rule, step, K, D]`, the start first.
        names: of the rules.
        width: of a panel, inches.
        height: of a panel, inches.

    Returns:
        The figure, one panel a rule.
    """
    project, explained = principal_plane(features)
    made, axes = figure(1, len(names), width=width, height=height, sharex=True, sharey=True)
    points = project(features)
    for panel, name, path in zip(axes[0], names, _check_paths(paths, names), strict=True):
        _draw_features(panel, points, labels)
        drawn = project(path)  # [step, K, 2]
        for token in range(path.shape[1]):
            colour = COLOURS[1 + token % (len(COLOURS) - 1)]
            panel.plot(*drawn[:, token].T, color=colour, linewidth=1.2, marker=".", markersize=3)
            panel.plot(*drawn[0, token], marker="o", markersize=6, markerfacecolor="white", color=colour)
            panel.plot(*drawn[-1, token], marker=MARKERS[token % len(MARKERS)], markersize=8, color=colour,
                       markeredgecolor="black", alpha=0.75)  # fmt: skip
        panel.set_title(name)
        panel.set_xlabel(f"component 1 ({explained[0]:.0%})")
        panel.set_aspect("equal", adjustable="box")
    axes[0, 0].set_ylabel(f"component 2 ({explained[1]:.0%})")
    explanation = (
        "Tokens from start (open circle) to end (filled); grey: features, by cluster. Ends that coincide have merged."
    )
    made.suptitle(textwrap.fill(explanation, int(16 * width * len(names))), fontsize=8)  # about 16 letters an inch
    return made


@styled
def convergence(displacements: ArrayLike, tol: float) -> Figure:
    """The largest displacement of a token against the step, on a logarithmic axis, with the tolerance.

    Args:
        displacements: `[steps]`.
        tol: the tolerance, drawn where it is above 0.

    Returns:
        The figure.
    """
    displacements = np.asarray(displacements, float)
    made, axes = figure(1, 1, width=4.0, height=2.6)
    panel = axes[0, 0]
    steps = np.arange(1, len(displacements) + 1)
    panel.semilogy(
        steps, np.where(displacements > 0, displacements, np.nan), color=COLOURS[1], marker="o", markersize=3
    )
    if tol > 0:
        panel.axhline(tol, color=COLOURS[5], linewidth=1, linestyle="--", label=f"tolerance {tol:g}")
        panel.legend()
    panel.set_xlabel("step")
    panel.set_ylabel("largest displacement")
    panel.xaxis.get_major_locator().set_params(integer=True)
    return made


@styled
def collapse(found: Diagnosis) -> Figure:
    """Where tokens part as they are cooled, and how many are distinct at which resolution.

    Args:
        found: from ``td.diagnose``.

    Returns:
        The figure: on the left distinct points against temperature, with the temperature that was diagnosed, the
        critical one and the one up to which tokens that are apart can stay so; on the right distinct tokens of a run
        against the distance up to which two count as one.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> from tokdyn.plot.dynamics import collapse
        >>> features = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
        >>> found = td.diagnose(td.catalog.soft_kmeans(temperature=1.0), features, num_tokens=3)
        >>> len(collapse(found).axes)
        2
    """
    made, axes = figure(1, 2, width=4.2, height=2.9)
    cooled, merged = axes[0]
    critical = found.forecast.critical_temperature
    lowest = min(found.temperature, found.cascade.lowest)
    hottest = 2 * max(found.temperature, critical)
    path = sorted({(hottest, 1), (critical, 1), *found.cascade.path}, reverse=True)
    heats, counts = [heat for heat, _ in path], [count for _, count in path]
    cooled.step([*heats, lowest], [*counts, counts[-1]], where="post", color=COLOURS[0], label="slow cooling")
    marks = {"this temperature": (found.temperature, "-", 1), "critical": (critical, "--", 2)}
    if np.isfinite(found.forecast.spinodal) and found.forecast.spinodal > 1.02 * critical:
        marks["last that stay apart"] = (found.forecast.spinodal, ":", 3)
    for text, (heat, line, colour) in marks.items():
        if heat > 0:
            cooled.axvline(heat, linestyle=line, color=COLOURS[colour], label=text)
    cooled.plot(found.temperature, found.simulated, "o", color=COLOURS[4], label="a run from random features")
    if lowest > 0:
        cooled.set_xscale("log")
    cooled.set(
        xlabel="temperature, squared units of the features", ylabel="distinct tokens", ylim=(0, found.num_tokens + 1)
    )
    cooled.legend(fontsize=7)
    merged.plot(found.resolutions, found.distinct, marker="o", color=COLOURS[4])
    merged.set_xscale("log")
    merged.set(
        xlabel="resolution, in units of the clusters' width", ylabel="distinct tokens", ylim=(0, found.num_tokens + 1)
    )
    return made


def save_animation(
    features: ArrayLike,
    labels: ArrayLike,
    paths: ArrayLike,
    names: list[str],
    path: str | os.PathLike[str],
    *,
    seconds_per_step: float = 0.2,
) -> Path:
    """Tokens moving, as an animated GIF.

    Args:
        features: `[N, D]`.
        labels: `[N]`.
        paths: `[rule, step, K, D]`, the start first.
        names: of the rules.
        path: of the GIF.
        seconds_per_step: how long a step is shown.

    Returns:
        The path.
    """
    from PIL import Image

    project, _ = principal_plane(features)
    made, axes = figure(1, len(names), width=2.0, height=2.1, sharex=True, sharey=True)
    points, drawn = project(features), project(_check_paths(paths, names))  # [N, 2], [rule, step, K, 2]
    everywhere = np.concatenate([points, drawn.reshape(-1, 2)])
    margin = 0.05 * np.ptp(everywhere, axis=0) + 1e-9
    (left, bottom), (right, top) = everywhere.min(axis=0) - margin, everywhere.max(axis=0) + margin
    axes[0, 0].set(xlim=(left, right), ylim=(bottom, top))  # shared by all panels
    markers, trails = [], []
    for panel, name in zip(axes[0], names, strict=True):
        _draw_features(panel, points, labels)
        panel.set_title(name)
        panel.set_xticklabels([])
        panel.set_yticklabels([])
        colours = [COLOURS[1 + token % (len(COLOURS) - 1)] for token in range(drawn.shape[2])]
        trails.append([panel.plot([], [], color=colour, linewidth=1)[0] for colour in colours])
        markers.append(
            [panel.plot([], [], "o", color=colour, markeredgecolor="black", alpha=0.8)[0] for colour in colours]
        )
    title = made.suptitle("step 0", fontsize=9)
    moving = [title, *(artist for panel in (*trails, *markers) for artist in panel)]
    for artist in moving:
        artist.set_animated(True)
    made.set_dpi(90)
    # What stands still is laid out and drawn once: that takes ten times as long as what moves.
    canvas: Any = made.canvas
    canvas.draw()
    still = canvas.copy_from_bbox(made.bbox)
    frames = []
    for step in range(drawn.shape[1]):
        for method, (trail, marker) in enumerate(zip(trails, markers, strict=True)):
            for token in range(drawn.shape[2]):
                trail[token].set_data(*drawn[method, : step + 1, token].T)
                marker[token].set_data(*drawn[method, step : step + 1, token].T)
        title.set_text(f"step {step}")
        canvas.restore_region(still)
        for artist in moving:
            made.draw_artist(artist)
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    durations = [int(1000 * seconds_per_step)] * (len(frames) - 1) + [1500]
    target = Path(path)
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return target


def principal_plane(features: ArrayLike) -> tuple[Any, np.ndarray]:
    """The projection onto the first two principal components.

    Args:
        features: `[N, D]`.

    Returns:
        A function `[..., D] -> [..., 2]`, and the share of variance of the two axes `[2]`. With one dimension the
        second axis is zero.
    """
    features = np.asarray(features, float)
    centre = features.mean(axis=0)
    _, singular, axes = np.linalg.svd(features - centre, full_matrices=False)
    shares = singular**2 / max(float(np.sum(singular**2)), 1e-300)
    plane = np.zeros((2, features.shape[1]))
    plane[: min(2, len(axes))] = axes[:2]
    return lambda points: (np.asarray(points, float) - centre) @ plane.T, np.pad(shares, (0, 2))[:2]


def _draw_features(panel: Any, points: np.ndarray, labels: Any) -> None:
    labels = np.asarray(labels)
    greys = np.linspace(0.55, 0.85, max(len(np.unique(labels)), 1))
    for grey, label in zip(greys, np.unique(labels), strict=False):
        panel.plot(*points[labels == label].T, ".", color=str(grey), markersize=3, zorder=0)


def _intervals(runs: np.ndarray, share: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95 % interval over the last axis."""
    middle = runs.mean(axis=-1)
    if share:
        interval = stats.clopper_pearson(runs.sum(axis=-1).astype(int), runs.shape[-1])
        return middle, interval.low, interval.high
    if runs.shape[-1] < 2:
        return middle, middle, middle
    spread = stats.mean_interval(runs)
    return middle, spread.low, spread.high


def _check_paths(paths: Any, names: list[str]) -> np.ndarray:
    paths = np.asarray(paths)
    if paths.ndim != 4:
        raise bad("paths", "an array [rule, step, K, D]", f"shape {paths.shape}")
    if isinstance(names, str) or len(names) != len(paths):
        raise bad("names", f"a list of {len(paths)} names, one for each rule", repr(names))
    return paths
