"""The published study's numbers, as its report prints them, and what our run says to each of its claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokdyn.claims import Finding
from tokdyn.studies.dynamics import tables

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


def findings(dataset: xarray.Dataset) -> dict[str, Finding]:
    """Our value and verdict for every claim that this Dataset can judge.

    Args:
        dataset: the published design, from ``run``.

    Returns:
        ``{claim id: Finding}``.
    """
    means = tables.means_by_method(dataset)
    tests = tables.tests(dataset)
    each = tests["per_condition"]
    clustered = {record["comparison"]: record for record in tests["clustered_by_seed"]}
    cell = dataset.sel(noise=0.3, clusters=4)
    found: dict[str, Finding] = {}

    def add(name: str, ours: float | str, verdict: str, note: str = "") -> None:
        found[f"dynamics.{name}"] = Finding(ours=ours, verdict=verdict, command=COMMAND, note=note)

    def compare(name: str, ours: float | int, published: float, digits: int, note: str = "") -> None:
        """Reproduced if our number, rounded as theirs, is theirs."""
        add(name, round(ours, 6), "reproduced" if round(ours, digits) == published else "contradicted", note)

    for method, (ari, nmi, steps, _) in MEANS.items():
        compare(f"ari_{method}", means.ari[method], ari, 3)
        compare(f"nmi_{method}", means.nmi[method], nmi, 3)
        compare(f"steps_{method}", means.num_steps[method], steps, 2)
        low_ari, low_std, low_steps = LOW_NOISE[method]
        runs = cell.sel(rule=method)
        compare(f"low_noise_ari_{method}", float(runs.ari.mean()), low_ari, 3)
        compare(f"low_noise_ari_std_{method}", float(runs.ari.std(ddof=1)), low_std, 3)
        compare(f"low_noise_steps_{method}", float(runs.num_steps.mean()), low_steps, 2)
    compare("gain_inertia", means.ari["inertia"] - means.ari["baseline"], 0.008, 3)
    compare("gain_inertia_repulsion", means.ari["inertia_repulsion"] - means.ari["baseline"], 0.019, 3)
    compare("runs_per_method", dataset.ari.size // dataset.sizes["rule"], 270, 0)

    merged = float((dataset.distinct_tokens < 4).sel(rule="baseline").mean())
    near = float((dataset.min_token_distance < 1e-3).sel(rule="baseline").mean())
    compare(
        "collapse_rate",
        float(dataset.collapsed.mean()),
        0.0,
        2,
        "the flag needs every point to go to one token, so it cannot see merged tokens",
    )
    add(
        "collapse_not_observed",
        f"{near:.0%} of baseline runs hold two tokens nearer than 0.001",
        "contradicted",
        f"{merged:.0%} of baseline runs end with fewer distinct tokens than tokens",
    )
    at_low = dataset.distinct_tokens.sel(rule="baseline", noise=0.3)
    shares = ", ".join(f"{float((at_low.sel(clusters=k) < 4).mean()):.0%}" for k in dataset.clusters.values)
    add("baseline_stable", f"merged in {shares} of runs at noise 0.3, K = 3, 4, 5", "contradicted")

    significant = [record for record in each if record["p_value"] < 0.05]
    add("significant_cells", len(significant), "reproduced" if len(significant) == 1 else "contradicted")
    best = min(each, key=lambda record: record["p_value"])
    compare("significant_p", best["p_value"], 0.017, 3)
    compare("significant_d", best["cohens_d"], 0.46, 2)
    both = clustered["inertia_repulsion_vs_baseline"]
    add(
        "significance_corrected",
        f"Holm p = {best['p_holm']:.2f}",
        "qualified",
        f"it vanishes, but over all conditions with the seed as unit the effect is real: "
        f"{both['mean_diff']:+.4f}, sign-flip p = {both['p_sign_flip']:.4f}",
    )
    largest = max(each, key=lambda record: record["mean_diff"])
    right_cell = (largest["noise"], largest["n_clusters"]) == (0.3, 4)
    add(
        "strongest_gain_cell",
        f"noise {largest['noise']:g}, K={largest['n_clusters']}, {largest['mean_diff']:+.4f}",
        "reproduced" if right_cell else "contradicted",
    )

    best_method = bool(means.ari.idxmax() == means.nmi.idxmax() == "inertia_repulsion")
    add("best_method", f"highest: {means.ari.idxmax()}", "reproduced" if best_method else "contradicted")
    ratio = means.num_steps["inertia_repulsion"] / means.num_steps["baseline"]
    add("best_method_slower", f"{ratio:.2f} times the steps", "reproduced" if ratio > 1 else "contradicted")
    double = means.num_steps["inertia"] / means.num_steps["baseline"]
    compare("inertia_doubles_steps", double, 2, 0)
    alone = clustered["repulsion_vs_baseline"]
    add(
        "repulsion_alone",
        f"{alone['mean_diff']:+.5f} [{alone['ci_low']:+.5f}, {alone['ci_high']:+.5f}]",
        "reproduced" if alone["ci_low"] < 0 < alone["ci_high"] else "contradicted",
    )

    baseline = dataset.ari.sel(rule="baseline").mean("seed")
    rises = [float(baseline.sel(noise=0.9, clusters=k) - baseline.sel(noise=0.3, clusters=k)) for k in (3, 4, 5)]
    text = ", ".join(
        f"{float(baseline.sel(noise=0.3, clusters=k)):.3f} to {float(baseline.sel(noise=0.9, clusters=k)):.3f}"
        for k in (3, 4, 5)
    )
    add(
        "high_noise_degrades",
        f"baseline ARI from noise 0.3 to 0.9, K = 3, 4, 5: {text}",
        "contradicted" if min(rises) > 0 else "reproduced",
        "ARI rises with noise, because at low noise surplus tokens merge inside clusters",
    )

    entropy = dataset.assignment_entropy.sel(rule="baseline").mean(("clusters", "seed"))
    spread = dataset.ari.sel(rule="baseline").std("seed", ddof=1).mean("clusters")
    sharper = bool(entropy.sel(noise=0.9) < entropy.sel(noise=0.3)) and bool(
        spread.sel(noise=0.9) < spread.sel(noise=0.3)
    )
    add(
        "assignments_diffuse",
        f"baseline, noise 0.3 to 0.9: entropy {float(entropy.sel(noise=0.3)):.3f} to "
        f"{float(entropy.sel(noise=0.9)):.3f} nats, standard deviation of ARI {float(spread.sel(noise=0.3)):.3f} to "
        f"{float(spread.sel(noise=0.9)):.3f}",
        "contradicted" if sharper else "reproduced",
        "both fall: at high noise no tokens merge, and none share a feature",
    )
    at_high = [record for record in each if record["noise"] == 0.9]
    smallest = min(record["p_value"] for record in at_high)
    add(
        "high_noise_no_rescue",
        f"largest difference {max(record['mean_diff'] for record in at_high):+.4f}, smallest p {smallest:.2f}",
        "reproduced" if smallest > 0.05 else "contradicted",
    )
    return found
