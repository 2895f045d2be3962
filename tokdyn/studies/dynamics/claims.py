"""The published study's numbers, as its report prints them, and what our run says to each of its claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tokdyn.claims import RERUN, Finding
from tokdyn.stats.equivalence import BOUND
from tokdyn.studies import rules
from tokdyn.studies.dynamics import tables
from tokdyn.studies.rules import AtLeast, AtMost, Equals, Estimate, Every, Judgement, Rises, Rule, exact

if TYPE_CHECKING:
    import xarray

SOURCE = "github.com/Hypogenic-AI/latent-visual-reasoning-codex, commit a21526d, REPORT.md"
COMMAND = "tokdyn study dynamics"

# Method -> (ARI, NMI, steps, collapse rate), means over 270 runs.
MEANS = {
    "baseline": (0.791, 0.882, 11.91, 0.00),
    "inertia": (0.799, 0.887, 24.78, 0.00),
    "repulsion": (0.791, 0.882, 17.15, 0.00),
    "inertia_repulsion": (0.810, 0.893, 25.93, 0.00),
}
# Method -> (mean ARI, its standard deviation, mean steps) at noise 0.3 with 4 clusters.
LOW_NOISE = {
    "baseline": (0.800, 0.215, 4.47),
    "inertia": (0.813, 0.216, 24.10),
    "repulsion": (0.800, 0.215, 17.00),
    "inertia_repulsion": (0.866, 0.179, 26.50),
}


NEAR = 1e-3  # tokens nearer than this are at one place
FEW = 0.05  # of runs: what "not observed" and "stable" leave room for


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """What the study says to published claims."""
    return rules.findings(CLAIMS, dataset, COMMAND)


def _printed(number: float, digits: int) -> Equals:
    """Our number, rounded as theirs, is theirs: the re-run has their seeds, so that nothing else is uncertain."""
    return Equals(number, 0.5 * 10.0**-digits)


def _over_runs(method: str, variable: str) -> Callable[[xarray.Dataset], Estimate]:
    return lambda of: exact(of[variable].sel(rule=method).mean())


def _low_noise(method: str, variable: str, statistic: str) -> Callable[[xarray.Dataset], Estimate]:
    def measured(of: xarray.Dataset) -> Estimate:
        runs = of[variable].sel(rule=method, noise=0.3, clusters=4)
        return exact(runs.mean() if statistic == "mean" else runs.std(ddof=1))

    return measured


def _gain(method: str, *, variable: str = "ari") -> Callable[[xarray.Dataset], xarray.DataArray]:
    """What a method adds to the baseline, run by run."""
    return lambda of: of[variable].sel(rule=method) - of[variable].sel(rule="baseline")


def _mean_gain(method: str) -> Callable[[xarray.Dataset], Estimate]:
    return lambda of: exact(_gain(method)(of).mean())


def _by_seed(values: xarray.DataArray, *, together: int = 1) -> Estimate:
    """Conditions of a seed share their draws, so that the seed is the unit."""
    return rules.mean(values.mean([name for name in values.dims if name != "seed"]), together=together)


def _gain_at_high_noise(of: xarray.Dataset) -> list[Estimate]:
    variants = [str(name) for name in of["rule"].values[1:]]
    return [_by_seed(_gain(name)(of).sel(noise=0.9), together=len(variants)) for name in variants]


def _falls_with_noise(of: xarray.Dataset) -> list[Estimate]:
    ari = of["ari"]
    falls = ari.sel(noise=0.3) - ari.sel(noise=0.9)
    return [_by_seed(falls.sel(rule=name), together=ari.sizes["rule"]) for name in ari["rule"].values]


def _entropy_rises(of: xarray.Dataset) -> Estimate:
    entropy = of["assignment_entropy"].sel(rule="baseline")
    return _by_seed(entropy.sel(noise=0.9) - entropy.sel(noise=0.3))


def _ratio_of_steps(method: str, **chosen: float) -> Callable[[xarray.Dataset], Estimate]:
    def measured(of: xarray.Dataset) -> Estimate:
        steps = of["num_steps"].sel(chosen).mean([name for name in ("noise", "clusters") if name not in chosen])
        return rules.mean(steps.sel(rule=method) / steps.sel(rule="baseline"))

    return measured


def _near(of: xarray.Dataset) -> xarray.DataArray:
    """Whether a baseline run ends with two tokens at one place; NaN is a distance between tokens exactly there."""
    return of["min_token_distance"].sel(rule="baseline").fillna(0.0) < NEAR


def _merged(of: xarray.Dataset) -> xarray.DataArray:
    return of["distinct_tokens"].sel(rule="baseline") < 4


def _merged_at_low_noise(of: xarray.Dataset) -> list[Estimate]:
    merged, counts = _merged(of).sel(noise=0.3), of["clusters"].values
    return [rules.share(merged.sel(clusters=count), together=len(counts)) for count in counts]


def _tests(of: xarray.Dataset) -> list[dict[str, Any]]:
    return tables.condition_tests(of)


def _first(of: xarray.Dataset) -> dict[str, Any]:
    return min(_tests(of), key=lambda record: record["p_value"])


def _clustered(of: xarray.Dataset, method: str) -> Estimate:
    record = next(one for one in tables.clustered_tests(of) if one["comparison"] == f"{method}_vs_baseline")
    return rules.between(record["mean_diff"], record["ci_low"], record["ci_high"])


def _lead_of_cell(of: xarray.Dataset) -> Estimate:
    """By how much the largest gain at noise 0.3 with K = 4 is above the largest of the other cells."""
    gains: dict[bool, list[float]] = {True: [], False: []}
    for one in _tests(of):
        gains[(one["noise"], one["n_clusters"]) == (0.3, 4)].append(one["mean_diff"])
    return exact(max(gains[True]) - max(gains[False]))


def _leads(of: xarray.Dataset) -> list[Estimate]:
    """By how much both forces together are above the best other method, in mean ARI and in mean NMI."""
    made = []
    for name in ("ari", "nmi"):
        means = of[name].mean(("noise", "clusters", "seed"))
        others = [method for method in means["rule"].values if method != "inertia_repulsion"]
        made.append(exact(means.sel(rule="inertia_repulsion") - means.sel(rule=others).max()))
    return made


def _largest_gain(of: xarray.Dataset) -> str:
    one = max(_tests(of), key=lambda record: record["mean_diff"])
    return f"noise {one['noise']:g}, K={one['n_clusters']}, {one['mean_diff']:+.4f}"


def _best(of: xarray.Dataset) -> str:
    return f"highest: {tables.means_by_method(of).ari.idxmax()}"


def _noise_and_quality(of: xarray.Dataset) -> str:
    ari = of["ari"].sel(rule="baseline").mean("seed")
    cells = [f"{float(ari.sel(noise=0.3, clusters=k)):.3f} to {float(ari.sel(noise=0.9, clusters=k)):.3f}"
             for k in of["clusters"].values]  # fmt: skip
    return f"baseline ARI from noise 0.3 to 0.9, K = 3, 4, 5: {', '.join(cells)}"


def _noise_and_entropy(of: xarray.Dataset) -> str:
    entropy = of["assignment_entropy"].sel(rule="baseline").mean(("clusters", "seed"))
    spread = of["ari"].sel(rule="baseline").std("seed", ddof=1).mean("clusters")
    entropies, spreads = ([float(one.sel(noise=noise)) for noise in (0.3, 0.9)] for one in (entropy, spread))
    return (
        f"baseline, noise 0.3 to 0.9: entropy {entropies[0]:.3f} to {entropies[1]:.3f} nats, standard deviation of ARI "
        f"{spreads[0]:.3f} to {spreads[1]:.3f}"
    )


def _declared() -> Iterator[Judgement]:
    def one(name: str, rule: Rule, measure: Callable[[xarray.Dataset], rules.Measured], **more: Any) -> Judgement:
        return Judgement(f"dynamics.{name}", rule, measure, RERUN, **more)

    def number(name: str, published: float, digits: int, measure: Callable[[xarray.Dataset], Estimate]) -> Judgement:
        return one(name, _printed(published, digits), measure, told=lambda of: round(measure(of).value, 6))

    for method, (ari, nmi, steps, _) in MEANS.items():
        yield number(f"ari_{method}", ari, 3, _over_runs(method, "ari"))
        yield number(f"nmi_{method}", nmi, 3, _over_runs(method, "nmi"))
        yield number(f"steps_{method}", steps, 2, _over_runs(method, "num_steps"))
    for method, (ari, spread, steps) in LOW_NOISE.items():
        yield number(f"low_noise_ari_{method}", ari, 3, _low_noise(method, "ari", "mean"))
        yield number(f"low_noise_ari_std_{method}", spread, 3, _low_noise(method, "ari", "std"))
        yield number(f"low_noise_steps_{method}", steps, 2, _low_noise(method, "num_steps", "mean"))
    for method, gain in (("inertia", 0.008), ("inertia_repulsion", 0.019)):
        yield number(f"gain_{method}", gain, 3, _mean_gain(method))
    yield number("significant_p", 0.017, 3, lambda of: exact(_first(of)["p_value"]))
    yield number("significant_d", 0.46, 2, lambda of: exact(_first(of)["cohens_d"]))
    yield number("inertia_doubles_steps", 2, 0, lambda of: exact(
        of["num_steps"].sel(rule="inertia").mean() / of["num_steps"].sel(rule="baseline").mean()
    ))  # fmt: skip
    yield one("runs_per_method", Equals(270, 0.5), lambda of: exact(of["ari"].size // of.sizes["rule"]))
    yield one("significant_cells", Equals(1, 0.5), lambda of: exact(sum(t["p_value"] < 0.05 for t in _tests(of))))
    yield one(
        "collapse_rate", _printed(0.0, 2), lambda of: exact(of["collapsed"].mean()),
        reading=(AtMost(FEW), lambda of: _by_seed(_merged(of))),
        note="read as: tokens stay apart; the flag needs every point to go to one token, so it cannot see merged ones",
    )  # fmt: skip
    yield one(
        "collapse_not_observed", AtMost(FEW), lambda of: _by_seed(_near(of)),
        told=lambda of: f"{float(_near(of).mean()):.0%} of baseline runs hold two tokens nearer than {NEAR:g}",
        note=lambda of: f"{float(_merged(of).mean()):.0%} of baseline runs end with fewer distinct tokens than tokens",
    )  # fmt: skip
    yield one(
        "baseline_stable", Every(AtMost(FEW)), _merged_at_low_noise,
        told=lambda of: "merged in " + ", ".join(f"{share.value:.0%}" for share in _merged_at_low_noise(of))
        + " of runs at noise 0.3, K = 3, 4, 5",
    )  # fmt: skip
    yield one(
        "significance_corrected", AtLeast(0.05), lambda of: exact(_first(of)["p_holm"]),
        reading=(Equals(0, 0.005), lambda of: _clustered(of, "inertia_repulsion")),
        told=lambda of: f"Holm p = {_first(of)['p_holm']:.2f}",
        note="read as: there is no effect; over all conditions, the seed being the unit, there is one",
    )  # fmt: skip
    yield one("strongest_gain_cell", Rises(), _lead_of_cell, told=_largest_gain)
    yield one("best_method", Every(Rises()), _leads, told=_best)
    yield one(
        "best_method_slower", AtLeast(1.5), _ratio_of_steps("inertia_repulsion"),
        told=lambda of: f"{_ratio_of_steps('inertia_repulsion')(of).value:.2f} times the steps",
    )  # fmt: skip
    yield one(
        "repulsion_alone", Equals(0, 0.005), lambda of: _clustered(of, "repulsion"),
        told=lambda of: str(_clustered(of, "repulsion")),
    )  # fmt: skip
    yield one(
        "high_noise_degrades", Every(Rises()), _falls_with_noise, told=_noise_and_quality,
        note="ARI rises with noise, because at low noise surplus tokens merge inside clusters",
    )  # fmt: skip
    yield one(
        "assignments_diffuse", Rises(), _entropy_rises, told=_noise_and_entropy,
        note="the rule reads the entropy; at high noise no tokens merge, and none share a feature",
    )  # fmt: skip
    yield one(
        "high_noise_no_rescue", Every(AtMost(BOUND)), _gain_at_high_noise,
        told=lambda of: "gains " + ", ".join(str(gain) for gain in _gain_at_high_noise(of)),
        note="mean over K, the seed being the unit; a gain of at most the bound of equivalence is none",
    )  # fmt: skip
    yield one(
        "attraction_dominates", Every(Equals(0, BOUND)), _gain_at_high_noise,
        reading=(AtMost(1.5), _ratio_of_steps("inertia_repulsion", noise=0.9)),
        told=lambda of: "ARI changes by " + ", ".join(str(gain) for gain in _gain_at_high_noise(of))
        + f"; steps by a factor of {_ratio_of_steps('inertia_repulsion', noise=0.9)(of).value:.2f}",
        note="at noise 0.9, where the other forces are added; read as: the runs take as long, too",
    )  # fmt: skip
    yield one(
        "runtime", AtMost(10), lambda of: rules.clock(of.attrs["simulation_seconds"]),
        told=lambda of: f"{float(of.attrs['simulation_seconds']):.1f} seconds",
        note="all 1,080 runs in our implementation, on two shared CPU cores; known within a factor of 2",
    )  # fmt: skip


CLAIMS = tuple(_declared())
